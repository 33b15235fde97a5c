//! A keep-alive connection to the server under test, and the chat API in the shape of 2024-03-07.
//!
//! Plain HTTP, which the server speaks with this machine: what is under attack is the store.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

const API_VERSION: &str = "2024-03-07";

/// The status of an answer and its body; `Null` where that is empty.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// One connection of one user.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

impl Connection {
    /// Connects as the user of that token.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, whose errors the sender sees.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
            authorization: format!("Bearer {token}"),
        })
    }

    /// Whether it can be asked, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// A request to a path of the chat API, without its version. An error means that the
    /// connection broke: nobody knows what became of the request.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{mark}api-version={API_VERSION}");
        let authorization = self.authorization.clone();
        let mut all = vec![(header::AUTHORIZATION.as_str(), authorization.as_str())];
        if body.is_some() {
            all.push((header::CONTENT_TYPE.as_str(), "application/json"));
        }
        all.extend(headers);
        let body = body.map(|body| Bytes::from(body.to_string()));
        let (status, body) = self
            .exchange(method, &target, body.unwrap_or_default(), &all)
            .await?;
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).context("an answer that is no JSON")?
        };
        Ok(Answer { status, body })
    }

    /// A request as it is given; returns the status and the body of its answer.
    pub(crate) async fn exchange(
        &mut self,
        method: Method,
        target: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(u16, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.sender.ready().await?;
        let request = request.body(Full::new(body))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }

    /// A GET.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, None, &[]).await
    }

    /// All items of a list, page by page, or the status that refused it.
    pub(crate) async fn list(&mut self, path: &str) -> anyhow::Result<Result<Vec<Value>, u16>> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take() {
            let mut answer = self.get(&path).await?;
            if answer.status != 200 {
                return Ok(Err(answer.status));
            }
            if let Value::Array(page) = answer.body["value"].take() {
                items.extend(page);
            }
            next = answer.body["nextLink"].as_str().and_then(path_of);
        }
        Ok(Ok(items))
    }
}

/// The path and query of a link, without the version, which every request names anew.
fn path_of(link: &str) -> Option<String> {
    let (_, rest) = link.split_once("://")?;
    let (path, query) = rest[rest.find('/')?..].split_once('?')?;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("api-version="))
        .collect();
    Some(format!("{path}?{}", kept.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_without_its_version() {
        let link = "https://127.0.0.1:1/chat/threads?a=b&api-version=2024-03-07";
        assert_eq!(path_of(link).unwrap(), "/chat/threads?a=b");
        assert_eq!(path_of("x"), None);
    }
}

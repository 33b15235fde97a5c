//! HTTPS connections to a server under test, and the signature of the identity API.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server, and whom to trust for it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Target {
    /// `endpoint` is `https://ADDRESS:PORT`; `ca` is a PEM file.
    pub(crate) fn new(endpoint: &str, ca: &Path) -> anyhow::Result<Self> {
        let address = endpoint
            .strip_prefix("https://")
            .context("the endpoint is not https")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address: address.parse().context("the endpoint's address")?,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// `address:port`, the value of the Host header.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// A new TLS connection on which nothing was said.
    pub(crate) async fn open(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        Ok(self.tls.connect(name, stream).await?)
    }

    /// A new keep-alive connection (HTTP/1.1 over TLS).
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = self.open().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, whose errors the sender sees.
        tokio::spawn(connection);
        Ok(Connection { sender })
    }
}

/// A keep-alive connection with one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }

    /// Sends a request whose answer must have this status.
    pub(crate) async fn expect(
        &mut self,
        request: Request<Full<Bytes>>,
        expected: StatusCode,
    ) -> anyhow::Result<Bytes> {
        let (status, body) = self.send(request).await?;
        if status != expected {
            bail!("answer {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

/// A POST of JSON with these further headers.
pub(crate) fn post(
    host: &str,
    path: &str,
    body: Bytes,
    headers: &[(&str, &str)],
) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.body(Full::new(body))?)
}

/// A GET with a bearer token.
pub(crate) fn get(
    host: &str,
    path: &str,
    authorization: &str,
) -> anyhow::Result<Request<Full<Bytes>>> {
    Ok(Request::get(path)
        .header(header::HOST, host)
        .header(header::AUTHORIZATION, authorization)
        .body(Full::default())?)
}

/// A POST signed with the access key, as the identity SDKs sign theirs.
pub(crate) fn signed_post(
    host: &str,
    path: &str,
    body: Bytes,
    key: &[u8],
) -> anyhow::Result<Request<Full<Bytes>>> {
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&jiff::Timestamp::now())?;
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, &body));
    let to_sign = format!("POST\n{path}\n{date};{host};{hash}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = STANDARD.encode(hmac::sign(&key, to_sign.as_bytes()));
    let authorization = format!(
        "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"
    );
    let headers = [
        ("x-ms-date", date.as_str()),
        ("x-ms-content-sha256", &hash),
        ("authorization", &authorization),
    ];
    post(host, path, body, &headers)
}

/// The access key of a connection string.
pub(crate) fn access_key(connection_string: &str) -> anyhow::Result<Vec<u8>> {
    let key = connection_string
        .split(';')
        .find_map(|field| field.strip_prefix("accesskey="))
        .context("the connection string has no accesskey")?;
    STANDARD.decode(key).context("the access key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_key_is_found_in_a_connection_string() {
        let key = access_key("endpoint=https://127.0.0.1:1/;accesskey=a2V5cw==").unwrap();
        assert_eq!(key, b"keys");
        assert!(access_key("endpoint=https://127.0.0.1:1/").is_err());
    }
}

//! Requests to the running server: health checks, and operator tasks signed with the access key.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use cavansite_core::clock::{Clock, SystemClock};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::ready::Ready;
use crate::tls;

/// The api-version of the requests.
const IDENTITY_API_VERSION: &str = "2023-10-01";
/// How long a request may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An answer of the server.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Answer {
    /// The body of a success; the server's own words otherwise.
    pub(super) fn json<T: for<'de> Deserialize<'de>>(self) -> Result<T, Failure> {
        if self.status.is_success() {
            return serde_json::from_slice(&self.body)
                .map_err(|error| Failure::new(format!("the server's answer: {error}")));
        }
        let refusal: Option<Refusal> = serde_json::from_slice(&self.body).ok();
        let message = refusal.map_or_else(String::new, |refusal| refusal.error.message);
        Err(Failure::new(format!(
            "the server answered {}: {message}",
            self.status
        )))
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalDetail,
}

#[derive(Deserialize)]
struct RefusalDetail {
    message: String,
}

/// Asks without a signature.
pub(super) fn get(ready: &Ready, path: &str) -> Result<Answer, Failure> {
    let request = Request::get(path).header(HOST, ready.address.to_string());
    send(ready, request.body(Bytes::new()).map_err(Failure::new)?)
}

/// Posts to the identity API, signed with the access key of the connection string.
pub(super) fn post_identity(
    ready: &Ready,
    path: &str,
    body: &serde_json::Value,
) -> Result<Answer, Failure> {
    let key = ready
        .connection_string
        .split(';')
        .find_map(|part| part.strip_prefix("accesskey="))
        .and_then(|key| BASE64_STANDARD.decode(key).ok())
        .ok_or_else(|| Failure::new("the ready file holds no access key"))?;
    let target = format!("{path}?api-version={IDENTITY_API_VERSION}");
    let body = Bytes::from(body.to_string());
    let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, &body));
    let date = http_date();
    let host = ready.address.to_string();
    let text = format!("POST\n{target}\n{date};{host};{hash}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let names = "x-ms-date;host;x-ms-content-sha256";
    let request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, host)
        .header("x-ms-date", date)
        .header("x-ms-content-sha256", hash)
        .header(CONTENT_TYPE, "application/json")
        .header(
            AUTHORIZATION,
            format!("HMAC-SHA256 SignedHeaders={names}&Signature={signature}"),
        );
    send(ready, request.body(body).map_err(Failure::new)?)
}

/// The present time as HTTP writes it.
fn http_date() -> String {
    let millis = u64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis))
}

fn send(ready: &Ready, request: Request<Bytes>) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exchange = async { tokio::time::timeout(TIMEOUT, exchange(ready, request)).await };
    runtime.block_on(exchange).map_err(|_| {
        let seconds = TIMEOUT.as_secs();
        Failure::new(format!("no answer within {seconds} s"))
    })?
}

async fn exchange(ready: &Ready, request: Request<Bytes>) -> Result<Answer, Failure> {
    let stream = TcpStream::connect(ready.address)
        .await
        .map_err(|error| Failure::new(format!("{}: {error}", ready.address)))?;
    let name = ServerName::try_from(ready.server_name.clone()).map_err(Failure::new)?;
    let connector = TlsConnector::from(client_config(ready)?);
    let stream = connector.connect(name, stream).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(Failure::new)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request.map(Full::new)).await;
    let (head, body) = answer.map_err(Failure::new)?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    Ok(Answer {
        status: head.status,
        body: body.map_err(Failure::new)?.to_bytes(),
    })
}

/// Trusts the server's local CA or, where the operator brought a certificate, the system's CAs.
fn client_config(ready: &Ready) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match &ready.ca_file {
        Some(file) => {
            let certificate = CertificateDer::from_pem_file(file)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            roots.add(certificate).map_err(Failure::new)?;
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(Failure::new)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

//! How commands reach the server on this machine.
//!
//! The client crate's own transport would do, but it brings reqwest: a program in which that is
//! linked beside the server is larger in memory at rest, though nothing of it runs
//! (docs/adr/0004-small-in-memory.md).
//! This one is made of what the server has anyway, and goes to the local address whatever DNS and
//! proxies say.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use cavansite_client::{Error, ErrorKind, RawResponse, Request, Result, Transport, Upgraded};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::ready::Ready;
use crate::tls;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// HTTP/1.1 over TLS to one server, a connection for each request.
pub(super) struct LocalTransport {
    address: SocketAddr,
    server_name: ServerName<'static>,
    connector: TlsConnector,
}

impl LocalTransport {
    /// Trusts the server's local CA or, where the operator brought a certificate, the system's CAs.
    pub(super) fn new(ready: &Ready) -> std::result::Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &ready.ca_file {
            let certificate = CertificateDer::from_pem_file(file)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            roots.add(certificate).map_err(Failure::new)?;
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(Failure::new)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address: ready.address,
            server_name: ServerName::try_from(ready.server_name.clone()).map_err(Failure::new)?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<bytes::Bytes>>> {
        let no_connection =
            |error| Error::with_source(ErrorKind::Connection, "no connection could be made", error);
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(no_connection)?;
        let name = self.server_name.clone();
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(no_connection)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The server may or may not have acted.
fn broken(error: hyper::Error) -> Error {
    Error::with_source(ErrorKind::Io, "the connection broke", error)
}

#[async_trait]
impl Transport for LocalTransport {
    async fn send(&self, request: Request) -> Result<RawResponse> {
        let url = &request.url;
        let invalid = |error| {
            Error::with_source(ErrorKind::InvalidInput, "the request cannot be sent", error)
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let host = url.host_str().unwrap_or_default();
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let head = hyper::Request::builder()
            .method(request.method)
            .uri(target)
            .header(HOST, host);
        let mut sent = head.body(Full::new(request.body)).map_err(invalid)?;
        sent.headers_mut().extend(request.headers);
        let mut sender = self.connect().await?;
        let (head, body) = sender
            .send_request(sent)
            .await
            .map_err(broken)?
            .into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            Error::with_source(ErrorKind::Io, "the answer broke off, or is too long", error)
        })?;
        Ok(RawResponse::new(head.status, head.headers, body.to_bytes()))
    }

    async fn upgrade(&self, _request: Request) -> Result<Upgraded> {
        Err(Error::new(
            ErrorKind::Other,
            "no command upgrades its connection",
        ))
    }
}

impl std::fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTransport")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

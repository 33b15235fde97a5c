//! HTTP/1.1 over TLS, by reqwest, of which nothing shows outside.

use std::error::Error as StdError;
use std::{fmt, io};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};

use super::{RawResponse, Request, Transport, Upgraded};
use crate::limits::{BODY_BYTES_MAX, CONNECT_TIMEOUT, ERROR_BODY_BYTES_MAX, IDLE_CONNECTION};
use crate::{ClientOptions, Error, ErrorKind, Result};

/// Requests over connections that are kept for the next. Each client makes its own, unless one is
/// given to several in [`ClientOptions::transport`].
///
/// TLS is rustls with aws-lc-rs. It trusts the system's certificate authorities, or those of the
/// file that the variable `SSL_CERT_FILE` names, and the [additional
/// ones](ClientOptions::additional_root_certificates). The variables `HTTPS_PROXY` and `NO_PROXY`
/// are honoured.
#[derive(Clone)]
pub struct HttpTransport(reqwest::Client);

impl HttpTransport {
    /// A transport with the certificate authorities of these options.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cavansite_client::{ClientOptions, HttpTransport};
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// let mut shared = ClientOptions::default();
    /// shared.transport = Some(Arc::new(HttpTransport::new(&shared)?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(options: &ClientOptions) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            // What may be repeated is decided above, by what the request does.
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_CONNECTION);
        if options.allow_plain_http_to_loopback {
            // A proxy would read the tokens that plain HTTP carries.
            builder = builder.no_proxy();
        }
        for pem in &options.additional_root_certificates {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| Error::input("an additional root certificate is not PEM"))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|error| {
            Error::with_source(
                ErrorKind::Other,
                "TLS cannot be set up",
                error.without_url(),
            )
        })?;
        Ok(Self(client))
    }

    async fn start(&self, request: Request) -> Result<reqwest::Response> {
        let is_post = request.method == Method::POST;
        let mut builder = self
            .0
            .request(request.method, request.url)
            .headers(request.headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        } else if is_post {
            // Some servers refuse a POST that does not say that nothing follows.
            builder = builder.header(CONTENT_LENGTH, 0);
        }
        builder.send().await.map_err(refused)
    }
}

/// Reads a body up to a bound.
async fn read(response: &mut reqwest::Response, bytes_max: usize) -> Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(refused)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Error::data("the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What a failure of reqwest means for the request.
fn refused(error: reqwest::Error) -> Error {
    let (kind, message) = if error.is_connect() && is_tls(&error) {
        (
            ErrorKind::Tls,
            "the server's certificate, or its TLS, is not accepted",
        )
    } else if error.is_connect() {
        (ErrorKind::Connection, "no connection could be made")
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "the connection timed out")
    } else if error.is_builder() {
        (ErrorKind::InvalidInput, "the request cannot be sent")
    } else {
        (ErrorKind::Io, "the connection broke")
    };
    Error::with_source(kind, message, error.without_url())
}

/// Whether a connection failed in TLS, which is an error of input and output around invalid data.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        let mut layer = error.downcast_ref::<io::Error>();
        while let Some(error) = layer {
            if error.kind() == io::ErrorKind::InvalidData {
                return true;
            }
            layer = error.get_ref().and_then(|inner| inner.downcast_ref());
        }
        cause = error.source();
    }
    false
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<RawResponse> {
        let mut response = self.start(request).await?;
        let status = response.status();
        let bytes_max = if status.is_success() {
            BODY_BYTES_MAX
        } else {
            ERROR_BODY_BYTES_MAX
        };
        let headers = std::mem::take(response.headers_mut());
        let body = match read(&mut response, bytes_max).await {
            // What came with an error status matters less than the status.
            Err(_) if !status.is_success() => Bytes::new(),
            body => body?,
        };
        Ok(RawResponse::new(status, headers, body))
    }

    async fn upgrade(&self, request: Request) -> Result<Upgraded> {
        let mut response = self.start(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = read(&mut response, ERROR_BODY_BYTES_MAX).await;
            let response = RawResponse::new(status, headers, body.unwrap_or_default());
            return Err(Error::from_response(&response));
        }
        let stream = response.upgrade().await.map_err(refused)?;
        Ok(Upgraded::new(headers, stream))
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

//! The seam between this crate and the network: requests and answers as values.
//!
//! [`Transport`] has one implementation here, [`HttpTransport`]; tests and programs with needs of
//! their own bring another in [`ClientOptions::transport`](crate::ClientOptions).

#[cfg(feature = "reqwest")]
mod http;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Method, StatusCode};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use url::Url;

#[cfg(feature = "reqwest")]
pub use self::http::HttpTransport;
use crate::{ClientOptions, Result};

/// Sends requests. Retries, time-outs, credentials and the reading of errors are above it.
///
/// Futures that are dropped must leave nothing behind. An error says by its kind what happened:
/// [`Connection`](crate::ErrorKind::Connection) promises that the server has seen nothing of the
/// request, so that even a send may be repeated; [`Io`](crate::ErrorKind::Io) leaves that open.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request and reads the answer whole, whatever its status. Redirects are answers like
    /// others. Bodies without a bound are cut off with an error of kind
    /// [`DataConversion`](crate::ErrorKind::DataConversion).
    async fn send(&self, request: Request) -> Result<RawResponse>;

    /// Sends a request with `Connection: Upgrade` over HTTP/1.1, and gives the connection on an
    /// answer of 101; any other answer is an error of kind
    /// [`HttpResponse`](crate::ErrorKind::HttpResponse).
    async fn upgrade(&self, request: Request) -> Result<Upgraded>;
}

/// The transport of clients that are given none.
#[cfg(feature = "reqwest")]
pub(crate) fn by_default(options: &ClientOptions) -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(HttpTransport::new(options)?))
}

/// There is none in this build.
#[cfg(not(feature = "reqwest"))]
pub(crate) fn by_default(_options: &ClientOptions) -> Result<Arc<dyn Transport>> {
    Err(crate::Error::input(
        "without the feature `reqwest` the options must bring a transport",
    ))
}

/// A request as it goes out. `Debug` shows neither values of headers nor the body, and of a query
/// the names only.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// All headers but `Host` and `Content-Length`, which follow from the rest.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    ///
    /// ```
    /// use cavansite_client::Request;
    ///
    /// let url = "https://chat.example.com/health".parse().unwrap();
    /// let request = Request::new("GET".parse().unwrap(), url);
    /// assert!(format!("{request:?}").contains("/health"));
    /// ```
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &ShownUrl(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Parameters that may be logged with their values; of others the name is all that is shown.
const SHOWN_PARAMETERS: [&str; 4] = ["api-version", "maxPageSize", "skip", "startTime"];

/// A URL as logs show it: values of unknown parameters, passwords and fragments left out.
pub(crate) struct ShownUrl<'a>(pub(crate) &'a Url);

impl fmt::Display for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())?;
        f.write_str(self.0.path())?;
        for (at, (name, value)) in self.0.query_pairs().enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            let shown = SHOWN_PARAMETERS.contains(&&*name);
            write!(f, "{name}={}", if shown { &*value } else { "…" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ShownUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An answer, read whole. `Debug` shows neither values of headers nor the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct RawResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl RawResponse {
    /// An answer of these parts.
    ///
    /// ```
    /// use cavansite_client::RawResponse;
    ///
    /// let status = 204.try_into().unwrap();
    /// let answer = RawResponse::new(status, Default::default(), "");
    /// ```
    pub fn new(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// The value of a header, where it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for RawResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// What both sides speak over once they have left HTTP.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection that has left HTTP, to be read and written as it is.
pub struct Upgraded {
    headers: HeaderMap,
    stream: Pin<Box<dyn Stream>>,
}

impl Upgraded {
    /// The connection on which an answer of 101 with these headers came.
    ///
    /// ```
    /// use cavansite_client::Upgraded;
    ///
    /// let (near, far) = tokio::io::duplex(64);
    /// let upgraded = Upgraded::new(Default::default(), near);
    /// ```
    pub fn new(headers: HeaderMap, stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self {
            headers,
            stream: Box::pin(stream),
        }
    }

    /// The headers of the answer.
    ///
    /// ```
    /// fn protocol(upgraded: &cavansite_client::Upgraded) -> Option<&str> {
    ///     upgraded.headers().get("sec-websocket-protocol")?.to_str().ok()
    /// }
    /// ```
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_read(cx, into)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

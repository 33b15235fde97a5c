//! What is done to every request: ids, bounds, health, the router, and the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use cavansite_core::clock::{Randomness, SystemRandomness};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderName,
    HeaderValue,
};
use hyper::{Method, Request, Response, StatusCode};
use tower::Service;

use super::body::TimedBody;
use super::connection::Listener;
use super::lease::Lease;
use super::peer::{ConnectionInfo, Scheme};

/// The client's own id of a request: sent back on every answer.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// The server's id of a request, in the form of the hosted service's correlation vectors.
const CORRELATION_VECTOR: HeaderName = HeaderName::from_static("ms-cv");
/// Client ids longer than this are not sent back; SDKs send UUIDs, 36 bytes.
const CLIENT_REQUEST_ID_BYTES_MAX: usize = 256;
/// What the log shows of a path, in bytes: more than any path of the API has.
const LOGGED_PATH_BYTES_MAX: usize = 512;
/// What is logged of a path that ends in a session id.
const SESSION_IDS: &str = "/socket.io/1/websocket/";
/// Routes of the server itself, for load balancers and containers.
const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// The server's id of a request, as the `MS-CV` header of the answer and the log show it; in the
/// extensions of every request that reaches the router.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Makes request ids: 8 random bytes per process and a count.
pub(super) struct RequestIds {
    process: [u8; 8],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut process = [0; 8];
        SystemRandomness.fill(&mut process);
        Self {
            process,
            next: AtomicU64::new(1),
        }
    }

    fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.process);
        bytes[8..].copy_from_slice(&count);
        // 16 bytes are 22 characters, and a correlation vector ends with a count of its own.
        let mut text = *b"0000000000000000000000.0";
        let written = BASE64_STANDARD_NO_PAD.encode_slice(bytes, &mut text[..22]);
        debug_assert_eq!(written, Ok(22));
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0.0")))
    }
}

/// Answers one request.
pub(super) async fn answer(
    listener: &Listener,
    connection: ConnectionInfo,
    lease: Lease,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let id = listener.ids.next();
    let client_id = request.headers().get(CLIENT_REQUEST_ID).cloned();
    let client_id = client_id.filter(|id| id.len() <= CLIENT_REQUEST_ID_BYTES_MAX);
    let proxies = &listener.settings.trusted_proxies;
    let client = connection.behind_proxies(request.headers(), proxies);
    let log = AccessLog::start(&request, client);
    set_host(&mut request);

    let in_the_clear = connection.scheme == Scheme::Http;
    let mut response = if in_the_clear && !listener.serves_in_the_clear(connection.peer) {
        https_required()
    } else if let Some(health) = health(listener, &request) {
        health
    } else {
        request.extensions_mut().insert(lease);
        let response = route(listener, client, &id, request).await;
        listener.answers.count(response).await
    };

    if let Some(log) = log {
        log.write(&response, &id, client_id.as_ref());
    }
    let headers = response.headers_mut();
    headers.insert(CORRELATION_VECTOR, id.0);
    if let Some(client_id) = client_id {
        headers.insert(CLIENT_REQUEST_ID, client_id);
    }
    response
}

async fn route(
    listener: &Listener,
    client: ConnectionInfo,
    id: &RequestId,
    mut request: Request<Incoming>,
) -> Response<Body> {
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(id.clone());
    let timeout = Duration::from_millis(listener.settings.limits.body_timeout_ms);
    let request = request.map(|body| Body::new(TimedBody::new(body, timeout)));
    match listener.router.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// HTTP/2 names the host in its pseudo-header alone; signatures and links are made from `Host`.
fn set_host(request: &mut Request<Incoming>) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let authority = request.uri().authority();
    if let Some(host) = authority.and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
        request.headers_mut().insert(HOST, host);
    }
}

/// The answer to plain HTTP from a machine that should not speak it. The connection ends with it,
/// so that nothing more is sent in the clear.
fn https_required() -> Response<Body> {
    let body = serde_json::json!({ "error": {
        "code": "HttpsRequired",
        "message": "This server speaks plain HTTP to its own machine alone: use https.",
    } });
    let mut response = json(StatusCode::BAD_REQUEST, body.to_string());
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The answer to a health check; `None` for every other request.
fn health(listener: &Listener, request: &Request<Incoming>) -> Option<Response<Body>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let (status, word) = match request.uri().path() {
        LIVE => (StatusCode::OK, "live"),
        READY if listener.is_ready() => (StatusCode::OK, "ready"),
        READY => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        _ => return None,
    };
    let mut response = json(status, format!("{{\"status\":\"{word}\"}}"));
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    // Pages wait for a server to be there; it tells nothing that needs a token.
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    Some(response)
}

/// What the access log tells of a request. Of the query only the api-version: the rest may hold
/// what users wrote.
struct AccessLog {
    started: Instant,
    client: ConnectionInfo,
    method: Method,
    path: String,
    api_version: Option<String>,
}

/// Whether the path may end in a session id; many slashes are one, as for the routes.
fn has_session_id(path: &str) -> bool {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path.contains(SESSION_IDS)
}

impl AccessLog {
    /// Notes the request, unless the log's filter leaves requests out altogether.
    fn start(request: &Request<Incoming>, client: ConnectionInfo) -> Option<Self> {
        if !tracing::enabled!(target: "cavansite::access", tracing::Level::ERROR) {
            return None;
        }
        // A session id is a credential until it is used.
        let path = request.uri().path();
        let path = if has_session_id(path) {
            SESSION_IDS
        } else {
            path
        };
        let shown = path.floor_char_boundary(LOGGED_PATH_BYTES_MAX);
        Some(Self {
            started: Instant::now(),
            client,
            method: request.method().clone(),
            path: path[..shown].to_owned(),
            api_version: request.uri().query().and_then(api_version),
        })
    }

    /// Writes the line: failures of the server as errors, refusals as information, the rest for
    /// those who ask for it.
    fn write(self, response: &Response<Body>, id: &RequestId, client_id: Option<&HeaderValue>) {
        let status = response.status();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "cavansite::access",
                    method = %self.method,
                    path = self.path,
                    api_version = self.api_version,
                    status = status.as_u16(),
                    duration_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
                    request_id = id.as_str(),
                    client_request_id = client_id.and_then(|id| id.to_str().ok()),
                    peer = %self.client.peer,
                    scheme = self.client.scheme.as_str(),
                    "request"
                )
            };
        }
        if status.is_server_error() {
            line!(error);
        } else if status.is_client_error() {
            line!(info);
        } else {
            line!(debug);
        }
    }
}

/// The api-version of a query, where it looks like one.
fn api_version(query: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut versions = pairs.filter(|(name, _)| *name == "api-version");
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    versions
        .next()
        .filter(|(_, value)| value.len() <= 32 && value.bytes().all(plain))
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_kept_out_of_the_log_however_many_slashes_lead_to_it() {
        for path in [
            "/socket.io/1/websocket/secret",
            "//socket.io//1///websocket//secret",
        ] {
            assert!(has_session_id(path), "{path}");
        }
        assert!(!has_session_id("/socket.io/1/"));
    }

    #[test]
    fn request_ids_look_like_correlation_vectors_and_differ() {
        let ids = RequestIds::new();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first.as_str(), second.as_str());
        assert_eq!(first.as_str().len(), 24);
        assert!(first.as_str().ends_with(".0"));
    }

    #[test]
    fn only_a_plausible_api_version_is_logged() {
        let of = |query| api_version(query);
        assert_eq!(
            of("a=b&api-version=2021-03-07").as_deref(),
            Some("2021-03-07")
        );
        assert_eq!(of("api-version=a%20secret"), None);
        assert_eq!(of("startTime=2021"), None);
    }
}

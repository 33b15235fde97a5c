//! What browsers ask before a page of one origin talks to a server of another (CORS).

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::state::{AppState, host_of};

/// How long a browser may keep an answer.
const MAX_AGE: Duration = Duration::from_hours(1);

/// The headers that SDKs send, and clients of event streams.
const ALLOWED: [&str; 16] = [
    "authorization",
    "content-type",
    "accept",
    "idempotency-token",
    "last-event-id",
    "repeatability-first-sent",
    "repeatability-request-id",
    "traceparent",
    "tracestate",
    "x-ms-client-request-id",
    "x-ms-content-sha256",
    "x-ms-date",
    "x-ms-migration",
    "x-ms-return-client-request-id",
    "x-ms-useragent",
    "x-skypetoken",
];

/// The headers that SDKs read.
const EXPOSED: [&str; 7] = [
    "api-supported-versions",
    "location",
    "ms-cv",
    "retry-after",
    "www-authenticate",
    "x-cavansite-served-api-version",
    "x-ms-client-request-id",
];

/// Answers preflights and marks every answer. A server lets pages of every origin in: they need a
/// token or key, and no cookie is ever looked at. The emulator's key is known to all, so it lets in
/// pages from this machine and its own names only.
pub(super) fn layer(app: Arc<AppState>) -> CorsLayer {
    let is_allowed = move |origin: &HeaderValue, _: &Parts| {
        let uri = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.parse::<Uri>().ok());
        let authority = uri.as_ref().and_then(Uri::authority);
        app.lets_in(authority.map(|authority| host_of(authority.as_str())))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(ALLOWED.map(HeaderName::from_static))
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(MAX_AGE)
}

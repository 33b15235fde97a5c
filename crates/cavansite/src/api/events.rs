//! The plain event stream: what real-time notifications tell, for clients of every language.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Extensions, HeaderMap, HeaderValue};
use axum::response::Response;
use cavansite_core::Error;
use cavansite_core::caller::Capability;

use super::auth::bearer_token;
use super::error::{ApiError, ApiResult};
use crate::http::Lease;
use crate::realtime::{EventId, NoStream};
use crate::state::AppState;

/// What a client that lost its stream knows: the id of the last event that it has.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /cavansite/v1/events`.
pub(super) async fn stream(
    State(app): State<Arc<AppState>>,
    headers: HeaderMap,
    extensions: Extensions,
) -> ApiResult<Response> {
    let token = bearer_token(&headers).ok_or(Error::Unauthorized)?;
    let (caller, session) = app.identity.open_session(token).await?;
    caller.require(Capability::TakePart)?;
    let after = match headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes) {
        // What a client sends that has had no event yet.
        None | Some(b"") => None,
        Some(id) => {
            let id = std::str::from_utf8(id).ok().and_then(EventId::parse);
            Some(id.ok_or_else(malformed)?)
        }
    };
    let lease = extensions.get::<Lease>().cloned().unwrap_or_default();
    let opened = app.realtime.stream(&app.identity, session, after, lease);
    let body = opened.await.map_err(|refused| match refused {
        NoStream::TooMany => ApiError::too_many_streams(),
        NoStream::Refused(error) => error.into(),
    })?;
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn malformed() -> ApiError {
    ApiError::invalid(
        Some("Last-Event-ID"),
        "Last-Event-ID must be the id of an event of this stream, or absent.",
    )
}

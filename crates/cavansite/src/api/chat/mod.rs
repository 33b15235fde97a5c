//! The chat operations, one function each, named after their operation id in the OpenAPI documents.

pub(super) mod messages;
pub(super) mod participants;
pub(super) mod receipts;
pub(super) mod threads;
pub(super) mod typing;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cavansite_protocol::version::ChatFamily;

use super::auth::ChatCall;
use super::convert::Json;
use super::error::{ApiError, ApiResult};

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        (self.status, [(CONTENT_TYPE, json)], self.body).into_response()
    }
}

/// An answer without a body. SDKs expect its length, except with 204.
fn empty(status: StatusCode) -> Response {
    let mut response = status.into_response();
    if status != StatusCode::NO_CONTENT {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer that says where the new thing is.
fn created(json: Json, location: &str) -> Response {
    let mut response = json.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The names that versions gave the header by which a repeated create is recognised.
const REPEAT_HEADERS: [&str; 2] = ["repeatability-request-id", "idempotency-token"];

/// What a client calls a request that it may repeat.
fn repeat_id(headers: &HeaderMap) -> Option<String> {
    let value = REPEAT_HEADERS.iter().find_map(|name| headers.get(*name))?;
    std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
}

/// A thread's id as `Location` carries it: the colon encoded, the `@` not (as recorded).
fn location_of_thread(base_url: &str, thread: &str) -> String {
    format!("{base_url}/chat/threads/{}", thread.replace(':', "%3A"))
}

impl ChatCall {
    /// Refuses a version that does not have the operation.
    fn require_family(&self, families: &[ChatFamily]) -> ApiResult<()> {
        if families.contains(&self.version.family()) {
            Ok(())
        } else {
            Err(ApiError::version_unsupported())
        }
    }
}

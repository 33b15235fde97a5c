//! Request bodies: read within their limit, and only as JSON.

use std::error::Error;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::{ApiError, ApiResult};
use crate::http::BodyTimedOut;
use crate::state::AppState;

/// A body, whole; empty where the request has none.
pub(super) struct Body(pub(super) Bytes);

impl FromRequest<Arc<AppState>> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<AppState>) -> ApiResult<Self> {
        read(request, app.body_bytes_max).await.map(Self)
    }
}

/// Reads a request's body of at most so many bytes.
pub(super) async fn read(request: Request, bytes_max: usize) -> ApiResult<Bytes> {
    let (parts, body) = request.into_parts();
    let declared = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    if declared
        .and_then(|text| text.parse().ok())
        .is_some_and(|n: u64| n > bytes_max as u64)
    {
        return Err(ApiError::body_too_large(bytes_max));
    }
    let collected = Limited::new(body, bytes_max)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                ApiError::body_too_large(bytes_max)
            } else if is_late(&*error) {
                ApiError::body_timed_out()
            } else {
                ApiError::invalid(None, "The body could not be read to its end.")
            }
        })?;
    let bytes = collected.to_bytes();
    if !bytes.is_empty() && !is_json(&parts.headers) {
        return Err(ApiError::unsupported_media_type());
    }
    Ok(bytes)
}

/// Whether the body did not come in time, as one of the layers around it says.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.is::<BodyTimedOut>() || error.source().is_some_and(is_late)
}

/// Whether the content type, where there is one, is JSON (or a JSON merge patch) in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let json = ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

/// Reads a JSON body.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(None, format!("The body is not acceptable: {error}.")))
}

/// Reads a JSON body of which every part is optional, so that it may be left out whole.
pub(super) fn json_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> ApiResult<T> {
    if body.is_empty() {
        Ok(T::default())
    } else {
        json(body)
    }
}

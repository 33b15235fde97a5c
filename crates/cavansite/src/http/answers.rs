//! What answers take of memory until their clients have read them.
//!
//! A client may ask for many large answers and take none: HTTP/2 lets it give a stream no window,
//! and a connection over which little is read is not cut. So the bytes are counted for all
//! connections together, and beyond the bound a further one is refused.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers of fewer bytes are not counted: with all that a connection may have in flight they come
/// to little.
const COUNTED_BYTES_MIN: u64 = 16 * 1024;
/// What is counted at a time, in bytes.
const UNIT_BYTES: u64 = 1024;

/// The answers that are not read yet.
pub(super) struct UnreadAnswers {
    room: Arc<Semaphore>,
}

/// The bytes of an answer, which give their room back when the last of them is dropped: when it was
/// written to the connection, or that has ended.
struct Counted {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl UnreadAnswers {
    /// Room for so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let units = bytes_max / usize::try_from(UNIT_BYTES).unwrap_or(1);
        Self {
            room: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Counts an answer, or puts a refusal (503) in its place. What is streamed passes: it has
    /// bounds of its own.
    pub(super) async fn count(&self, response: Response<Body>) -> Response<Body> {
        let length = response.body().size_hint().exact();
        let Some(length) = length.filter(|length| *length >= COUNTED_BYTES_MIN) else {
            return response;
        };
        let (mut parts, body) = response.into_parts();
        let units = u32::try_from(length.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(units) else {
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
            parts.headers.remove(CONTENT_LENGTH);
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            parts.headers.insert(CONTENT_TYPE, json);
            parts
                .headers
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            let refusal = serde_json::json!({ "error": {
                "code": "ServiceUnavailable",
                "message": "Too many answers wait for their clients to read them: try again.",
            } });
            return Response::from_parts(parts, Body::from(refusal.to_string()));
        };
        // A body whose length is known is in memory.
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let counted = Bytes::from_owner(Counted { bytes, _room: room });
        Response::from_parts(parts, Body::from(counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_that_nobody_reads_come_to_no_more_than_their_bound() {
        let answers = UnreadAnswers::new(50_000);
        let count = |length: usize| answers.count(Response::new(Body::from("x".repeat(length))));
        let (first, second) = (count(20_000).await, count(20_000).await);
        assert_eq!(
            (first.status(), second.status()),
            (StatusCode::OK, StatusCode::OK)
        );
        let refused = count(20_000).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
        assert_eq!(
            count(1_000).await.status(),
            StatusCode::OK,
            "small ones pass"
        );
        // Also where a part of it is kept alone.
        let mut bytes = to_bytes(first.into_body(), usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), 20_000);
        let rest = bytes.split_off(19_999);
        drop(bytes);
        assert_eq!(
            count(20_000).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        drop(rest);
        assert_eq!(count(20_000).await.status(), StatusCode::OK);
    }
}

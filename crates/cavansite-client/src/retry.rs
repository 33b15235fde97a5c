//! Which failures are worth another attempt, and when.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;

use crate::transport::RawResponse;
use crate::{Error, ErrorKind, RetryOptions};

/// What doing a request twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as doing it once.
    Harmless,
    /// A second message, or user.
    Harmful,
}

/// Whether a request that failed so may be sent again.
pub(crate) fn is_worthwhile(repeat: Repeat, error: &Error) -> bool {
    match error.kind() {
        // The server has seen nothing.
        ErrorKind::Connection => true,
        ErrorKind::Io | ErrorKind::Timeout => repeat == Repeat::Harmless,
        ErrorKind::HttpResponse { status, .. } => match (repeat, status) {
            (_, 429) | (Repeat::Harmless, 408 | 500 | 502 | 503 | 504) => true,
            (Repeat::Harmful, 503) => error.retry_after().is_some(),
            _ => false,
        },
        _ => false,
    }
}

/// How long to wait before the repetition of that number, counted from 0.
pub(crate) fn delay(options: &RetryOptions, number: u32, error: &Error) -> Duration {
    if let Some(asked) = error.retry_after() {
        return asked;
    }
    let doubled = options
        .initial_delay
        .saturating_mul(2u32.saturating_pow(number));
    let spread = 0.8 + 0.4 * fastrand::f64();
    doubled.min(options.max_delay).mul_f64(spread)
}

/// `Retry-After`, in seconds or as a date, which counts with 429 and 503 only.
pub(crate) fn retry_after(response: &RawResponse) -> Option<Duration> {
    if ![
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&response.status)
    {
        return None;
    }
    let value = response.header("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    // A date that has passed asks for no wait.
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

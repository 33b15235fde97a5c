//! Every bound of the listener, with its name and unit.

use serde::{Deserialize, Serialize};

/// The bounds in force. [`HttpLimits::default`] is what an unconfigured server uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Connections that may be open at the same time; further ones are closed at once.
    pub connections_max: usize,
    /// How long a new connection may take for its TLS handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// How long a connection may take to send the head of its next request, in milliseconds. An
    /// idle connection is closed after it.
    pub head_timeout_ms: u64,
    /// How long a request may take to send its body, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long an answer may wait for its client to read on, in milliseconds. The connection is
    /// cut after it.
    pub write_stall_ms: u64,
    /// Answers that their clients have not read yet, in bytes, for all connections together: a
    /// further one of 16 KiB or more is refused with 503.
    pub unread_answers_bytes_max: usize,
    /// The head of a request, in bytes.
    pub head_bytes_max: usize,
    /// The body of a request, in bytes. The largest that makes sense with the limits of the service
    /// as they are, 200 people with names and metadata, has some 600 KiB.
    pub body_bytes_max: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long requests in flight may take when the server stops, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            handshake_timeout_ms: 10_000,
            head_timeout_ms: 60_000,
            body_timeout_ms: 30_000,
            write_stall_ms: 30_000,
            unread_answers_bytes_max: 256 * 1024 * 1024,
            head_bytes_max: 32 * 1024,
            body_bytes_max: 1024 * 1024,
            streams_max: 100,
            drain_timeout_ms: 10_000,
        }
    }
}

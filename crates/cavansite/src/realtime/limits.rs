//! Every bound of real-time notifications, with its name and unit.

use serde::{Deserialize, Serialize};

/// The bounds in force. [`RealtimeLimits::default`] is what an unconfigured server uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealtimeLimits {
    /// How long pushes that were not answered are kept for a client to come back, in milliseconds.
    pub resume_window_ms: i64,
    /// Pushes kept for one connection identity, in bytes. Over it they are dropped and the
    /// connection is closed.
    pub kept_bytes_max: usize,
    /// Pushes sent to a client and not answered, in bytes; further ones wait.
    pub unanswered_bytes_max: usize,
    /// Connection identities (tabs, devices) of one user.
    pub identities_per_user_max: usize,
    /// A frame from a client, in bytes.
    pub frame_bytes_max: usize,
    /// A websocket from which nothing came for so long is asked for a sign of life, and closed
    /// after as long again, in milliseconds.
    pub silence_ms: u64,
    /// How long a websocket may be opened after its handshake, in milliseconds.
    pub handshake_ms: i64,
}

impl Default for RealtimeLimits {
    fn default() -> Self {
        Self {
            resume_window_ms: 5 * 60 * 1000,
            kept_bytes_max: 1024 * 1024,
            unanswered_bytes_max: 256 * 1024,
            identities_per_user_max: 32,
            frame_bytes_max: 64 * 1024,
            silence_ms: 60_000,
            handshake_ms: 30_000,
        }
    }
}

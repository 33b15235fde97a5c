//! Every bound of real-time notifications, with its name and unit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often is looked whether a token on an open connection has ended.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// How long the last words of a websocket may take to be written.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

// A connection ends within a second of its token: that is looked for, and last words follow.
const _: () = assert!(SWEEP.as_millis() + FAREWELL.as_millis() <= 1_000);

/// How often it is recorded up to when all was told. Apart from the sweeps: the disk may take long.
pub(super) const RECORD: Duration = Duration::from_secs(1);

/// The life that a client is told its connection has, in seconds.
pub(crate) const TTL_SECONDS: u32 = 14_400;

/// The longest connection identity, in bytes; SDKs use UUIDs.
pub(super) const EPID_BYTES_MAX: usize = 64;

/// Used session ids that are remembered until they expire, in all and of one user: who opens
/// websockets all the time is refused before others are.
pub(super) const USED_MAX: usize = 64 * 1024;
pub(super) const USED_BY_USER_MAX: usize = 1024;

/// What is read at a time of a websocket's frame, in bytes: clients send little. Held as long as
/// the connection lives.
pub(super) const READ_BUFFER_BYTES: usize = 512;

/// What waits to be written of tungstenite's own, in bytes: pongs, of which it keeps the newest
/// where a client does not read them, and last words.
pub(super) const CONTROL_BYTES_MAX: usize = 4 * 1024;

/// What is written to a receiver in one go, in bytes.
pub(super) const BATCH_BYTES: usize = 16 * 1024;

/// Typing and read receipts are kept for a receiver for whom less than this part of what is kept
/// for one waits.
pub(super) const PASSING_SHARE: usize = 4;

/// When all mailboxes together keep too much, this part of what they may is made free.
pub(super) const RELIEVED_SHARE: usize = 8;

/// When they keep too much for so long, though nothing new comes, in milliseconds: those who have
/// come back and do not take what was read for them keep others from coming back.
pub(super) const FULL_MS_MAX: i64 = 10_000;

/// How far before the time from which on a receiver misses events it is told again, in
/// milliseconds: commits take their time, and the clock may have been set back a little.
pub(super) const RESUME_OVERLAP_MS: i64 = 2_000;

/// Receivers for whom the store is read at the same time: when all clients of a server come back at
/// once, requests find readers too.
pub(super) const RESUMES_MAX: usize = 3;

/// How long a receiver waits for its turn at that before it asks again.
pub(super) const RESUME_PAUSE: Duration = Duration::from_millis(200);

/// Changes that are read from the store at a time for a receiver who is owed them.
pub(super) const RESUME_PAGE: usize = 500;

/// How long the acknowledgement of what a client sent may wait to leave with the next push, where
/// one has just left: a client pings behind each. The official one gives up after 5 s.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(250);

/// Frames of a client that are read before those for it are written.
pub(super) const FRAMES_PER_TURN: usize = 32;

/// The bounds in force. [`RealtimeLimits::default`] is what an unconfigured server uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealtimeLimits {
    /// How long pushes that were not answered are kept for a client that has gone to come back, in
    /// milliseconds.
    pub resume_window_ms: i64,
    /// Pushes kept for one connection identity or event stream, in bytes, beside the largest of
    /// them. Over it the connection identity's websocket is closed; what was kept is read from the
    /// store for the next one.
    pub kept_bytes_max: usize,
    /// Pushes kept for all of them together, in bytes. Over it those for whom most is kept are told
    /// from the store; who comes back waits until there is room.
    pub kept_bytes_of_all_max: usize,
    /// Pushes sent to a client and not answered, in bytes; further ones wait.
    pub unanswered_bytes_max: usize,
    /// Connection identities (tabs, devices) of one user, and so many event streams.
    pub identities_per_user_max: usize,
    /// How far back an event stream goes on from its `Last-Event-ID`, in milliseconds.
    pub stream_resume_window_ms: i64,
    /// An event stream on which nothing was sent for so long is sent a comment, in milliseconds.
    pub stream_heartbeat_ms: u64,
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
            kept_bytes_of_all_max: 256 * 1024 * 1024,
            unanswered_bytes_max: 256 * 1024,
            identities_per_user_max: 32,
            stream_resume_window_ms: 24 * 60 * 60 * 1000,
            stream_heartbeat_ms: 15_000,
            frame_bytes_max: 64 * 1024,
            silence_ms: 60_000,
            handshake_ms: 30_000,
        }
    }
}

//! Every bound of the service, with its name, its unit and where the number comes from.
//!
//! "ACS" marks the documented limits of the hosted service (learn.microsoft.com, service limits,
//! and the OpenAPI documents); the others are ours. All can be set under `[limits]`.

use serde::{Deserialize, Serialize};

/// The bounds in force. [`Limits::default`] is what an unconfigured server uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Participants in one thread (ACS: 250).
    pub participants_per_thread_max: usize,
    /// People in one create or add call (ACS: 200).
    pub participants_per_call_max: usize,
    /// A message's content and metadata together, in UTF-8 bytes (ACS: 28 KB).
    pub message_bytes_max: usize,
    /// A thread's topic, in UTF-8 bytes.
    pub topic_bytes_max: usize,
    /// A participant's or sender's display name, in UTF-8 bytes.
    pub display_name_bytes_max: usize,
    /// Metadata of a thread or a participant, keys and values together, in UTF-8 bytes (ACS: 1 KB).
    pub metadata_bytes_max: usize,
    /// Items on one page of any list, and the default (ACS: 200 for messages).
    pub page_items_max: usize,
    /// How long a token lives when the request does not say, in minutes (ACS: 24 hours).
    pub token_minutes_default: u32,
    /// The shortest life of a token, in minutes (ACS: 60).
    pub token_minutes_min: u32,
    /// The longest life of a token, in minutes (ACS: 1440).
    pub token_minutes_max: u32,
    /// How long a repeated send with the same `x-ms-client-request-id` and body is taken for the
    /// same send, in milliseconds. 0 turns it off.
    pub send_repeat_window_ms: i64,
    /// Recent send ids kept per thread for that purpose.
    pub send_repeats_per_thread_max: usize,
    /// Memory for the state and the newest messages of active threads, in bytes.
    pub thread_cache_bytes_max: usize,
    /// Memory of each connection to the database for its pages, in bytes; there are five (SQLite:
    /// 2000 KiB).
    pub page_cache_bytes_max: usize,
    /// Writes that may wait for the store's writer before further ones are refused with 503.
    pub write_queue_max: usize,
}

/// HTML messages that are made harmless at the same time: each may take a tenth of a second of a
/// thread, and the store's readers want theirs.
pub(crate) const SANITISED_AT_ONCE_MAX: usize = 2;

impl Default for Limits {
    fn default() -> Self {
        Self {
            participants_per_thread_max: 250,
            participants_per_call_max: 200,
            message_bytes_max: 28 * 1024,
            topic_bytes_max: 1024,
            display_name_bytes_max: 1024,
            metadata_bytes_max: 1024,
            page_items_max: 200,
            token_minutes_default: 24 * 60,
            token_minutes_min: 60,
            token_minutes_max: 24 * 60,
            send_repeat_window_ms: 2 * 60 * 1000,
            send_repeats_per_thread_max: 1000,
            thread_cache_bytes_max: 256 * 1024 * 1024,
            page_cache_bytes_max: 2000 * 1024,
            write_queue_max: 4096,
        }
    }
}

//! Every bound of real-time, with its name and unit. What a program may choose is in
//! [`RealtimeOptions`](super::RealtimeOptions); values marked *JavaScript* are those of the
//! official JavaScript client, which servers are built for.

use std::time::Duration;

/// Events that wait for a slow reader, in number.
pub(super) const QUEUE_EVENTS: usize = 1024;
/// Events that wait for a slow reader, in bytes of their payloads.
pub(super) const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Events that are remembered, so that their repetitions are recognised. A server repeats what it
/// is not sure of, up to all of the last minutes.
pub(super) const REMEMBERED_EVENTS: usize = 16 * 1024;
/// How far before the last sign of life the time in a marker lies: events of several threads may
/// overtake each other a little.
pub(super) const GAP_OVERLAP_MS: i64 = 10_000;

/// From a request's start to its answer (*JavaScript*).
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For allocation, handshake, websocket and the server's first words together (*JavaScript*).
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the first connection is tried for.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The last words to a server: `0::` and the end of the registration.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// The first pause between attempts (*JavaScript*).
pub(super) const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause between attempts (*JavaScript*).
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(50);
/// Pauses differ from their nominal length by up to so much, in percent (*JavaScript*).
pub(super) const BACKOFF_JITTER_PERCENT: u32 = 20;
/// A connection that is lost is tried again at once; one that is lost sooner than this after that,
/// with a pause.
pub(super) const AT_ONCE_EVERY: Duration = Duration::from_secs(10);
/// The longest pause that a server may ask for with `Retry-After`.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);
/// Tokens that are fetched anew because the server refused the last one, before it is believed
/// (*JavaScript*).
pub(super) const FORCED_TOKENS_MAX: u32 = 3;
/// Refusals in a row after which what the server gave to be echoed is dropped (*JavaScript*).
pub(super) const REFUSALS_MAX: u32 = 3;
/// So many times in a row nobody answered: is another way in open (*JavaScript*)?
pub(super) const SILENCES_PER_PROBE: u32 = 3;

/// A sign of life at least so often (*JavaScript*).
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(40);
/// For the acknowledgement of a ping (*JavaScript*).
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// For the acknowledgement of `user.activity` (*JavaScript*).
pub(super) const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(10);
/// `user.activity` is said again so long after the connection was made (*JavaScript*).
pub(super) const ACTIVITY_AGAIN: Duration = Duration::from_secs(10);
/// What the client adds to the times that a handshake names (*JavaScript*).
pub(super) const HEARTBEAT_GRACE: Duration = Duration::from_secs(2);
/// The longest silence that a handshake may ask a client to bear.
pub(super) const HEARTBEAT_MAX: Duration = Duration::from_hours(1);
/// The shortest.
pub(super) const HEARTBEAT_MIN: Duration = Duration::from_secs(5);
/// How long a connection lives on after another took its place (*JavaScript*).
pub(super) const OLD_CONNECTION: Duration = Duration::from_mins(1);

/// The longest life of a registration, in seconds (*JavaScript*).
pub(super) const REGISTRATION_TTL_SECONDS: u64 = 7200;
/// When a registration of that life is made again (*JavaScript*).
pub(super) const REGISTRATION_RENEWAL: Duration = Duration::from_secs(7170);
/// The pause after a registration that was refused (*JavaScript*).
pub(super) const REGISTRATION_REFUSED: Duration = Duration::from_secs(123);

/// A frame from the server, in bytes. A message has 28 KB at the most, escaped twice.
pub(super) const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// What is gathered before it is written, in bytes.
pub(super) const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// A websocket's buffer for reading, in bytes.
pub(super) const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Frames that wait to be written; while so many do, nothing is read.
pub(super) const OUTBOX_FRAMES: usize = 256;
/// An answer of configuration, allocation or handshake, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What a server may give to be echoed: members, and bytes of all of them together.
pub(super) const CONNECT_PARAMS_MAX: usize = 32;
/// See [`CONNECT_PARAMS_MAX`].
pub(super) const CONNECT_PARAMS_BYTES_MAX: usize = 4096;
/// A session id, in bytes.
pub(super) const SESSION_ID_BYTES_MAX: usize = 2048;
/// What a server gave to be echoed is not, so long before it says that it expires (*JavaScript*).
pub(super) const EXPIRY_MARGIN_MS: i64 = 60 * 60 * 1000;

//! Every bound of the client that is not an option, with its name and unit.

use std::time::Duration;

/// The body of an answer, in bytes. A page has at most 200 messages of 28 KB, each byte of which
/// may be written as six in JSON.
#[cfg(feature = "reqwest")]
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The body of an error answer, in bytes; errors are a few lines.
pub(crate) const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a server's message an error repeats, in bytes.
pub(crate) const ERROR_MESSAGE_BYTES_MAX: usize = 1024;

/// Pages in a row without an item, after which a list is given up: a full page may be followed by
/// an empty one, and a service that filters may send some more.
pub(crate) const EMPTY_PAGES_MAX: u32 = 100;

/// How long a connection that nobody uses is kept. Less than servers keep theirs (60 s here), so
/// that a request seldom meets a connection that is just being closed.
#[cfg(feature = "reqwest")]
pub(crate) const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// How long a connection may take to be made.
#[cfg(feature = "reqwest")]
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long before its expiry a token is replaced by whoever asks for it.
pub(crate) const REFRESH_EARLY: Duration = Duration::from_mins(5);

/// How long before its expiry a token is replaced in the background, where that is chosen.
pub(crate) const REFRESH_PROACTIVELY: Duration = Duration::from_mins(10);

/// How long the callback that gives a token may take.
pub(crate) const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long after a failed refresh the token that is still valid is used without a new attempt, and
/// the least time between two attempts in the background.
pub(crate) const REFRESH_PAUSE: Duration = Duration::from_secs(10);

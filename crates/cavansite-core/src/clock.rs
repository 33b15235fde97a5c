//! Time and randomness, injected: nothing else in the workspace reads either.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current time, to the millisecond. May repeat and may step back: callers that need order
    /// make it themselves (see [`crate::model::MessageId`]).
    fn now(&self) -> Timestamp;
}

/// Where keys and ids that must not be guessed come from.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes` with unpredictable values.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The random source of the crypto library, seeded by the operating system.
#[derive(Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        // It fails only where the operating system has no random source; a server that went on
        // would hand out keys that can be guessed.
        aws_lc_rs::rand::fill(bytes).expect("the operating system provides random bytes");
    }
}

impl fmt::Debug for SystemRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemRandomness")
    }
}

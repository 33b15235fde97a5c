//! The chat API, one module per family of api-versions.

pub mod ga;
pub mod preview2;
pub mod preview3;
pub mod since;

use std::fmt;

use serde::{Serialize, Serializer};

/// A number that the wire writes as a string: message ids, versions, sequence ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub i64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The answer to a send, in every family.
#[derive(Debug, Serialize)]
pub struct SendChatMessageResult {
    /// The message's id.
    pub id: Decimal,
}

//! What each dated version of the GA family added, by the version that added it.
//!
//! From the published OpenAPI documents, compared by their property sets. In a version before its
//! "since" a field is ignored in requests (unknown fields are) and left out of answers.

use crate::version::ChatApiVersion;

/// Something that came after 2021-03-07.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `metadata` of messages.
    MessageMetadata,
    /// The body of a typing notification, with `senderDisplayName`.
    TypingBody,
    /// `metadata` of threads.
    ThreadMetadata,
    /// `metadata` of participants.
    ParticipantMetadata,
    /// `retentionPolicy` of threads.
    RetentionPolicy,
}

impl Feature {
    /// The first stable version that has it.
    pub const fn since(self) -> &'static str {
        match self {
            Self::MessageMetadata | Self::TypingBody => "2021-09-07",
            Self::ThreadMetadata | Self::ParticipantMetadata | Self::RetentionPolicy => {
                "2025-03-15"
            }
        }
    }

    /// Whether the version has it.
    pub fn is_in(self, version: ChatApiVersion) -> bool {
        version.is_since(self.since())
    }
}

//! What each dated version of the GA family added or changed, by the versions that did.
//!
//! From the published OpenAPI documents, compared by their property sets. In a version that does
//! not have it a field is ignored in requests (unknown fields are) and left out of answers.

use crate::version::ChatApiVersion;

/// Something that came after 2021-01-27-preview4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `invalidParticipants` beside what was made; before, they were among its `errors`.
    InvalidParticipants,
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
            Self::InvalidParticipants => "2021-03-07",
            Self::MessageMetadata | Self::TypingBody => "2021-09-07",
            Self::ThreadMetadata | Self::ParticipantMetadata | Self::RetentionPolicy => {
                "2025-03-15"
            }
        }
    }

    /// The first preview that has it; stable versions between the two do not.
    const fn previewed(self) -> &'static str {
        match self {
            Self::InvalidParticipants => "2021-03-01-preview5",
            Self::MessageMetadata | Self::TypingBody => "2021-04-05-preview6",
            Self::ThreadMetadata | Self::ParticipantMetadata => "2023-07-01-preview",
            Self::RetentionPolicy => "2024-03-15-preview",
        }
    }

    /// Whether the version has it.
    pub fn is_in(self, version: ChatApiVersion) -> bool {
        if version.is_preview() {
            version.is_since(self.previewed())
        } else {
            version.is_since(self.since())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version;

    #[test]
    fn previews_have_what_the_stable_versions_after_them_do_not_have_yet() {
        let has = |name| {
            let version = version::chat(Some(name)).unwrap();
            assert_eq!(version.name(), name);
            [
                Feature::InvalidParticipants,
                Feature::MessageMetadata,
                Feature::TypingBody,
                Feature::ThreadMetadata,
                Feature::ParticipantMetadata,
                Feature::RetentionPolicy,
            ]
            .map(|feature| feature.is_in(version))
        };
        assert_eq!(has("2021-01-27-preview4"), [false; 6]);
        for version in ["2021-03-01-preview5", "2021-03-07"] {
            let expected = [true, false, false, false, false, false];
            assert_eq!(has(version), expected, "{version}");
        }
        for version in [
            "2021-04-05-preview6",
            "2021-09-07",
            "2023-11-07",
            "2024-03-07",
        ] {
            let expected = [true, true, true, false, false, false];
            assert_eq!(has(version), expected, "{version}");
        }
        for version in ["2023-07-01-preview", "2023-11-15-preview"] {
            let expected = [true, true, true, true, true, false];
            assert_eq!(has(version), expected, "{version}");
        }
        for version in ["2024-06-05-preview", "2025-03-15"] {
            assert_eq!(has(version), [true; 6], "{version}");
        }
    }
}

//! Checks of a request's values against the limits.

use super::ChatService;
use crate::error::{Error, Result};
use crate::model::{Metadata, RetentionPolicy};

/// The days after which a retention policy may delete a thread (ACS: 30 to 90).
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 30..=90;

impl ChatService {
    /// A topic: not empty, within its limit, without NUL.
    pub(super) fn check_topic(&self, topic: &str) -> Result<()> {
        if topic.is_empty() {
            return Err(Error::invalid("topic", "The topic must not be empty."));
        }
        check_text("topic", topic, self.limits.topic_bytes_max)
    }

    /// Somebody's name.
    pub(super) fn check_display_name(&self, target: &'static str, name: &str) -> Result<()> {
        check_text(target, name, self.limits.display_name_bytes_max)
    }

    /// The metadata of a thread or a participant.
    pub(super) fn check_metadata(&self, metadata: &Metadata) -> Result<()> {
        let max = self.limits.metadata_bytes_max;
        if metadata_bytes(metadata) > max {
            return Err(Error::invalid(
                "metadata",
                format!("Keys and values of the metadata together may have {max} bytes in UTF-8."),
            ));
        }
        check_metadata_text(metadata)
    }

    /// A message's parts, which count together.
    pub(super) fn check_message(
        &self,
        content: &str,
        sender_display_name: &str,
        metadata: &Metadata,
    ) -> Result<()> {
        let max = self.limits.message_bytes_max;
        self.check_display_name("senderDisplayName", sender_display_name)?;
        check_text("content", content, max)?;
        check_metadata_text(metadata)?;
        if content.len() + metadata_bytes(metadata) > max {
            return Err(message_too_large(max));
        }
        Ok(())
    }
}

/// The refusal of a message whose content and metadata are over the limit.
pub(crate) fn message_too_large(bytes_max: usize) -> Error {
    Error::invalid(
        "content",
        format!("Content and metadata of a message together may have {bytes_max} bytes in UTF-8."),
    )
}

/// How much of its limit metadata takes.
pub(crate) fn metadata_bytes(metadata: &Metadata) -> usize {
    metadata
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

fn check_metadata_text(metadata: &Metadata) -> Result<()> {
    metadata
        .iter()
        .flat_map(|(key, value)| [key, value])
        .try_for_each(|text| check_text("metadata", text, usize::MAX))
}

/// A text within its limit. NUL is refused: it ends the text in many a client, and PostgreSQL
/// cannot store it.
fn check_text(target: &'static str, text: &str, bytes_max: usize) -> Result<()> {
    if text.len() > bytes_max {
        let message = format!("At most {bytes_max} bytes in UTF-8 are allowed here.");
        return Err(Error::invalid(target, message));
    }
    if text.contains('\0') {
        return Err(Error::invalid(
            target,
            "The character U+0000 is not allowed.",
        ));
    }
    Ok(())
}

/// A policy that deletes after so many days.
impl RetentionPolicy {
    /// Deletes so many days after the thread's creation; 30 to 90.
    pub fn days_after_creation(days: i64) -> Result<Self> {
        match u32::try_from(days) {
            Ok(valid) if RETENTION_DAYS.contains(&days) => Ok(Self::DaysAfterCreation(valid)),
            _ => Err(Error::invalid(
                "deleteThreadAfterDays",
                format!(
                    "deleteThreadAfterDays must be from {} to {}.",
                    RETENTION_DAYS.start(),
                    RETENTION_DAYS.end()
                ),
            )),
        }
    }
}

//! Checks of a request's values against the limits.

use super::ChatService;
use crate::error::{Error, Result};
use crate::limits::Limits;
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
        check_metadata_size(metadata, &self.limits)?;
        check_metadata_text(metadata)
    }

    /// A message's parts, which count together.
    pub(super) fn check_message(
        &self,
        content: &str,
        sender_display_name: &str,
        metadata: &Metadata,
    ) -> Result<()> {
        self.check_display_name("senderDisplayName", sender_display_name)?;
        check_text("content", content, self.limits.message_bytes_max)?;
        check_metadata_text(metadata)?;
        check_message_size(content, metadata, &self.limits)
    }
}

/// A message's content and metadata share one limit. Engines ask again for the message that an
/// edit makes, which may keep metadata that it does not name.
pub(crate) fn check_message_size(
    content: &str,
    metadata: &Metadata,
    limits: &Limits,
) -> Result<()> {
    let max = limits.message_bytes_max;
    if content.len() + bytes_of(metadata) > max {
        let message =
            format!("Content and metadata of a message together may have {max} bytes in UTF-8.");
        return Err(Error::invalid("content", message));
    }
    Ok(())
}

/// The metadata of a thread or a participant has a limit; engines ask again for what a change
/// makes of it.
pub(crate) fn check_metadata_size(metadata: &Metadata, limits: &Limits) -> Result<()> {
    let max = limits.metadata_bytes_max;
    if bytes_of(metadata) > max {
        let message =
            format!("Keys and values of the metadata together may have {max} bytes in UTF-8.");
        return Err(Error::invalid("metadata", message));
    }
    Ok(())
}

fn bytes_of(metadata: &Metadata) -> usize {
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

//! What a user may see and do in a thread, as pure functions over what the store knows of them.
//!
//! The rules: design of removal and shared history as the hosted service documents them
//! (learn.microsoft.com, "Chat concepts": participants; share history time), with the open points
//! decided in docs/behaviour.md. Storage engines call these inside their transactions.

use crate::error::{Error, Result};
use crate::model::{Message, MessageContent, Timestamp, UserId, Version};

/// What the store knows of one user in one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// History from here on is theirs to read.
    pub share_history_time: Timestamp,
    /// The version of the message that says they were removed; `None` for a present participant.
    pub removed_at: Option<Version>,
}

impl Membership {
    /// Refuses what only a present participant may do.
    pub fn require_present(&self) -> Result<()> {
        if self.removed_at.is_none() {
            Ok(())
        } else {
            Err(Error::NotParticipant)
        }
    }

    /// Whether a list shows them a message that was committed at `created_at` and stands at
    /// `version`: nothing from before their history, and for a removed participant nothing that
    /// is newer than the removal or has changed since. (The creation time counts for the history
    /// bound: by the version an edit would show them old text.)
    pub fn sees(&self, created_at: Timestamp, version: Version) -> bool {
        created_at >= self.share_history_time && self.removed_at.is_none_or(|at| version <= at)
    }

    /// Refuses a message asked for by its id: one from before their history is not found; to a
    /// removed participant one that is newer than the removal, or has changed since, is refused.
    pub fn require_sees(&self, created_at: Timestamp, version: Version) -> Result<()> {
        if self.removed_at.is_some_and(|at| version > at) {
            Err(Error::NotParticipant)
        } else if created_at < self.share_history_time {
            Err(Error::MessageNotFound)
        } else {
            Ok(())
        }
    }
}

/// Refuses to change a message that `caller` did not send; nobody may change a system message.
pub fn require_sender(caller: &UserId, message: &Message) -> Result<()> {
    match &message.content {
        MessageContent::User(sent) if sent.sender == *caller => Ok(()),
        _ => Err(Error::NotSender),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_a_removed_participant_nothing_newer_than_the_removal() {
        let membership = Membership {
            share_history_time: Timestamp::from_millis(10),
            removed_at: Some(Version(30)),
        };
        assert!(!membership.sees(Timestamp::from_millis(9), Version(20)));
        assert!(membership.sees(Timestamp::from_millis(10), Version(30)));
        assert!(!membership.sees(Timestamp::from_millis(10), Version(31)));
    }
}

//! Who takes part in a thread, and the typing notification, which only asks who does.

use std::collections::HashSet;
use std::sync::Arc;

use super::threads::without_empty;
use super::{ChatService, thread_id};
use crate::caller::{Caller, Capability};
use crate::error::{Error, Result};
use crate::events::{Event, EventKind, ThreadEvent};
use crate::model::{Metadata, NewParticipant, Participant, Timestamp, UserId};

/// Somebody to be added, as a request describes them.
#[derive(Debug)]
pub struct ParticipantToAdd {
    /// A raw id, of whatever kind.
    pub raw_id: String,
    /// Their name in the thread.
    pub display_name: Option<String>,
    /// The history to be theirs to read; all of it when absent.
    pub share_history_time: Option<Timestamp>,
    /// The application's own pairs.
    pub metadata: Metadata,
}

/// Why somebody was not added, while others were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a user of this resource, or the thread is full.
    NotPermitted,
    /// A user of this resource that does not exist, or no longer.
    NotFound,
}

/// Somebody who was not added.
#[derive(Debug)]
pub struct RefusedParticipant {
    /// The raw id, as the request has it.
    pub raw_id: String,
    /// Why.
    pub refusal: Refusal,
}

impl ChatService {
    /// The people in a thread, in the order in which they joined.
    pub async fn list_participants(
        &self,
        caller: &Caller,
        thread: &str,
    ) -> Result<Vec<Participant>> {
        caller.require(Capability::TakePart)?;
        self.store
            .list_participants(caller.user(), thread_id(thread)?)
            .await
    }

    /// Adds people; returns those who could not be added.
    pub async fn add_participants(
        &self,
        caller: &Caller,
        thread: &str,
        participants: Vec<ParticipantToAdd>,
    ) -> Result<Vec<RefusedParticipant>> {
        caller.require(Capability::ManageParticipants)?;
        let thread = thread_id(thread)?;
        let (admitted, mut refused) = self.admit(caller, participants).await?;
        // Also with nobody left to add: the store says whether the caller may.
        let surplus = self
            .store
            .add_participants(caller.user(), thread, admitted)
            .await?;
        refused.extend(surplus.into_iter().map(|user| RefusedParticipant {
            raw_id: user.as_str().to_owned(),
            refusal: Refusal::NotPermitted,
        }));
        Ok(refused)
    }

    /// Removes somebody; the caller too may leave.
    pub async fn remove_participant(
        &self,
        caller: &Caller,
        thread: &str,
        raw_id: &str,
    ) -> Result<()> {
        caller.require(Capability::ManageParticipants)?;
        let thread = thread_id(thread)?;
        match UserId::parse(raw_id) {
            Some(user) => {
                self.store
                    .remove_participant(caller.user(), thread, &user)
                    .await
            }
            // Nobody of another kind is ever in a thread; whether the caller may ask counts still.
            None => self
                .store
                .count_participants(caller.user(), thread)
                .await
                .map(drop),
        }
    }

    /// Says that the caller is typing. Nothing is stored.
    pub async fn send_typing_notification(
        &self,
        caller: &Caller,
        thread: &str,
        sender_display_name: Option<&str>,
    ) -> Result<()> {
        caller.require(Capability::TakePart)?;
        self.check_display_name("senderDisplayName", sender_display_name.unwrap_or_default())?;
        let thread = thread_id(thread)?;
        let participants = self.store.list_participants(caller.user(), thread).await?;
        self.check_thread_size(participants.len())?;
        let kind = EventKind::Typing {
            sender: caller.user().clone(),
            display_name: sender_display_name.unwrap_or_default().to_owned(),
            at: self.clock.now(),
        };
        self.sink.publish(Event::Thread {
            event: ThreadEvent { thread, kind },
            audience: Arc::new(participants),
        });
        Ok(())
    }

    /// Refuses receipts and typing where the thread is too large for them.
    pub(super) fn check_thread_size(&self, participants: usize) -> Result<()> {
        match self.receipts_and_typing_up_to {
            Some(limit) if participants > limit => Err(Error::ThreadTooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// Parts a request's people into those to be added, each once (the first mention counts), and
    /// those refused. Too many of them, or a value over its limit, refuses the whole request.
    pub(super) async fn admit(
        &self,
        caller: &Caller,
        requested: Vec<ParticipantToAdd>,
    ) -> Result<(Vec<NewParticipant>, Vec<RefusedParticipant>)> {
        let max = self.limits.participants_per_call_max;
        if requested.len() > max {
            let message = format!("At most {max} participants are allowed in one request.");
            return Err(Error::invalid("participants", message));
        }
        for person in &requested {
            self.check_display_name("displayName", person.display_name.as_deref().unwrap_or(""))?;
            self.check_metadata(&person.metadata)?;
        }
        let (mut admitted, mut refused) = (Vec::with_capacity(requested.len()), Vec::new());
        let mut seen = HashSet::new();
        for person in requested {
            if !seen.insert(person.raw_id.clone()) {
                continue;
            }
            match self.find_user(caller, &person.raw_id).await? {
                Ok(user) => admitted.push(NewParticipant {
                    user,
                    display_name: person.display_name.filter(|name| !name.is_empty()),
                    share_history_time: person.share_history_time.unwrap_or(Timestamp::EPOCH),
                    metadata: without_empty(person.metadata),
                }),
                Err(refusal) => {
                    refused.push(RefusedParticipant {
                        raw_id: person.raw_id,
                        refusal,
                    });
                }
            }
        }
        Ok((admitted, refused))
    }

    async fn find_user(&self, caller: &Caller, raw_id: &str) -> Result<Result<UserId, Refusal>> {
        let ours = UserId::parse(raw_id).filter(|user| user.belongs_to(self.installation.resource));
        let Some(user) = ours else {
            return Ok(Err(Refusal::NotPermitted));
        };
        if user == *caller.user() {
            // Known by their token, also where they are deleted and in their grace.
            return Ok(Ok(user));
        }
        let identity = self.store.get_identity(&user).await?;
        Ok(match identity {
            Some(identity) if identity.deleted_at.is_none() => Ok(user),
            _ => Err(Refusal::NotFound),
        })
    }
}

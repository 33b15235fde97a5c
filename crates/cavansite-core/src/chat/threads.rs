//! Threads: create, read, change, delete.

use aws_lc_rs::hmac;

use super::participants::{ParticipantToAdd, Refusal, RefusedParticipant};
use super::{ChatService, thread_id};
use crate::caller::{Caller, Capability};
use crate::error::{Error, Result};
use crate::model::{
    Metadata, NewParticipant, NewThread, RetentionPolicy, Thread, ThreadChange, ThreadId,
    ThreadSummary, Timestamp,
};
use crate::store::ThreadPage;

/// The longest `repeatability-request-id` that is taken, in bytes. SDKs send UUIDs; Java lets its
/// user choose any text.
const REPEAT_ID_BYTES_MAX: usize = 256;

/// A thread as a request describes it.
#[derive(Debug, Default)]
pub struct ThreadToCreate {
    /// What it is about; not empty.
    pub topic: String,
    /// The people; the caller takes part even where not listed.
    pub participants: Vec<ParticipantToAdd>,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// When it is to be deleted by itself.
    pub retention: Option<RetentionPolicy>,
    /// Names this create (`repeatability-request-id`): a repeat by the same caller finds the
    /// first thread, whatever else it says, for ever.
    pub repeat_id: Option<String>,
}

/// What became of a create.
#[derive(Debug)]
pub struct CreatedThread {
    /// The thread.
    pub thread: Thread,
    /// Who could not be added.
    pub refused: Vec<RefusedParticipant>,
}

impl ChatService {
    /// Creates a thread with the caller and those listed in it.
    pub async fn create_thread(
        &self,
        caller: &Caller,
        request: ThreadToCreate,
    ) -> Result<CreatedThread> {
        caller.require(Capability::ManageThreads)?;
        self.check_topic(&request.topic)?;
        self.check_metadata(&request.metadata)?;
        let id = self.new_thread_id(caller, request.repeat_id.as_deref())?;
        let (mut participants, mut refused) = self.admit(caller, request.participants).await?;
        if participants
            .iter()
            .all(|listed| listed.user != *caller.user())
        {
            let creator = NewParticipant {
                user: caller.user().clone(),
                display_name: None,
                share_history_time: Timestamp::EPOCH,
                metadata: Metadata::new(),
            };
            participants.insert(0, creator);
        }
        let max = self.limits.participants_per_thread_max.max(1);
        let surplus = participants.split_off(max.min(participants.len()));
        refused.extend(surplus.into_iter().map(|person| RefusedParticipant {
            raw_id: person.user.as_str().to_owned(),
            refusal: Refusal::NotPermitted,
        }));
        let thread = NewThread {
            id,
            topic: request.topic,
            creator: caller.user().clone(),
            participants,
            metadata: without_empty(request.metadata),
            retention: request.retention,
        };
        Ok(CreatedThread {
            thread: self.store.create_thread(thread).await?,
            refused,
        })
    }

    /// A random id; for a create that may be repeated, the one that each repeat gives again.
    fn new_thread_id(&self, caller: &Caller, repeat_id: Option<&str>) -> Result<ThreadId> {
        let mut bytes = [0; 16];
        match repeat_id {
            None => self.randomness.fill(&mut bytes),
            Some(repeat_id) if repeat_id.len() > REPEAT_ID_BYTES_MAX => {
                let message = format!("At most {REPEAT_ID_BYTES_MAX} bytes are allowed here.");
                return Err(Error::invalid("repeatability-request-id", message));
            }
            Some(repeat_id) => {
                let secret = self.installation.derivation_key.expose();
                let mut context =
                    hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
                // A user id holds no `|`, so the two parts cannot run into each other.
                for part in ["thread|", caller.user().as_str(), "|", repeat_id] {
                    context.update(part.as_bytes());
                }
                bytes.copy_from_slice(&context.sign().as_ref()[..16]);
            }
        }
        Ok(ThreadId::from_bytes(bytes))
    }

    /// A thread that the caller takes part in.
    pub async fn get_thread(&self, caller: &Caller, thread: &str) -> Result<Thread> {
        caller.require(Capability::TakePart)?;
        self.store
            .get_thread(caller.user(), thread_id(thread)?)
            .await
    }

    /// The threads that the caller takes or took part in, newest activity first.
    pub async fn list_threads(
        &self,
        caller: &Caller,
        page: ThreadPage,
    ) -> Result<Vec<ThreadSummary>> {
        caller.require(Capability::TakePart)?;
        self.store.list_threads(caller.user(), page).await
    }

    /// Changes topic, metadata or retention.
    pub async fn update_thread(
        &self,
        caller: &Caller,
        thread: &str,
        change: ThreadChange,
    ) -> Result<()> {
        caller.require(Capability::ManageThreads)?;
        if let Some(topic) = &change.topic {
            self.check_topic(topic)?;
        }
        if let Some(metadata) = &change.metadata {
            self.check_metadata(metadata)?;
        }
        self.store
            .update_thread(caller.user(), thread_id(thread)?, change)
            .await
    }

    /// Deletes a thread for everybody.
    pub async fn delete_thread(&self, caller: &Caller, thread: &str) -> Result<()> {
        caller.require(Capability::ManageThreads)?;
        self.store
            .delete_thread(caller.user(), thread_id(thread)?)
            .await
    }
}

/// The pairs that stay: an empty value removes its key, so from nothing it makes nothing.
pub(super) fn without_empty(mut metadata: Metadata) -> Metadata {
    metadata.retain(|_, value| !value.is_empty());
    metadata
}

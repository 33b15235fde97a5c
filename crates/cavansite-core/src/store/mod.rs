//! The [`Store`] trait: what an engine promises to the services.
//!
//! **One method is one transaction.** When a writing method returns `Ok`, its change is committed
//! and synced; when it returns an error, nothing has changed. The engine owns the transaction, so
//! that it may commit many callers' writes together (SQLite), keep to one shard (Citus) or try
//! again after a conflict (PostgreSQL). Ids, versions and times are given by the engine at the
//! commit, in commit order.
//!
//! Methods that take a `caller` check, in that same transaction, what the caller may do in the
//! thread, by the rules of [`crate::chat::access`]; that the caller's token is good and wide
//! enough is the services' business. `tests/store_contract` holds every engine to this text.
//!
//! Common refusals of the methods with a `caller`: [`Error::ThreadNotFound`] when no such thread
//! was ever made, or the caller takes or took part in it and it is deleted;
//! [`Error::NotParticipant`] when the caller never took part, or was removed and asks for more than
//! its old history.
//!
//! [`Error::ThreadNotFound`]: crate::Error::ThreadNotFound
//! [`Error::NotParticipant`]: crate::Error::NotParticipant

pub mod sqlite;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::events::{EventSink, ThreadEvent};
use crate::model::{
    Identity, Installation, KeySlot, Message, MessageChange, MessageId, NewMessage, NewParticipant,
    NewThread, Participant, ReadReceipt, Thread, ThreadChange, ThreadId, ThreadSummary, Timestamp,
    UserId, Version,
};
use crate::secret::Secret;

/// A storage engine.
pub trait Store:
    IdentityStore + ThreadStore + ParticipantStore + MessageStore + EventSource
{
}

impl<T: IdentityStore + ThreadStore + ParticipantStore + MessageStore + EventSource> Store for T {}

/// What a store tells of its changes, as they come and again.
#[async_trait]
pub trait EventSource: Send + Sync + 'static {
    /// From now on hands every committed change to the sink, after its sync and before its request
    /// is answered, in commit order. The first sink stays; a further one is not taken.
    fn send_events_to(&self, sink: Arc<dyn EventSink>);

    /// What a user has or would have been told of their threads since a time: of messages, people,
    /// topics, metadata, policies and deletions, in the order of the versions, from what is stored
    /// now. Of a message that came and was edited since, both are told, each at its version; of one
    /// that was deleted since, the deletion; of a thread's metadata and policy the last change. To
    /// who was removed no metadata and policies are told. Nothing is told that the user may not see
    /// now, or from before they came into a thread.
    async fn list_events(&self, user: &UserId, page: EventPage) -> Result<EventList>;

    /// The time that was last recorded with `set_told_through`; [`Timestamp::EPOCH`] before.
    async fn get_told_through(&self) -> Result<Timestamp>;

    /// Records up to when all events have reached those who are told, so that whoever comes after
    /// a crash knows from when on to tell again.
    async fn set_told_through(&self, time: Timestamp) -> Result<()>;
}

/// Which events to list.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// Only changes with a version at or after this time: all that were committed since, and a few
    /// from before may be among them.
    pub since: Timestamp,
    /// In these threads only changes with a higher version.
    pub told: Arc<HashMap<ThreadId, Version>>,
    /// How many changes at the most, but for those that share the last one's version.
    pub limit: usize,
    /// What its events may take in memory together, in bytes, roughly: it ends with the version
    /// with which they take more.
    pub bytes: usize,
}

impl EventPage {
    /// The lowest version that is on the page of a thread.
    pub fn since_in(&self, thread: ThreadId) -> Version {
        let told = self.told.get(&thread);
        let after = told.map_or(i64::MIN, |told| told.0.saturating_add(1));
        Version(after.max(self.since.as_millis()))
    }
}

/// A page of events.
#[derive(Debug, Default)]
pub struct EventList {
    /// The events, in the order of their versions.
    pub events: Vec<ThreadEvent>,
    /// From when on to ask for what is left, if anything is. A change that is committed while the
    /// page is read, in a thread whose versions are behind those of the page, is not in it: the
    /// sink tells of it, and who goes on asks from its version on.
    pub rest_since: Option<Timestamp>,
}

/// The installation's keys and its identities.
#[async_trait]
pub trait IdentityStore: Send + Sync + 'static {
    /// The installation that the store holds; where it holds none yet, `proposed` becomes it.
    async fn get_or_insert_installation(&self, proposed: Installation) -> Result<Installation>;

    /// Adds a new identity, with `valid_from` before any time.
    async fn insert_identity(&self, user: &UserId) -> Result<()>;

    /// Puts a new key in a slot, with the generation after the one that was there, and returns the
    /// installation as it is then.
    async fn rotate_access_key(&self, slot: KeySlot, key: Secret) -> Result<Installation>;

    /// The latest time that was recorded with `raise_issued_through`; [`Timestamp::EPOCH`] before.
    async fn get_issued_through(&self) -> Result<Timestamp>;

    /// Records a time after which no token is issued until a later one is recorded; an earlier one
    /// changes nothing.
    async fn raise_issued_through(&self, time: Timestamp) -> Result<()>;

    /// The identity, deleted or not; `None` when this resource never made it. Called for every
    /// request with a token, so an engine keeps recent answers in memory, current with its writes.
    async fn get_identity(&self, user: &UserId) -> Result<Option<Identity>>;

    /// Moves `valid_from` up to the given time; it never moves back.
    ///
    /// [`crate::Error::IdentityNotOwned`] when there is no such identity or it is deleted.
    async fn revoke_tokens(&self, user: &UserId, valid_from: Timestamp) -> Result<()>;

    /// Marks the identity deleted at the engine's present time.
    ///
    /// [`crate::Error::IdentityNotOwned`] when there is no such identity or it is deleted already.
    async fn delete_identity(&self, user: &UserId) -> Result<()>;
}

/// Threads.
#[async_trait]
pub trait ThreadStore: Send + Sync + 'static {
    /// Creates a thread with its first two messages: the participants added, then the topic. Where
    /// a thread with that id is there already (a repeated create), returns that one unchanged: to a
    /// creator who was removed since, as it was then and without metadata and policy; of a deleted
    /// one, what its tombstone still tells.
    async fn create_thread(&self, thread: NewThread) -> Result<Thread>;

    /// The thread. A removed participant is refused.
    async fn get_thread(&self, caller: &UserId, thread: ThreadId) -> Result<Thread>;

    /// The threads that the caller takes or took part in, newest activity first, deleted ones left
    /// out. For a removed participant topic and time are those at the removal; for one who may not
    /// see any message yet the time is when they came in.
    async fn list_threads(&self, caller: &UserId, page: ThreadPage) -> Result<Vec<ThreadSummary>>;

    /// Changes a thread; a topic other than the present one adds a message. A removed participant
    /// is refused. [`crate::Error::Invalid`] when the metadata would then be over
    /// [`crate::limits::Limits::metadata_bytes_max`].
    async fn update_thread(
        &self,
        caller: &UserId,
        thread: ThreadId,
        change: ThreadChange,
    ) -> Result<()>;

    /// Deletes a thread: from then on it is not found by those who ever took part, and refused to
    /// others. Deleting it again is `Ok` for all who ever took part; the first deletion is refused
    /// to a removed participant.
    async fn delete_thread(&self, caller: &UserId, thread: ThreadId) -> Result<()>;
}

/// A page of threads.
#[derive(Clone, Copy, Debug)]
pub struct ThreadPage {
    /// Only threads with activity at or after this time.
    pub start_time: Timestamp,
    /// Where the page before ended: the last item's time of activity and id.
    pub after: Option<(Timestamp, ThreadId)>,
    /// How many at the most.
    pub limit: usize,
}

/// The people in a thread, and how far they have read. Threads hold a few hundred people at the
/// most, so that lists come whole and the service cuts the pages.
#[async_trait]
pub trait ParticipantStore: Send + Sync + 'static {
    /// The present participants, in the order in which they joined. A removed participant is
    /// refused.
    async fn list_participants(
        &self,
        caller: &UserId,
        thread: ThreadId,
    ) -> Result<Vec<Participant>>;

    /// Adds people, each listed once, with one message that names them. Who is in the thread
    /// already is left as they are and not named; with nobody left to name there is no message. Who
    /// was removed comes back with the new history bound and no receipt. Returns those who found no
    /// place ([`crate::limits::Limits::participants_per_thread_max`]), in the request's order.
    async fn add_participants(
        &self,
        caller: &UserId,
        thread: ThreadId,
        participants: Vec<NewParticipant>,
    ) -> Result<Vec<UserId>>;

    /// Removes somebody (the caller too may leave), with a message that says so. Who is not in the
    /// thread is left out of it: `Ok`, and no message.
    async fn remove_participant(
        &self,
        caller: &UserId,
        thread: ThreadId,
        participant: &UserId,
    ) -> Result<()>;

    /// How many people are in the thread. A removed participant is refused. Serves operations
    /// that store nothing (typing) as their check.
    async fn count_participants(&self, caller: &UserId, thread: ThreadId) -> Result<usize>;

    /// Records that the caller has read up to and including a message, unless that or a later one
    /// is recorded already.
    ///
    /// [`crate::Error::MessageNotFound`] when there is no such message in the caller's history.
    async fn upsert_receipt(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<()>;

    /// The receipts of the present participants, one each, in the order in which they joined; those
    /// for messages from before the caller's history are left out. A removed participant is
    /// refused.
    async fn list_receipts(&self, caller: &UserId, thread: ThreadId) -> Result<Vec<ReadReceipt>>;
}

/// Messages.
#[async_trait]
pub trait MessageStore: Send + Sync + 'static {
    /// Adds a message and returns its id. A repeat (same caller and fingerprint within
    /// [`crate::limits::Limits::send_repeat_window_ms`]) is answered with the first one's id and
    /// stores nothing.
    async fn append_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<MessageId>;

    /// The messages that the caller may see (`chat::access`), highest version first, each as it
    /// stands now.
    async fn list_messages(
        &self,
        caller: &UserId,
        thread: ThreadId,
        page: MessagePage,
    ) -> Result<Vec<Arc<Message>>>;

    /// One message, deleted or not.
    ///
    /// [`crate::Error::MessageNotFound`] when there is none or it is from before the caller's
    /// history; [`crate::Error::NotParticipant`] when the caller was removed and it is newer, or
    /// has changed since.
    async fn get_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<Arc<Message>>;

    /// Edits the caller's own message. [`crate::Error::MessageNotFound`] when it is deleted or not
    /// in the caller's history, [`crate::Error::NotSender`] when it is another's or a system
    /// message. [`crate::Error::Invalid`] when content and metadata together would then be over
    /// [`crate::limits::Limits::message_bytes_max`].
    async fn update_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
        change: MessageChange,
    ) -> Result<()>;

    /// Deletes the caller's own message: its content, metadata and edit time go, the rest stays.
    /// Deleting it again is `Ok` and changes nothing. Refusals as for `update_message`.
    async fn delete_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<()>;
}

/// A page of messages.
#[derive(Clone, Copy, Debug)]
pub struct MessagePage {
    /// Only messages with a version at or after this time.
    pub start_time: Timestamp,
    /// Where the page before ended: only versions below this one.
    pub before: Option<Version>,
    /// How many at the most.
    pub limit: usize,
}

//! A store under test, with a clock that the test sets and words for what tests do often.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use cavansite_core::clock::Clock;
use cavansite_core::limits::Limits;
use cavansite_core::model::*;
use cavansite_core::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use cavansite_core::store::{MessagePage, Store, ThreadPage};
use cavansite_core::{Error, Result};
use tempfile::TempDir;
use uuid::Uuid;

/// How an engine is stopped.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    Gracefully,
    ByCrash,
}

impl Stop {
    pub(crate) const BOTH: [Self; 2] = [Self::Gracefully, Self::ByCrash];
}

/// An engine that can be opened again on what it stored.
#[async_trait::async_trait]
pub(crate) trait Engine: Send {
    fn open(&mut self, limits: Limits, clock: Arc<dyn Clock>) -> Arc<dyn Store>;
    /// Stops the store that is open; nothing else holds it.
    async fn stop(&mut self, how: Stop);
}

pub(crate) struct SqliteEngine {
    directory: TempDir,
    open: Option<Arc<SqliteStore>>,
}

impl SqliteEngine {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            open: None,
        }
    }
}

#[async_trait::async_trait]
impl Engine for SqliteEngine {
    fn open(&mut self, limits: Limits, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let options = SqliteOptions {
            directory: self.directory.path().join("data"),
            durability: Durability::Synced,
            limits,
            clock,
        };
        let store = Arc::new(SqliteStore::open(options).unwrap());
        self.open = Some(Arc::clone(&store));
        store
    }

    async fn stop(&mut self, how: Stop) {
        let store = self.open.take().unwrap();
        if matches!(how, Stop::Gracefully) {
            store.close().await;
        }
        let store = Arc::into_inner(store).expect("nobody else holds the store");
        tokio::task::spawn_blocking(|| drop(store)).await.unwrap();
    }
}

/// A clock that stands until it is moved.
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(SeqCst))
    }
}

pub(crate) const START: i64 = 1_600_000_000_000;

pub(crate) struct World {
    engine: Box<dyn Engine>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) limits: Limits,
    store: Option<Arc<dyn Store>>,
}

impl World {
    pub(crate) fn new(engine: Box<dyn Engine>) -> Self {
        let mut world = Self {
            engine,
            clock: Arc::new(TestClock(AtomicI64::new(START))),
            limits: Limits::default(),
            store: None,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let clock = Arc::clone(&self.clock);
        self.store = Some(self.engine.open(self.limits.clone(), clock));
    }

    /// Stops the store and opens it again, with the limits as they are now.
    pub(crate) async fn reopen(&mut self, how: Stop) {
        self.store = None;
        self.engine.stop(how).await;
        self.open();
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap())
    }

    /// Moves the clock, back where negative.
    pub(crate) fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A thread of these users, made by the first; its id is made of `number`.
    pub(crate) async fn thread(&self, number: u8, users: &[u8]) -> ThreadId {
        let new = new_thread(number, users);
        self.store().create_thread(new).await.unwrap().id
    }

    pub(crate) async fn send(&self, user: u8, thread: ThreadId, text: &str) -> Result<MessageId> {
        self.store()
            .append_message(&self::user(user), thread, message(text))
            .await
    }

    pub(crate) async fn add(
        &self,
        by: u8,
        thread: ThreadId,
        who: u8,
        since: Timestamp,
    ) -> Vec<UserId> {
        let new = NewParticipant {
            share_history_time: since,
            ..newcomer(who)
        };
        self.store()
            .add_participants(&user(by), thread, vec![new])
            .await
            .unwrap()
    }

    pub(crate) async fn remove(&self, by: u8, thread: ThreadId, who: u8) {
        self.store()
            .remove_participant(&user(by), thread, &user(who))
            .await
            .unwrap();
    }

    /// All that the user sees of the thread, read in pages of that size.
    pub(crate) async fn walk(
        &self,
        reader: u8,
        thread: ThreadId,
        limit: usize,
    ) -> Result<Vec<Arc<Message>>> {
        let mut seen: Vec<Arc<Message>> = Vec::new();
        loop {
            let page = MessagePage {
                start_time: Timestamp::EPOCH,
                before: seen.last().map(|message| message.version),
                limit,
            };
            let items = self
                .store()
                .list_messages(&user(reader), thread, page)
                .await?;
            if items.is_empty() {
                return Ok(seen);
            }
            assert!(items.len() <= limit);
            seen.extend(items);
        }
    }

    /// What the user sees, in words, newest first; in one page.
    pub(crate) async fn texts(&self, reader: u8, thread: ThreadId) -> Vec<String> {
        let all = self.walk(reader, thread, 200).await.unwrap();
        all.iter().map(|message| text(message)).collect()
    }

    pub(crate) async fn threads(&self, reader: u8) -> Vec<ThreadSummary> {
        let page = ThreadPage {
            start_time: Timestamp::EPOCH,
            after: None,
            limit: 200,
        };
        self.store()
            .list_threads(&user(reader), page)
            .await
            .unwrap()
    }
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::new(Uuid::from_u128(1), Uuid::from_u128(number.into()))
}

pub(crate) fn thread_id(number: u8) -> ThreadId {
    ThreadId::from_bytes([number; 16])
}

pub(crate) fn newcomer(number: u8) -> NewParticipant {
    NewParticipant {
        user: user(number),
        display_name: Some(format!("name {number}")),
        share_history_time: Timestamp::EPOCH,
        metadata: Metadata::new(),
    }
}

pub(crate) fn new_thread(number: u8, users: &[u8]) -> NewThread {
    NewThread {
        id: thread_id(number),
        topic: format!("topic {number}"),
        creator: user(users[0]),
        participants: users.iter().map(|user| newcomer(*user)).collect(),
        metadata: Metadata::new(),
        retention: None,
    }
}

pub(crate) fn message(text: &str) -> NewMessage {
    NewMessage {
        sender_display_name: String::new(),
        format: TextFormat::Text,
        content: text.to_owned(),
        priority: Priority::Normal,
        metadata: Metadata::new(),
        fingerprint: None,
    }
}

pub(crate) fn fingerprinted(text: &str, fingerprint: u8) -> NewMessage {
    NewMessage {
        fingerprint: Some(SendFingerprint([fingerprint; 16])),
        ..message(text)
    }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Metadata {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn edit(text: &str) -> MessageChange {
    MessageChange {
        content: Some(text.to_owned()),
        ..MessageChange::default()
    }
}

/// A message in words: the text, or what the system says.
pub(crate) fn text(message: &Message) -> String {
    let names = |participants: &[Participant]| {
        participants
            .iter()
            .map(|participant| participant.display_name.clone().unwrap_or_default())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match &message.content {
        MessageContent::User(sent) if sent.deleted_at.is_some() => "(deleted)".to_owned(),
        MessageContent::User(sent) => sent.content.clone(),
        MessageContent::TopicUpdated { topic, .. } => format!("topic: {topic}"),
        MessageContent::ParticipantsAdded { participants, .. } => {
            format!("added: {}", names(participants))
        }
        MessageContent::ParticipantsRemoved { participants, .. } => {
            format!("removed: {}", names(participants))
        }
    }
}

pub(crate) fn sent(message: &Message) -> &UserMessage {
    match &message.content {
        MessageContent::User(sent) => sent,
        other => panic!("a system message: {other:?}"),
    }
}

macro_rules! refused {
    ($result:expr, $error:pat) => {{
        let result = $result;
        assert!(
            matches!(result, Err($error)),
            "expected {}, got {:?}",
            stringify!($error),
            result
        );
    }};
}
pub(crate) use refused;

/// What the rest of the thread's operations say to a caller, for comparing with one expectation.
pub(crate) async fn writes(
    store: &Arc<dyn Store>,
    caller: &UserId,
    thread: ThreadId,
) -> Vec<Error> {
    let id = MessageId(START);
    let errors = [
        store
            .append_message(caller, thread, message("x"))
            .await
            .err(),
        store
            .update_message(caller, thread, id, edit("x"))
            .await
            .err(),
        store.delete_message(caller, thread, id).await.err(),
        store.upsert_receipt(caller, thread, id).await.err(),
        store
            .add_participants(caller, thread, vec![newcomer(99)])
            .await
            .err(),
        store
            .remove_participant(caller, thread, &user(1))
            .await
            .err(),
        store
            .update_thread(caller, thread, ThreadChange::default())
            .await
            .err(),
        store.get_thread(caller, thread).await.err(),
        store.list_participants(caller, thread).await.err(),
        store.count_participants(caller, thread).await.err(),
        store.list_receipts(caller, thread).await.err(),
    ];
    errors
        .into_iter()
        .map(|error| error.expect("must be refused"))
        .collect()
}

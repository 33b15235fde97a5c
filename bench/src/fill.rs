//! Stores filled before a server starts on them: through the `Store` trait of the same engine, so
//! that they are what a server would have written, and without a sync for each group.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use cavansite_core::clock::SystemClock;
use cavansite_core::limits::Limits;
use cavansite_core::model::{
    Metadata, NewMessage, NewParticipant, NewThread, Priority, TextFormat, ThreadId, Timestamp,
    UserId,
};
use cavansite_core::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use cavansite_core::store::{IdentityStore, MessageStore, ThreadStore};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Requests that are under way at the same time.
const TOGETHER: usize = 256;

/// An open store that is being filled.
pub(crate) struct Filling {
    store: Arc<SqliteStore>,
    /// Threads made so far; their ids follow from it.
    threads: u128,
}

/// Somebody's thread.
pub(crate) type OwnThread = (UserId, ThreadId);

impl Filling {
    /// Opens the data directory of a server that is stopped.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let store = SqliteStore::open(SqliteOptions {
            directory: folder.join("data"),
            durability: Durability::None,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        })?;
        Ok(Self {
            store: Arc::new(store),
            threads: 0,
        })
    }

    /// Adds identities that nobody uses.
    pub(crate) async fn identities(&self, count: u32) -> anyhow::Result<()> {
        let of = |number: u32| {
            let store = Arc::clone(&self.store);
            let user = UserId::new(Uuid::from_u128(1), Uuid::from_u128(number.into()));
            async move { Ok(store.insert_identity(&user).await?) }
        };
        together((0..count).map(of)).await
    }

    /// Makes threads of the same people, each by the first of them.
    pub(crate) async fn threads(
        &mut self,
        count: usize,
        people: &[UserId],
    ) -> anyhow::Result<Vec<OwnThread>> {
        let mut made = Vec::with_capacity(count);
        for _ in 0..count {
            self.threads += 1;
            // Spread over the range, as random ids are.
            let id = self
                .threads
                .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            made.push((people[0].clone(), ThreadId::from_bytes(id.to_be_bytes())));
        }
        let participants: Vec<_> = people.iter().cloned().map(participant).collect();
        let of = |(creator, id): &OwnThread| {
            let store = Arc::clone(&self.store);
            let new = NewThread {
                id: *id,
                topic: "measurement".to_owned(),
                creator: creator.clone(),
                participants: participants.clone(),
                metadata: Metadata::new(),
                retention: None,
            };
            async move { store.create_thread(new).await.map(|_| Ok(()))? }
        };
        together(made.iter().map(of)).await?;
        Ok(made)
    }

    /// Sends one message after the other to each of the threads, in turns.
    pub(crate) async fn messages(
        &self,
        threads: &[OwnThread],
        per_thread: usize,
        bytes: usize,
    ) -> anyhow::Result<()> {
        let turns = (0..per_thread).flat_map(|_| threads);
        let of = |(sender, thread): &OwnThread| {
            let store = Arc::clone(&self.store);
            let (sender, thread) = (sender.clone(), *thread);
            let message = NewMessage {
                sender_display_name: String::new(),
                format: TextFormat::Text,
                content: "m".repeat(bytes),
                priority: Priority::Normal,
                metadata: Metadata::new(),
                fingerprint: None,
            };
            async move {
                store
                    .append_message(&sender, thread, message)
                    .await
                    .map(|_| Ok(()))?
            }
        };
        together(turns.map(of)).await
    }

    /// Closes the store as a server does.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

fn participant(user: UserId) -> NewParticipant {
    NewParticipant {
        user,
        display_name: None,
        share_history_time: Timestamp::EPOCH,
        metadata: Metadata::new(),
    }
}

/// Carries out the work, so many at a time.
async fn together<F>(work: impl Iterator<Item = F>) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for work in work {
        if tasks.len() >= TOGETHER
            && let Some(done) = tasks.join_next().await
        {
            done??;
        }
        tasks.spawn(work);
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

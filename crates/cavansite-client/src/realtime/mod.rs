//! Real-time: what happens in a user's threads, as a stream of events.
//!
//! [`ChatClient::connect_realtime`] opens it, over the protocol that the official JavaScript SDK
//! speaks, so that it works with Azure and with Cavansite. One task owns the socket. It answers
//! each event once the event waits for the program, comes back by itself when the connection is
//! lost, and asks the credential for another token when the server wants one.
//!
//! # Each message once
//!
//! Servers repeat what they are not sure a client has; the stream drops what it has yielded before.
//! What it cannot know of, it says: after [`ChatEvent::Reconnected`] and [`ChatEvent::Lagged`]
//! events may be missing. List the messages since the time that the marker names, oldest first, and
//! give each to [`RealtimeEvents::missed`]. It makes an event of those that are news, and the
//! stream will not yield them again:
//!
//! ```no_run
//! use cavansite_client::realtime::{ChatEvent, RealtimeEvents};
//! use cavansite_client::{ChatClient, ListByTimeOptions, Result, Timestamp};
//! use futures_util::TryStreamExt as _;
//!
//! # fn handle(event: &ChatEvent) {}
//! async fn follow(chat_client: &ChatClient, thread_id: &str) -> Result<()> {
//!     let (_connection, mut events) = chat_client.connect_realtime(None).await?;
//!     while let Some(event) = events.next().await {
//!         match event? {
//!             ChatEvent::Reconnected { since } | ChatEvent::Lagged { since, .. } => {
//!                 catch_up(chat_client, thread_id, since, &mut events).await?;
//!             }
//!             event => handle(&event),
//!         }
//!     }
//!     Ok(())
//! }
//!
//! async fn catch_up(
//!     chat_client: &ChatClient,
//!     thread_id: &str,
//!     since: Option<Timestamp>,
//!     events: &mut RealtimeEvents,
//! ) -> Result<()> {
//!     let mut options = ListByTimeOptions::default();
//!     options.start_time = since;
//!     let thread = chat_client.thread_client(thread_id);
//!     let messages: Vec<_> = thread.list_messages(Some(options))?.try_collect().await?;
//!     // Lists begin with the newest.
//!     for message in messages.iter().rev() {
//!         if let Some(event) = events.missed(thread_id, message) {
//!             handle(&event);
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What is remembered for that is bounded by [`RealtimeOptions::remembered_events`]; what waits for
//! a program that reads slowly by [`RealtimeOptions::queue_events`]. Typing, receipts and changes
//! of threads that are missing can be asked for with the methods that list or get those.

mod backoff;
mod event;
mod frame;
mod limits;
mod link;
mod missed;
mod open;
mod payload;
mod queue;
mod recent;
mod register;
mod task;
mod unescape;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

pub use event::{
    ChatEvent, ChatMessageDeletedEvent, ChatMessageEditedEvent, ChatMessageReceivedEvent,
    ChatThreadCreatedEvent, ChatThreadDeletedEvent, ChatThreadPropertiesUpdatedEvent,
    DisconnectReason, ParticipantsAddedEvent, ParticipantsRemovedEvent, ReadReceiptReceivedEvent,
    ThreadDeletionReason, ThreadProperties, TypingIndicatorReceivedEvent, UnknownEvent,
};

use crate::models::ChatMessage;
use crate::{ChatClient, Error, Result};
use open::Opener;
use queue::Queue;
use task::{Dialer, Shared, Task};

/// How a real-time connection behaves. The defaults are what the official JavaScript client does,
/// where that has an opinion.
///
/// ```
/// use cavansite_client::realtime::RealtimeOptions;
///
/// let mut options = RealtimeOptions::default();
/// options.queue_events = 10_000;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RealtimeOptions {
    /// Events that may wait for the program to read them. What comes when so many do is dropped,
    /// and [`ChatEvent::Lagged`] says so. Beside it, all that wait have at most 8 MiB. Default:
    /// 1024.
    pub queue_events: usize,
    /// Events that are remembered after they were yielded, so that a repetition is dropped; eight
    /// bytes and some each. Default: 16,384.
    pub remembered_events: usize,
    /// How long [`ChatClient::connect_realtime`] tries to make the first connection. Default: 30
    /// seconds.
    pub connect_timeout: Duration,
    /// How long one attempt may take, from the token to the server's first words. Default: 20
    /// seconds.
    pub open_timeout: Duration,
    /// The first pause between attempts; each further one is twice as long. All vary by a fifth, so
    /// that not all clients come back at the same time. Default: 1 second.
    pub initial_delay: Duration,
    /// The longest pause between attempts. Default: 50 seconds.
    pub max_delay: Duration,
    /// How often the server is sent a sign of life when nothing else is. Default: 40 seconds.
    pub ping_interval: Duration,
}

impl Default for RealtimeOptions {
    fn default() -> Self {
        Self {
            queue_events: limits::QUEUE_EVENTS,
            remembered_events: limits::REMEMBERED_EVENTS,
            connect_timeout: limits::CONNECT_TIMEOUT,
            open_timeout: limits::OPEN_TIMEOUT,
            initial_delay: limits::BACKOFF_MIN,
            max_delay: limits::BACKOFF_MAX,
            ping_interval: limits::PING_INTERVAL,
        }
    }
}

impl RealtimeOptions {
    fn check(&self) -> Result<()> {
        let times = [
            self.connect_timeout,
            self.open_timeout,
            self.initial_delay,
            self.max_delay,
            self.ping_interval,
        ];
        if self.queue_events == 0 || times.iter().any(Duration::is_zero) {
            return Err(Error::input("an option of real-time is zero"));
        }
        Ok(())
    }
}

/// Whether events come at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RealtimeState {
    /// They do.
    Connected,
    /// The connection was lost, and is being made again.
    Reconnecting,
    /// It is over: the program has closed it, or the stream has yielded an error.
    Closed,
}

/// The handle of a real-time connection. It may be cloned; dropping it does nothing.
#[derive(Clone)]
pub struct RealtimeConnection(Arc<Shared>);

impl RealtimeConnection {
    /// The state of the connection now.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// use cavansite_client::realtime::RealtimeState;
    ///
    /// let (connection, _events) = chat_client.connect_realtime(None).await?;
    /// assert_eq!(connection.state(), RealtimeState::Connected);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> RealtimeState {
        *self.0.state.borrow()
    }

    /// The state of the connection now and whenever it changes.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let (connection, _events) = chat_client.connect_realtime(None).await?;
    /// let mut state = connection.watch_state();
    /// while state.changed().await.is_ok() {
    ///     println!("{:?}", *state.borrow_and_update());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_state(&self) -> watch::Receiver<RealtimeState> {
        self.0.state.subscribe()
    }

    /// Ends the connection: the server is told that this client will not come back, and keeps
    /// nothing for it. What waits in the stream can still be read; then the stream ends. Returns
    /// after five seconds at the latest. Dropping the future is safe, and the connection ends all
    /// the same.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let (connection, _events) = chat_client.connect_realtime(None).await?;
    /// connection.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        self.0.stop.send_replace(true);
        let mut state = self.0.state.subscribe();
        // An error means that the task is gone, which is as good.
        let _ = state
            .wait_for(|state| *state == RealtimeState::Closed)
            .await;
    }
}

impl fmt::Debug for RealtimeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeConnection")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The events of a user's threads, as they happen.
///
/// It is a [`Stream`], and [`RealtimeEvents::next`] reads it without one. An error is its last
/// item: the server refuses the credential's tokens for good, or will not have this client any
/// more. All other trouble passes, and shows as markers. Dropping the stream ends the connection.
#[must_use = "events are lost unless they are read; dropping the stream ends the connection"]
pub struct RealtimeEvents(Arc<Shared>);

impl RealtimeEvents {
    /// The next event; `None` when nothing comes any more. Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let (_connection, mut events) = chat_client.connect_realtime(None).await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<ChatEvent>> {
        std::future::poll_fn(|context| self.0.queue.poll_next(context)).await
    }

    /// The event of a listed message, if the stream has not yielded it; after this it will not. For
    /// lists after [`ChatEvent::Reconnected`] and [`ChatEvent::Lagged`].
    ///
    /// A message that the stream has not yielded is a [`ChatEvent::MessageReceived`], as it is now;
    /// one that it has, or that is older than the stream, and that was changed since, a
    /// [`ChatEvent::MessageEdited`]; a deleted one a [`ChatEvent::MessageDeleted`]. Messages of the
    /// service about the thread itself are none.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let thread = chat_client.thread_client("19:0123456789abcdef@thread.v2");
    /// let (_connection, mut events) = chat_client.connect_realtime(None).await?;
    /// let message = thread.get_message("1604988732000", None).await?.into_model();
    /// if let Some(event) = events.missed(thread.thread_id(), &message) {
    ///     println!("this is news: {event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn missed(&mut self, thread_id: &str, message: &ChatMessage) -> Option<ChatEvent> {
        missed::event(&self.0.queue, thread_id, message)
    }
}

impl Stream for RealtimeEvents {
    type Item = Result<ChatEvent>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.queue.poll_next(context)
    }
}

impl Drop for RealtimeEvents {
    fn drop(&mut self) {
        self.0.stop.send_replace(true);
    }
}

impl fmt::Debug for RealtimeEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeEvents").finish_non_exhaustive()
    }
}

impl ChatClient {
    /// Opens a real-time connection: a handle of it, and the stream of what happens in all the
    /// user's threads from now on. See the [module](self) for how to get each message once.
    ///
    /// It returns when the first connection is there. Until then an answer that will not change,
    /// and a token that the server has refused four times, are errors; other failures are tried
    /// again for [`RealtimeOptions::connect_timeout`]. Dropping the future is safe.
    ///
    /// Needs a tokio runtime, on which the task that owns the socket lives.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let (connection, mut events) = chat_client.connect_realtime(None).await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_realtime(
        &self,
        options: Option<RealtimeOptions>,
    ) -> Result<(RealtimeConnection, RealtimeEvents)> {
        let options = options.unwrap_or_default();
        options.check()?;
        let deadline = Instant::now() + options.connect_timeout;
        let opener = Opener::new(Arc::clone(&self.pipeline), &options).await?;
        let mut dialer = Dialer::new(opener, &options);
        let first = dialer.first(deadline).await?;
        let shared = Arc::new(Shared {
            queue: Queue::new(&options),
            state: watch::Sender::new(RealtimeState::Connected),
            stop: watch::Sender::new(false),
        });
        let task = Task::new(dialer, Arc::clone(&shared), &options);
        tokio::spawn(task.run(first));
        Ok((
            RealtimeConnection(Arc::clone(&shared)),
            RealtimeEvents(shared),
        ))
    }
}

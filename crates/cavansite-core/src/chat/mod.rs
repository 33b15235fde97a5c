//! The chat service: threads, participants, messages, receipts, typing.
//!
//! Every method asks the token for the capability, checks the request's values against the
//! limits, and calls the store once; what the caller may do in the thread is checked there, by
//! [`access`], in the same transaction as the change.

pub mod access;
mod html;
pub(crate) mod input;
mod messages;
mod participants;
mod receipts;
mod threads;

use std::sync::Arc;

pub use messages::{MessageToSend, RequestId};
pub use participants::{ParticipantToAdd, Refusal, RefusedParticipant};
pub use threads::{CreatedThread, ThreadToCreate};

use tokio::sync::Semaphore;

use crate::clock::{Clock, Randomness};
use crate::error::{Error, Result};
use crate::events::EventSink;
use crate::limits::{Limits, SANITISED_AT_ONCE_MAX};
use crate::model::{Installation, ThreadId};
use crate::store::Store;

/// The size of a thread above which the hosted service has no receipts and no typing (ACS docs).
pub const RECEIPTS_AND_TYPING_PARTICIPANTS_MAX: usize = 20;

/// The chat service.
pub struct ChatService {
    store: Arc<dyn Store>,
    sink: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    installation: Installation,
    limits: Limits,
    receipts_and_typing_up_to: Option<usize>,
    sanitisers: Arc<Semaphore>,
}

/// What [`ChatService`] works with.
pub struct ChatOptions {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Who is told of typing, which no store knows of.
    pub sink: Arc<dyn EventSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where new thread ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// The resource that users belong to.
    pub installation: Installation,
    /// The bounds.
    pub limits: Limits,
    /// Refuse receipts and typing in threads of more people than this; `None` for never.
    pub receipts_and_typing_up_to: Option<usize>,
}

impl ChatService {
    /// A service over these.
    pub fn new(options: ChatOptions) -> Self {
        Self {
            store: options.store,
            sink: options.sink,
            clock: options.clock,
            randomness: options.randomness,
            installation: options.installation,
            limits: options.limits,
            receipts_and_typing_up_to: options.receipts_and_typing_up_to,
            sanitisers: Arc::new(Semaphore::new(SANITISED_AT_ONCE_MAX)),
        }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The thread of that wire id; what is not one of ours is not found.
fn thread_id(text: &str) -> Result<ThreadId> {
    ThreadId::parse(text).ok_or(Error::ThreadNotFound)
}

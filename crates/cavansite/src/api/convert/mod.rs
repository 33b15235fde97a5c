//! Between the wire and the model: one [`ChatShape`] per family of api-versions, each straight to
//! and from the model. Handlers see this trait alone, and so know no version.

mod ga;
mod json;
mod preview2;
mod preview3;

use std::sync::Arc;

use axum::http::StatusCode;
use cavansite_core::chat::{
    CreatedThread, MessageToSend, ParticipantToAdd, Refusal, RefusedParticipant, ThreadToCreate,
};
use cavansite_core::model::{
    Message, MessageChange, MessageContent, Participant, ReadReceipt, Thread, ThreadChange,
    ThreadId, ThreadSummary,
};
use cavansite_protocol::version::{ChatApiVersion, ChatFamily};
use serde::Serialize;

use super::error::ApiResult;

/// What a family of chat versions looks like.
pub(super) trait ChatShape: Send + Sync {
    /// Reads the body of a create.
    fn read_thread(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadToCreate>;
    /// Reads the body of a thread's change.
    fn read_thread_change(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadChange>;
    /// Reads the people to be added.
    fn read_participants(
        &self,
        version: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<Vec<ParticipantToAdd>>;
    /// Reads the body of a send.
    fn read_message(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<MessageToSend>;
    /// Reads the body of an edit.
    fn read_message_change(&self, version: ChatApiVersion, body: &[u8])
    -> ApiResult<MessageChange>;
    /// Reads the name that a typing notification is to show.
    fn read_typing(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<Option<String>>;

    /// The answer to a create; `listed` are the raw ids in the request's order.
    fn thread_created(
        &self,
        version: ChatApiVersion,
        listed: &[String],
        created: &CreatedThread,
    ) -> Json;
    /// The answer to adding people.
    fn participants_added(
        &self,
        version: ChatApiVersion,
        listed: &[String],
        refused: &[RefusedParticipant],
    ) -> Json;
    /// The status of the empty answer to a change of a thread or a message.
    fn changed(&self) -> StatusCode;
    /// The status of the empty answer to a receipt.
    fn receipt_sent(&self) -> StatusCode;
    /// Whether a thread is shown with the people in it.
    fn thread_shows_participants(&self) -> bool;
    /// A thread.
    fn thread(&self, version: ChatApiVersion, thread: &Thread, people: &[Participant]) -> Json;
    /// A page of threads.
    fn threads(&self, threads: &[ThreadSummary], next_link: Option<String>) -> Json;
    /// A message.
    fn message(&self, version: ChatApiVersion, thread: ThreadId, message: &Message) -> Json;
    /// A page of messages.
    fn messages(
        &self,
        version: ChatApiVersion,
        thread: ThreadId,
        messages: &[Arc<Message>],
        next_link: Option<String>,
    ) -> Json;
    /// A page of people.
    fn participants(
        &self,
        version: ChatApiVersion,
        people: &[Participant],
        next_link: Option<String>,
    ) -> Json;
    /// A page of receipts.
    fn receipts(&self, receipts: &[ReadReceipt], next_link: Option<String>) -> Json;
}

/// The shape of a version.
pub(super) fn shape(version: ChatApiVersion) -> &'static dyn ChatShape {
    match version.family() {
        ChatFamily::Preview2 => &preview2::Preview2,
        ChatFamily::Preview3 => &preview3::Preview3,
        ChatFamily::Ga => &ga::Ga,
    }
}

/// What a message mostly takes on a page beside its content; a page's links take no more.
const MESSAGE_BYTES: usize = 512;

/// What most other answers take at first.
const SMALL_BYTES: usize = 256;

/// A rendered answer: its status and its JSON body.
pub(super) struct Json {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Json {
    /// Renders a value.
    pub(super) fn new(status: StatusCode, value: &impl Serialize) -> Self {
        Self {
            status,
            body: json::render(value, SMALL_BYTES),
        }
    }

    /// Renders a page of messages, in a buffer that need not grow.
    fn messages(page: &impl Serialize, messages: &[Arc<Message>]) -> Self {
        let sizes = messages.iter().map(|message| match &message.content {
            MessageContent::User(sent) => sent.content.len(),
            _ => 0,
        });
        let bytes = sizes.sum::<usize>() + (messages.len() + 1) * MESSAGE_BYTES;
        Self {
            status: StatusCode::OK,
            body: json::render(page, bytes),
        }
    }

    fn ok(value: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, value)
    }
}

/// Status and words for somebody who was not added (the OpenAPI documents' examples).
fn refusal_words(refusal: Refusal) -> (u16, &'static str, &'static str) {
    match refusal {
        Refusal::NotPermitted => (403, "403", "Permissions check failed"),
        Refusal::NotFound => (404, "404", "Not found"),
    }
}

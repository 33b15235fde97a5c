//! Messages: send, read, edit, delete.

use std::sync::Arc;

use super::threads::without_empty;
use super::{ChatService, html, thread_id};
use crate::caller::{Caller, Capability};
use crate::error::{Result, StoreFailure};
use crate::model::{
    Message, MessageChange, MessageContent, MessageId, Metadata, NewMessage, Priority,
    SendFingerprint, TextFormat,
};
use crate::store::MessagePage;
use aws_lc_rs::digest;

/// A client's name for one request. An SDK that repeats a send whose answer was lost sends it under
/// the same one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// A message as a request describes it.
#[derive(Debug, Default)]
pub struct MessageToSend {
    /// The text.
    pub content: String,
    /// How it is to be read.
    pub format: TextFormat,
    /// The sender's name for this message; empty when none is given.
    pub sender_display_name: String,
    /// A hint for people's eyes.
    pub priority: Priority,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// The request's name, by which a repeat is recognised.
    pub request_id: Option<RequestId>,
}

impl ChatService {
    /// Sends a message; returns its id. A repeat within the window gets the first one's id.
    pub async fn send_message(
        &self,
        caller: &Caller,
        thread: &str,
        request: MessageToSend,
    ) -> Result<MessageId> {
        caller.require(Capability::TakePart)?;
        let thread = thread_id(thread)?;
        self.check_message(
            &request.content,
            &request.sender_display_name,
            &request.metadata,
        )?;
        let fingerprint = request
            .request_id
            .as_ref()
            .filter(|_| self.limits.send_repeat_window_ms > 0)
            .map(|id| fingerprint(id, &request));
        let content = match request.format {
            TextFormat::Text => request.content,
            TextFormat::Html => self.sanitise(request.content, &request.metadata).await?,
        };
        let message = NewMessage {
            sender_display_name: request.sender_display_name,
            format: request.format,
            content,
            priority: request.priority,
            metadata: without_empty(request.metadata),
            fingerprint,
        };
        self.store
            .append_message(caller.user(), thread, message)
            .await
    }

    /// The messages that the caller may see, highest version first.
    pub async fn list_messages(
        &self,
        caller: &Caller,
        thread: &str,
        page: MessagePage,
    ) -> Result<Vec<Arc<Message>>> {
        caller.require(Capability::TakePart)?;
        self.store
            .list_messages(caller.user(), thread_id(thread)?, page)
            .await
    }

    /// One message, deleted or not.
    pub async fn get_message(
        &self,
        caller: &Caller,
        thread: &str,
        message: &str,
    ) -> Result<Arc<Message>> {
        caller.require(Capability::TakePart)?;
        let (thread, message) = (thread_id(thread)?, message_id(message));
        self.store.get_message(caller.user(), thread, message).await
    }

    /// Edits the caller's own message.
    pub async fn update_message(
        &self,
        caller: &Caller,
        thread: &str,
        message: &str,
        mut edit: MessageChange,
    ) -> Result<()> {
        caller.require(Capability::TakePart)?;
        let (thread, message) = (thread_id(thread)?, message_id(message));
        let metadata = edit.metadata.clone().unwrap_or_default();
        self.check_message(edit.content.as_deref().unwrap_or_default(), "", &metadata)?;
        if let Some(content) = &mut edit.content {
            // A message never changes its format, so what is read here holds at the edit.
            let message = self
                .store
                .get_message(caller.user(), thread, message)
                .await?;
            if is_html(&message.content) {
                *content = self.sanitise(std::mem::take(content), &metadata).await?;
            }
        }
        self.store
            .update_message(caller.user(), thread, message, edit)
            .await
    }

    /// HTML without what could do harm, still within the limit: escaping may have made it longer.
    async fn sanitise(&self, content: String, metadata: &Metadata) -> Result<String> {
        html::check_nesting(&content)?;
        // A request whose client goes away while it waits here leaves no work behind.
        let turn = Arc::clone(&self.sanitisers).acquire_owned().await;
        let turn = turn.map_err(StoreFailure::new)?;
        // Parsing may take milliseconds, which must not hold up other requests.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            html::sanitise(&content)
        });
        let content = work.await.map_err(StoreFailure::new)?;
        self.check_message(&content, "", metadata)?;
        Ok(content)
    }

    /// Deletes the caller's own message.
    pub async fn delete_message(&self, caller: &Caller, thread: &str, message: &str) -> Result<()> {
        caller.require(Capability::TakePart)?;
        let (thread, message) = (thread_id(thread)?, message_id(message));
        self.store
            .delete_message(caller.user(), thread, message)
            .await
    }
}

fn is_html(content: &MessageContent) -> bool {
    matches!(content, MessageContent::User(sent) if sent.format == TextFormat::Html)
}

/// The message of that wire id. What no message can have is given an id that none has, so that the
/// store's check of the caller comes first: a stranger learns nothing from the answer.
pub(super) fn message_id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap_or(MessageId(0))
}

/// What is equal for a send and its repetition, and for nothing else: a digest over the request's
/// name and all that it says.
fn fingerprint(id: &RequestId, request: &MessageToSend) -> SendFingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[request.format as u8, request.priority as u8]);
    let texts = [
        id.0.as_str(),
        request.content.as_str(),
        request.sender_display_name.as_str(),
    ]
    .into_iter()
    .chain(
        request
            .metadata
            .iter()
            .flat_map(|(key, value)| [key.as_str(), value.as_str()]),
    );
    for text in texts {
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    SendFingerprint(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_sends_apart_by_request_and_by_body() {
        let request = |content: &str, name: &str| MessageToSend {
            content: content.to_owned(),
            sender_display_name: name.to_owned(),
            ..MessageToSend::default()
        };
        let of = |id: &str, content, name| {
            fingerprint(&RequestId(id.to_owned()), &request(content, name))
        };
        assert_eq!(of("1", "ab", ""), of("1", "ab", ""));
        assert_ne!(of("1", "ab", ""), of("2", "ab", ""));
        assert_ne!(of("1", "ab", ""), of("1", "a", "b"));
    }
}

//! Events of listed messages, for what the stream has not yielded.

use super::event::{
    ChatEvent, ChatMessageDeletedEvent, ChatMessageEditedEvent, ChatMessageReceivedEvent, Key,
};
use super::queue::Queue;
use crate::models::{ChatMessage, ChatMessageType};

/// The event of a listed message, if the stream has not yielded it and will not.
pub(super) fn event(queue: &Queue, thread_id: &str, message: &ChatMessage) -> Option<ChatEvent> {
    if !matches!(
        message.message_type,
        ChatMessageType::Text | ChatMessageType::Html
    ) {
        return None;
    }
    let sender = message.sender.clone()?;
    let (id, version) = (message.id.as_str(), message.version.as_str());
    let is_changed = message.deleted_on.is_some() || message.edited_on.is_some();
    if is_changed && queue.holds(&Key::Received(thread_id, id)) {
        // The stream will yield it, and its change after it.
        return None;
    }
    if message.deleted_on.is_some() {
        let is_news = queue.is_news(&Key::Deleted(thread_id, id));
        return is_news.then(|| {
            ChatEvent::MessageDeleted(ChatMessageDeletedEvent {
                thread_id: thread_id.to_owned(),
                id: id.to_owned(),
                version: version.to_owned(),
                message_type: message.message_type.clone(),
                sender,
                sender_display_name: message.sender_display_name.clone(),
                recipient: None,
                created_on: Some(message.created_on),
                deleted_on: message.deleted_on,
            })
        });
    }
    let is_edit_news =
        message.edited_on.is_some() && queue.is_news(&Key::Edited(thread_id, id, version));
    let is_news = queue.is_news(&Key::Received(thread_id, id));
    // One from before the stream is known to the program, if it cares; its change is the news.
    let is_old = message.edited_on.is_some() && queue.is_from_before(message.created_on);
    if is_news && !is_old {
        return Some(ChatEvent::MessageReceived(ChatMessageReceivedEvent {
            thread_id: thread_id.to_owned(),
            id: id.to_owned(),
            version: version.to_owned(),
            message_type: message.message_type.clone(),
            message: message.content.message.clone().unwrap_or_default(),
            metadata: message.metadata.clone(),
            attachments: message.content.attachments.clone(),
            sender,
            sender_display_name: message.sender_display_name.clone(),
            recipient: None,
            created_on: Some(message.created_on),
        }));
    }
    is_edit_news.then(|| {
        ChatEvent::MessageEdited(ChatMessageEditedEvent {
            thread_id: thread_id.to_owned(),
            id: id.to_owned(),
            version: version.to_owned(),
            message_type: message.message_type.clone(),
            message: message.content.message.clone().unwrap_or_default(),
            metadata: message.metadata.clone(),
            attachments: message.content.attachments.clone(),
            sender,
            sender_display_name: message.sender_display_name.clone(),
            recipient: None,
            created_on: Some(message.created_on),
            edited_on: message.edited_on,
        })
    })
}

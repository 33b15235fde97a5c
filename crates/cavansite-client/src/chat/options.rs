//! The options of the chat clients and of their methods.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::models::{ChatMessageType, ChatParticipant, ChatRetentionPolicy};
use crate::setters::setters;
use crate::{ChatApiVersion, ClientOptions};

/// The options of a [`ChatClient`](crate::ChatClient).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ChatClientOptions {
    /// How it talks.
    pub client: ClientOptions,
    /// The api-version that it speaks.
    pub api_version: ChatApiVersion,
}

/// The options of [`ChatClient::create_thread`](crate::ChatClient::create_thread).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CreateChatThreadOptions {
    /// Who takes part from the start, besides the user who creates it; 200 at most.
    pub participants: Vec<ChatParticipant>,
    /// The application's own pairs, 1 KB in all (since 2025-03-15).
    pub metadata: Option<BTreeMap<String, String>>,
    /// When the thread is deleted by itself (since 2025-03-15).
    pub retention_policy: Option<ChatRetentionPolicy>,
    /// What makes another create the same one: the service answers with the thread that the user
    /// created under it. A fresh UUID by default, the same in all attempts of a call.
    pub repeatability_request_id: Option<String>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(CreateChatThreadOptions {
    with_metadata(metadata: BTreeMap<String, String>),
    with_retention_policy(retention_policy: ChatRetentionPolicy),
    with_repeatability_request_id(repeatability_request_id: String),
    with_timeout(timeout: Duration),
});

impl CreateChatThreadOptions {
    /// Adds somebody to [`participants`](Self::participants).
    ///
    /// ```
    /// use cavansite_client::CreateChatThreadOptions;
    /// use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier};
    ///
    /// let ben = CommunicationUserIdentifier::new("8:acs:resource_ben");
    /// let ben = ChatParticipant::new(ben);
    /// let options = CreateChatThreadOptions::default().with_participant(ben);
    /// assert_eq!(options.participants.len(), 1);
    /// ```
    #[must_use]
    pub fn with_participant(mut self, participant: ChatParticipant) -> Self {
        self.participants.push(participant);
        self
    }
}

/// The options of
/// [`ChatThreadClient::update_properties`](crate::ChatThreadClient::update_properties): what is not
/// named stays as it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpdateChatThreadOptions {
    /// The new topic.
    pub topic: Option<String>,
    /// Pairs to set; one with an empty value is removed (since 2025-03-15).
    pub metadata: Option<BTreeMap<String, String>>,
    /// When the thread is deleted by itself (since 2025-03-15).
    pub retention_policy: Option<ChatRetentionPolicy>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(UpdateChatThreadOptions {
    with_topic(topic: String),
    with_metadata(metadata: BTreeMap<String, String>),
    with_retention_policy(retention_policy: ChatRetentionPolicy),
    with_timeout(timeout: Duration),
});

/// The options of lists that go back in time: threads and messages.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListByTimeOptions {
    /// Leaves out what has not changed since.
    pub start_time: Option<Timestamp>,
    /// How many items a page has at most; the service has a bound of its own, 200 for messages.
    pub max_page_size: Option<u32>,
    /// Where to begin, as an earlier list said; the other options of the list then do not count.
    pub continuation: Option<String>,
    /// How long each page may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(ListByTimeOptions {
    with_start_time(start_time: Timestamp),
    with_max_page_size(max_page_size: u32),
    with_continuation(continuation: String),
    with_timeout(timeout: Duration),
});

/// The options of lists that are counted off: participants and read receipts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListBySkipOptions {
    /// How many items to leave out at the front.
    pub skip: Option<u32>,
    /// How many items a page has at most; the service has a bound of its own.
    pub max_page_size: Option<u32>,
    /// Where to begin, as an earlier list said; the other options of the list then do not count.
    pub continuation: Option<String>,
    /// How long each page may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(ListBySkipOptions {
    with_skip(skip: u32),
    with_max_page_size(max_page_size: u32),
    with_continuation(continuation: String),
    with_timeout(timeout: Duration),
});

/// The options of [`ChatThreadClient::send_message`](crate::ChatThreadClient::send_message).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SendChatMessageOptions {
    /// `Text` or `Html`; text by default.
    pub message_type: Option<ChatMessageType>,
    /// The sender's name with this message.
    pub sender_display_name: Option<String>,
    /// The application's own pairs (since 2021-09-07).
    pub metadata: Option<BTreeMap<String, String>>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(SendChatMessageOptions {
    with_message_type(message_type: ChatMessageType),
    with_sender_display_name(sender_display_name: String),
    with_metadata(metadata: BTreeMap<String, String>),
    with_timeout(timeout: Duration),
});

/// The options of [`ChatThreadClient::update_message`](crate::ChatThreadClient::update_message):
/// what is not named stays as it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpdateChatMessageOptions {
    /// The new text.
    pub content: Option<String>,
    /// Pairs to set; one with an empty value is removed (since 2021-09-07).
    pub metadata: Option<BTreeMap<String, String>>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(UpdateChatMessageOptions {
    with_content(content: String),
    with_metadata(metadata: BTreeMap<String, String>),
    with_timeout(timeout: Duration),
});

/// The options of
/// [`send_typing_notification`](crate::ChatThreadClient::send_typing_notification).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SendTypingNotificationOptions {
    /// The name to show (since 2021-09-07).
    pub sender_display_name: Option<String>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(SendTypingNotificationOptions {
    with_sender_display_name(sender_display_name: String),
    with_timeout(timeout: Duration),
});

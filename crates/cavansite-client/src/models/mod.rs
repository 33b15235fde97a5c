//! What requests say and answers hold, as owned types.
//!
//! Answers are read tolerantly: fields that are not known are passed over, `null` is as good as
//! nothing, words that are not known end in `UnknownValue`. What the published documents do not
//! require is an `Option`. All types may gain fields, so they are made with `new` and `with_…`.

mod admin;
mod chat;
mod identifier;
mod identity;

pub use admin::{AccessKeys, KeyType};
pub(crate) use chat::{
    AddChatParticipantsRequest, CreateChatThreadRequest, SendChatMessageRequest,
    SendReadReceiptRequest, SendTypingNotificationRequest, UpdateChatMessageRequest,
    UpdateChatThreadRequest,
};
pub use chat::{
    AddChatParticipantsResult, ChatAttachment, ChatAttachmentType, ChatMessage, ChatMessageContent,
    ChatMessageReadReceipt, ChatMessageType, ChatParticipant, ChatRetentionPolicy, ChatThreadItem,
    ChatThreadProperties, CreateChatThreadResult, InvalidParticipant, SendChatMessageResult,
};
pub use identifier::{
    CommunicationCloudEnvironment, CommunicationIdentifier, CommunicationUserIdentifier,
    MicrosoftTeamsAppIdentifier, MicrosoftTeamsUserIdentifier, PhoneNumberIdentifier,
    UnknownIdentifier,
};
pub(crate) use identity::{
    CreateIdentityRequest, CreatedIdentity, CreatedIdentityAndToken, IssueTokenRequest, IssuedToken,
};
pub use identity::{TokenScope, UserAndToken};

use serde::{Deserialize, Deserializer};

/// Reads `null` as if nothing were there.
pub(crate) fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

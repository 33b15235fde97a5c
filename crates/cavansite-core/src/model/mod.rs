//! What the service is about: threads, messages, participants, receipts, identities.
//!
//! These types belong to no api-version and cannot be serialised. They carry what every version
//! needs (the priority of the betas, the sequence id of the later versions), so that a thread made
//! through one version reads right through any other.

mod identity;
mod ids;
mod message;
mod thread;

pub use identity::{AccessKey, Identity, Installation, KeyGeneration, KeySlot};
pub use ids::{MessageId, ThreadId, Timestamp, UserId, Version};
pub use message::{
    Message, MessageChange, MessageContent, NewMessage, Priority, SendFingerprint, TextFormat,
    UserMessage,
};
pub use thread::{
    NewParticipant, NewThread, Participant, ReadReceipt, RetentionPolicy, Thread, ThreadChange,
    ThreadSummary,
};

/// String pairs that an application attaches to a thread, a participant or a message.
pub type Metadata = std::collections::BTreeMap<String, String>;

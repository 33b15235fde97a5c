//! Chat: [`ChatClient`] for a user's threads, [`ChatThreadClient`] for what goes on in one.

mod client;
mod options;
mod thread;

pub use client::ChatClient;
pub use options::{
    ChatClientOptions, CreateChatThreadOptions, ListBySkipOptions, ListByTimeOptions,
    SendChatMessageOptions, SendTypingNotificationOptions, UpdateChatMessageOptions,
    UpdateChatThreadOptions,
};
pub use thread::ChatThreadClient;

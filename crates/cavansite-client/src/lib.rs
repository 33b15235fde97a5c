//! Chat and identity from Rust: Azure Communication Services and Cavansite.
//!
#![doc = include_str!("../README.md")]

mod chat;
mod credential;
mod error;
mod identity;
mod limits;
pub mod models;
mod options;
mod pager;
mod pipeline;
#[cfg(feature = "realtime")]
pub mod realtime;
mod response;
mod retry;
mod secret;
mod setters;
mod text_enum;
mod transport;
mod version;

pub use chat::{
    ChatClient, ChatClientOptions, ChatThreadClient, CreateChatThreadOptions, ListBySkipOptions,
    ListByTimeOptions, SendChatMessageOptions, SendTypingNotificationOptions,
    UpdateChatMessageOptions, UpdateChatThreadOptions,
};
pub use credential::{
    AccessKeyCredential, AccessToken, RefreshingTokenCredential, RefreshingTokenCredentialOptions,
    StaticTokenCredential, TokenCredential,
};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use identity::{
    CommunicationIdentityClient, CommunicationIdentityClientOptions, IssueTokenOptions,
};
pub use jiff::Timestamp;
pub use options::{ClientOptions, MethodOptions, RetryOptions};
pub use pager::{Page, Pager, Pages};
pub use response::Response;
pub use secret::Secret;
pub use transport::{HttpTransport, RawResponse, Request, Transport, Upgraded};
pub use version::{ChatApiVersion, IdentityApiVersion};

//! The options of the chat clients and of their methods.

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

//! The client of a user's threads.

use std::sync::Arc;

use crate::credential::TokenCredential;
use crate::pipeline::{Authorization, Pipeline};
use crate::{ChatApiVersion, ChatClientOptions, ChatThreadClient, Result};

/// Acts for one user of the chat: creates, lists and deletes threads, and gives a
/// [`ChatThreadClient`] for each.
///
/// It is a cheap handle: clones share connections and credential, and can be used from many tasks at
/// once. Futures of its methods may be dropped at any time; the request may then have been done or
/// not, as with one that timed out.
#[derive(Debug, Clone)]
pub struct ChatClient {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) version: ChatApiVersion,
}

impl ChatClient {
    /// A client for the user whose tokens that credential gives, at an endpoint such as
    /// `https://chat.example.com`.
    ///
    /// Needs a tokio runtime when it is used, not now. Nothing is sent.
    pub fn new(
        endpoint: &str,
        credential: Arc<dyn TokenCredential>,
        options: Option<ChatClientOptions>,
    ) -> Result<Self> {
        let options = options.unwrap_or_default();
        let version = options.api_version;
        let authorization = Authorization::Bearer(credential);
        let pipeline = Pipeline::new(endpoint, version.as_str(), authorization, &options.client)?;
        Ok(Self {
            pipeline: Arc::new(pipeline),
            version,
        })
    }

    /// The client of a thread. Nothing is sent, so that a thread that is not there shows with the
    /// first method.
    pub fn thread_client(&self, thread_id: impl Into<String>) -> ChatThreadClient {
        ChatThreadClient {
            client: self.clone(),
            thread_id: Arc::from(thread_id.into()),
        }
    }
}

//! The client of one thread.

use std::sync::Arc;

use crate::ChatClient;

/// Acts for a user in one thread.
#[derive(Debug, Clone)]
pub struct ChatThreadClient {
    pub(crate) client: ChatClient,
    pub(crate) thread_id: Arc<str>,
}

impl ChatThreadClient {
    /// The id of the thread.
    pub fn thread_id(&self) -> &str {
        &self.thread_id
    }
}

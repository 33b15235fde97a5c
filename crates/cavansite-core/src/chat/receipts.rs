//! Read receipts.

use super::messages::message_id;
use super::{ChatService, thread_id};
use crate::caller::{Caller, Capability};
use crate::error::Result;
use crate::model::ReadReceipt;

impl ChatService {
    /// Records that the caller has read up to and including a message.
    pub async fn send_read_receipt(
        &self,
        caller: &Caller,
        thread: &str,
        message: &str,
    ) -> Result<()> {
        caller.require(Capability::TakePart)?;
        let thread = thread_id(thread)?;
        let count = self.store.count_participants(caller.user(), thread).await?;
        self.check_thread_size(count)?;
        self.store
            .upsert_receipt(caller.user(), thread, message_id(message))
            .await
    }

    /// How far the present participants have read, one receipt each.
    pub async fn list_read_receipts(
        &self,
        caller: &Caller,
        thread: &str,
    ) -> Result<Vec<ReadReceipt>> {
        caller.require(Capability::TakePart)?;
        let thread = thread_id(thread)?;
        let count = self.store.count_participants(caller.user(), thread).await?;
        self.check_thread_size(count)?;
        self.store.list_receipts(caller.user(), thread).await
    }
}

//! Reading from the store what a receiver is owed.

use std::sync::Arc;

use cavansite_core::Result;
use cavansite_core::model::Timestamp;
use cavansite_core::store::{EventPage, Store};
use tokio::time::{Instant, sleep};

use super::hub::Hub;
use super::limits::{RESUME_PAGE, RESUME_PAUSE};
use super::mailbox::{Kept, Mailbox};

/// Reads a piece of what a receiver is owed into its mailbox; says whether it did. To be called
/// again until it does not, each time when all that the mailbox holds was sent. Where too many are
/// at it, or the mailboxes keep too much, the receiver is woken later to try again.
pub(super) async fn catch_up<P: Kept>(
    hub: &Hub,
    store: &dyn Store,
    mailbox: &Mailbox<P>,
    serial: u64,
) -> Result<bool> {
    let Some(owed) = mailbox.begin_reading(serial) else {
        return Ok(false);
    };
    let Some(_turn) = hub.turn_to_resume() else {
        mailbox.fail_reading(serial, Some(Instant::now() + RESUME_PAUSE));
        let wake = Arc::clone(&mailbox.wake);
        tokio::spawn(async move {
            sleep(RESUME_PAUSE).await;
            wake.notify_one();
        });
        return Ok(false);
    };
    // Half of what is kept leaves room for what comes meanwhile.
    let page_bytes = hub.limits().kept_bytes_max / 2;
    let read_at = hub.now();
    let page = EventPage {
        since: owed.since,
        told: owed.told,
        limit: RESUME_PAGE,
        bytes: page_bytes,
    };
    let list = match store.list_events(&mailbox.user, page).await {
        Ok(list) => list,
        Err(error) => {
            mailbox.fail_reading(serial, None);
            return Err(error);
        }
    };
    let (mut read, mut bytes) = (Vec::new(), 0);
    let mut rest = list.rest_since;
    let mut newest = None;
    for event in &list.events {
        let Some(payload) = P::render(event, hub.source()) else {
            continue;
        };
        let version = event.position().map(|position| position.version);
        if bytes > page_bytes
            && version != newest
            && let Some(version) = version
        {
            rest = Some(Timestamp::from_millis(version.0));
            break;
        }
        newest = version;
        bytes += payload.bytes();
        read.push(Arc::new(payload));
    }
    mailbox.finish_reading(serial, read, rest, read_at);
    Ok(true)
}

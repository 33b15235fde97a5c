//! Reading from the store what a receiver is owed.

use std::sync::Arc;

use cavansite_core::Result;
use cavansite_core::events::ThreadEvent;
use cavansite_core::model::Timestamp;
use cavansite_core::store::{EventPage, Store};
use tokio::time::sleep;

use super::hub::Hub;
use super::limits::{RESUME_PAGE, RESUME_PAUSE};
use super::mailbox::{Kept, Mailbox};

/// Where the resume of a kind of receiver ends.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    /// How far back it goes at the most, in milliseconds.
    pub(super) window_ms: i64,
    /// Leaves out what the receiver is known to have.
    pub(super) is_new: &'a (dyn Fn(&ThreadEvent) -> bool + Sync),
}

/// Reads a piece of what a receiver is owed into its mailbox; says whether it did. To be called
/// again until it does not, each time when all that the mailbox holds was sent. Where too many are
/// at it, the receiver is woken later to try again.
pub(super) async fn catch_up<P: Kept>(
    hub: &Hub,
    store: &dyn Store,
    mailbox: &Mailbox<P>,
    serial: u64,
    reach: Reach<'_>,
) -> Result<bool> {
    let Some(owed_since) = mailbox.begin_reading(serial) else {
        return Ok(false);
    };
    let Some(_turn) = hub.turn_to_resume() else {
        mailbox.fail_reading(serial);
        let wake = Arc::clone(&mailbox.wake);
        tokio::spawn(async move {
            sleep(RESUME_PAUSE).await;
            wake.notify_one();
        });
        return Ok(false);
    };
    let read_at = hub.now();
    let since = owed_since.max(read_at.plus_millis(-reach.window_ms));
    let page = EventPage {
        since,
        limit: RESUME_PAGE,
        bytes: hub.limits().kept_bytes_max / 2,
    };
    let list = match store.list_events(&mailbox.user, page).await {
        Ok(list) => list,
        Err(error) => {
            mailbox.fail_reading(serial);
            return Err(error);
        }
    };
    let (mut read, mut bytes) = (Vec::new(), 0);
    let mut rest = list.rest_since;
    let mut newest = None;
    for event in list.events.iter().filter(|event| (reach.is_new)(event)) {
        let Some(payload) = P::render(event, hub.source()) else {
            continue;
        };
        let version = payload.position().map(|position| position.version);
        // Half of what is kept leaves room for what comes meanwhile.
        if bytes > hub.limits().kept_bytes_max / 2 && version != newest {
            let version = version.map_or(read_at, |version| Timestamp::from_millis(version.0));
            rest = Some(version.min(read_at));
            break;
        }
        newest = version;
        bytes += payload.bytes();
        read.push(Arc::new(payload));
    }
    mailbox.finish_reading(serial, read, rest, read_at);
    Ok(true)
}

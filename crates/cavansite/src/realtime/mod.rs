//! Real-time notifications: the hub that events come to, and the websockets and event streams that
//! they leave by.
//!
//! The routes are in `api/realtime.rs`; the wire shapes in the protocol crate. How it works and
//! why: docs/adr/0006-real-time.md, docs/adr/0007-resume-from-the-store.md and
//! docs/adr/0008-what-fan-out-costs.md.

#[cfg(feature = "fault-injection")]
mod fault;
mod hub;
mod kept;
mod limits;
mod mailbox;
mod owed;
mod payload;
mod resume;
mod seal;
mod socket;
mod stream;
mod stream_event;
#[cfg(test)]
mod tests;
mod wake;
mod websocket;

use std::sync::Arc;

use cavansite_core::clock::{Clock, Randomness};
use cavansite_core::identity::{IdentityService, Session};
use cavansite_core::model::{Installation, UserId};
use cavansite_core::store::Store;
use tokio::time::sleep;

pub use hub::{Hub, HubOptions};
pub use limits::RealtimeLimits;
pub(crate) use limits::TTL_SECONDS;
pub(crate) use seal::Ticket;
pub(crate) use stream::{NoStream, StreamBody};
pub(crate) use stream_event::EventId;
pub(crate) use websocket::{Websocket, accept};

use crate::http::Lease;
use limits::{EPID_BYTES_MAX, RECORD, SWEEP};
use seal::Seal;

/// What the routes of real-time notifications share.
pub struct Realtime {
    hub: Arc<Hub>,
    store: Arc<dyn Store>,
    seal: Arc<Seal>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Realtime {
    /// Over a hub, and the store whose events come to it. To be called on a runtime, where it looks
    /// after the hub from now on.
    pub fn new(
        hub: Arc<Hub>,
        store: Arc<dyn Store>,
        installation: &Installation,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let seal = Arc::new(Seal::new(installation, &*randomness));
        let (swept, seals) = (Arc::downgrade(&hub), Arc::downgrade(&seal));
        let time = Arc::clone(&clock);
        tokio::spawn(async move {
            loop {
                sleep(SWEEP).await;
                let (Some(hub), Some(seal)) = (swept.upgrade(), seals.upgrade()) else {
                    return;
                };
                hub.sweep();
                seal.sweep(time.now());
            }
        });
        let (told, records) = (Arc::downgrade(&hub), Arc::downgrade(&store));
        tokio::spawn(async move {
            loop {
                sleep(RECORD).await;
                let (Some(hub), Some(store)) = (told.upgrade(), records.upgrade()) else {
                    return;
                };
                if let Some(through) = hub.told_through()
                    && let Err(error) = store.set_told_through(through).await
                {
                    tracing::warn!(%error, "cannot record up to when all was told");
                }
            }
        });
        Self {
            hub,
            store,
            seal,
            clock,
            randomness,
        }
    }

    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A mark for a connection identity to bring back whenever it connects: the one that it
    /// brought, if that is its own, or a new one.
    pub(crate) fn mark(&self, user: &UserId, epid: &str, brought: Option<&str>) -> String {
        let known = brought.and_then(|mark| self.seal.known_since(mark, user, epid));
        self.seal
            .mark(user, epid, known.unwrap_or(self.clock.now()))
    }

    /// A session id for one websocket of that session and connection identity.
    pub(crate) fn open(&self, session: Session, epid: String, mark: Option<&str>) -> String {
        let now = self.clock.now();
        let until = now.plus_millis(self.hub.limits().handshake_ms);
        let known = mark.and_then(|mark| self.seal.known_since(mark, &session.user, &epid));
        let ticket = Ticket {
            session,
            epid,
            known_since: known.unwrap_or(now),
        };
        self.seal.seal(&ticket, until, &*self.randomness)
    }

    /// What a session id stands for, the first time that it is shown in time.
    pub(crate) fn admit(&self, id: &str) -> Option<Ticket> {
        self.seal.open(id, self.clock.now())
    }

    /// Opens an event stream that goes on where an earlier one ended.
    pub(crate) async fn stream(
        &self,
        identity: &IdentityService,
        session: Session,
        after: Option<EventId>,
        lease: Lease,
    ) -> Result<StreamBody, NoStream> {
        let from = (Arc::clone(&self.hub), Arc::clone(&self.store));
        stream::open(from, identity, session, after, lease).await
    }

    /// Serves a websocket to its end.
    pub(crate) async fn serve(
        &self,
        identity: &IdentityService,
        ticket: Ticket,
        socket: Websocket,
        lease: Lease,
    ) {
        let hub = Arc::clone(&self.hub);
        socket::run(hub, &*self.store, identity, ticket, socket, lease).await;
    }
}

/// The connection identity, if it is one that goes into paths and frames as it is.
pub(crate) fn epid(text: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let fits = !text.is_empty() && text.len() <= EPID_BYTES_MAX && text.bytes().all(plain);
    fits.then(|| text.to_owned())
}

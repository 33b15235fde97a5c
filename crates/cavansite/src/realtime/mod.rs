//! Real-time notifications: the hub that events come to, and the websockets that they leave by.
//!
//! The routes are in `api/realtime.rs`; the wire shapes in the protocol crate. How it works and
//! why: docs/adr/0006-real-time.md.

mod hub;
mod limits;
mod mailbox;
mod payload;
mod seal;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use cavansite_core::clock::{Clock, Randomness};
use cavansite_core::identity::{IdentityService, Session};
use cavansite_core::model::Installation;

pub use hub::Hub;
pub use limits::RealtimeLimits;
pub(crate) use seal::Ticket;

use crate::http::Lease;
use seal::Seal;

/// How often is looked whether a token on an open websocket has ended.
const SWEEP: Duration = Duration::from_millis(500);
/// The longest connection identity; SDKs use UUIDs.
const EPID_BYTES_MAX: usize = 64;

/// What the routes of real-time notifications share.
pub struct Realtime {
    hub: Arc<Hub>,
    seal: Arc<Seal>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Realtime {
    /// Over a hub. To be called on a runtime, where it looks after the hub from now on.
    pub fn new(
        hub: Arc<Hub>,
        installation: &Installation,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let seal = Arc::new(Seal::new(installation));
        let (swept, seals, time) = (
            Arc::downgrade(&hub),
            Arc::downgrade(&seal),
            Arc::clone(&clock),
        );
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let (Some(hub), Some(seal)) = (swept.upgrade(), seals.upgrade()) else {
                    return;
                };
                hub.sweep();
                seal.sweep(time.now());
            }
        });
        Self {
            hub,
            seal,
            clock,
            randomness,
        }
    }

    /// The hub.
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A session id for one websocket of that session and connection identity.
    pub(crate) fn open(&self, session: Session, epid: String) -> String {
        let until = self.clock.now();
        let until = until.plus_millis(self.hub.limits().handshake_ms);
        let ticket = Ticket { session, epid };
        self.seal.seal(&ticket, until, &*self.randomness)
    }

    /// What a session id stands for, the first time that it is shown in time.
    pub(crate) fn admit(&self, id: &str) -> Option<Ticket> {
        self.seal.open(id, self.clock.now())
    }

    /// Serves a websocket to its end.
    pub(crate) async fn serve(
        &self,
        identity: &IdentityService,
        ticket: Ticket,
        socket: WebSocket,
        lease: Lease,
    ) {
        socket::run(Arc::clone(&self.hub), identity, ticket, socket, lease).await;
    }
}

/// The connection identity, if it is one that goes into paths and frames as it is.
pub(crate) fn epid(text: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    let fits = !text.is_empty() && text.len() <= EPID_BYTES_MAX && text.bytes().all(plain);
    fits.then(|| text.to_owned())
}

/// The life that a client is told its connection has, in seconds.
pub(crate) const TTL_SECONDS: u32 = socket::TTL_SECONDS;

//! What outlives the answering of a request on a connection: the place of a websocket or an event
//! stream among the open connections, and its share in the graceful stop.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Phase;
use super::activity::{Activity, Answering};
use super::connection::reached;

/// In the extensions of every request that came over a listener. Whoever upgrades the connection
/// holds it as long as that lives: the connection counts, and the server waits for it.
#[derive(Clone, Default)]
pub struct Lease(Option<Held>);

#[derive(Clone)]
struct Held {
    #[expect(dead_code, reason = "held, not read")]
    place: Arc<OwnedSemaphorePermit>,
    phase: watch::Receiver<Phase>,
    activity: Arc<Activity>,
}

impl Lease {
    pub(super) fn new(
        place: OwnedSemaphorePermit,
        phase: watch::Receiver<Phase>,
        activity: Arc<Activity>,
    ) -> Self {
        Self(Some(Held {
            place: Arc::new(place),
            phase,
            activity,
        }))
    }

    /// Waits until the server is stopping.
    pub async fn drained(&mut self) {
        match &mut self.0 {
            Some(held) => reached(&mut held.phase, Phase::Drain).await,
            None => std::future::pending().await,
        }
    }

    /// Has the request count as one that is being answered until what this returns is dropped: for
    /// an answer whose body goes on.
    pub fn answering(&self) -> Option<Answering> {
        self.0.as_ref().map(|held| held.activity.begin())
    }
}

//! What outlives HTTP on a connection: a websocket's place among the open connections, and its
//! share in the graceful stop.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Phase;
use super::connection::reached;

/// In the extensions of every request that came over a listener. Whoever upgrades the connection
/// holds it as long as that lives: the connection counts, and the server waits for it.
#[derive(Clone, Default)]
pub struct Lease(Option<(Arc<OwnedSemaphorePermit>, watch::Receiver<Phase>)>);

impl Lease {
    pub(super) fn new(place: Arc<OwnedSemaphorePermit>, phase: watch::Receiver<Phase>) -> Self {
        Self(Some((place, phase)))
    }

    /// Waits until the server is stopping.
    pub async fn drained(&mut self) {
        match &mut self.0 {
            Some((_, phase)) => reached(phase, Phase::Drain).await,
            None => std::future::pending().await,
        }
    }
}

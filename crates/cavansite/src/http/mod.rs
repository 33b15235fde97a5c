//! The listener: TLS and plain HTTP on one port, HTTP/1.1 and HTTP/2, and a graceful stop.
//!
//! What is done to every request (ids, health, bounds, the access log) is in `request`; who is
//! asking, with proxies in between, in `peer`.

mod activity;
mod answers;
mod body;
mod connection;
mod lease;
mod limits;
mod peer;
mod request;
mod workers;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use activity::Answering;
pub use body::BodyTimedOut;
pub use lease::Lease;
pub use limits::HttpLimits;
pub use peer::{ConnectionInfo, Scheme};
pub use request::RequestId;
pub use workers::Workers;
pub(crate) use workers::new_runtime;

use activity::Activity;
use connection::Listener;

/// After a failed accept (no file descriptors left, for one) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server listens.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Proxies whose plain HTTP is served and whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Bounds of connections and requests.
    pub limits: HttpLimits,
}

/// What a connection should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Answer requests.
    Serve,
    /// Answer what has been asked, and close.
    Drain,
    /// Close.
    Close,
}

/// Serves `router` on `listener` until `shutdown` is done; then stops accepting, lets the requests
/// in flight be answered within [`HttpLimits::drain_timeout_ms`], and returns. Without `tls` only
/// plain HTTP is spoken.
pub async fn serve(
    listener: TcpListener,
    mut workers: Workers,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    settings: HttpSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let drain_timeout = Duration::from_millis(settings.limits.drain_timeout_ms);
    let places = Arc::new(Semaphore::new(settings.limits.connections_max));
    let (phase, watching) = watch::channel(Phase::Serve);
    let shared = Arc::new(Listener::new(router, tls, settings));

    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("closed a new connection: connections_max are open");
            continue;
        };
        let shared = Arc::clone(&shared);
        let phase = watching.clone();
        let serving = workers.spawn(stream, async move |stream| {
            let activity = Arc::new(Activity::default());
            let lease = Lease::new(place, phase.clone(), Arc::clone(&activity));
            let held = (lease, activity);
            connection::run(shared, stream, peer.ip().to_canonical(), phase, held).await;
        });
        if let Err(error) = serving {
            tracing::warn!(%error, "cannot serve a connection");
        }
    }

    drop((listener, watching));
    shared.stop_being_ready();
    phase.send_replace(Phase::Drain);
    if tokio::time::timeout(drain_timeout, phase.closed())
        .await
        .is_err()
    {
        tracing::warn!("closed connections whose requests took longer than drain_timeout_ms");
        phase.send_replace(Phase::Close);
        phase.closed().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

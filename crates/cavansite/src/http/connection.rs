//! One connection: what it speaks, and serving it until it or the server ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, BoundedStream};
use super::answers::UnreadAnswers;
use super::lease::Lease;
use super::peer::{ConnectionInfo, Scheme};
use super::request::RequestIds;
use super::{HttpSettings, Phase, request};

/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// An HTTP/2 connection is pinged when it has been silent for so long, and closed when no answer
/// comes.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What all connections of a listener share.
pub(super) struct Listener {
    pub(super) router: Router,
    pub(super) settings: HttpSettings,
    pub(super) ids: RequestIds,
    pub(super) answers: UnreadAnswers,
    ready: AtomicBool,
    tls: Option<TlsAcceptor>,
    builder: auto::Builder<TokioExecutor>,
}

impl Listener {
    pub(super) fn new(
        router: Router,
        tls: Option<Arc<ServerConfig>>,
        settings: HttpSettings,
    ) -> Self {
        let limits = &settings.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
            // hyper panics below its least size.
            .max_buf_size(limits.head_bytes_max.max(8192));
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
        let answers = UnreadAnswers::new(limits.unread_answers_bytes_max);
        Self {
            router,
            settings,
            ids: RequestIds::new(),
            answers,
            ready: AtomicBool::new(true),
            tls: tls.map(TlsAcceptor::from),
            builder,
        }
    }

    /// Whether new requests should be sent here.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) fn stop_being_ready(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Plain HTTP is for this machine and for trusted proxies.
    pub(super) fn serves_in_the_clear(&self, peer: IpAddr) -> bool {
        let proxies = &self.settings.trusted_proxies;
        peer.is_loopback() || proxies.iter().any(|network| network.contains(&peer))
    }
}

/// Serves a connection until its client closes it or the server stops.
pub(super) async fn run(
    listener: Arc<Listener>,
    stream: TcpStream,
    peer: IpAddr,
    mut phase: watch::Receiver<Phase>,
    (lease, activity): (Lease, Arc<Activity>),
) {
    // Answers are small and written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let timeout = Duration::from_millis(listener.settings.limits.handshake_timeout_ms);
    let opened = tokio::select! {
        biased;
        () = reached(&mut phase, Phase::Drain) => return,
        opened = tokio::time::timeout(timeout, open(&listener, stream, &activity)) => opened,
    };
    let (scheme, opened) = match opened {
        Ok(Ok(Opened::Tls(stream))) => (Scheme::Https, Ok(stream)),
        Ok(Ok(Opened::Plain(stream))) => (Scheme::Http, Err(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "the TLS handshake took too long");
            return;
        }
    };
    let info = ConnectionInfo { peer, scheme };
    match opened {
        Ok(tls) => {
            let (_, session) = tls.get_ref();
            let is_http2 = session.alpn_protocol() == Some(b"h2");
            let builder = listener.builder.clone();
            // Knowing the version saves the buffer that tells them apart.
            let builder = if is_http2 {
                builder.http2_only()
            } else {
                builder.http1_only()
            };
            converse(&listener, &builder, tls, (info, lease), &activity, phase).await;
        }
        Err(plain) => {
            let builder = &listener.builder;
            converse(&listener, builder, plain, (info, lease), &activity, phase).await;
        }
    }
}

/// A connection that is ready for HTTP.
enum Opened {
    Tls(Box<tokio_rustls::server::TlsStream<BoundedStream>>),
    Plain(BoundedStream),
}

/// Looks at the first byte, and does the TLS handshake where it is one.
async fn open(
    listener: &Listener,
    stream: TcpStream,
    activity: &Arc<Activity>,
) -> std::io::Result<Opened> {
    let stall = Duration::from_millis(listener.settings.limits.write_stall_ms);
    let bounded = |stream| BoundedStream::new(stream, stall, Arc::clone(activity));
    let Some(tls) = &listener.tls else {
        return Ok(Opened::Plain(bounded(stream)));
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE {
        Ok(Opened::Tls(Box::new(tls.accept(bounded(stream)).await?)))
    } else {
        Ok(Opened::Plain(bounded(stream)))
    }
}

/// Answers requests until either side is done.
async fn converse<S>(
    listener: &Arc<Listener>,
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    (info, lease): (ConnectionInfo, Lease),
    activity: &Arc<Activity>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let listener = Arc::clone(listener);
        let activity = Arc::clone(activity);
        let lease = lease.clone();
        async move {
            let _answering = activity.begin();
            Ok::<_, Infallible>(request::answer(&listener, info, lease, request).await)
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let limits = &listener.settings.limits;
    let idle = Duration::from_millis(limits.head_timeout_ms);
    let stall = Duration::from_millis(limits.write_stall_ms);
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => Some(result),
        () = reached(&mut phase, Phase::Drain) => None,
        unused = activity.cease(idle) => {
            if unused {
                return;
            }
            None
        }
    };
    let result = if let Some(result) = result {
        result
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = reached(&mut phase, Phase::Close) => return,
            () = activity.stall(stall) => {
                tracing::debug!(peer = %info.peer, "cut a client that does not read its answer");
                return;
            }
        }
    };
    if let Err(error) = result {
        // Clients hang up as they please; this is for whoever looks for it.
        tracing::debug!(peer = %info.peer, %error, "connection ended");
    }
}

/// Waits until the server has come to that phase.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // An error means that the server is gone, and then it is time to close too.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

//! What happens on a connection: the requests that come over it, and whether what is sent to its
//! client gets away.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A connection that is to end sends at least this much per
/// [`super::HttpLimits::write_stall_ms`], in bytes, or is cut. Well above what answering a few
/// pings takes, and below what the slowest client reads.
const PROGRESS_BYTES_MIN: u64 = 16 * 1024;

/// Whether requests come over a connection, and how much was sent. hyper bounds the time between
/// two requests of HTTP/1 alone; HTTP/2, and a client that does not say which it speaks, it would
/// wait for without end.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Activity {
    /// Counts a request until what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Waits until no request came for so long and none is being answered; says whether there was
    /// never one.
    pub(super) async fn cease(&self, idle: Duration) -> bool {
        loop {
            let before = self.begun.load(Ordering::Relaxed);
            sleep(idle).await;
            if self.begun.load(Ordering::Relaxed) == before && self.all_ended() {
                return before == 0;
            }
        }
    }

    /// Waits until every request has its answer and the client takes less than
    /// [`PROGRESS_BYTES_MIN`] of them in so long. An HTTP/2 client can hold an answer back without
    /// a write ever waiting: it gives its stream no window.
    pub(super) async fn stall(&self, limit: Duration) {
        loop {
            let before = self.sent_bytes.load(Ordering::Relaxed);
            sleep(limit).await;
            let sent = self.sent_bytes.load(Ordering::Relaxed) - before;
            if sent < PROGRESS_BYTES_MIN && self.all_ended() {
                return;
            }
        }
    }

    fn all_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) == self.begun.load(Ordering::Relaxed)
    }
}

/// A request that is being answered, until this is dropped.
pub struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A TCP stream on which a write that waits too long for the client to read fails with
/// [`ErrorKind::TimedOut`]. The clock starts when a write first has to wait and stops when
/// anything was sent, so that a client that reads costs no timer. Below TLS, where all that is
/// flushed comes by as a write: flushing and shutting down TCP itself never wait.
pub(super) struct BoundedStream {
    inner: TcpStream,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
}

impl BoundedStream {
    pub(super) fn new(inner: TcpStream, limit: Duration, activity: Arc<Activity>) -> Self {
        Self {
            inner,
            limit,
            deadline: None,
            activity,
        }
    }

    /// What becomes of a write that ended like this.
    fn bound(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            self.deadline = None;
            let sent = *result.as_ref().unwrap_or(&0) as u64;
            self.activity.sent_bytes.fetch_add(sent, Ordering::Relaxed);
            return Poll::Ready(result);
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(deadline.as_mut().poll(cx));
        let error = io::Error::new(ErrorKind::TimedOut, "the client does not read its answer");
        Poll::Ready(Err(error))
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bound(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.bound(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

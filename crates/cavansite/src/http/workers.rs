//! The threads that serve connections, one for each core. Each has a runtime of its own, and a
//! connection stays where it was put from its first byte to its last: no task moves between
//! cores, and none needs a lock to be woken by its neighbour.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::oneshot;

/// Blocking work at the same time in all runtimes: the store's readers, of which there are four,
/// and messages of HTML that are parsed. More would only share the cores, and each keeps memory:
/// under the load of `cargo xtask crash soak`, 32 threads took a fifth more than these.
const BLOCKING_THREADS_MAX: usize = 8;

/// Where connections are served, in turn.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    next: usize,
    /// Dropped, it ends the threads.
    stops: Vec<oneshot::Sender<()>>,
}

impl Workers {
    /// The runtime of the caller, which accepts, and a thread for each further core.
    ///
    /// To be called on a runtime. The threads end when this is dropped.
    pub fn one_per_core() -> io::Result<Self> {
        let mut workers = Self::here();
        for number in 1..cores() {
            let runtime = new_runtime()?;
            let (stop, stopped) = oneshot::channel::<()>();
            workers.handles.push(runtime.handle().clone());
            workers.stops.push(stop);
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    // An error: the other side is gone, which is what this waits for.
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_background();
                })?;
        }
        Ok(workers)
    }

    /// The runtime of the caller alone.
    pub fn here() -> Self {
        Self {
            handles: vec![Handle::current()],
            next: 0,
            stops: Vec::new(),
        }
    }

    /// Serves a connection that was accepted on the first runtime on the next one.
    pub(super) fn spawn<F>(
        &mut self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let turn = self.next;
        self.next = (turn + 1) % self.handles.len();
        if turn == 0 {
            self.handles[0].spawn(serve(stream));
            return Ok(());
        }
        // A socket is watched by the runtime that it was made on.
        let stream = stream.into_std()?;
        self.handles[turn].spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "cannot serve a connection"),
            }
        });
        Ok(())
    }
}

/// A runtime for one thread.
pub(crate) fn new_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX.div_ceil(cores()))
        .build()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

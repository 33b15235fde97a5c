//! Receivers and senders around one server, and the loads that are put on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Connection, Target};
use crate::fan_floor;
use crate::load::Pace;
use crate::receiver::{Came, Receiver};
use crate::server::{self, ThreadTimes};
use crate::setup::{CHAT_VERSION, Sender};
use crate::statistics::{Runs, percentile};
use crate::tally::{Delivered, Tally};
use crate::wire;

/// How messages follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// So many are on their way at any time: the next is sent when all have got one.
    Window(usize),
    /// So many each second, whatever becomes of them.
    PerSecond(f64),
}

/// Where messages are sent.
pub(crate) enum Feed {
    User {
        http: Box<Connection>,
        host: String,
        path: String,
        authorization: String,
    },
    Floor(Box<TlsStream<TcpStream>>),
}

impl Feed {
    /// A user's first thread.
    pub(crate) async fn of_user(target: &Target, user: &Sender) -> anyhow::Result<Self> {
        let thread = user.threads.first().context("a user without a thread")?;
        Ok(Self::User {
            http: Box::new(target.connect().await?),
            host: target.host(),
            path: format!("/chat/threads/{thread}/messages?api-version={CHAT_VERSION}"),
            authorization: user.authorization.clone(),
        })
    }

    /// The fan-out floor.
    pub(crate) async fn of_floor(target: &Target) -> anyhow::Result<Self> {
        let mut stream = target.open().await?;
        stream.write_all(&[fan_floor::SENDER]).await?;
        stream.flush().await?;
        Ok(Self::Floor(Box::new(stream)))
    }

    /// Sends the message of that number, and waits until it is taken.
    pub(crate) async fn send(&mut self, number: usize) -> anyhow::Result<()> {
        let body = wire::body(number);
        match self {
            Self::User {
                http,
                host,
                path,
                authorization,
            } => {
                let headers = [("authorization", authorization.as_str())];
                let request = client::post(host, path, Bytes::from(body), &headers)?;
                http.expect(request, StatusCode::CREATED).await?;
            }
            Self::Floor(stream) => {
                stream.write_all(body.as_bytes()).await?;
                stream.flush().await?;
                let taken = stream.read_u8().await?;
                ensure!(taken == fan_floor::SENDER, "the floor did not take it");
            }
        }
        Ok(())
    }
}

/// A server with all who are pushed to and all who send.
pub(crate) struct Rig {
    pid: u32,
    tally: Arc<Tally>,
    feeds: Vec<Feed>,
    tasks: Vec<JoinHandle<()>>,
    /// Bytes of each delivery, where that is known.
    frame_bytes: Option<usize>,
    patience: Duration,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What was seen of one run.
#[derive(Debug)]
pub(crate) struct Seen {
    seconds: f64,
    cpu_seconds: f64,
    load_cpu_seconds: f64,
    deliveries: f64,
    records: f64,
    pings: f64,
    /// Of the messages that were to be sent in that time.
    latencies: Vec<u32>,
}

/// What is read before and after.
struct Instantly {
    at: Instant,
    times: ThreadTimes,
    load_cpu_seconds: f64,
    delivered: Delivered,
}

impl Rig {
    /// `frame_bytes`: what each delivery has to have. `patience`: how long a message may take.
    pub(crate) fn new(
        pid: u32,
        receivers: Vec<Receiver>,
        feeds: Vec<Feed>,
        frame_bytes: Option<usize>,
        patience: Duration,
    ) -> Self {
        let tally = Arc::new(Tally::new(receivers.len()));
        let receivers = receivers.into_iter().enumerate();
        let tasks = receivers.map(|(number, receiver)| {
            let tally = Arc::clone(&tally);
            tokio::spawn(async move {
                if let Err(error) = receive(receiver, &tally, number, frame_bytes).await {
                    tally.fail(error.context(format!("receiver {number}")));
                }
            })
        });
        Self {
            pid,
            tasks: tasks.collect(),
            tally,
            feeds,
            frame_bytes,
            patience,
        }
    }

    /// Sends one message, and returns how many bytes a delivery of it has.
    pub(crate) async fn frame_bytes(&mut self) -> anyhow::Result<usize> {
        let before = self.tally.delivered();
        let (number, _) = self.tally.send(Instant::now());
        let feed = self.feeds.first_mut().context("nobody sends")?;
        feed.send(number).await?;
        self.complete().await?;
        let after = self.tally.delivered();
        let deliveries = after.deliveries - before.deliveries;
        Ok(usize::try_from((after.bytes - before.bytes) / deliveries)?)
    }

    /// Puts a load on the server, and looks at it after the warm-up; ends when all have got all.
    pub(crate) async fn load(
        &mut self,
        load: Load,
        warm_up: Duration,
        duration: Duration,
    ) -> anyhow::Result<Seen> {
        let stop = Arc::new(AtomicBool::new(false));
        let lanes = match load {
            Load::Window(window) => window.min(self.feeds.len()),
            Load::PerSecond(_) => self.feeds.len(),
        };
        let begin = Instant::now();
        let mut tasks = Vec::with_capacity(lanes);
        for (number, feed) in (0_u32..).zip(self.feeds.drain(..lanes)) {
            let pace = match load {
                Load::Window(_) => None,
                Load::PerSecond(rate) => Some(Pace {
                    next: begin + Duration::from_secs_f64(f64::from(number) / rate),
                    every: Duration::from_secs_f64(f64::from(u32::try_from(lanes)?) / rate),
                }),
            };
            let lane = Lane {
                feed,
                pace,
                tally: Arc::clone(&self.tally),
                stop: Arc::clone(&stop),
                patience: self.patience,
            };
            tasks.push(tokio::spawn(lane.run()));
        }
        tokio::time::sleep(warm_up).await;
        let before = self.look()?;
        tokio::time::sleep(duration).await;
        let after = self.look()?;
        stop.store(true, Ordering::Relaxed);
        let mut failed = None;
        for task in tasks {
            match task.await? {
                Ok(feed) => self.feeds.push(feed),
                Err(error) => failed = Some(error),
            }
        }
        // What a receiver saw says more than that a message did not come to all.
        self.complete().await?;
        failed.map_or(Ok(()), Err)?;
        self.seen(&before, &after)
    }

    /// Waits until all have got all, for so long as a message may take.
    async fn complete(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.tally.is_complete()? && begin.elapsed() < self.patience {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.tally.check()?;
        let Some(frame_bytes) = self.frame_bytes else {
            return Ok(());
        };
        let Delivered {
            deliveries, bytes, ..
        } = self.tally.delivered();
        let expected = deliveries * frame_bytes as u64;
        ensure!(bytes == expected, "{bytes} bytes came, not {expected}");
        Ok(())
    }

    fn look(&self) -> anyhow::Result<Instantly> {
        Ok(Instantly {
            at: Instant::now(),
            times: server::thread_times(self.pid)?,
            load_cpu_seconds: server::usage("self")?.cpu_seconds,
            delivered: self.tally.delivered(),
        })
    }

    fn seen(&self, before: &Instantly, after: &Instantly) -> anyhow::Result<Seen> {
        let between = |of: fn(&Delivered) -> u64| -> anyhow::Result<f64> {
            Ok(f64::from(u32::try_from(
                of(&after.delivered) - of(&before.delivered),
            )?))
        };
        let deliveries = between(|delivered| delivered.deliveries)?;
        ensure!(deliveries > 0.0, "nothing was delivered in a whole run");
        Ok(Seen {
            seconds: (after.at - before.at).as_secs_f64(),
            cpu_seconds: after.times.since(&before.times),
            load_cpu_seconds: after.load_cpu_seconds - before.load_cpu_seconds,
            deliveries,
            records: between(|delivered| delivered.counts.records)?,
            pings: between(|delivered| delivered.counts.pings)?,
            latencies: self.tally.latencies(before.at, after.at)?,
        })
    }
}

async fn receive(
    mut receiver: Receiver,
    tally: &Tally,
    number: usize,
    frame_bytes: Option<usize>,
) -> anyhow::Result<()> {
    loop {
        receiver
            .step(&mut |came| match came {
                Came::Message {
                    number: message,
                    bytes,
                } => {
                    let fits = frame_bytes.is_none_or(|expected| bytes == expected);
                    ensure!(fits, "a frame of {bytes} bytes came");
                    tally.got(number, message, bytes)
                }
                _ => Ok(()),
            })
            .await?;
        tally.count(std::mem::take(&mut receiver.counts));
    }
}

/// Sends one message after the other.
struct Lane {
    feed: Feed,
    /// Without: as soon as all have got the last one.
    pace: Option<Pace>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    patience: Duration,
}

impl Lane {
    async fn run(mut self) -> anyhow::Result<Feed> {
        loop {
            let begin = match &mut self.pace {
                Some(pace) => pace.wait().await,
                None => Instant::now(),
            };
            if self.stop.load(Ordering::Relaxed) {
                return Ok(self.feed);
            }
            let (number, all_got) = self.tally.send(begin);
            self.feed.send(number).await?;
            if self.pace.is_none() {
                let delivered = timeout(self.patience, all_got).await;
                delivered.with_context(|| format!("message {number} did not come to all"))??;
            }
        }
    }
}

/// Figures of several runs.
#[derive(Debug, Default)]
pub(crate) struct Fanned {
    /// CPU of a delivery.
    pub(crate) cpu_micros: Runs,
    /// Messages that came to all, each second.
    pub(crate) messages: Runs,
    pub(crate) p50_ms: Runs,
    pub(crate) p99_ms: Runs,
    per_record: Runs,
    pings: Runs,
    server_busy: Runs,
    load_busy: Runs,
}

impl Fanned {
    pub(crate) fn add(&mut self, seen: &Seen) {
        let millis = |per_mille| f64::from(percentile(&seen.latencies, per_mille)) / 1e3;
        self.cpu_micros
            .add(seen.cpu_seconds * 1e6 / seen.deliveries);
        #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
        self.messages
            .add(seen.latencies.len() as f64 / seen.seconds);
        self.p50_ms.add(millis(500));
        self.p99_ms.add(millis(990));
        self.per_record.add(seen.deliveries / seen.records);
        self.pings.add(seen.pings / seen.deliveries);
        self.server_busy
            .add(100.0 * seen.cpu_seconds / seen.seconds);
        self.load_busy
            .add(100.0 * seen.load_cpu_seconds / seen.seconds);
    }

    /// What stands beside the CPU time.
    pub(crate) fn notes(&self) -> String {
        format!(
            "{} messages/s; ms to the last delivery p50 {}, p99 {}; {} deliveries a TLS record, \
             pings for {} of them; server's core {} %, load's {} %",
            self.messages.show(0),
            self.p50_ms.show(2),
            self.p99_ms.show(2),
            self.per_record.show(2),
            self.pings.show(2),
            self.server_busy.show(0),
            self.load_busy.show(0),
        )
    }
}

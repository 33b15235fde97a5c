//! The load: connections in a closed loop, where each sends its next request when the last one is
//! answered, or in an open one, where requests begin at a fixed rate, answered or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use crate::client::{self, Connection, Target};
use crate::server::{self, Server};
use crate::setup::{CHAT_VERSION, Sender};

/// Bytes of a request's body.
pub(crate) const BODY_BYTES: usize = 1024;

/// Messages on a page of the mixed day.
const MIXED_PAGE: usize = 20;

/// What one connection asks for.
#[derive(Debug, Clone)]
pub(crate) enum Lane {
    /// Messages to a user's threads, at random.
    Send(Arc<Sender>),
    /// The echo floor.
    Echo,
    /// One of these paths, with this Authorization header.
    Get {
        authorization: String,
        paths: Arc<Vec<String>>,
    },
    /// In a user's threads: of 24 requests 20 polls, 2 sends, 1 receipt, 1 typing.
    Mixed(Arc<Sender>),
}

/// The path of a thread's newest messages.
pub(crate) fn page_path(thread: &str, size: usize) -> String {
    format!("/chat/threads/{thread}/messages?api-version={CHAT_VERSION}&maxPageSize={size}")
}

/// A request, and what its answer has to be.
struct Asked {
    request: Request<Full<Bytes>>,
    expected: StatusCode,
    is_poll: bool,
    /// The thread that was sent to, where a receipt may follow.
    sent_to: Option<usize>,
}

/// A connection's part of the load.
struct Asking {
    lane: Lane,
    host: String,
    numbers: Numbers,
    /// The thread and the id of the last message sent.
    last_sent: Option<(usize, String)>,
}

impl Asking {
    fn next(&mut self) -> anyhow::Result<Asked> {
        let (host, numbers) = (self.host.as_str(), &mut self.numbers);
        match &self.lane {
            Lane::Echo => {
                let id = numbers.request_id();
                let headers = [("x-ms-client-request-id", id.as_str())];
                let request = client::post(host, "/echo", body(&id), &headers)?;
                Ok(Asked::of(request, StatusCode::OK))
            }
            Lane::Send(sender) => send(host, sender, numbers),
            Lane::Get {
                authorization,
                paths,
            } => {
                let path = &paths[numbers.below(paths.len())?];
                let request = client::get(host, path, authorization)?;
                Ok(Asked::of(request, StatusCode::OK))
            }
            Lane::Mixed(sender) => mixed(host, sender, numbers, self.last_sent.as_ref()),
        }
    }

    async fn ask(&mut self, connection: &mut Connection, asked: Asked) -> anyhow::Result<()> {
        let answer = connection.expect(asked.request, asked.expected).await?;
        if let Some(thread) = asked.sent_to {
            let sent: Sent = serde_json::from_slice(&answer)?;
            self.last_sent = Some((thread, sent.id));
        }
        Ok(())
    }
}

impl Asked {
    fn of(request: Request<Full<Bytes>>, expected: StatusCode) -> Self {
        Self {
            request,
            expected,
            is_poll: false,
            sent_to: None,
        }
    }
}

/// The answer to a send.
#[derive(Deserialize)]
struct Sent {
    id: String,
}

fn send(host: &str, sender: &Sender, numbers: &mut Numbers) -> anyhow::Result<Asked> {
    let thread = numbers.below(sender.threads.len())?;
    send_to(host, sender, thread, numbers)
}

fn send_to(
    host: &str,
    sender: &Sender,
    thread: usize,
    numbers: &mut Numbers,
) -> anyhow::Result<Asked> {
    let id = numbers.request_id();
    let path = format!(
        "/chat/threads/{}/messages?api-version={CHAT_VERSION}",
        sender.threads[thread]
    );
    let headers = [
        ("authorization", sender.authorization.as_str()),
        ("x-ms-client-request-id", &id),
    ];
    let request = client::post(host, &path, body(&id), &headers)?;
    Ok(Asked::of(request, StatusCode::CREATED))
}

fn mixed(
    host: &str,
    sender: &Sender,
    numbers: &mut Numbers,
    last_sent: Option<&(usize, String)>,
) -> anyhow::Result<Asked> {
    let kind = numbers.below(24)?;
    let thread = numbers.below(sender.threads.len())?;
    let headers = [("authorization", sender.authorization.as_str())];
    let path = |thread: usize, of: &str| {
        let thread = &sender.threads[thread];
        format!("/chat/threads/{thread}/{of}?api-version={CHAT_VERSION}")
    };
    match (kind, last_sent) {
        (0..=19, _) => {
            let path = page_path(&sender.threads[thread], MIXED_PAGE);
            let request = client::get(host, &path, &sender.authorization)?;
            Ok(Asked {
                is_poll: true,
                ..Asked::of(request, StatusCode::OK)
            })
        }
        (22, Some((thread, id))) => {
            let body = format!(r#"{{"chatMessageId":"{id}"}}"#);
            let path = path(*thread, "readreceipts");
            let request = client::post(host, &path, body.into(), &headers)?;
            Ok(Asked::of(request, StatusCode::CREATED))
        }
        (23, _) => {
            let path = path(thread, "typing");
            let request = client::post(host, &path, Bytes::new(), &headers)?;
            Ok(Asked::of(request, StatusCode::OK))
        }
        _ => {
            let id = numbers.request_id();
            let path = path(thread, "messages");
            let request = client::post(host, &path, body(&id), &headers)?;
            Ok(Asked {
                sent_to: Some(thread),
                ..Asked::of(request, StatusCode::CREATED)
            })
        }
    }
}

/// A request body of [`BODY_BYTES`] bytes, like none before.
fn body(id: &str) -> Bytes {
    let (head, tail) = (r#"{"content":""#, r#""}"#);
    let filled = BODY_BYTES - head.len() - tail.len();
    let mut text = String::with_capacity(BODY_BYTES);
    text.push_str(head);
    while text.len() < head.len() + filled {
        let rest = head.len() + filled - text.len();
        text.push_str(&id[..id.len().min(rest)]);
    }
    text.push_str(tail);
    Bytes::from(text)
}

/// Pseudo-random numbers (xorshift), seeded, so that each run asks for the same.
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below this one.
    fn below(&mut self, end: usize) -> anyhow::Result<usize> {
        Ok(usize::try_from(self.next() % u64::try_from(end)?)?)
    }

    /// A request id of the shape that the SDKs send.
    fn request_id(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFF,
            low >> 52,
            low & 0xFFFF_FFFF_FFFF,
        )
    }
}

/// Sends to each of the threads once, over so many connections.
pub(crate) async fn send_to_each(
    target: &Target,
    sender: &Arc<Sender>,
    connections: usize,
) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for own in 0..connections {
        let (target, sender) = (target.clone(), Arc::clone(sender));
        tasks.spawn(async move {
            let mut connection = target.connect().await?;
            let mut numbers = Numbers::seeded(u64::MAX - own as u64);
            for thread in (own..sender.threads.len()).step_by(connections) {
                let asked = send_to(&target.host(), &sender, thread, &mut numbers)?;
                connection.expect(asked.request, asked.expected).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// A load on one server.
pub(crate) struct Load<'a> {
    /// One connection each.
    pub(crate) lanes: &'a [Lane],
    /// Requests per second of all together, in an open loop; none: a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// What was seen while measuring.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Requests answered.
    pub(crate) requests: f64,
    /// Polls asked for, in the warm-up and the end too.
    pub(crate) polls: f64,
    pub(crate) seconds: f64,
    /// CPU seconds of the server.
    pub(crate) cpu_seconds: f64,
    /// Bytes that the server sent to the disk.
    pub(crate) written_bytes: f64,
    /// The share of its core that the load itself used.
    pub(crate) load_busy: f64,
    /// Microseconds, sorted; in an open loop from when the request was to begin.
    pub(crate) latencies: Vec<u32>,
}

/// Warm-up, measurement and end of a run.
const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// What one connection saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<u32>,
    polls: u32,
}

/// Runs the load.
pub(crate) async fn run(
    server: &Server,
    target: &Target,
    load: Load<'_>,
) -> anyhow::Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARM_UP));
    let connections = f64::from(u32::try_from(load.lanes.len())?);
    let mut tasks = Vec::with_capacity(load.lanes.len());
    for (number, lane) in (0_u32..).zip(load.lanes) {
        let asking = Asking {
            lane: lane.clone(),
            host: target.host(),
            numbers: Numbers::seeded(load.seed << 16 | (u64::from(number) + 1)),
            last_sent: None,
        };
        let pace = load.rate.map(|rate| Pace {
            next: Instant::now() + Duration::from_secs_f64(f64::from(number) / rate),
            every: Duration::from_secs_f64(connections / rate),
        });
        let (target, phase) = (target.clone(), Arc::clone(&phase));
        tasks.push(tokio::spawn(async move {
            loop_until_stopped(&target, asking, pace, &phase).await
        }));
    }
    tokio::time::sleep(load.warm_up).await;
    let (before, own_before) = (server.usage()?, server::usage("self")?);
    let begin = Instant::now();
    phase.store(MEASURE, Ordering::Relaxed);
    tokio::time::sleep(load.duration).await;
    phase.store(STOP, Ordering::Relaxed);
    let seconds = begin.elapsed().as_secs_f64();
    let (after, own_after) = (server.usage()?, server::usage("self")?);
    let mut latencies = Vec::new();
    let mut polls = 0;
    for task in tasks {
        let seen = task.await?.context("under load")?;
        latencies.extend(seen.latencies);
        polls += seen.polls;
    }
    latencies.sort_unstable();
    anyhow::ensure!(!latencies.is_empty(), "nothing was answered in a whole run");
    Ok(Measured {
        requests: f64::from(u32::try_from(latencies.len())?),
        polls: f64::from(polls),
        seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        written_bytes: after.written_bytes - before.written_bytes,
        load_busy: (own_after.cpu_seconds - own_before.cpu_seconds) / seconds,
        latencies,
    })
}

/// When a connection's requests are to begin, in an open loop.
pub(crate) struct Pace {
    pub(crate) next: Instant,
    pub(crate) every: Duration,
}

impl Pace {
    /// Waits until the next request is to begin, if that is still to come, and returns when it was.
    pub(crate) async fn wait(&mut self) -> Instant {
        let begin = self.next;
        self.next += self.every;
        tokio::time::sleep_until(begin.into()).await;
        begin
    }
}

/// One connection; returns the latencies of what was answered while measuring.
async fn loop_until_stopped(
    target: &Target,
    mut asking: Asking,
    mut pace: Option<Pace>,
    phase: &AtomicU8,
) -> anyhow::Result<Seen> {
    let mut connection = target.connect().await?;
    let mut seen = Seen::default();
    loop {
        let asked = asking.next()?;
        seen.polls += u32::from(asked.is_poll);
        let begin = match &mut pace {
            Some(pace) => pace.wait().await,
            None => Instant::now(),
        };
        asking.ask(&mut connection, asked).await?;
        match phase.load(Ordering::Relaxed) {
            MEASURE => seen
                .latencies
                .push(u32::try_from(begin.elapsed().as_micros())?),
            STOP => return Ok(seen),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_exactly_its_size() {
        let mut numbers = Numbers::seeded(1);
        let (first, second) = (body(&numbers.request_id()), body(&numbers.request_id()));
        assert_eq!((first.len(), second.len()), (BODY_BYTES, BODY_BYTES));
        assert_ne!(first, second);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&first).unwrap()["content"].is_string()
        );
    }

    #[test]
    fn a_request_id_has_the_shape_of_a_uuid() {
        let id = Numbers::seeded(7).request_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    }
}

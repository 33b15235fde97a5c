//! A closed loop: each connection sends its next request when the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};

use crate::client::{self, Target};
use crate::server::{self, Server};
use crate::setup::{CHAT_VERSION, Sender};

/// Bytes of a request's body.
pub(crate) const BODY_BYTES: usize = 1024;

/// What one connection asks for.
#[derive(Debug, Clone)]
pub(crate) enum Lane {
    /// Messages to one after the other of a user's threads.
    Send(Sender),
    /// The echo floor.
    Echo,
}

impl Lane {
    fn expected(&self) -> StatusCode {
        match self {
            Self::Send(_) => StatusCode::CREATED,
            Self::Echo => StatusCode::OK,
        }
    }

    fn request(&self, host: &str, number: &mut Numbers) -> anyhow::Result<Request<Full<Bytes>>> {
        let id = number.request_id();
        let body = body(&id);
        match self {
            Self::Send(sender) => {
                let among = u64::try_from(sender.threads.len())?;
                let thread = usize::try_from(number.next() % among)?;
                let thread = &sender.threads[thread];
                let path = format!("/chat/threads/{thread}/messages?api-version={CHAT_VERSION}");
                let headers = [
                    ("authorization", sender.authorization.as_str()),
                    ("x-ms-client-request-id", &id),
                ];
                client::post(host, &path, body, &headers)
            }
            Self::Echo => client::post(host, "/echo", body, &[("x-ms-client-request-id", &id)]),
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

/// What was seen while measuring.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Requests answered.
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    /// CPU seconds of the server.
    pub(crate) cpu_seconds: f64,
    /// Bytes that the server sent to the disk.
    pub(crate) written_bytes: f64,
    /// The share of its core that the load itself used.
    pub(crate) load_busy: f64,
    /// Microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
}

/// Warm-up, measurement and end of a run.
const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// Runs one connection per lane.
pub(crate) async fn run(
    server: &Server,
    target: &Target,
    lanes: &[Lane],
    seed: u64,
    warm_up: Duration,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARM_UP));
    let mut tasks = Vec::with_capacity(lanes.len());
    for (number, lane) in (0_u64..).zip(lanes) {
        let numbers = Numbers::seeded(seed << 16 | (number + 1));
        let (target, lane, phase) = (target.clone(), lane.clone(), Arc::clone(&phase));
        tasks.push(tokio::spawn(async move {
            loop_until_stopped(&target, &lane, numbers, &phase).await
        }));
    }
    tokio::time::sleep(warm_up).await;
    let (before, own_before) = (server.usage()?, server::usage("self")?);
    let begin = Instant::now();
    phase.store(MEASURE, Ordering::Relaxed);
    tokio::time::sleep(duration).await;
    phase.store(STOP, Ordering::Relaxed);
    let seconds = begin.elapsed().as_secs_f64();
    let (after, own_after) = (server.usage()?, server::usage("self")?);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await?.context("under load")?);
    }
    latencies.sort_unstable();
    Ok(Measured {
        requests: f64::from(u32::try_from(latencies.len())?),
        seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        written_bytes: after.written_bytes - before.written_bytes,
        load_busy: (own_after.cpu_seconds - own_before.cpu_seconds) / seconds,
        latencies,
    })
}

/// One connection; returns the latencies of what was answered while measuring.
async fn loop_until_stopped(
    target: &Target,
    lane: &Lane,
    mut numbers: Numbers,
    phase: &AtomicU8,
) -> anyhow::Result<Vec<u32>> {
    let mut connection = target.connect().await?;
    let host = target.host();
    let mut latencies = Vec::new();
    loop {
        let request = lane.request(&host, &mut numbers)?;
        let begin = Instant::now();
        connection.expect(request, lane.expected()).await?;
        match phase.load(Ordering::Relaxed) {
            MEASURE => latencies.push(u32::try_from(begin.elapsed().as_micros())?),
            STOP => return Ok(latencies),
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

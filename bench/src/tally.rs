//! Who got which message, and when: no delivery may be missing, come twice, or come in another
//! order than at the others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::oneshot;

use crate::receiver::Counts;

/// What was sent and what came of it.
#[derive(Debug)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    receivers: Vec<Got>,
    messages: Vec<Message>,
    /// Messages that somebody has not got yet.
    open: usize,
    delivered: Delivered,
    failure: Option<anyhow::Error>,
}

/// A message that was sent.
#[derive(Debug)]
struct Message {
    begun: Instant,
    /// How many have not got it.
    left: usize,
    last: Option<Instant>,
    /// To be told when all have got it.
    waiting: Option<oneshot::Sender<()>>,
}

/// What a receiver has got.
#[derive(Debug, Clone, Default)]
struct Got {
    /// A bit for each message.
    seen: Vec<u64>,
    /// In which order.
    order: u64,
}

/// Deliveries so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Delivered {
    pub(crate) deliveries: u64,
    /// With their framing.
    pub(crate) bytes: u64,
    /// What else went over the connections.
    pub(crate) counts: Counts,
}

impl Tally {
    /// Of so many receivers, each of whom is to get every message.
    pub(crate) fn new(receivers: usize) -> Self {
        let inner = Inner {
            receivers: vec![Got::default(); receivers],
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// A message is sent that was to be sent at that time; its number, and what is told when all
    /// have got it.
    pub(crate) fn send(&self, begun: Instant) -> (usize, oneshot::Receiver<()>) {
        let mut inner = self.lock();
        let (waiting, all_got) = oneshot::channel();
        let left = inner.receivers.len();
        inner.messages.push(Message {
            begun,
            left,
            last: None,
            waiting: Some(waiting),
        });
        inner.open += 1;
        (inner.messages.len() - 1, all_got)
    }

    /// A receiver got a message.
    pub(crate) fn got(&self, receiver: usize, number: usize, bytes: usize) -> anyhow::Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let message = inner.messages.get_mut(number).context("nobody sent that")?;
        let got = &mut inner.receivers[receiver];
        let (word, bit) = (number / 64, 1_u64 << (number % 64));
        if got.seen.len() <= word {
            got.seen.resize(word + 1, 0);
        }
        ensure!(
            got.seen[word] & bit == 0,
            "receiver {receiver} got message {number} twice"
        );
        got.seen[word] |= bit;
        got.order = got.order.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number as u64;
        inner.delivered.deliveries += 1;
        inner.delivered.bytes += bytes as u64;
        message.left -= 1;
        if message.left == 0 {
            message.last = Some(Instant::now());
            inner.open -= 1;
            // One that does not wait for it is not told.
            let _ = message.waiting.take().map(|waiting| waiting.send(()));
        }
        Ok(())
    }

    /// So much went over a connection.
    pub(crate) fn count(&self, more: Counts) {
        let counts = &mut self.lock().delivered.counts;
        counts.records += more.records;
        counts.pings += more.pings;
    }

    /// A receiver cannot go on.
    pub(crate) fn fail(&self, error: anyhow::Error) {
        self.lock().failure.get_or_insert(error);
    }

    /// Deliveries so far.
    pub(crate) fn delivered(&self) -> Delivered {
        self.lock().delivered
    }

    /// Whether all have got all that was sent; an error where that cannot be any more.
    pub(crate) fn is_complete(&self) -> anyhow::Result<bool> {
        let mut inner = self.lock();
        if let Some(failure) = inner.failure.take() {
            return Err(failure);
        }
        Ok(inner.open == 0)
    }

    /// An error unless all have got all that was sent, in one order.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.is_complete()? {
            let inner = self.lock();
            let missed: usize = inner.messages.iter().map(|message| message.left).sum();
            let first = inner.messages.iter().position(|message| message.left > 0);
            let first = first.unwrap_or_default();
            bail!(
                "{missed} deliveries were missed, of {} messages; the first is of number {first}",
                inner.open
            );
        }
        let inner = self.lock();
        let mut receivers = inner.receivers.iter();
        let order = receivers.next().context("no receivers")?.order;
        let same = receivers.all(|receiver| receiver.order == order);
        ensure!(same, "the receivers got the messages in different orders");
        Ok(())
    }

    /// Microseconds from when messages were to be sent to their last delivery, sorted: of those
    /// that were to be sent in that time.
    pub(crate) fn latencies(&self, from: Instant, to: Instant) -> anyhow::Result<Vec<u32>> {
        let inner = self.lock();
        let sent = inner.messages.iter();
        let sent = sent.filter(|message| (from..to).contains(&message.begun));
        let mut micros = Vec::new();
        for message in sent {
            let last = message.last.context("not delivered")?;
            micros.push(u32::try_from((last - message.begun).as_micros())?);
        }
        micros.sort_unstable();
        Ok(micros)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_double_and_a_displaced_delivery_are_each_noticed() {
        let tally = Tally::new(2);
        let now = Instant::now();
        let (first, _) = tally.send(now);
        let (second, _) = tally.send(now);
        tally.got(0, first, 1).unwrap();
        tally.got(0, second, 1).unwrap();
        tally.got(1, second, 1).unwrap();
        let missed = tally.check().unwrap_err().to_string();
        assert!(missed.starts_with("1 deliveries were missed"), "{missed}");
        assert!(tally.got(0, second, 1).is_err());
        tally.got(1, first, 1).unwrap();
        assert!(tally.is_complete().unwrap());
        assert!(tally.check().is_err(), "the order differs");
        assert_eq!(tally.delivered().deliveries, 4);
    }
}

//! The requests that wait for the writer, bounded, and how the writer is woken.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::row;
use super::transaction::Batch;
use crate::error::{Error, Result, StoreFailure};

/// Requests in one transaction: a bound on how long the first of them waits for the last.
const BATCH_MAX: usize = 512;

/// Why a request was not carried out.
pub(super) enum Failure {
    /// It was refused, before anything was written: the group goes on.
    Refused(Error),
    /// The engine failed: the group is lost.
    Broken(rusqlite::Error),
}

/// What a request's work returns.
pub(super) type Outcome<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        if row::is_damage(&error) {
            Self::Refused(Error::Store(StoreFailure::new(error)))
        } else {
            Self::Broken(error)
        }
    }
}

/// A request that waits for the writer.
pub(super) trait Request: Send {
    /// Does the work; an error means that the engine failed.
    fn work(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;
    /// Answers who asked, after the commit or its failure.
    fn answer(self: Box<Self>, failed: Option<&StoreFailure>);
}

struct Write<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Request for Write<T, F>
where
    T: Send,
    F: FnOnce(&mut Batch<'_>) -> Outcome<T> + Send,
{
    fn work(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        let outcome = match self.work.take().map(|work| work(batch)) {
            None => None,
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Failure::Refused(error))) => Some(Err(error)),
            Some(Err(Failure::Broken(error))) => return Err(error),
        };
        self.outcome = outcome;
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<&StoreFailure>) {
        let result = match (failed, self.outcome) {
            (Some(failure), _) => Err(failure.clone().into()),
            (None, Some(result)) => result,
            (None, None) => Err(StoreFailure::new("the writer passed a request over").into()),
        };
        // Who asked may have gone; the change stands all the same.
        let _ = self.reply.send(result);
    }
}

/// The requests that wait, and how the writer is woken.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    max: usize,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Box<dyn Request>>,
    end: Option<End>,
    asleep: bool,
}

/// How the writer is to end.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// Carry out what waits, settle, checkpoint, sync.
    Close,
    /// Carry out what waits and leave the rest to the next start.
    Drop,
}

/// What the writer is to do next.
pub(super) enum Next {
    Requests(Vec<Box<dyn Request>>),
    Rest,
    End(End),
}

impl Queue {
    /// An empty queue for at most `max` requests.
    pub(super) fn new(max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            max,
        }
    }

    /// Has the writer do the work in its next transaction and returns what came of it, once it is
    /// synced.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Outcome<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.push(Box::new(Write {
            work: Some(work),
            outcome: None,
            reply,
        }))?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreFailure::new("the writer has stopped").into()))
    }

    fn push(&self, request: Box<dyn Request>) -> Result<()> {
        let mut waiting = self.lock();
        if waiting.end.is_some() {
            return Err(StoreFailure::new("the store is closed").into());
        }
        if waiting.requests.len() >= self.max {
            return Err(StoreFailure::new("too many writes wait (write_queue_max)").into());
        }
        waiting.requests.push_back(request);
        if std::mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Takes no further request, and ends the writer after those that wait.
    pub(super) fn end(&self, end: End) {
        let mut waiting = self.lock();
        waiting.end.get_or_insert(end);
        waiting.asleep = false;
        drop(waiting);
        self.wake.notify_one();
    }

    /// Refuses what waits and what comes: there is no writer any more.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.end.get_or_insert(End::Drop);
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        drop(requests);
    }

    /// Waits for something to do; `rest_after` of quiet is something too.
    pub(super) fn next(&self, rest_after: Option<Duration>) -> Next {
        let mut waiting = self.lock();
        loop {
            if !waiting.requests.is_empty() {
                let count = waiting.requests.len().min(BATCH_MAX);
                return Next::Requests(waiting.requests.drain(..count).collect());
            }
            if let Some(end) = waiting.end {
                return Next::End(end);
            }
            waiting.asleep = true;
            waiting = if let Some(after) = rest_after {
                let (waiting, timeout) = self
                    .wake
                    .wait_timeout(waiting, after)
                    .unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() && waiting.requests.is_empty() && waiting.end.is_none() {
                    return Next::Rest;
                }
                waiting
            } else {
                self.wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Whether nobody waits and no end is asked for.
    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.requests.is_empty() && waiting.end.is_none()
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

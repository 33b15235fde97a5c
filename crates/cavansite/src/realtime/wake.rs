//! Waking connections' tasks by the thread that they live on, where it costs no system call: one
//! message to each thread, however many tasks it wakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The threads that connections live on.
#[derive(Default)]
pub(super) struct Workers(Mutex<Known>);

/// What waits in a channel is bounded: a connection is in it once at the most, until its task has
/// run.
#[derive(Default)]
struct Known {
    numbers: HashMap<ThreadId, usize>,
    channels: Vec<UnboundedSender<Vec<Arc<Notify>>>>,
}

impl Workers {
    /// The number of the caller's thread, where a task that wakes others is running from now on.
    pub(super) fn here(&self) -> usize {
        let mut known = self.lock();
        let thread = thread::current().id();
        if let Some(number) = known.numbers.get(&thread) {
            return *number;
        }
        let (channel, mut woken) = unbounded_channel::<Vec<Arc<Notify>>>();
        tokio::spawn(async move {
            while let Some(wakes) = woken.recv().await {
                for wake in wakes {
                    wake.notify_one();
                }
            }
        });
        let number = known.channels.len();
        known.channels.push(channel);
        known.numbers.insert(thread, number);
        number
    }

    /// Wakes tasks.
    pub(super) fn wake(&self, woken: Woken) {
        for (worker, wakes) in woken.0.into_iter().enumerate() {
            if wakes.is_empty() {
                continue;
            }
            if let Some(channel) = self.lock().channels.get(worker) {
                // An error: the thread has ended, and its connections with it.
                let _ = channel.send(wakes);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to wake, by the thread that they live on.
#[derive(Default)]
pub(super) struct Woken(Vec<Vec<Arc<Notify>>>);

impl Woken {
    /// The task that waits for `wake`, on the thread of that number.
    pub(super) fn add(&mut self, worker: usize, wake: &Arc<Notify>) {
        if self.0.len() <= worker {
            self.0.resize_with(worker + 1, Vec::new);
        }
        self.0[worker].push(Arc::clone(wake));
    }
}

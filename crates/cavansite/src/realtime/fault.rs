//! Planted faults, to show that `cargo xtask crash soak` finds them. Only built with the feature
//! `fault-injection`, which no build that is shipped has. The variable `FAULT_INJECTION` chooses.

use std::sync::{Arc, Mutex, PoisonError};

use cavansite_core::events::{Audience, EventKind, ThreadEvent};
use cavansite_core::model::{Message, Timestamp, UserId};

/// One event in so many.
const ONE_IN: u64 = 100;

/// An event with those who are to be told.
pub(super) type Told = (ThreadEvent, Arc<dyn Audience>);

/// What was told so far.
#[derive(Default)]
struct State {
    events: u64,
    held_back: Option<Told>,
}

static STATE: Mutex<State> = Mutex::new(State {
    events: 0,
    held_back: None,
});

/// What is told in place of an event: `drop-event` leaves it out, `duplicate-event` tells it again
/// as another message, `leak-event` tells it to all of `everybody`, `reorder-events` tells it after
/// the next one of its thread.
pub(super) fn distort(told: Told, everybody: impl FnOnce() -> Vec<UserId>) -> Vec<Told> {
    let Ok(fault) = std::env::var("FAULT_INJECTION") else {
        return vec![told];
    };
    if told.0.position().is_none() {
        return vec![told];
    }
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = told.0.thread;
    if let Some(held_back) = state.held_back.take_if(|(event, _)| event.thread == thread) {
        return vec![told, held_back];
    }
    state.events += 1;
    if !state.events.is_multiple_of(ONE_IN) {
        return vec![told];
    }
    match fault.as_str() {
        "drop-event" => Vec::new(),
        "duplicate-event" => {
            let again = (another(&told.0), Arc::clone(&told.1));
            vec![told, again]
        }
        "leak-event" => vec![(told.0, Arc::new(Everybody(everybody())))],
        "reorder-events" => state.held_back.replace(told).into_iter().collect(),
        _ => vec![told],
    }
}

/// The same message under another id, where it is one that came.
fn another(event: &ThreadEvent) -> ThreadEvent {
    let mut event = event.clone();
    if let EventKind::MessageReceived(message) = &event.kind {
        let mut another = Message::clone(message);
        another.id.0 += 1;
        another.version.0 += 1;
        event.kind = EventKind::MessageReceived(Arc::new(another));
    }
    event
}

/// All who are connected, with all of the history.
struct Everybody(Vec<UserId>);

impl Audience for Everybody {
    fn for_each(&self, tell: &mut dyn FnMut(&UserId, Timestamp)) {
        for user in &self.0 {
            tell(user, Timestamp::EPOCH);
        }
    }
}

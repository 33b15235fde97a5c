//! The model: what a server may show, given what its clients were told up to a point.
//!
//! What was acknowledged must be there, and once. What was in flight may be there, whole or not at
//! all. What was refused must not be there once a later write was acknowledged (until then the
//! server may not have been able to take it back). What a reader was shown must be there. Within a
//! thread every change has the next sequence number, and what was acknowledged before something
//! else was asked for comes before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Action, Body, End, History, Message, Op};
use crate::load;
use crate::observe::{Observed, Thread};
use crate::report::brief;
use crate::script::{Script, Shown};
use crate::server::User;

/// What the model knows of an operation at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// It was acknowledged.
    Acknowledged,
    /// It may have happened.
    Open,
    /// It was refused for good.
    Impossible,
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What breaks a promise.
    pub(crate) faults: Vec<String>,
    /// Open operations that have happened, with the id of what was made.
    pub(crate) happened: BTreeMap<usize, String>,
    /// Acknowledged writes that were looked for.
    pub(crate) acknowledged: usize,
    /// The position of the record by which all of it had been shown.
    pub(crate) shown_at: u64,
    /// The threads as the clients should know them.
    pub(crate) threads: Vec<load::Thread>,
}

/// Compares what a server shows with the history.
pub(crate) fn check(history: &History, users: &[User], observed: &Observed) -> Verdict {
    let certainties = certainties(history);
    let writes = history.ops.iter().zip(&certainties);
    let mut verdict = Verdict {
        faults: observed.faults.clone(),
        acknowledged: writes
            .filter(|(op, certainty)| {
                op.action.is_write() && **certainty == Certainty::Acknowledged
            })
            .count(),
        ..Verdict::default()
    };
    let view = View {
        ops: &history.ops,
        certainties: &certainties,
        users,
    };
    for (id, thread) in &observed.threads {
        view.check_thread(id, thread, &mut verdict);
    }
    for (op, certainty) in history.ops.iter().zip(&certainties) {
        if let (Action::Create { .. }, Some((_, End::Done(id)))) = (&op.action, &op.ended)
            && *certainty == Certainty::Acknowledged
            && !observed.threads.contains_key(id)
        {
            verdict.faults.push(format!("lost: thread {id}"));
        }
    }
    verdict
}

/// What is known of each operation.
pub(crate) fn certainties(history: &History) -> Vec<Certainty> {
    let acknowledged = history.ops.iter().filter(|op| op.action.is_write());
    let acknowledged = acknowledged
        .filter(|op| matches!(op.ended, Some((_, End::Done(_)))))
        .map(|op| op.started.order)
        .max();
    let certainty = |op: &Op| match &op.ended {
        Some((_, End::Done(_))) => Certainty::Acknowledged,
        Some((_, End::Absent)) => Certainty::Impossible,
        // The later write could only be taken once the earlier one was taken back.
        Some((moment, End::Refused)) if acknowledged > Some(moment.order) => Certainty::Impossible,
        None | Some((_, End::Refused)) => Certainty::Open,
    };
    history.ops.iter().map(certainty).collect()
}

/// A history with what is known of it.
pub(crate) struct View<'a> {
    pub(crate) ops: &'a [Op],
    pub(crate) certainties: &'a [Certainty],
    pub(crate) users: &'a [User],
}

/// A change of a thread: its place in an order, and the operation that made it.
type Change = (u64, usize);

impl View<'_> {
    /// The operations that are of interest and not impossible.
    pub(crate) fn possible<'a, T>(
        &'a self,
        of_interest: impl Fn(&'a Op) -> Option<T>,
    ) -> Vec<(usize, Certainty, T)> {
        let ops = self.ops.iter().zip(self.certainties).enumerate();
        ops.filter(|(_, (_, certainty))| **certainty != Certainty::Impossible)
            .filter_map(|(number, (op, certainty))| Some((number, *certainty, of_interest(op)?)))
            .collect()
    }

    fn check_thread(&self, id: &str, thread: &Thread, verdict: &mut Verdict) {
        let mut faults = Vec::new();
        let Some(script) = Script::find(self, id, thread) else {
            let fault = format!("thread {id} is of no create that can have happened");
            return verdict.faults.push(fault);
        };
        let mut made: Vec<Change> = Vec::new();
        let mut changed: Vec<Change> = Vec::new();
        match script.explain(self, thread) {
            Ok(shown) => {
                check_outsiders(&shown, thread, &mut faults);
                verdict.happened.extend(shown.happened.clone());
                made.extend(shown.messages.iter().map(|(message, op)| (message.id, *op)));
                changed.extend(
                    shown
                        .messages
                        .iter()
                        .map(|(message, op)| (message.sequence, *op)),
                );
                verdict.threads.push(load::Thread {
                    id: id.to_owned(),
                    owner: script.owner,
                    guests: self.guests(&thread.participants),
                });
            }
            Err(fault) => faults.push(fault),
        }
        let mut superseded = 0;
        self.check_messages(id, thread, &mut faults, |message, sent, last, changes| {
            superseded += changes;
            made.push((message.id, sent));
            changed.push((message.sequence, last));
            for op in [sent, last] {
                if self.certainties[op] == Certainty::Open {
                    verdict.happened.insert(op, message.id.to_string());
                }
            }
        });
        check_numbers(thread, superseded, &mut faults);
        self.check_order("id", made, &mut faults);
        self.check_order("sequence", changed, &mut faults);
        self.check_receipts(id, thread, verdict, &mut faults);
        self.check_readings(id, thread, &mut faults);
        verdict.faults.extend(
            faults
                .into_iter()
                .map(|fault| format!("thread {id}: {fault}")),
        );
    }

    fn guests(&self, participants: &[String]) -> BTreeSet<usize> {
        let numbers = (load::CLIENTS..self.users.len())
            .filter(|number| participants.contains(&self.users[*number].id));
        numbers.collect()
    }

    /// Users' messages: each of one send, as its last change left it. Hands on each message with
    /// its send, its last change, and how many changes it had.
    fn check_messages(
        &self,
        id: &str,
        thread: &Thread,
        faults: &mut Vec<String>,
        mut found: impl FnMut(&Message, usize, usize, u64),
    ) {
        let sends = self.possible(|op| match &op.action {
            Action::Send {
                thread, content, ..
            } if thread == id => {
                let made = match &op.ended {
                    Some((_, End::Done(made))) => made.parse::<u64>().ok(),
                    _ => None,
                };
                Some((made, content))
            }
            _ => None,
        });
        let mut missing: BTreeSet<usize> = sends
            .iter()
            .filter(|(_, certainty, _)| *certainty == Certainty::Acknowledged)
            .map(|(number, ..)| *number)
            .collect();
        let mut seen = BTreeSet::new();
        for message in &thread.messages {
            let Body::User { sender, content } = &message.body else {
                continue;
            };
            let send = sends.iter().find(|(_, _, (made, first))| match made {
                Some(made) => *made == message.id,
                None => content.as_ref() == Some(first),
            });
            let Some((number, _, (_, first))) = send else {
                faults.push(format!(
                    "of no send that can have happened: {}",
                    brief(message)
                ));
                continue;
            };
            if !seen.insert(*number) {
                faults.push(format!("stored twice: {}", brief(message)));
            }
            missing.remove(number);
            if *sender != self.users[self.ops[*number].client].id {
                faults.push(format!("not its sender's: {}", brief(message)));
            }
            match self.last_change(id, message.id, (*number, first), content.as_ref()) {
                Some((last, changes)) => found(message, *number, last, changes),
                None => faults.push(format!("not as it was left: {}", brief(message))),
            }
        }
        for number in missing {
            faults.push(format!("lost: {}", brief(&self.ops[number].action)));
        }
    }

    /// The operation that left a message with that content, and how many have changed it; `None`
    /// when none can have.
    fn last_change(
        &self,
        thread: &str,
        message: u64,
        send: (usize, &String),
        content: Option<&String>,
    ) -> Option<(usize, u64)> {
        let changes = self.possible(|op| match &op.action {
            Action::Edit {
                thread: t,
                message: m,
                content,
            } if (t.as_str(), *m) == (thread, message) => Some(Some(content)),
            Action::Delete {
                thread: t,
                message: m,
            } if (t.as_str(), *m) == (thread, message) => Some(None),
            _ => None,
        });
        let mut acknowledged = changes
            .iter()
            .filter(|(_, certainty, _)| *certainty == Certainty::Acknowledged);
        let count = acknowledged.clone().count() as u64;
        let (last, left) = acknowledged
            .next_back()
            .map_or((send.0, Some(send.1)), |(number, _, left)| (*number, *left));
        if left == content {
            return Some((last, count));
        }
        let mut open = changes
            .iter()
            .filter(|(number, certainty, _)| *certainty == Certainty::Open && *number > last);
        let (number, ..) = open.find(|(_, _, left)| *left == content)?;
        Some((*number, count + 1))
    }

    /// What was acknowledged before something else was asked for has the smaller number.
    fn check_order(&self, what: &str, mut changes: Vec<Change>, faults: &mut Vec<String>) {
        changes.sort_unstable();
        let mut latest_start = 0;
        for (number, op) in changes {
            let op = &self.ops[op];
            let ended = match &op.ended {
                Some((moment, End::Done(_))) => moment.order,
                _ => u64::MAX,
            };
            if ended < latest_start {
                faults.push(format!(
                    "out of order by {what} {number}: {}",
                    brief(&op.action)
                ));
            }
            latest_start = latest_start.max(op.started.order);
        }
    }

    fn check_receipts(
        &self,
        id: &str,
        thread: &Thread,
        verdict: &mut Verdict,
        faults: &mut Vec<String>,
    ) {
        for (client, user) in self.users.iter().enumerate() {
            let receipts = self.possible(|op| match &op.action {
                Action::Receipt { thread, message } if thread == id && op.client == client => {
                    Some(*message)
                }
                _ => None,
            });
            let acknowledged = receipts
                .iter()
                .filter(|(_, certainty, _)| *certainty == Certainty::Acknowledged)
                .map(|(.., message)| *message)
                .max();
            let shown = thread.receipts.get(&user.id).copied();
            if shown == acknowledged {
                continue;
            }
            let open = receipts.iter().find(|(_, certainty, message)| {
                *certainty == Certainty::Open
                    && Some(*message) == shown
                    && Some(*message) > acknowledged
            });
            match open {
                Some((number, ..)) => {
                    verdict.happened.insert(*number, String::new());
                }
                None => faults.push(format!(
                    "the receipt of {} is {shown:?} and was acknowledged as {acknowledged:?}",
                    user.id
                )),
            }
        }
    }

    /// What somebody was shown is there, or has changed since.
    fn check_readings(&self, id: &str, thread: &Thread, faults: &mut Vec<String>) {
        let readings = self.possible(|op| match &op.action {
            Action::Read { thread, messages } if thread == id => Some(messages),
            _ => None,
        });
        for (_, certainty, messages) in readings {
            if certainty != Certainty::Acknowledged {
                continue;
            }
            for shown in messages {
                let stands = thread.messages.iter().any(|message| {
                    message.id == shown.id && (message.version > shown.version || message == shown)
                });
                if !stands {
                    faults.push(format!("was shown and is not there: {}", brief(shown)));
                }
            }
        }
    }
}

/// Nobody is shown what is not theirs.
fn check_outsiders(shown: &Shown<'_>, thread: &Thread, faults: &mut Vec<String>) {
    if thread.stranger != 403 {
        let fault = format!("a stranger was answered with {}", thread.stranger);
        faults.push(fault);
    }
    for (guest, view) in &thread.guests {
        let expected = match shown.guests.get(guest) {
            None => Err(403),
            Some(guest) => Ok(thread
                .messages
                .iter()
                .filter(|message| {
                    !guest.hidden && guest.removed_at.is_none_or(|at| message.version <= at)
                })
                .collect::<Vec<_>>()),
        };
        let view = match view {
            Ok(messages) => {
                let mut messages: Vec<_> = messages.iter().collect();
                messages.sort_by_key(|message| message.sequence);
                Ok(messages)
            }
            Err(status) => Err(*status),
        };
        if view != expected {
            faults.push(format!(
                "{guest} is shown {}, and should be shown {}",
                brief(&view),
                brief(&expected)
            ));
        }
    }
}

/// Numbers are unique and rise together; every change has one, without a gap.
fn check_numbers(thread: &Thread, superseded: u64, faults: &mut Vec<String>) {
    let messages = &thread.messages;
    for pair in messages.windows(2) {
        if pair[0].sequence >= pair[1].sequence || pair[0].version >= pair[1].version {
            faults.push(format!(
                "versions do not rise with sequences: {:?} {:?}",
                (pair[0].version, pair[0].sequence),
                (pair[1].version, pair[1].sequence)
            ));
        }
    }
    let ids: BTreeSet<_> = messages.iter().map(|message| message.id).collect();
    if ids.len() < messages.len() {
        faults.push("two messages have one id".to_owned());
    }
    let changes = messages.len() as u64 + superseded;
    let last = messages.last().map_or(0, |message| message.sequence);
    if last != changes {
        faults.push(format!(
            "the last sequence is {last} after {changes} changes"
        ));
    }
}

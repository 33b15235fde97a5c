//! What a thread holds in the end, as its owner is shown it, beside what was asked of it: who was
//! in it from when to when, and what must be told of it.

use std::collections::HashMap;

use anyhow::Context as _;
use serde_json::Value;

use super::acts::Actor;
use super::event::{Names, What, mark, message_mark, thread_mark};
use super::world::{Move, Outcome, Thread};
use crate::history::{Body, Message};
use crate::observe;

/// Within so many milliseconds times and versions do not decide what was first: more than one
/// change of a thread may be committed in one, and versions go ahead of the clock then.
const TIE_MS: u64 = 25;

/// A time in which somebody was in a thread, by versions; and from when on they see its history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stay {
    pub(super) from: u64,
    pub(super) until: Option<u64>,
    pub(super) history_from: u64,
}

/// Whether somebody may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    No,
    /// It came at the limit.
    Perhaps,
    Yes,
}

/// Something that a thread tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) version: u64,
    pub(super) what: What,
    pub(super) mark: u64,
}

/// A message as it stands in the end.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) sender: usize,
    pub(super) version: u64,
    /// `None` for one that was deleted.
    pub(super) mark: Option<u64>,
    /// The marks of all that it may have said, the first one first.
    pub(super) contents: Vec<u64>,
}

/// A thread in the end.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What must be told, by version.
    pub(super) entries: Vec<Entry>,
    pub(super) messages: HashMap<u64, Standing>,
    stays: HashMap<usize, Vec<Stay>>,
    /// What was acknowledged and is not there, and what nobody asked for.
    pub(super) faults: Vec<String>,
}

impl Ledger {
    /// Reads a thread back.
    pub(super) async fn read(
        actor: &mut Actor<'_>,
        thread: &Thread,
        names: &Names,
    ) -> anyhow::Result<Self> {
        let path = format!("/chat/threads/{}/messages?maxPageSize=200", thread.id);
        let list = actor.list(thread.owner, &path).await?;
        let mut rows = observe::messages(&Value::Array(list)).context(thread.id.clone())?;
        rows.sort_by_key(|row| row.sequence);
        Ok(Self::new(thread, &rows, names))
    }

    /// Compares what a thread holds with what was asked of it.
    pub(super) fn new(thread: &Thread, rows: &[Message], names: &Names) -> Self {
        let mut ledger = Self::default();
        ledger.add_messages(thread, rows, names);
        ledger.add_topics(thread, rows);
        ledger.add_people(thread, rows, names);
        ledger.entries.sort_by_key(|entry| entry.version);
        ledger
    }

    fn add_messages(&mut self, thread: &Thread, rows: &[Message], names: &Names) {
        let sent = thread.sent.borrow();
        for row in rows {
            let Body::User { sender, content } = &row.body else {
                continue;
            };
            let sender = names.user(sender);
            let mark_now = content
                .as_deref()
                .map(|content| message_mark(sender, content));
            let contents = match sent.get(&row.id) {
                Some(sent) => {
                    if sent.sender != sender || !sent.may_say.contains(&mark_now) {
                        self.faults.push(format!(
                            "message {} of {} is not as its sender was told",
                            row.id, thread.id
                        ));
                    }
                    sent.contents.clone()
                }
                None => mark_now.into_iter().collect(),
            };
            let in_doubt = thread.in_doubt.borrow();
            if !sent.contains_key(&row.id) && !mark_now.is_some_and(|mark| in_doubt.contains(&mark))
            {
                self.faults.push(format!(
                    "nobody has sent message {} of {}",
                    row.id, thread.id
                ));
            }
            let (what, entry_mark) = match mark_now {
                None => (What::Deleted(row.id), mark(&sender)),
                Some(mark) if row.version == row.id => (What::Received(row.id), mark),
                Some(mark) => (What::Edited(row.id), mark),
            };
            self.entries.push(Entry {
                version: row.version,
                what,
                mark: entry_mark,
            });
            let standing = Standing {
                sender,
                version: row.version,
                mark: mark_now,
                contents,
            };
            self.messages.insert(row.id, standing);
        }
        for id in sent.keys().filter(|id| !self.messages.contains_key(id)) {
            let fault = format!("message {id} of {} was acknowledged and is lost", thread.id);
            self.faults.push(fault);
        }
    }

    fn add_topics(&mut self, thread: &Thread, rows: &[Message]) {
        let mut asked = thread.topics.borrow().clone();
        for row in rows.iter().filter(|row| row.sequence > 2) {
            let Body::Topic(topic) = &row.body else {
                continue;
            };
            let mark = mark(topic);
            if matches!(asked.remove(&mark), None | Some(Outcome::Refused)) {
                let fault = format!("nobody has set the topic {topic:?} of {}", thread.id);
                self.faults.push(fault);
            }
            self.entries.push(Entry {
                version: row.version,
                what: What::Topic,
                mark,
            });
        }
        let lost = asked.values().filter(|outcome| **outcome == Outcome::Done);
        for _ in lost {
            let fault = format!("a topic of {} was acknowledged and is lost", thread.id);
            self.faults.push(fault);
        }
    }

    fn add_people(&mut self, thread: &Thread, rows: &[Message], names: &Names) {
        let first = rows.first().map_or(0, |row| row.version);
        for user in &thread.first_people {
            self.join(*user, first, 0);
        }
        if let Some(second) = rows.get(1) {
            let people = thread.first_people.iter().copied().collect();
            self.entries.push(Entry {
                version: second.version,
                what: What::Created,
                mark: thread_mark(&thread.first_topic, people),
            });
        }
        let moves = thread.moves.borrow();
        let mut moves = moves
            .iter()
            .filter(|(_, outcome)| *outcome != Outcome::Refused);
        for row in rows.iter().skip(1) {
            let (people, is_added) = match &row.body {
                Body::Added(people) => (people, true),
                Body::Removed(people) => (people, false),
                _ => continue,
            };
            let user = people.first().map_or(usize::MAX, |id| names.user(id));
            // Those that were not acknowledged may have been for nothing.
            let found = moves.by_ref().find(|(next, outcome)| {
                let is_it = match next {
                    Move::Add(added, _) => is_added && *added == user,
                    Move::Remove(removed) => !is_added && *removed == user,
                };
                is_it || *outcome == Outcome::Done
            });
            let (version, what) = match found {
                Some((Move::Add(added, history_from), _)) if is_added && *added == user => {
                    self.join(user, row.version, *history_from);
                    (row.version, What::Added(user))
                }
                Some((Move::Remove(removed), _)) if !is_added && *removed == user => {
                    self.leave(user, row.version);
                    (row.version, What::Removed(user))
                }
                other => {
                    let id = &thread.id;
                    let fault = format!("{id} tells of {:?} and not of {other:?}", row.body);
                    self.faults.push(fault);
                    return;
                }
            };
            self.entries.push(Entry {
                version,
                what,
                mark: 0,
            });
        }
        for (lost, _) in moves.filter(|(_, outcome)| *outcome == Outcome::Done) {
            let fault = format!("{} does not tell of {lost:?}, which was done", thread.id);
            self.faults.push(fault);
        }
    }

    fn join(&mut self, user: usize, from: u64, history_from: u64) {
        self.stays.entry(user).or_default().push(Stay {
            from,
            until: None,
            history_from,
        });
    }

    fn leave(&mut self, user: usize, at: u64) {
        let stays = self.stays.entry(user).or_default();
        if let Some(stay) = stays.last_mut() {
            stay.until = Some(at);
        }
    }

    /// When somebody was in it.
    pub(super) fn stays(&self, user: usize) -> &[Stay] {
        self.stays.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody may be told what happened at that version, of that message if of one.
    pub(super) fn right(&self, user: usize, version: u64, message: Option<u64>) -> Right {
        let stays = self.stays(user).iter();
        stays
            .map(|stay| stay.right(version, message))
            .max()
            .unwrap_or(Right::No)
    }
}

impl Stay {
    pub(super) fn right(&self, version: u64, message: Option<u64>) -> Right {
        if self.until.is_some_and(|until| version > until) {
            return Right::No;
        }
        // What else happened in the millisecond in which they came, lists decide.
        let is_hidden = self.history_from > self.from && version > self.from;
        let surely = if is_hidden {
            self.from + TIE_MS
        } else {
            self.from
        };
        let since = at_or_after(version, surely, self.from.saturating_sub(TIE_MS));
        let history = message.map_or(Right::Yes, |id| {
            at_or_after(
                id,
                self.history_from.saturating_add(TIE_MS),
                self.history_from,
            )
        });
        since.min(history)
    }
}

fn at_or_after(at: u64, surely: u64, perhaps: u64) -> Right {
    if at >= surely {
        Right::Yes
    } else if at >= perhaps {
        Right::Perhaps
    } else {
        Right::No
    }
}

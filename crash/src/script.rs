//! What its owner did to a thread, one step after the other, and so what it must look like: its
//! topic, its people and the messages that tell of them, which change together or not at all.

use std::collections::BTreeMap;

use crate::history::{Action, Body, End, Message};
use crate::model::{Certainty, View};
use crate::observe::Thread;
use crate::report::brief;

/// The steps of a thread's owner.
pub(crate) struct Script<'t> {
    id: &'t str,
    pub(crate) owner: usize,
    /// Operations and what is known of them; the create is the first.
    steps: Vec<(usize, Certainty)>,
}

/// What somebody who is or was in a thread may see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Nothing at all was shared.
    pub(crate) hidden: bool,
    /// The version of the message that tells of their removal.
    pub(crate) removed_at: Option<u64>,
}

/// A thread that is explained.
pub(crate) struct Shown<'a> {
    /// Its system messages, each with the step that it tells of.
    pub(crate) messages: Vec<(&'a Message, usize)>,
    /// All who are or were in it.
    pub(crate) guests: BTreeMap<String, Guest>,
    /// Open steps that have happened, with the id of what was made.
    pub(crate) happened: BTreeMap<usize, String>,
}

impl<'t> Script<'t> {
    /// The script of the thread; `None` when no create that can have happened is its own.
    pub(crate) fn find(view: &View<'_>, id: &'t str, thread: &Thread) -> Option<Self> {
        let creates = view.possible(|op| match (&op.action, &op.ended) {
            (Action::Create { .. }, Some((_, End::Done(made)))) => (made == id).then_some(op),
            // Nobody knew its id, so nobody has changed its topic.
            (Action::Create { topic, .. }, _) => (*topic == thread.topic).then_some(op),
            _ => None,
        });
        let (create, certainty, op) = creates.into_iter().next()?;
        let owner = op.client;
        let later = view.possible(|op| match &op.action {
            Action::Topic { thread, .. }
            | Action::Add { thread, .. }
            | Action::Remove { thread, .. } => (thread == id).then_some(()),
            _ => None,
        });
        let later = later
            .into_iter()
            .map(|(number, certainty, ())| (number, certainty));
        Some(Self {
            id,
            owner,
            steps: std::iter::once((create, certainty)).chain(later).collect(),
        })
    }

    /// Finds which of the open steps has happened, at most one: the thread is then exactly so.
    pub(crate) fn explain<'a>(
        &self,
        view: &View<'_>,
        thread: &'a Thread,
    ) -> Result<Shown<'a>, String> {
        let known = self.steps.iter().skip(1);
        let acknowledged = |step: &&(usize, Certainty)| step.1 == Certainty::Acknowledged;
        // That the thread is there means that its create has happened.
        let sure: Vec<usize> = std::iter::once(&self.steps[0])
            .chain(known.clone().filter(acknowledged))
            .map(|(number, _)| *number)
            .collect();
        let open = known
            .filter(|step| step.1 == Certainty::Open)
            .map(|(number, _)| *number);
        let mut reason = String::new();
        for last in std::iter::once(None).chain(open.map(Some)) {
            let steps: Vec<usize> = sure.iter().copied().chain(last).collect();
            match play(view, self.owner, &steps, thread) {
                Ok(mut shown) => {
                    let create = self.steps[0];
                    let create = (create.1 == Certainty::Open).then_some(create.0);
                    let happened = create.into_iter().chain(last);
                    shown.happened = happened.map(|op| (op, self.id.to_owned())).collect();
                    return Ok(shown);
                }
                Err(differs) => reason = differs,
            }
        }
        Err(reason)
    }
}

/// What the thread is after these steps, if it is as observed; otherwise what differs.
fn play<'a>(
    view: &View<'_>,
    owner: usize,
    steps: &[usize],
    thread: &'a Thread,
) -> Result<Shown<'a>, String> {
    let mut present = Vec::new();
    let mut guests: BTreeMap<String, Guest> = BTreeMap::new();
    let mut title = String::new();
    let is_of_the_system = |message: &&Message| !matches!(message.body, Body::User { .. });
    let mut told = thread.messages.iter().filter(is_of_the_system);
    let mut messages = Vec::new();
    for &step in steps {
        let action = &view.ops[step].action;
        for body in told_of(action, &view.users[owner].id) {
            let message = match told.next() {
                Some(message) if message.body == body => message,
                other => {
                    let (body, other) = (brief(&body), brief(&other));
                    return Err(format!("{body} should be told of, and not {other}"));
                }
            };
            messages.push((message, step));
            match body {
                Body::Topic(topic) => title = topic,
                Body::Added(people) => {
                    let guest = Guest {
                        hidden: matches!(action, Action::Add { hidden: true, .. }),
                        removed_at: None,
                    };
                    guests.extend(people.iter().map(|person| (person.clone(), guest.clone())));
                    present.extend(people);
                }
                Body::Removed(people) => {
                    present.retain(|person| !people.contains(person));
                    for (_, guest) in guests
                        .iter_mut()
                        .filter(|(person, _)| people.contains(person))
                    {
                        guest.removed_at = Some(message.version);
                    }
                }
                Body::User { .. } => {}
            }
        }
    }
    if let Some(message) = told.next() {
        return Err(format!("of no step that can have happened: {message:?}"));
    }
    if sorted(&present) != thread.participants || title != thread.topic {
        return Err(format!(
            "{title:?} with {present:?} should be there, and not {:?} with {:?}",
            thread.topic, thread.participants
        ));
    }
    Ok(Shown {
        messages,
        guests,
        happened: BTreeMap::new(),
    })
}

/// The messages by which a thread tells of a step.
fn told_of(action: &Action, owner: &str) -> Vec<Body> {
    match action {
        Action::Create {
            topic,
            participants,
            ..
        } => {
            let mut people = participants.clone();
            people.push(owner.to_owned());
            vec![Body::Added(sorted(&people)), Body::Topic(topic.clone())]
        }
        Action::Topic { topic, .. } => vec![Body::Topic(topic.clone())],
        Action::Add { users, .. } => vec![Body::Added(sorted(users))],
        Action::Remove { user, .. } => vec![Body::Removed(vec![user.clone()])],
        _ => Vec::new(),
    }
}

fn sorted(people: &[String]) -> Vec<String> {
    let mut people = people.to_vec();
    people.sort();
    people
}

//! What users do: they send, edit, delete, add and remove people, change topics, type and read, and
//! note what they were told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::event::{mark, message_mark};
use super::world::{Move, Outcome, Place, RETRY, Sent, Thread, World, count, now_ms};
use crate::http::{Answer, Connection};

/// Users who are asked to do something at the same time.
pub(super) const ACTORS: usize = 6;
/// The longest pause of one of them between two requests.
const PAUSE_MAX_MS: u64 = 110;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Threads of a round, and the one more that is flooded.
const THREADS: usize = 6;
/// How long somebody who was removed stays away at least: what they were told before has arrived.
const AWAY_MS: u64 = 3_000;
/// Messages of a flood and the length of each: together more than the buffers of a connection hold.
const FLOOD: usize = 160;
const FLOOD_BYTES: usize = 27_000;
/// A time at which nothing has happened yet: 2100-01-01.
const NEVER_MS: u64 = 4_102_444_800_000;

/// What became of a request, with the body of its answer.
enum Reply {
    Done(Value),
    Refused,
    Unknown,
}

impl Reply {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Done(_) => Outcome::Done,
            Self::Refused => Outcome::Refused,
            Self::Unknown => Outcome::Unknown,
        }
    }
}

/// One who acts for users.
pub(super) struct Actor<'a> {
    world: &'a World,
    rng: Rng,
    connections: HashMap<usize, (String, Connection)>,
}

impl<'a> Actor<'a> {
    pub(super) fn new(world: &'a World, rng: Rng) -> Self {
        Self {
            world,
            rng,
            connections: HashMap::new(),
        }
    }

    /// Acts until that time.
    pub(super) async fn act_until(&mut self, end: Instant) {
        while Instant::now() < end {
            self.act().await;
            sleep(Duration::from_millis(self.rng.u64(..PAUSE_MAX_MS))).await;
        }
    }

    async fn act(&mut self) {
        // The last one is the one that is flooded.
        let threads = self.world.threads.borrow().clone();
        let Some(thread) = self.rng.choice(threads.iter().take(THREADS)) else {
            return;
        };
        let Some(user) = self.rng.choice(thread.present()) else {
            return;
        };
        match self.rng.u8(..100) {
            0..62 => {
                let content = self.world.content(&mut self.rng);
                self.send(thread, user, content).await;
            }
            62..70 => self.change(thread, false).await,
            70..74 => self.change(thread, true).await,
            74..88 => self.add_or_remove(thread).await,
            88..92 => self.set_topic(thread, user).await,
            92..96 => {
                let path = format!("/chat/threads/{}/typing", thread.id);
                self.ask(user, Method::POST, &path, json!({})).await;
            }
            _ => self.read(thread, user).await,
        }
    }

    /// Sends, in the name of that user.
    async fn send(&mut self, thread: &Thread, user: usize, content: String) {
        let mark = message_mark(user, &content);
        thread.in_doubt.borrow_mut().insert(mark);
        let path = format!("/chat/threads/{}/messages", thread.id);
        let body = json!({ "content": content });
        let reply = self.ask(user, Method::POST, &path, body).await;
        if let Reply::Done(body) = &reply {
            let id = body["id"].as_str().and_then(|id| id.parse().ok());
            let Some(id) = id else {
                return self.world.fault(format!("a send was answered with {body}"));
            };
            let sent = Sent {
                sender: user,
                contents: vec![mark],
                may_say: vec![Some(mark)],
            };
            if thread.sent.borrow_mut().insert(id, sent).is_some() {
                let fault = format!("message {id} of {} was acknowledged twice", thread.id);
                self.world.fault(fault);
            }
            thread.changeable.borrow_mut().push((id, user));
        }
        if reply.outcome() != Outcome::Unknown {
            thread.in_doubt.borrow_mut().remove(&mark);
        }
    }

    /// Edits or deletes a message, which nobody else changes meanwhile.
    async fn change(&mut self, thread: &Thread, deletes: bool) {
        let chosen = {
            let mut changeable = thread.changeable.borrow_mut();
            if changeable.is_empty() {
                return;
            }
            // One of the newest: edits come while the message itself is still on its way.
            let oldest = changeable.len().saturating_sub(5);
            let at = self.rng.usize(oldest..changeable.len());
            changeable.remove(at)
        };
        let (id, sender) = chosen;
        let path = format!("/chat/threads/{}/messages/{id}", thread.id);
        let content = self.world.content(&mut self.rng);
        let next = (!deletes).then(|| message_mark(sender, &content));
        if let Some(sent) = thread.sent.borrow_mut().get_mut(&id) {
            sent.contents.extend(next);
            sent.may_say.push(next);
        }
        let reply = if deletes {
            self.ask(sender, Method::DELETE, &path, Value::Null).await
        } else {
            let body = json!({ "content": content });
            self.ask(sender, Method::PATCH, &path, body).await
        };
        let outcome = reply.outcome();
        if let Some(sent) = thread.sent.borrow_mut().get_mut(&id) {
            match outcome {
                Outcome::Done => sent.may_say = vec![next],
                Outcome::Refused => drop(sent.may_say.pop()),
                Outcome::Unknown => {}
            }
        }
        if outcome == Outcome::Done && !deletes {
            thread.changeable.borrow_mut().push(chosen);
        }
    }

    async fn set_topic(&mut self, thread: &Thread, user: usize) {
        let topic = format!("topic {}", self.world.number());
        let mark = mark(&topic);
        thread.topics.borrow_mut().insert(mark, Outcome::Unknown);
        let path = format!("/chat/threads/{}", thread.id);
        let body = json!({ "topic": topic });
        let outcome = self.ask(user, Method::PATCH, &path, body).await.outcome();
        thread.topics.borrow_mut().insert(mark, outcome);
    }

    async fn read(&mut self, thread: &Thread, user: usize) {
        let newest = thread.sent.borrow().keys().next_back().copied();
        if let Some(id) = newest {
            let path = format!("/chat/threads/{}/readReceipts", thread.id);
            let body = json!({ "chatMessageId": id.to_string() });
            self.ask(user, Method::POST, &path, body).await;
        }
    }

    /// Changes who is in a thread, unless somebody is at it.
    async fn add_or_remove(&mut self, thread: &Thread) {
        if thread.is_moving.get() {
            return;
        }
        // The last one is in no thread.
        let user = self.rng.usize(..self.world.accounts.len() - 1);
        let place = thread.people.borrow().get(&user).copied();
        let next = match place {
            _ if user == thread.owner => return,
            Some(Place::Doubtful) => return,
            Some(Place::Absent(at)) if at + AWAY_MS > now_ms() => return,
            Some(Place::Absent(_)) | None => Move::Add(user, self.history_from(thread)),
            Some(Place::Present) => Move::Remove(user),
        };
        thread.is_moving.set(true);
        thread.people.borrow_mut().insert(user, Place::Doubtful);
        let outcome = self.request_move(thread, &next).await;
        match (&next, outcome) {
            (Move::Add(..), Outcome::Done) => {
                count(&self.world.counts.joins);
                thread.people.borrow_mut().insert(user, Place::Present);
            }
            (Move::Remove(_), Outcome::Done) => {
                count(&self.world.counts.leaves);
                let place = Place::Absent(now_ms());
                thread.people.borrow_mut().insert(user, place);
            }
            (_, Outcome::Refused) => {
                let mut people = thread.people.borrow_mut();
                match place {
                    Some(place) => people.insert(user, place),
                    None => people.remove(&user),
                };
            }
            (_, Outcome::Unknown) => {}
        }
        thread.moves.borrow_mut().push((next, outcome));
        thread.is_moving.set(false);
    }

    async fn request_move(&mut self, thread: &Thread, next: &Move) -> Outcome {
        let path = format!("/chat/threads/{}/participants", thread.id);
        match *next {
            Move::Add(user, history_from) => {
                let mut person = self.person(user);
                if history_from > 0 {
                    person["shareHistoryTime"] = time(history_from).into();
                }
                let body = json!({ "participants": [person] });
                let path = format!("{path}/:add");
                let reply = self.ask(thread.owner, Method::POST, &path, body).await;
                reply.outcome()
            }
            Move::Remove(user) => {
                let by = if self.rng.bool() { user } else { thread.owner };
                let body = json!({ "rawId": self.world.accounts[user].id });
                let path = format!("{path}/:remove");
                self.ask(by, Method::POST, &path, body).await.outcome()
            }
        }
    }

    /// From when on somebody new sees the history: from the beginning, from a message of before,
    /// from now on, or from never.
    fn history_from(&mut self, thread: &Thread) -> u64 {
        match self.rng.u8(..10) {
            0..3 => 0,
            3..6 => {
                let sent: Vec<u64> = thread.sent.borrow().keys().copied().collect();
                self.rng.choice(sent).unwrap_or_default()
            }
            6..9 => now_ms(),
            _ => NEVER_MS,
        }
    }

    fn person(&self, user: usize) -> Value {
        json!({ "communicationIdentifier": { "rawId": self.world.accounts[user].id } })
    }

    /// Makes the threads of a round.
    pub(super) async fn make_threads(&mut self, round: usize) -> anyhow::Result<()> {
        self.world.threads.borrow_mut().clear();
        let users = self.world.accounts.len() - 1;
        for number in 0..=THREADS {
            let owner = (round * (THREADS + 1) + number) % users;
            let others = if number == THREADS {
                3
            } else {
                self.rng.usize(4..11)
            };
            let mut all: Vec<usize> = (0..users).filter(|user| *user != owner).collect();
            self.rng.shuffle(&mut all);
            all.truncate(others);
            let thread = self.make_thread(round, owner, all).await?;
            self.world.threads.borrow_mut().push(Rc::new(thread));
        }
        Ok(())
    }

    async fn make_thread(
        &mut self,
        round: usize,
        owner: usize,
        others: Vec<usize>,
    ) -> anyhow::Result<Thread> {
        let key = format!("create {}", self.world.number());
        let topic = format!("topic {}", self.world.number());
        let people: Vec<_> = others.iter().map(|user| self.person(*user)).collect();
        let body = json!({ "topic": topic, "participants": people });
        let headers = [("repeatability-request-id", key.as_str())];
        let answer = loop {
            let asked = self.once(owner, Method::POST, "/chat/threads", &body, &headers);
            match asked.await {
                Some(answer) if answer.status == 201 => break answer,
                Some(answer) if answer.status != 503 => {
                    anyhow::bail!("a thread was answered with {answer:?}")
                }
                _ => sleep(RETRY).await,
            }
        };
        let id = answer.body["chatThread"]["id"].as_str();
        let id = id.context("a thread without an id")?.to_owned();
        let mut first_people: BTreeSet<usize> = others.into_iter().collect();
        first_people.insert(owner);
        let present = first_people.iter().map(|user| (*user, Place::Present));
        let people: BTreeMap<usize, Place> = present.collect();
        Ok(Thread {
            number: self.world.names.thread(&id),
            id,
            round,
            owner,
            first_topic: topic,
            people: people.into(),
            first_people,
            is_moving: false.into(),
            moves: Vec::new().into(),
            topics: BTreeMap::new().into(),
            sent: BTreeMap::new().into(),
            in_doubt: BTreeSet::new().into(),
            changeable: Vec::new().into(),
        })
    }

    /// Floods the thread that the round has for it, faster than its people read.
    pub(super) async fn flood(&mut self, end: Instant) {
        let thread = self.world.threads.borrow().last().cloned();
        let Some(thread) = thread else {
            return;
        };
        self.world.is_flooding.set(true);
        for _ in 0..FLOOD {
            if Instant::now() > end {
                break;
            }
            let content = format!("{} {}", self.world.number(), "y".repeat(FLOOD_BYTES));
            self.send(&thread, thread.owner, content).await;
        }
        self.world.is_flooding.set(false);
    }

    /// Asks, until the server is there and takes the token.
    async fn ask(&mut self, user: usize, method: Method, path: &str, body: Value) -> Reply {
        let Some(answer) = self.once(user, method.clone(), path, &body, &[]).await else {
            return Reply::Unknown;
        };
        match answer.status {
            200 | 201 | 204 if answer.body["invalidParticipants"].is_null() => {
                count(&self.world.counts.acknowledged);
                Reply::Done(answer.body)
            }
            // Removed meanwhile; or the server is stopping.
            403 | 404 | 503 => Reply::Refused,
            _ => {
                let fault = format!("{method} {path} was answered with {answer:?}");
                self.world.fault(fault);
                Reply::Refused
            }
        }
    }

    /// One request with a token that is good; `None` when nobody knows what became of it.
    async fn once(
        &mut self,
        user: usize,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Option<Answer> {
        loop {
            let kept = self.connections.remove(&user);
            let kept = kept.filter(|(_, connection)| connection.is_open());
            let open = match kept {
                Some(open) => Some(open),
                None => self.open(user).await,
            };
            let Some((token, mut connection)) = open else {
                sleep(RETRY).await;
                continue;
            };
            let body = (!body.is_null()).then_some(body);
            let asked = connection.ask(method.clone(), path, body, headers);
            let Ok(answer) = timeout(PATIENCE, asked).await else {
                let fault = format!("{method} {path} had no answer within a minute");
                self.world.fault(fault);
                return None;
            };
            let answer = answer.ok()?;
            if answer.status == 401 {
                self.world.renew(user, &token).await;
                continue;
            }
            self.connections.insert(user, (token, connection));
            return Some(answer);
        }
    }

    async fn open(&self, user: usize) -> Option<(String, Connection)> {
        let token = self.world.token(user);
        let connection = Connection::open(self.world.address, &token).await;
        Some((token, connection.ok()?))
    }

    /// The pages of a list as somebody sees it.
    pub(super) async fn list(&mut self, user: usize, path: &str) -> anyhow::Result<Vec<Value>> {
        loop {
            let token = self.world.token(user);
            let listed = async {
                let mut connection = Connection::open(self.world.address, &token).await?;
                connection.list(path).await
            };
            match listed.await? {
                Ok(list) => return Ok(list),
                Err(401) => self.world.renew(user, &token).await,
                Err(status) => anyhow::bail!("a list was refused with {status}"),
            }
        }
    }
}

fn time(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    time.to_string()
}

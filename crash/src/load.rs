//! The clients: a few users who at the same time make threads, write, edit, delete, read, and add
//! and remove people, each one request after the other, and who note what they were told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hyper::Method;
use serde_json::{Value, json};

use crate::history::{Action, End, History};
use crate::http::{Answer, Connection};
use crate::observe;
use crate::report::brief;
use crate::server::{Site, User};

/// Users who act. All of them are in every thread.
pub(crate) const CLIENTS: usize = 4;
/// Users who are added and removed.
pub(crate) const GUESTS: usize = 4;
/// How often a user, or a token, is asked for at the most.
const TRIES_MAX: usize = 10;
/// Threads in a directory.
const THREADS_MAX: usize = 10;
/// Messages of a client's own that it may still change.
const OWN_MAX: usize = 50;
/// History from here on is shared with whom none is to be shared.
const NO_HISTORY: &str = "2100-01-01T00:00:00Z";

/// A thread that was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) id: String,
    /// Who changes its topic and its people.
    pub(crate) owner: usize,
    /// Guests in it, by their user's number.
    pub(crate) guests: BTreeSet<usize>,
}

/// One data directory as its clients know it.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The clients, the guests, and one who is in no thread.
    pub(crate) users: Vec<User>,
    /// The position of the record at which each of them was known.
    known_at: Vec<u64>,
    pub(crate) history: RefCell<History>,
    pub(crate) threads: RefCell<Vec<Thread>>,
    /// For each client the messages that it may change.
    own: RefCell<[Vec<(String, u64)>; CLIENTS]>,
    /// What was found wrong while the clients ran.
    pub(crate) faults: RefCell<Vec<String>>,
    names: Cell<u64>,
}

/// When the clients stop, if the server does not before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) ops: usize,
    pub(crate) time: Duration,
}

/// Asks again for what is refused: a disk that fails a few times is to be used after that.
async fn patiently<T>(
    ask: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    for _ in 0..TRIES_MAX {
        let made = ask().await?;
        if made.is_some() {
            return Ok(made);
        }
    }
    Ok(None)
}

impl World {
    /// A world whose users are made on the running server; `None` when it died, or refused all
    /// the time.
    pub(crate) async fn new(site: &Site, mut history: History) -> anyhow::Result<Option<Self>> {
        let mut world = Self::default();
        let mut ids = Vec::new();
        for _ in 0..=CLIENTS + GUESTS {
            match patiently(async || site.create_user().await).await? {
                Some(id) => ids.push(id),
                None => return Ok(None),
            }
        }
        // After all of them: a server that answers before it syncs may not know the last one yet.
        for id in ids {
            match patiently(async || site.issue_token(&id).await).await? {
                Some(token) => world.users.push(User { id, token }),
                None => return Ok(None),
            }
            world.known_at.push(history.now()?.position);
        }
        world.history = RefCell::new(history);
        Ok(Some(world))
    }

    /// How many of the users were made when the record had that length.
    pub(crate) fn users_known(&self, position: u64) -> usize {
        let known = self.known_at.iter().filter(|known| **known <= position);
        known.count()
    }

    /// The number of the user with that id.
    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.users.iter().position(|user| user.id == id)
    }

    /// Runs the clients until the server is gone or it is enough.
    pub(crate) async fn load(&self, address: SocketAddr, rng: &mut Rng, until: Until) {
        let end = Instant::now() + until.time;
        let ops = Cell::new(until.ops);
        let client = |number| {
            let mut rng = rng.fork();
            let ops = &ops;
            async move {
                // An error means that the server is gone, which is what the check is for.
                let _ = self.client(number, address, &mut rng, end, ops).await;
            }
        };
        let mut client = client;
        tokio::join!(client(0), client(1), client(2), client(3));
    }

    async fn client(
        &self,
        number: usize,
        address: SocketAddr,
        rng: &mut Rng,
        end: Instant,
        ops: &Cell<usize>,
    ) -> anyhow::Result<()> {
        let mut connection = Connection::open(address, &self.users[number].token).await?;
        while ops.get() > 0 && Instant::now() < end {
            ops.set(ops.get() - 1);
            if rng.u8(..) < 10 {
                self.repeat_a_send(number, &mut connection, rng).await?;
            }
            match self.choose(number, rng) {
                Some(action) => self.act(number, &mut connection, action).await?,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        Ok(())
    }

    /// One operation, noted before and after.
    async fn act(
        &self,
        client: usize,
        connection: &mut Connection,
        action: Action,
    ) -> anyhow::Result<()> {
        let op = self.history.borrow_mut().start(client, action.clone())?;
        let answer = perform(connection, &action).await?;
        match end_of(&action, &answer) {
            Ok(end) => {
                self.learn(client, &action, &end);
                let mut history = self.history.borrow_mut();
                if let Action::Read { messages, .. } = &mut history.ops[op].action
                    && end != End::Refused
                {
                    *messages = observe::messages(&answer.body["value"])?;
                }
                history.end(op, end)?;
            }
            Err(fault) => self.faults.borrow_mut().push(fault),
        }
        Ok(())
    }

    /// Sends again what was acknowledged: it must be answered with the same id.
    async fn repeat_a_send(
        &self,
        client: usize,
        connection: &mut Connection,
        rng: &mut Rng,
    ) -> anyhow::Result<()> {
        let sent = {
            let history = self.history.borrow();
            let sent = history
                .ops
                .iter()
                .filter_map(|op| match (&op.action, &op.ended) {
                    (Action::Send { .. }, Some((_, End::Done(id)))) if op.client == client => {
                        Some((op.action.clone(), id.clone()))
                    }
                    _ => None,
                });
            rng.choice(sent.collect::<Vec<_>>())
        };
        let Some((action, id)) = sent else {
            return Ok(());
        };
        let answer = perform(connection, &action).await?;
        match end_of(&action, &answer) {
            Ok(End::Done(again)) if again != id => self.faults.borrow_mut().push(format!(
                "a send that was acknowledged as {id} was acknowledged as {again} when repeated"
            )),
            Ok(_) => {}
            Err(fault) => self.faults.borrow_mut().push(fault),
        }
        Ok(())
    }

    /// What a client does next.
    fn choose(&self, client: usize, rng: &mut Rng) -> Option<Action> {
        let threads = self.threads.borrow();
        if threads.is_empty() || (threads.len() < THREADS_MAX && rng.u8(..) < 8) {
            return Some(self.create(client, rng));
        }
        let thread = &threads[rng.usize(..threads.len())];
        let id = thread.id.clone();
        let owns = thread.owner == client;
        let own = &self.own.borrow()[client];
        let changed = rng.choice(own.iter().cloned());
        let guest = |number: usize| self.users[number].id.clone();
        match (rng.u8(..100), changed) {
            (0..10, Some((thread, message))) => Some(Action::Edit {
                thread,
                message,
                content: self.content("edited", rng),
            }),
            (10..15, Some((thread, message))) => Some(Action::Delete { thread, message }),
            (15..22, Some((thread, message))) => Some(Action::Receipt { thread, message }),
            (22..32, _) => Some(Action::Read {
                thread: id,
                messages: Vec::new(),
            }),
            (32..36, _) if owns => Some(Action::Topic {
                thread: id,
                topic: self.name("topic"),
            }),
            (36..44, _) if owns => {
                let absent =
                    (CLIENTS..CLIENTS + GUESTS).filter(|number| !thread.guests.contains(number));
                let users: Vec<_> = absent.filter(|_| rng.bool()).map(guest).collect();
                (!users.is_empty()).then(|| Action::Add {
                    thread: id,
                    users,
                    hidden: rng.bool(),
                })
            }
            (44..50, _) if owns => rng
                .choice(&thread.guests)
                .map(|number| guest(*number))
                .map(|user| Action::Remove { thread: id, user }),
            _ => Some(Action::Send {
                thread: id,
                request_id: self.request_id(),
                content: self.content("sent", rng),
            }),
        }
    }

    fn create(&self, client: usize, rng: &mut Rng) -> Action {
        let others = (0..CLIENTS).filter(|number| *number != client);
        let guests: Vec<_> = (CLIENTS..CLIENTS + GUESTS).filter(|_| rng.bool()).collect();
        let participants = others.chain(guests);
        Action::Create {
            key: self.name("create"),
            topic: self.name("new"),
            participants: participants
                .map(|number| self.users[number].id.clone())
                .collect(),
        }
    }

    /// A name that was not used before.
    fn name(&self, kind: &str) -> String {
        self.names.set(self.names.get() + 1);
        format!("{kind} {}", self.names.get())
    }

    /// A UUID, as SDKs name their requests.
    fn request_id(&self) -> String {
        self.names.set(self.names.get() + 1);
        format!("00000000-0000-4000-8000-{:012x}", self.names.get())
    }

    /// A text of its own, mostly short and sometimes long enough for several pages of a file.
    fn content(&self, kind: &str, rng: &mut Rng) -> String {
        let length = match rng.u8(..10) {
            0..6 => rng.usize(..100),
            6..9 => rng.usize(..5000),
            _ => rng.usize(..20_000),
        };
        format!("{} {}", self.name(kind), "x".repeat(length))
    }

    /// What follows from an acknowledged operation for the next ones.
    fn learn(&self, client: usize, action: &Action, end: &End) {
        let End::Done(made) = end else {
            return;
        };
        let mut threads = self.threads.borrow_mut();
        let mut own = self.own.borrow_mut();
        let numbers = |ids: &[String]| -> Vec<usize> {
            let numbers = ids.iter().filter_map(|id| self.number(id));
            numbers.filter(|number| *number >= CLIENTS).collect()
        };
        match action {
            Action::Create { participants, .. } => threads.push(Thread {
                id: made.clone(),
                owner: client,
                guests: numbers(participants).into_iter().collect(),
            }),
            Action::Send { thread, .. } => {
                if let Ok(id) = made.parse() {
                    own[client].push((thread.clone(), id));
                }
                if own[client].len() > OWN_MAX {
                    own[client].remove(0);
                }
            }
            Action::Delete { message, thread } => {
                own[client].retain(|known| (&known.0, known.1) != (thread, *message));
            }
            Action::Add { thread, users, .. } => {
                if let Some(thread) = threads.iter_mut().find(|known| known.id == *thread) {
                    thread.guests.extend(numbers(users));
                }
            }
            Action::Remove { thread, user } => {
                if let Some(thread) = threads.iter_mut().find(|known| known.id == *thread) {
                    for number in numbers(std::slice::from_ref(user)) {
                        thread.guests.remove(&number);
                    }
                }
            }
            _ => {}
        }
    }

    /// After a restart: what was read back takes the place of what was known.
    pub(crate) fn relearn(&self, threads: Vec<Thread>) {
        *self.threads.borrow_mut() = threads;
        // A message with a change in doubt may be deleted: nobody changes what was before.
        *self.own.borrow_mut() = Default::default();
    }
}

/// Carries out an action.
pub(crate) async fn perform(
    connection: &mut Connection,
    action: &Action,
) -> anyhow::Result<Answer> {
    let (method, path, body) = request(action);
    let header = match action {
        Action::Create { key, .. } => Some(("repeatability-request-id", key.as_str())),
        Action::Send { request_id, .. } => Some(("x-ms-client-request-id", request_id.as_str())),
        _ => None,
    };
    let body = (!body.is_null()).then_some(&body);
    connection.ask(method, &path, body, header.as_slice()).await
}

/// The method, path and body of an action.
fn request(action: &Action) -> (Method, String, Value) {
    let person = |id: &String| json!({ "communicationIdentifier": { "rawId": id } });
    let of_thread = |thread: &String, rest: &str| format!("/chat/threads/{thread}{rest}");
    match action {
        Action::Create {
            topic,
            participants,
            ..
        } => {
            let people: Vec<Value> = participants.iter().map(person).collect();
            let body = json!({ "topic": topic, "participants": people });
            (Method::POST, "/chat/threads".to_owned(), body)
        }
        Action::Send {
            thread, content, ..
        } => {
            let body = json!({ "content": content });
            (Method::POST, of_thread(thread, "/messages"), body)
        }
        Action::Edit {
            thread,
            message,
            content,
        } => {
            let path = of_thread(thread, &format!("/messages/{message}"));
            (Method::PATCH, path, json!({ "content": content }))
        }
        Action::Delete { thread, message } => {
            let path = of_thread(thread, &format!("/messages/{message}"));
            (Method::DELETE, path, Value::Null)
        }
        Action::Topic { thread, topic } => (
            Method::PATCH,
            of_thread(thread, ""),
            json!({ "topic": topic }),
        ),
        Action::Add {
            thread,
            users,
            hidden,
        } => {
            let mut people: Vec<Value> = users.iter().map(person).collect();
            for person in people.iter_mut().filter(|_| *hidden) {
                person["shareHistoryTime"] = NO_HISTORY.into();
            }
            let body = json!({ "participants": people });
            (Method::POST, of_thread(thread, "/participants/:add"), body)
        }
        Action::Remove { thread, user } => {
            let path = of_thread(thread, "/participants/:remove");
            (Method::POST, path, json!({ "rawId": user }))
        }
        Action::Receipt { thread, message } => {
            let body = json!({ "chatMessageId": message.to_string() });
            (Method::POST, of_thread(thread, "/readReceipts"), body)
        }
        Action::Read { thread, .. } => {
            let path = of_thread(thread, "/messages?maxPageSize=20");
            (Method::GET, path, Value::Null)
        }
    }
}

/// How an operation ended, by its answer; an answer that it cannot have is a fault.
pub(crate) fn end_of(action: &Action, answer: &Answer) -> Result<End, String> {
    if answer.status == 503 {
        return Ok(End::Refused);
    }
    let (expected, made) = match action {
        Action::Create { .. } => (201, &answer.body["chatThread"]["id"]),
        Action::Send { .. } => (201, &answer.body["id"]),
        Action::Add { .. } => (201, &Value::Null),
        Action::Receipt { .. } | Action::Read { .. } => (200, &Value::Null),
        Action::Edit { .. }
        | Action::Delete { .. }
        | Action::Topic { .. }
        | Action::Remove { .. } => (204, &Value::Null),
    };
    let invalid = &answer.body["invalidParticipants"];
    if answer.status != expected || !invalid.is_null() {
        return Err(format!(
            "{} was answered with {} {}",
            brief(action),
            answer.status,
            answer.body
        ));
    }
    Ok(End::Done(made.as_str().unwrap_or_default().to_owned()))
}

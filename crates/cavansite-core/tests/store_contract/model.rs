//! Random operations against a naive model that keeps everything in plain vectors, with restarts in
//! between. After each operation all that anybody can read must be what the model says.

use std::collections::BTreeMap;

use cavansite_core::model::*;
use cavansite_core::{Error, Result};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::world::{
    SqliteEngine, Stop, World, edit, fingerprinted, message, new_thread, newcomer, thread_id, user,
};

const USERS: u8 = 4;
const THREADS: u8 = 3;

#[derive(Clone, Debug)]
enum Operation {
    Create(u8, Vec<u8>),
    Send(u8, u8, Option<u8>),
    Edit(u8, u8, usize),
    Delete(u8, u8, usize),
    Add(u8, u8, u8, i64),
    Remove(u8, u8, u8),
    Receipt(u8, u8, usize),
    Topic(u8, u8, u8),
    DeleteThread(u8, u8),
    Pass(i64),
    Restart(bool),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let (user, thread) = (|| 1..=USERS, || 1..=THREADS);
    let place = || 0..30_usize;
    prop_oneof![
        2 => (thread(), prop::sample::subsequence(vec![1, 2, 3, 4], 1..=4))
            .prop_map(|(thread, users)| O::Create(thread, users)),
        12 => (user(), thread(), prop::option::of(0..6_u8))
            .prop_map(|(user, thread, fingerprint)| O::Send(user, thread, fingerprint)),
        4 => (user(), thread(), place()).prop_map(|(u, t, place)| O::Edit(u, t, place)),
        3 => (user(), thread(), place()).prop_map(|(u, t, place)| O::Delete(u, t, place)),
        3 => (user(), thread(), user(), -50..50_i64)
            .prop_map(|(by, thread, who, since)| O::Add(by, thread, who, since)),
        2 => (user(), thread(), user()).prop_map(|(by, thread, who)| O::Remove(by, thread, who)),
        3 => (user(), thread(), place()).prop_map(|(u, t, place)| O::Receipt(u, t, place)),
        1 => (user(), thread(), 0..3_u8).prop_map(|(u, t, topic)| O::Topic(u, t, topic)),
        1 => (user(), thread()).prop_map(|(user, thread)| O::DeleteThread(user, thread)),
        4 => prop_oneof![-30..60_i64, Just(130_000)].prop_map(O::Pass),
        2 => any::<bool>().prop_map(O::Restart),
    ]
}

/// One who is or was in a thread.
#[derive(Clone)]
struct Person {
    participant: Participant,
    joined: usize,
    joined_at: Timestamp,
    /// Version, time and topic of the removal.
    removed: Option<(Version, Timestamp, String)>,
    receipt: Option<(MessageId, Timestamp)>,
}

struct ModelThread {
    topic: String,
    deleted: bool,
    people: BTreeMap<u8, Person>,
    joined: usize,
    messages: Vec<Message>,
    sends: Vec<(u8, u8, MessageId, Timestamp)>,
    version: i64,
    sequence: i64,
    newest: Timestamp,
}

#[derive(Default)]
struct Model {
    threads: BTreeMap<u8, ModelThread>,
}

/// What is compared of an error: its variant.
fn kind<T>(result: &Result<T>) -> Option<std::mem::Discriminant<Error>> {
    result.as_ref().err().map(std::mem::discriminant)
}

impl ModelThread {
    fn person(&self, user: u8) -> Result<&Person> {
        let person = self.people.get(&user).ok_or(Error::NotParticipant)?;
        if self.deleted {
            return Err(Error::ThreadNotFound);
        }
        Ok(person)
    }

    fn present(&self, user: u8) -> Result<&Person> {
        let person = self.person(user)?;
        if person.removed.is_some() {
            return Err(Error::NotParticipant);
        }
        Ok(person)
    }

    fn next(&mut self, now: Timestamp) -> (i64, i64) {
        self.version = (self.version + 1).max(now.as_millis());
        self.sequence += 1;
        (self.version, self.sequence)
    }

    fn append(&mut self, now: Timestamp, content: MessageContent) -> (MessageId, Timestamp) {
        let (version, sequence_id) = self.next(now);
        self.newest = self.newest.max(now);
        self.messages.push(Message {
            id: MessageId(version),
            version: Version(version),
            sequence_id,
            created_at: self.newest,
            content,
        });
        (MessageId(version), self.newest)
    }

    fn join(&mut self, who: u8, since: Timestamp, at: Timestamp) -> Participant {
        let new = newcomer(who);
        let participant = Participant {
            user: new.user,
            display_name: new.display_name,
            share_history_time: since,
            metadata: new.metadata,
        };
        self.joined += 1;
        let person = Person {
            participant: participant.clone(),
            joined: self.joined,
            joined_at: at,
            removed: None,
            receipt: None,
        };
        self.people.insert(who, person);
        participant
    }

    fn change(
        &mut self,
        caller: u8,
        place: usize,
        now: Timestamp,
        edit: impl FnOnce(&mut UserMessage, Timestamp) -> Result<bool>,
    ) -> Result<()> {
        let since = self.present(caller)?.participant.share_history_time;
        let at = self.newest.max(now);
        let (version, sequence) = (self.version, self.sequence);
        let next = self.next(now);
        let found = self.messages.get_mut(place);
        let changed = match found {
            None => Err(Error::MessageNotFound),
            Some(message) if message.created_at < since => Err(Error::MessageNotFound),
            Some(message) => match &mut message.content {
                MessageContent::User(sent) if sent.sender == user(caller) => edit(sent, at)
                    .inspect(|changed| {
                        if *changed {
                            message.version = Version(next.0);
                            message.sequence_id = next.1;
                        }
                    }),
                _ => Err(Error::NotSender),
            },
        };
        if !matches!(changed, Ok(true)) {
            (self.version, self.sequence) = (version, sequence);
        }
        changed.map(|_| ())
    }

    fn id(&self, place: usize) -> MessageId {
        self.messages
            .get(place)
            .map_or(MessageId(7), |message| message.id)
    }

    /// What the user's walk through the thread meets.
    fn seen(&self, reader: u8) -> Result<Vec<Message>> {
        let person = self.person(reader)?;
        let since = person.participant.share_history_time;
        let removed = person.removed.as_ref().map(|(version, ..)| *version);
        let mut seen: Vec<_> = self
            .messages
            .iter()
            .filter(|message| message.created_at >= since)
            .filter(|message| removed.is_none_or(|at| message.version <= at))
            .cloned()
            .collect();
        seen.sort_by_key(|message| std::cmp::Reverse(message.version));
        Ok(seen)
    }

    fn in_order(&self) -> Vec<&Person> {
        let mut people: Vec<_> = self
            .people
            .values()
            .filter(|person| person.removed.is_none())
            .collect();
        people.sort_by_key(|person| person.joined);
        people
    }
}

impl Model {
    fn thread(&mut self, thread: u8) -> Result<&mut ModelThread> {
        self.threads.get_mut(&thread).ok_or(Error::ThreadNotFound)
    }

    fn create(&mut self, number: u8, users: &[u8], now: Timestamp) {
        if self.threads.contains_key(&number) {
            return;
        }
        let topic = format!("topic {number}");
        let mut thread = ModelThread {
            topic: topic.clone(),
            deleted: false,
            people: BTreeMap::new(),
            joined: 0,
            messages: Vec::new(),
            sends: Vec::new(),
            version: 0,
            sequence: 0,
            newest: now,
        };
        let participants = users
            .iter()
            .map(|user| thread.join(*user, Timestamp::EPOCH, now))
            .collect();
        let initiator_display_name = Some(format!("name {}", users[0]));
        let added = MessageContent::ParticipantsAdded {
            initiator: user(users[0]),
            initiator_display_name: initiator_display_name.clone(),
            participants,
        };
        thread.append(now, added);
        let topic = MessageContent::TopicUpdated {
            initiator: user(users[0]),
            initiator_display_name,
            topic,
        };
        thread.append(now, topic);
        self.threads.insert(number, thread);
    }

    fn send(
        &mut self,
        caller: u8,
        thread: u8,
        fingerprint: Option<u8>,
        now: Timestamp,
    ) -> Result<MessageId> {
        let thread = self.thread(thread)?;
        thread.present(caller)?;
        if let Some(fingerprint) = fingerprint {
            let since = now.plus_millis(-120_000);
            let first =
                thread.sends.iter().rev().find(|(who, what, _, at)| {
                    *who == caller && *what == fingerprint && *at >= since
                });
            if let Some((_, _, id, _)) = first {
                return Ok(*id);
            }
        }
        let content = MessageContent::User(UserMessage {
            sender: user(caller),
            sender_display_name: String::new(),
            format: TextFormat::Text,
            content: "text".to_owned(),
            priority: Priority::Normal,
            metadata: Metadata::new(),
            edited_at: None,
            deleted_at: None,
        });
        let (id, at) = thread.append(now, content);
        if let Some(fingerprint) = fingerprint {
            thread.sends.push((caller, fingerprint, id, at));
        }
        Ok(id)
    }

    fn threads_of(&self, reader: u8) -> Vec<ThreadSummary> {
        let mut list: Vec<_> = self
            .threads
            .iter()
            .filter(|(_, thread)| !thread.deleted)
            .filter_map(|(number, thread)| {
                let person = thread.people.get(&reader)?;
                let topic = match &person.removed {
                    Some((_, _, topic)) => topic.clone(),
                    None => thread.topic.clone(),
                };
                let last = thread.messages.iter().filter(|message| {
                    person
                        .removed
                        .as_ref()
                        .is_none_or(|(version, ..)| message.id.0 <= version.0)
                });
                let last = last.map(|message| message.created_at).max();
                Some(ThreadSummary {
                    id: thread_id(*number),
                    topic,
                    last_message_at: last
                        .filter(|at| *at >= person.participant.share_history_time)
                        .unwrap_or(person.joined_at),
                })
            })
            .collect();
        list.sort_by_key(|item| std::cmp::Reverse((item.last_message_at, item.id)));
        list
    }
}

/// Does the operation on both and compares what they say.
#[expect(
    clippy::too_many_lines,
    reason = "one arm for each operation, each as plain as the model"
)]
async fn apply(world: &mut World, model: &mut Model, operation: &Operation) {
    use Operation as O;
    let (store, now) = (world.store(), world.now());
    match operation.clone() {
        O::Create(thread, users) => {
            model.create(thread, &users, now);
            store
                .create_thread(new_thread(thread, &users))
                .await
                .unwrap();
        }
        O::Send(caller, thread, fingerprint) => {
            let new = match fingerprint {
                Some(fingerprint) => fingerprinted("text", fingerprint),
                None => message("text"),
            };
            let got = store
                .append_message(&user(caller), thread_id(thread), new)
                .await;
            let expected = model.send(caller, thread, fingerprint, now);
            assert_eq!(kind(&got), kind(&expected));
            assert_eq!(got.ok(), expected.ok());
        }
        O::Edit(caller, thread, place) => {
            let id = model.thread(thread).map_or(MessageId(7), |t| t.id(place));
            let expected = model.thread(thread).and_then(|thread| {
                thread.change(caller, place, now, |sent, at| {
                    if sent.deleted_at.is_some() {
                        return Err(Error::MessageNotFound);
                    }
                    "edited".clone_into(&mut sent.content);
                    sent.edited_at = Some(at);
                    Ok(true)
                })
            });
            let got = store
                .update_message(&user(caller), thread_id(thread), id, edit("edited"))
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        O::Delete(caller, thread, place) => {
            let id = model.thread(thread).map_or(MessageId(7), |t| t.id(place));
            let expected = model.thread(thread).and_then(|thread| {
                thread.change(caller, place, now, |sent, at| {
                    if sent.deleted_at.is_some() {
                        return Ok(false);
                    }
                    sent.content = String::new();
                    sent.edited_at = None;
                    sent.deleted_at = Some(at);
                    Ok(true)
                })
            });
            let got = store
                .delete_message(&user(caller), thread_id(thread), id)
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        O::Add(..) | O::Remove(..) => apply_people(world, model, operation).await,
        O::Receipt(caller, thread, place) => {
            let id = model.thread(thread).map_or(MessageId(7), |t| t.id(place));
            let expected = model.thread(thread).and_then(|thread| {
                let since = thread.present(caller)?.participant.share_history_time;
                let message = thread.messages.get(place);
                if message.is_none_or(|message| message.created_at < since) {
                    return Err(Error::MessageNotFound);
                }
                let person = thread.people.get_mut(&caller).unwrap();
                if person.receipt.is_none_or(|(recorded, _)| recorded < id) {
                    person.receipt = Some((id, now));
                }
                Ok(())
            });
            let got = store
                .upsert_receipt(&user(caller), thread_id(thread), id)
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        O::Topic(caller, thread, topic) => {
            let topic = format!("topic {topic}");
            let change = ThreadChange {
                topic: Some(topic.clone()),
                ..ThreadChange::default()
            };
            let expected = model.thread(thread).and_then(|thread| {
                let name = thread.present(caller)?.participant.display_name.clone();
                if thread.topic != topic {
                    thread.topic.clone_from(&topic);
                    let content = MessageContent::TopicUpdated {
                        initiator: user(caller),
                        initiator_display_name: name,
                        topic,
                    };
                    thread.append(now, content);
                }
                Ok(())
            });
            let got = store
                .update_thread(&user(caller), thread_id(thread), change)
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        O::DeleteThread(caller, thread) => {
            let expected = model.thread(thread).and_then(|thread| {
                if thread.deleted {
                    return match thread.people.get(&caller) {
                        Some(_) => Ok(()),
                        None => Err(Error::NotParticipant),
                    };
                }
                thread.present(caller)?;
                thread.deleted = true;
                Ok(())
            });
            let got = store.delete_thread(&user(caller), thread_id(thread)).await;
            assert_eq!(kind(&got), kind(&expected));
        }
        O::Pass(millis) => world.pass(millis),
        O::Restart(gracefully) => {
            drop(store);
            let stop = if gracefully {
                Stop::Gracefully
            } else {
                Stop::ByCrash
            };
            world.reopen(stop).await;
        }
    }
}

async fn apply_people(world: &World, model: &mut Model, operation: &Operation) {
    let (store, now) = (world.store(), world.now());
    match *operation {
        Operation::Add(by, thread, who, since) => {
            let since = now.plus_millis(since);
            let expected = model.thread(thread).and_then(|thread| {
                let name = thread.present(by)?.participant.display_name.clone();
                if thread.present(who).is_ok() {
                    return Ok(());
                }
                let participant = thread.join(who, since, now.max(thread.newest));
                let content = MessageContent::ParticipantsAdded {
                    initiator: user(by),
                    initiator_display_name: name,
                    participants: vec![participant],
                };
                thread.append(now, content);
                Ok(())
            });
            let new = NewParticipant {
                share_history_time: since,
                ..newcomer(who)
            };
            let got = store
                .add_participants(&user(by), thread_id(thread), vec![new])
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        Operation::Remove(by, thread, who) => {
            let expected = model.thread(thread).and_then(|thread| {
                let name = thread.present(by)?.participant.display_name.clone();
                let Ok(person) = thread.present(who).cloned() else {
                    return Ok(());
                };
                let content = MessageContent::ParticipantsRemoved {
                    initiator: user(by),
                    initiator_display_name: name,
                    participants: vec![person.participant],
                };
                let (id, at) = thread.append(now, content);
                let topic = thread.topic.clone();
                let person = thread.people.get_mut(&who).unwrap();
                person.removed = Some((Version(id.0), at, topic));
                person.receipt = None;
                Ok(())
            });
            let got = store
                .remove_participant(&user(by), thread_id(thread), &user(who))
                .await;
            assert_eq!(kind(&got), kind(&expected));
        }
        _ => unreachable!("not about people"),
    }
}

/// Compares all that the user can read.
async fn compare(world: &World, model: &Model, reader: u8, limit: usize) {
    let store = world.store();
    assert_eq!(world.threads(reader).await, model.threads_of(reader));
    for number in 1..=THREADS {
        let id = thread_id(number);
        let Some(thread) = model.threads.get(&number) else {
            continue;
        };
        let got = world.walk(reader, id, limit).await;
        let expected = thread.seen(reader);
        assert_eq!(kind(&got), kind(&expected));
        let (Ok(got), Ok(expected)) = (got, expected) else {
            continue;
        };
        let got: Vec<_> = got.iter().map(|message| Message::clone(message)).collect();
        assert_eq!(got, expected);
        for message in thread.messages.iter().rev().take(3) {
            let got = store.get_message(&user(reader), id, message.id).await;
            assert_eq!(got.is_ok(), expected.contains(message));
        }
        let people = thread.in_order();
        let got = store.list_participants(&user(reader), id).await;
        if thread.present(reader).is_ok() {
            let expected: Vec<_> = people
                .iter()
                .map(|person| person.participant.clone())
                .collect();
            assert_eq!(got.unwrap(), expected);
            let since = thread.people[&reader].participant.share_history_time;
            let expected: Vec<_> = people
                .iter()
                .filter_map(|person| {
                    let (message, read_at) = person.receipt?;
                    let at = thread.messages.iter().find(|m| m.id == message)?.created_at;
                    (at >= since).then(|| ReadReceipt {
                        reader: person.participant.user.clone(),
                        message,
                        read_at,
                    })
                })
                .collect();
            let got = store.list_receipts(&user(reader), id).await.unwrap();
            assert_eq!(got, expected);
        } else {
            assert!(matches!(got, Err(Error::NotParticipant)));
        }
    }
}

#[test]
fn sqlite_answers_as_the_model_does() {
    let cases = std::env::var("CAVANSITE_MODEL_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(48);
    let config = Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let operations = prop::collection::vec(operation(), 1..120);
    TestRunner::new(config)
        .run(&(operations, 1..9_usize), |(operations, limit)| {
            runtime.block_on(async {
                let mut world = World::new(Box::new(SqliteEngine::new()));
                let mut model = Model::default();
                for (operation, step) in operations.iter().zip(0_u8..) {
                    apply(&mut world, &mut model, operation).await;
                    compare(&world, &model, 1 + step % USERS, limit).await;
                }
            });
            Ok(())
        })
        .unwrap();
}

//! What waits for receivers, and what of it is left to the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use cavansite_core::clock::Clock;
use cavansite_core::events::{EventKind, EventSink, ThreadEvent};
use cavansite_core::identity::Session;
use cavansite_core::limits::Limits;
use cavansite_core::model::*;
use cavansite_core::secret::Secret;
use cavansite_core::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use cavansite_core::store::{EventSource as _, MessageStore as _, ThreadStore as _};
use tempfile::TempDir;
use tokio::time::advance;
use uuid::Uuid;

use super::hub::{Hub, HubOptions};
use super::limits::{RESUME_PAUSE, RealtimeLimits};
use super::mailbox::{End, Keeper as _, Kept as _, Mailbox};
use super::owed::Owed;
use super::payload::Payload;
use super::resume::catch_up;
use super::stream_event::{OVERFLOW_COMMENT, StreamEvent};

const NOW: Timestamp = Timestamp::from_millis(1_600_000_000_000);
const A_DAY_MS: i64 = 24 * 60 * 60 * 1000;
const SERIAL: u64 = 1;

/// A clock that stands until it is moved by so many milliseconds.
#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

fn user(number: u8) -> UserId {
    UserId::new(Uuid::from_u128(1), Uuid::from_u128(number.into()))
}

fn thread(number: u8) -> ThreadId {
    ThreadId::from_bytes([number; 16])
}

pub(super) fn installation() -> Installation {
    let key = AccessKey {
        generation: 1,
        key: Secret::new([1; 64]),
    };
    Installation {
        resource: Uuid::from_u128(1),
        access_keys: [key.clone(), key],
        token_key: Secret::new([2; 32]),
        derivation_key: Secret::new([3; 32]),
    }
}

pub(super) fn session(number: u8) -> Session {
    Session {
        user: user(number),
        issued_at: NOW,
        expires_at: NOW.plus_millis(A_DAY_MS),
        key: installation().key_generation(KeySlot::Primary),
    }
}

fn at(ahead_ms: i64) -> Timestamp {
    NOW.plus_millis(ahead_ms)
}

/// A message of that thread, with a version so far ahead of the clock.
fn message(number: u8, ahead_ms: i64) -> Arc<StreamEvent> {
    let version = at(ahead_ms).as_millis();
    let message = Message {
        id: MessageId(version),
        version: Version(version),
        sequence_id: 1,
        created_at: NOW,
        content: MessageContent::User(UserMessage {
            sender: user(1),
            sender_display_name: String::new(),
            format: TextFormat::Text,
            content: "x".to_owned(),
            priority: Priority::Normal,
            metadata: BTreeMap::new(),
            edited_at: None,
            deleted_at: None,
        }),
    };
    let event = ThreadEvent {
        thread: thread(number),
        kind: EventKind::MessageReceived(Arc::new(message)),
    };
    Arc::new(StreamEvent::render(&event, "").unwrap())
}

/// An open stream that is owed something of the store, or nothing.
fn stream(owed: Option<Owed>) -> Mailbox<StreamEvent> {
    let all_kept = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox::new(user(1), String::new(), owed, &all_kept);
    mailbox.connect(SERIAL, session(1), 0, None);
    mailbox
}

fn push(mailbox: &Mailbox<StreamEvent>, event: &Arc<StreamEvent>) {
    mailbox.push(event, NOW, &RealtimeLimits::default());
}

fn send_all(mailbox: &Mailbox<StreamEvent>) -> String {
    mailbox.take(SERIAL, usize::MAX).unwrap().0
}

#[test]
fn what_comes_behind_a_page_that_is_being_read_or_was_is_owed_from_there_on() {
    for is_given_up in [false, true] {
        let mailbox = stream(Some(Owed::since(at(-500))));
        assert_eq!(mailbox.begin_reading(SERIAL).unwrap().since, at(-500));
        mailbox.finish_reading(SERIAL, vec![message(1, 100)], Some(at(101)), NOW);
        assert!(mailbox.begin_reading(SERIAL).is_none(), "not all was sent");
        send_all(&mailbox);
        assert_eq!(mailbox.begin_reading(SERIAL).unwrap().since, at(101));
        // Committed while the page was read, and so perhaps not on it.
        push(&mailbox, &message(2, 5));
        if is_given_up {
            mailbox.fail_reading(SERIAL, None);
        } else {
            mailbox.finish_reading(SERIAL, vec![message(1, 200)], Some(at(201)), NOW);
        }
        send_all(&mailbox);
        assert_eq!(mailbox.begin_reading(SERIAL).unwrap().since, at(5));
        mailbox.fail_reading(SERIAL, None);
        // And after it, before the next one.
        push(&mailbox, &message(3, 3));
        push(&mailbox, &message(4, 300));
        let owed = mailbox.begin_reading(SERIAL).unwrap();
        assert_eq!(owed.since, at(3));
        let told = Version(at(if is_given_up { 100 } else { 200 }).as_millis());
        assert_eq!(*owed.told, [(thread(1), told)].into());
        // With the last page what comes meanwhile is kept, but for what is on it.
        push(&mailbox, &message(4, 301));
        push(&mailbox, &message(1, 400));
        let read = vec![message(3, 3), message(2, 5), message(4, 301)];
        mailbox.finish_reading(SERIAL, read, None, NOW);
        let text = send_all(&mailbox);
        assert_eq!(text.matches("data:").count(), 4, "{text}");
        assert!(mailbox.begin_reading(SERIAL).is_none());
    }
}

#[test]
fn what_is_left_to_the_store_is_owed_though_its_thread_was_told_of() {
    let mailbox = stream(Some(Owed::since(at(-500))));
    mailbox.begin_reading(SERIAL).unwrap();
    let read = vec![message(1, 1), message(1, 2), message(2, 3)];
    mailbox.finish_reading(SERIAL, read, Some(at(4)), NOW);
    mailbox.leave_to_store();
    let owed = mailbox.begin_reading(SERIAL).unwrap();
    assert_eq!(owed.since, at(1));
    let before = |ahead_ms| Version(at(ahead_ms).as_millis() - 1);
    let told = [(thread(1), before(1)), (thread(2), before(3))];
    assert_eq!(*owed.told, told.into());
    // Without anything before, exactly what was kept.
    let mailbox = stream(None);
    push(&mailbox, &message(1, 1));
    push(&mailbox, &message(1, 2));
    mailbox.leave_to_store();
    assert_eq!(
        mailbox.begin_reading(SERIAL),
        Some(Owed::since(at(1))),
        "told nothing"
    );
}

/// A hub over a store, with a thread of users 1 and 2.
struct World {
    hub: Arc<Hub>,
    store: SqliteStore,
    clock: Arc<TestClock>,
    _directory: TempDir,
}

const ALL_MAX: usize = 100_000;

impl World {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let clock = Arc::new(TestClock::default());
        let store = SqliteStore::open(SqliteOptions {
            directory: directory.path().join("data"),
            durability: Durability::None,
            limits: Limits::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        })
        .unwrap();
        let hub = Arc::new(Hub::new(HubOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            limits: RealtimeLimits {
                kept_bytes_max: 60_000,
                kept_bytes_of_all_max: ALL_MAX,
                ..RealtimeLimits::default()
            },
            revocation_grace_ms: 0,
            installation: installation(),
            told_before: NOW,
        }));
        store.send_events_to(Arc::clone(&hub) as Arc<dyn EventSink>);
        let participants = [1, 2].map(|number| NewParticipant {
            user: user(number),
            display_name: None,
            share_history_time: Timestamp::EPOCH,
            metadata: BTreeMap::new(),
        });
        let new = NewThread {
            id: thread(1),
            topic: String::new(),
            creator: user(1),
            participants: participants.to_vec(),
            metadata: BTreeMap::new(),
            retention: None,
        };
        store.create_thread(new).await.unwrap();
        Self {
            hub,
            store,
            clock,
            _directory: directory,
        }
    }

    async fn say(&self, content: String) {
        let message = NewMessage {
            sender_display_name: String::new(),
            format: TextFormat::Text,
            content,
            priority: Priority::Normal,
            metadata: BTreeMap::new(),
            fingerprint: None,
        };
        let sender = user(1);
        let sent = self.store.append_message(&sender, thread(1), message);
        sent.await.unwrap();
    }
}

#[tokio::test]
async fn who_keeps_most_leaves_it_to_the_store_when_all_keep_too_much_and_nobody_else() {
    let world = World::new().await;
    let hub = &world.hub;
    // Two who never answer, one who has gone, a stream that nobody reads, and one who answers.
    let silent = ["a", "b"].map(|epid| hub.connect(session(1), epid, NOW).unwrap());
    let (gone, serial) = hub.connect(session(1), "c", NOW).unwrap();
    hub.disconnect(&gone, serial, false);
    let (unread, unread_serial) = hub.open_stream(session(1), None, None).unwrap();
    let (reader, serial) = hub.connect(session(2), "d", NOW).unwrap();
    let mut most = 0;
    for number in 0..200_u64 {
        world.say("x".repeat(1_000)).await;
        most = most.max(hub.kept_bytes());
        assert!(hub.kept_bytes() <= ALL_MAX, "{} bytes", hub.kept_bytes());
        let taken = reader.take(serial, &[number], 64 * 1024, hub.limits());
        assert_eq!(taken.unwrap().frames.len(), 1);
    }
    assert!(
        most > ALL_MAX / 2,
        "it never came to the bound: {most} bytes"
    );
    for (mailbox, serial) in silent {
        let taken = mailbox.take(serial, &[], 64 * 1024, hub.limits());
        assert_eq!(taken.map(|_| ()), Err(End::Overflow));
    }
    assert!(gone.owed_since_or_unlist().is_some());
    assert_eq!(gone.kept_bytes(), 0, "what is owed is in the store");
    let (text, _) = unread.take(unread_serial, usize::MAX).unwrap();
    assert!(text.starts_with(OVERFLOW_COMMENT), "{text}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_waits_while_all_keep_too_much_and_goes_on_then() {
    let world = World::new().await;
    let hub = &world.hub;
    for _ in 0..100 {
        world.say("x".repeat(1_000)).await;
    }
    let owed = || Some(Owed::since(Timestamp::EPOCH));
    let streams: Vec<_> = (0..20)
        .map(|_| hub.open_stream(session(2), owed(), None).unwrap())
        .collect();
    let read = async |(mailbox, serial): &(Arc<Mailbox<StreamEvent>>, u64)| {
        catch_up(hub, &world.store, mailbox, *serial).await.unwrap()
    };
    let mut have_read = 0;
    for stream in &streams {
        have_read += usize::from(read(stream).await);
        // One page more, of half of what one keeps and a message.
        assert!(hub.kept_bytes() <= ALL_MAX + 32_000);
    }
    assert!((3..=6).contains(&have_read), "{have_read} have read");
    // Those who have read and do not take it make room when others have waited for long.
    hub.sweep();
    advance(RESUME_PAUSE).await;
    assert!(!read(&streams[19]).await);
    world.clock.0.fetch_add(10_000, Ordering::SeqCst);
    hub.sweep();
    assert!(!read(&streams[19]).await, "it was put off");
    advance(RESUME_PAUSE).await;
    assert!(read(&streams[19]).await);
    // Each gets all, in its turn, and where it was left out once more.
    let mut told = [0; 20];
    for _ in 0..50 {
        advance(RESUME_PAUSE).await;
        for (stream, told) in streams.iter().zip(&mut told) {
            let (mailbox, serial) = stream;
            let (text, _) = mailbox.take(*serial, usize::MAX).unwrap();
            *told += text.matches("data:").count();
            read(stream).await;
        }
    }
    // A hundred messages, and the making of the thread.
    assert_eq!(told, [101; 20]);
    assert_eq!(hub.kept_bytes(), 0);
}

#[tokio::test]
async fn what_was_sent_and_never_answered_is_not_told_again_after_the_window_and_the_rest_is() {
    let world = World::new().await;
    let hub = &world.hub;
    let (mailbox, serial) = hub.connect(session(1), "a", NOW).unwrap();
    let take = |serial| mailbox.take(serial, &[], 1, hub.limits()).unwrap().frames;
    world.say("sent".to_owned()).await;
    world.say("unsent".to_owned()).await;
    assert!(take(serial)[0].contains("\\\"sent\\\""));
    let window_ms = hub.limits().resume_window_ms;
    world.clock.0.fetch_add(window_ms + 1, Ordering::SeqCst);
    world.say("later".to_owned()).await;
    let (_, serial) = hub.connect(session(1), "a", NOW).unwrap();
    assert!(take(serial)[0].contains("unsent"));
    assert!(take(serial)[0].contains("later"));
    assert!(take(serial).is_empty());
}

#[tokio::test]
async fn who_comes_back_within_the_window_is_told_all_however_long_that_takes() {
    let world = World::new().await;
    let hub = &world.hub;
    for _ in 0..100 {
        world.say("x".repeat(1_000)).await;
    }
    // An identity of the process before.
    let (mailbox, serial) = hub.connect(session(2), "a", at(-1)).unwrap();
    let (mut pages, mut told) = (0, 0);
    while catch_up(hub, &world.store, &mailbox, serial).await.unwrap() {
        pages += 1;
        let taken = mailbox.take(serial, &[], usize::MAX, hub.limits()).unwrap();
        told += taken.frames.len();
        let ids: Vec<_> = (1..=1_000).collect();
        mailbox.answered(&ids);
        let window_ms = hub.limits().resume_window_ms;
        world.clock.0.fetch_add(window_ms, Ordering::SeqCst);
    }
    assert!(pages > 2, "{pages} pages");
    assert_eq!(told, 101);
}

#[tokio::test]
async fn an_identity_that_made_room_for_another_is_told_what_it_missed_when_it_comes_back() {
    let world = World::new().await;
    let hub = &world.hub;
    let connect = |epid: &str| hub.connect(session(2), epid, NOW).unwrap();
    let (mailbox, serial) = connect("a");
    assert!(mailbox.begin_reading(serial).is_none(), "it is new");
    hub.disconnect(&mailbox, serial, false);
    let others: Vec<_> = (0..hub.limits().identities_per_user_max)
        .map(|number| connect(&number.to_string()))
        .collect();
    world.say("missed".to_owned()).await;
    let (other, serial) = &others[0];
    hub.disconnect(other, *serial, false);
    let (mailbox, serial) = connect("a");
    assert!(mailbox.begin_reading(serial).is_some());
}

#[tokio::test]
async fn a_look_at_all_connections_ends_those_whose_tokens_have_ended() {
    let world = World::new().await;
    let hub = &world.hub;
    let (ends, serial) = hub.connect(session(1), "a", NOW).unwrap();
    let later = Session {
        expires_at: NOW.plus_millis(2 * A_DAY_MS),
        ..session(2)
    };
    let (stays, other) = hub.connect(later, "b", NOW).unwrap();
    let said = |mailbox: &Mailbox<Payload>, serial| {
        let taken = mailbox.take(serial, &[], usize::MAX, hub.limits());
        taken.map(|taken| taken.frames.len())
    };
    world.clock.0.store(A_DAY_MS - 1, Ordering::SeqCst);
    hub.sweep();
    assert_eq!(said(&ends, serial), Ok(0));
    world.clock.0.store(A_DAY_MS, Ordering::SeqCst);
    hub.sweep();
    assert_eq!(said(&ends, serial), Err(End::Unauthorized));
    assert_eq!(said(&stays, other), Ok(0));
}

#[test]
fn one_push_however_large_overflows_nobody_who_takes_it() {
    let mailbox = stream(None);
    let limits = RealtimeLimits {
        kept_bytes_max: 100,
        ..RealtimeLimits::default()
    };
    let text = |mailbox: &Mailbox<StreamEvent>| mailbox.take(SERIAL, usize::MAX).unwrap().0;
    for ahead_ms in 1..=2 {
        let large = message(1, ahead_ms);
        assert!(large.bytes() > limits.kept_bytes_max);
        mailbox.push(&large, NOW, &limits);
        assert!(!text(&mailbox).contains(OVERFLOW_COMMENT));
    }
    for ahead_ms in 3..=4 {
        mailbox.push(&message(1, ahead_ms), NOW, &limits);
    }
    assert!(text(&mailbox).starts_with(OVERFLOW_COMMENT), "two of them");
}

#[test]
fn typing_pushes_out_nothing_that_is_stored() {
    let mailbox = stream(None);
    let event = ThreadEvent {
        thread: thread(1),
        kind: EventKind::Typing {
            sender: user(2),
            display_name: "x".repeat(1_000),
            at: NOW,
        },
    };
    let typing = Arc::new(StreamEvent::render(&event, "").unwrap());
    let limits = RealtimeLimits {
        kept_bytes_max: 20_000,
        ..RealtimeLimits::default()
    };
    for _ in 0..100 {
        mailbox.push(&typing, NOW, &limits);
    }
    assert!(mailbox.kept_bytes() <= limits.kept_bytes_max / 4 + typing.bytes());
    mailbox.push(&message(1, 1), NOW, &limits);
    let (text, _) = mailbox.take(SERIAL, usize::MAX).unwrap();
    assert!(text.contains("ChatTypingIndicatorReceived") && text.contains("ChatMessageReceived"));
    assert!(!text.contains(OVERFLOW_COMMENT));
}

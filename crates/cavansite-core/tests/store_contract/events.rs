//! What a store tells as it happens, and tells again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cavansite_core::events::{Change, Event, EventKind, EventSink, ThreadEvent};
use cavansite_core::model::*;
use cavansite_core::store::EventPage;

use crate::contract;
use crate::world::{Stop, World, edit, new_thread, pairs, sent, thread_id, user};

contract!(
    what_was_told_is_told_again_after_a_crash,
    each_is_told_of_the_time_in_which_they_were_there,
    history_that_is_not_shared_is_not_told,
    a_deletion_is_told_to_those_who_were_there,
    a_message_that_was_edited_since_comes_first_and_is_edited_then,
    only_what_changed_since_is_told,
    a_page_goes_on_where_the_one_before_ended,
    pages_tell_a_message_where_it_came_and_its_edit_where_that_was,
    what_was_told_of_a_thread_is_left_out_of_a_page_that_begins_before_it,
    metadata_and_policies_are_told_as_they_are_now_with_the_version_of_their_change,
    who_was_removed_is_told_no_metadata_and_policies_of_later,
    what_followed_a_removal_takes_no_place_on_a_page,
    a_page_is_bounded_by_the_people_that_it_names_too,
    the_time_up_to_which_all_was_told_is_kept,
    a_user_without_threads_is_told_nothing,
);

/// Keeps what a store tells, in words, with each of those who were told.
#[derive(Default)]
struct Ears(Mutex<Vec<(UserId, String)>>);

impl EventSink for Ears {
    fn publish(&self, event: Event) {
        let Event::Thread { event, audience } = event else {
            return;
        };
        let mut heard = self.0.lock().unwrap();
        audience.for_each(&mut |user, history_from| {
            if event.about().is_none_or(|about| about >= history_from) {
                heard.push((user.clone(), words(&event)));
            }
        });
    }
}

impl Ears {
    fn of(world: &World) -> Arc<Self> {
        let ears = Arc::new(Self::default());
        world
            .store()
            .send_events_to(Arc::clone(&ears) as Arc<dyn EventSink>);
        ears
    }

    /// What the user heard, but for what no store tells again.
    fn heard_by(&self, number: u8) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let of_user = heard.iter().filter(|(hearer, _)| *hearer == user(number));
        of_user
            .map(|(_, words)| words.clone())
            .filter(|words| !words.starts_with("read"))
            .collect()
    }
}

fn words(event: &ThreadEvent) -> String {
    let names = |people: &[Participant]| {
        let names: Vec<_> = people
            .iter()
            .filter_map(|one| one.display_name.clone())
            .collect();
        names.join(", ")
    };
    let what = match &event.kind {
        EventKind::MessageReceived(message) => format!("sent {}", sent(message).content),
        EventKind::MessageEdited(message) => format!("edited {}", sent(message).content),
        EventKind::MessageDeleted(message) => format!("deleted {}", message.id),
        EventKind::ReadReceipt(_) => return "read".to_owned(),
        EventKind::Typing { .. } => "typing".to_owned(),
        EventKind::Change { actor, change, .. } => {
            let what = match change {
                Change::Created {
                    thread,
                    participants,
                } => {
                    format!("made {} of {}", thread.topic, names(participants))
                }
                Change::Updated(thread) if thread.metadata.is_empty() => {
                    format!("topic {}", thread.topic)
                }
                Change::Updated(thread) => format!("topic {} {:?}", thread.topic, thread.metadata),
                Change::Deleted => "gone".to_owned(),
                Change::Added(people) => format!("added {}", names(people)),
                Change::Removed(people) => format!("removed {}", names(people)),
            };
            format!("{what} by {}", actor.user.as_str().chars().last().unwrap())
        }
    };
    let position = event.position().unwrap();
    let thread = event.thread.as_bytes()[0];
    format!(
        "{thread}: {what} ({} at {})",
        position.version,
        position.at.as_millis()
    )
}

/// A page of all since a time.
fn all_since(since: Timestamp) -> EventPage {
    EventPage {
        since,
        told: Arc::default(),
        limit: 1000,
        bytes: usize::MAX,
    }
}

async fn list(world: &World, number: u8, page: EventPage) -> (Vec<String>, Option<Timestamp>) {
    let list = world.store().list_events(&user(number), page).await;
    let list = list.unwrap();
    (list.events.iter().map(words).collect(), list.rest_since)
}

async fn again(world: &World, number: u8, since: Timestamp) -> Vec<String> {
    let (told, rest) = list(world, number, all_since(since)).await;
    assert_eq!(rest, None);
    told
}

/// All since the beginning, in pages of so many changes and so many bytes.
async fn in_pages(world: &World, number: u8, limit: usize, bytes: usize) -> Vec<String> {
    let (mut told, mut since) = (Vec::new(), Some(Timestamp::EPOCH));
    while let Some(from) = since {
        let page = EventPage {
            limit,
            bytes,
            ..all_since(from)
        };
        let (events, rest) = list(world, number, page).await;
        told.extend(events);
        assert!(rest.is_none_or(|rest| rest > from), "no progress");
        since = rest;
    }
    told
}

async fn update(world: &World, thread: ThreadId, change: ThreadChange) {
    let store = world.store();
    store.update_thread(&user(1), thread, change).await.unwrap();
}

async fn set_metadata(world: &World, thread: ThreadId, value: &str) {
    let change = ThreadChange {
        metadata: Some(pairs(&[("key", value)])),
        ..ThreadChange::default()
    };
    update(world, thread, change).await;
}

async fn set_topic(world: &World, thread: ThreadId, topic: &str) {
    let change = ThreadChange {
        topic: Some(topic.to_owned()),
        ..ThreadChange::default()
    };
    update(world, thread, change).await;
}

async fn what_was_told_is_told_again_after_a_crash(mut world: World) {
    let ears = Ears::of(&world);
    let thread = world.thread(1, &[1, 2]).await;
    let other = world.thread(2, &[2, 1]).await;
    for number in 0..5 {
        world.pass(10);
        world
            .send(1, thread, &format!("one {number}"))
            .await
            .unwrap();
        world
            .send(2, other, &format!("two {number}"))
            .await
            .unwrap();
    }
    world.pass(10);
    let first = world.send(2, thread, "first").await.unwrap();
    world
        .store()
        .upsert_receipt(&user(1), thread, first)
        .await
        .unwrap();
    world.pass(10);
    set_topic(&world, thread, "another").await;
    world.pass(10);
    world.add(1, thread, 3, Timestamp::EPOCH).await;
    world.pass(10);
    world
        .store()
        .delete_message(&user(2), thread, first)
        .await
        .unwrap();
    world.pass(10);
    world.remove(1, thread, 3).await;
    world.pass(10);
    world.store().delete_thread(&user(2), other).await.unwrap();
    let deleted = format!("1: sent first ({first} at {first})");
    for stop in [None, Some(Stop::ByCrash), Some(Stop::Gracefully)] {
        if let Some(stop) = stop {
            world.reopen(stop).await;
        }
        for number in 1..=3 {
            let mut heard = ears.heard_by(number);
            // Of a thread that is gone no more is told, and of a message that is gone its end.
            heard.retain(|words| *words != deleted);
            heard.retain(|words| !words.starts_with("2:") || words.contains("gone"));
            heard.sort_by_key(|words| words.split('(').nth(1).unwrap().to_owned());
            assert_eq!(
                again(&world, number, Timestamp::EPOCH).await,
                heard,
                "{number}"
            );
        }
    }
}

async fn each_is_told_of_the_time_in_which_they_were_there(world: World) {
    let ears = Ears::of(&world);
    let thread = world.thread(1, &[1, 2]).await;
    world.pass(10);
    world.send(1, thread, "before").await.unwrap();
    set_topic(&world, thread, "before").await;
    world.pass(10);
    world.add(1, thread, 3, Timestamp::EPOCH).await;
    world.pass(10);
    world.send(1, thread, "meanwhile").await.unwrap();
    world.pass(10);
    world.remove(1, thread, 3).await;
    world.pass(10);
    let after = world.send(1, thread, "after").await.unwrap();
    world
        .store()
        .update_message(&user(1), thread, after, edit("later"))
        .await
        .unwrap();
    set_topic(&world, thread, "after").await;
    let told = again(&world, 3, Timestamp::EPOCH).await;
    assert_eq!(told, ears.heard_by(3));
    assert_eq!(told.len(), 3, "{told:?}");
}

async fn history_that_is_not_shared_is_not_told(world: World) {
    let ears = Ears::of(&world);
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(10);
    let since = world.now();
    world.add(1, thread, 2, since).await;
    world.pass(10);
    world
        .store()
        .update_message(&user(1), thread, old, edit("hidden"))
        .await
        .unwrap();
    world
        .store()
        .delete_message(&user(1), thread, old)
        .await
        .unwrap();
    world.send(1, thread, "new").await.unwrap();
    let told = again(&world, 2, Timestamp::EPOCH).await;
    assert_eq!(told, ears.heard_by(2));
    assert_eq!(told.len(), 2, "{told:?}");
}

async fn a_deletion_is_told_to_those_who_were_there(world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    world.pass(10);
    world.remove(1, thread, 3).await;
    world.pass(10);
    let since = world.now();
    world.store().delete_thread(&user(2), thread).await.unwrap();
    let told = again(&world, 1, since).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("gone by 2"), "{told:?}");
    assert_eq!(
        again(&world, 3, Timestamp::EPOCH).await,
        Vec::<String>::new()
    );
}

async fn a_message_that_was_edited_since_comes_first_and_is_edited_then(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.pass(10);
    let since = world.now();
    let first = world.send(1, thread, "draft").await.unwrap();
    let second = world.send(1, thread, "second").await.unwrap();
    world.pass(10);
    world
        .store()
        .update_message(&user(1), thread, first, edit("final"))
        .await
        .unwrap();
    let at = since.as_millis();
    let edited = world.now().as_millis();
    let expected = [
        format!("1: sent final ({first} at {at})"),
        format!("1: sent second ({second} at {at})"),
        format!("1: edited final ({edited} at {edited})"),
    ];
    assert_eq!(again(&world, 2, since).await, expected);
    let later = Timestamp::from_millis(edited);
    assert_eq!(again(&world, 2, later).await, expected[2..]);
}

async fn only_what_changed_since_is_told(world: World) {
    let (quiet, busy) = (
        world.thread(1, &[1, 2]).await,
        world.thread(2, &[1, 2]).await,
    );
    world.send(1, quiet, "quiet").await.unwrap();
    world.send(1, busy, "before").await.unwrap();
    world.pass(1000);
    let since = world.now();
    let id = world.send(1, busy, "now").await.unwrap();
    assert_eq!(
        again(&world, 2, since).await,
        [format!("2: sent now ({id} at {})", since.as_millis())]
    );
}

async fn a_page_goes_on_where_the_one_before_ended(world: World) {
    for number in 1..=3 {
        let made = world
            .store()
            .create_thread(new_thread(number, &[1, 2]))
            .await;
        made.unwrap();
    }
    for number in 0..40_u8 {
        world
            .send(1, thread_id(number % 3 + 1), &number.to_string())
            .await
            .unwrap();
        if number % 4 == 0 {
            world.pass(1);
        }
    }
    world.pass(1000);
    let whole = again(&world, 2, Timestamp::EPOCH).await;
    assert_eq!(whole.len(), 43);
    let by_number = [1, 2, 7, 42, 43].map(|limit| (limit, usize::MAX));
    let by_bytes = [0, 1, 9].map(|bytes| (usize::MAX, bytes));
    for (limit, bytes) in by_number.into_iter().chain(by_bytes) {
        let (mut pieces, mut since) = (Vec::new(), Some(Timestamp::EPOCH));
        while let Some(at) = since {
            let page = EventPage {
                limit,
                bytes,
                ..all_since(at)
            };
            let list = world.store().list_events(&user(2), page).await.unwrap();
            // Three threads may have a message of two digits each at one version.
            let said = list.events.iter().map(|event| match &event.kind {
                EventKind::MessageReceived(message) => sent(message).content.len(),
                _ => 0,
            });
            assert!(said.sum::<usize>() <= bytes.saturating_add(6), "{bytes}");
            pieces.extend(list.events.iter().map(words));
            assert!(list.rest_since.is_none_or(|rest| rest > at), "no progress");
            since = list.rest_since;
        }
        assert_eq!(pieces, whole, "{limit} {bytes}");
    }
}

async fn pages_tell_a_message_where_it_came_and_its_edit_where_that_was(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let other = world.thread(2, &[1, 2]).await;
    let (store, mut sent) = (world.store(), Vec::new());
    for number in 0..12 {
        world.pass(1000);
        sent.push(world.send(1, thread, &number.to_string()).await.unwrap());
        world.send(1, other, "another").await.unwrap();
    }
    for (at, text) in [(0, "first"), (7, "second"), (0, "third")] {
        world.pass(1000);
        let change = edit(text);
        store
            .update_message(&user(1), thread, sent[at], change)
            .await
            .unwrap();
    }
    store
        .delete_message(&user(1), thread, sent[4])
        .await
        .unwrap();
    set_metadata(&world, other, "value").await;
    world.pass(1000);
    let whole = again(&world, 2, Timestamp::EPOCH).await;
    let first = format!("1: sent third ({} at", sent[0]);
    assert!(whole[2].starts_with(&first), "{whole:?}");
    assert_eq!(whole.len(), 2 + 24 + 2 + 1, "{whole:?}");
    for limit in [1, 2, 3, 5, 27, 28] {
        assert_eq!(
            in_pages(&world, 2, limit, usize::MAX).await,
            whole,
            "{limit}"
        );
    }
    for bytes in [0, 5, 20] {
        assert_eq!(
            in_pages(&world, 2, usize::MAX, bytes).await,
            whole,
            "{bytes}"
        );
    }
}

async fn what_was_told_of_a_thread_is_left_out_of_a_page_that_begins_before_it(world: World) {
    let (ahead, behind) = (
        world.thread(1, &[1, 2]).await,
        world.thread(2, &[1, 2]).await,
    );
    world.pass(60_000);
    for number in 0..5 {
        let text = format!("ahead {number}");
        world.send(1, ahead, &text).await.unwrap();
    }
    world.pass(-30_000);
    let since = world.now();
    world.send(1, behind, "behind").await.unwrap();
    let page = all_since(since);
    let (whole, _) = list(&world, 2, page.clone()).await;
    assert_eq!(whole.len(), 6, "{whole:?}");
    let events = world.store().list_events(&user(2), page.clone()).await;
    let third = events.unwrap().events[3].position().unwrap();
    assert_eq!(third.thread, ahead);
    let page = EventPage {
        told: Arc::new(HashMap::from([(ahead, third.version)])),
        limit: 2,
        ..page
    };
    let (told, rest) = list(&world, 2, page.clone()).await;
    assert_eq!(told, [&*whole[0], &*whole[4]]);
    let page = EventPage {
        since: rest.unwrap(),
        ..page
    };
    assert_eq!(list(&world, 2, page).await, (vec![whole[5].clone()], None));
}

async fn metadata_and_policies_are_told_as_they_are_now_with_the_version_of_their_change(
    mut world: World,
) {
    let ears = Ears::of(&world);
    let thread = world.thread(1, &[1, 2]).await;
    // All of it in one millisecond: each has a version of its own.
    world.send(1, thread, "before").await.unwrap();
    set_metadata(&world, thread, "first").await;
    set_metadata(&world, thread, "second").await;
    world.send(1, thread, "after").await.unwrap();
    let heard = ears.heard_by(2);
    let version = |words: &String| words.split('(').nth(1).unwrap().to_owned();
    let mut versions: Vec<_> = heard.iter().map(version).collect();
    versions.dedup();
    assert_eq!(versions.len(), 5, "{heard:?}");
    assert!(versions.is_sorted(), "{heard:?}");
    let expected: Vec<_> = [0, 1, 3, 4].map(|at: usize| heard[at].clone()).into();
    for stop in Stop::BOTH {
        assert_eq!(again(&world, 2, Timestamp::EPOCH).await, expected);
        world.reopen(stop).await;
    }
    let policy = ThreadChange {
        retention: Some(RetentionPolicy::DaysAfterCreation(30)),
        ..ThreadChange::default()
    };
    update(&world, thread, policy).await;
    let told = again(&world, 2, Timestamp::EPOCH).await;
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(version(&told[3]) > version(&told[2]), "{told:?}");
}

async fn who_was_removed_is_told_no_metadata_and_policies_of_later(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.pass(10);
    set_topic(&world, thread, "another").await;
    world.pass(10);
    world.remove(1, thread, 2).await;
    world.pass(10);
    let change = ThreadChange {
        metadata: Some(pairs(&[("key", "secret")])),
        retention: Some(RetentionPolicy::DaysAfterCreation(77)),
        ..ThreadChange::default()
    };
    update(&world, thread, change).await;
    let (store, page) = (world.store(), all_since(Timestamp::EPOCH));
    let told = store.list_events(&user(2), page).await.unwrap().events;
    assert_eq!(told.len(), 3, "{told:?}");
    let text = format!("{told:?}");
    assert!(!text.contains("secret") && !text.contains("77"), "{text}");
}

async fn what_followed_a_removal_takes_no_place_on_a_page(world: World) {
    let (left, other) = (
        world.thread(1, &[1, 2]).await,
        world.thread(2, &[1, 2]).await,
    );
    let edited = world.send(1, left, "before").await.unwrap();
    world.remove(1, left, 2).await;
    for number in 0..20 {
        world.send(1, left, &number.to_string()).await.unwrap();
    }
    let store = world.store();
    store
        .update_message(&user(1), left, edited, edit("after"))
        .await
        .unwrap();
    world.pass(1000);
    world.send(1, other, "last").await.unwrap();
    let page = EventPage {
        limit: 6,
        ..all_since(Timestamp::EPOCH)
    };
    // Both were made, with two messages each, one was left, and the last message.
    let (told, rest) = list(&world, 2, page).await;
    assert_eq!((told.len(), rest), (4, None), "{told:?}");
}

async fn a_page_is_bounded_by_the_people_that_it_names_too(world: World) {
    let people: Vec<_> = (1..=100).collect();
    for number in 1..=10 {
        world.thread(number, &people).await;
        world.pass(10);
    }
    let page = EventPage {
        bytes: 50_000,
        ..all_since(Timestamp::EPOCH)
    };
    let (told, rest) = list(&world, 2, page).await;
    assert!((1..=5).contains(&told.len()), "{} events", told.len());
    assert!(rest.is_some());
    assert_eq!(in_pages(&world, 2, 1000, 50_000).await.len(), 10);
}

async fn the_time_up_to_which_all_was_told_is_kept(mut world: World) {
    assert_eq!(
        world.store().get_told_through().await.unwrap(),
        Timestamp::EPOCH
    );
    for time in [5, 9, 7] {
        let time = Timestamp::from_millis(time);
        world.store().set_told_through(time).await.unwrap();
        world.reopen(Stop::ByCrash).await;
        assert_eq!(world.store().get_told_through().await.unwrap(), time);
    }
}

async fn a_user_without_threads_is_told_nothing(world: World) {
    world.thread(1, &[1, 2]).await;
    world.store().insert_identity(&user(9)).await.unwrap();
    for number in [8, 9] {
        assert_eq!(
            again(&world, number, Timestamp::EPOCH).await,
            Vec::<String>::new()
        );
    }
}

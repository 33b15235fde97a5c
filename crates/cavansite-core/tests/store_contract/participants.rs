//! The people in a thread, removal and return, and read receipts.

use cavansite_core::Error;
use cavansite_core::model::*;

use crate::contract;
use crate::world::{START, Stop, World, newcomer, pairs, refused, text, user, writes};

contract!(
    participants_are_listed_in_the_order_of_joining,
    adding_names_only_who_was_not_there,
    who_finds_no_place_is_told_and_the_others_come_in,
    a_returning_participant_comes_last_with_the_new_bound,
    removing_says_so_and_removing_nobody_says_nothing,
    one_may_leave_by_oneself,
    a_removed_participant_is_refused_everything_but_old_history,
    people_are_counted_for_the_present_only,
    a_receipt_moves_forward_only,
    a_receipt_needs_a_message_of_ones_own_history,
    receipts_show_nothing_of_the_history_before_the_readers,
    receipts_are_of_the_present_in_the_order_of_joining,
);

const BOTH: [Stop; 2] = [Stop::Gracefully, Stop::ByCrash];

async fn names(world: &World, thread: ThreadId) -> Vec<String> {
    let people = world
        .store()
        .list_participants(&user(1), thread)
        .await
        .unwrap();
    people
        .into_iter()
        .map(|participant| participant.display_name.unwrap_or_default())
        .collect()
}

async fn participants_are_listed_in_the_order_of_joining(mut world: World) {
    let thread = world.thread(1, &[1, 9, 4]).await;
    world.add(1, thread, 7, Timestamp::EPOCH).await;
    world.add(1, thread, 2, Timestamp::EPOCH).await;
    for stop in BOTH {
        assert_eq!(
            names(&world, thread).await,
            ["name 1", "name 9", "name 4", "name 7", "name 2"]
        );
        world.reopen(stop).await;
    }
}

async fn adding_names_only_who_was_not_there(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let mut again = newcomer(2);
    again.display_name = Some("another name".to_owned());
    again.share_history_time = world.now();
    let mut third = newcomer(3);
    third.metadata = pairs(&[("k", "v")]);
    let store = world.store();
    let without = store
        .add_participants(&user(1), thread, vec![again.clone(), third])
        .await
        .unwrap();
    assert!(without.is_empty());
    assert_eq!(world.texts(1, thread).await[0], "added: name 3");
    store
        .add_participants(&user(1), thread, vec![again])
        .await
        .unwrap();
    assert_eq!(world.texts(1, thread).await.len(), 3, "nobody to name");
    let people = store.list_participants(&user(3), thread).await.unwrap();
    assert_eq!(people[1].display_name.as_deref(), Some("name 2"));
    assert_eq!(people[1].share_history_time, Timestamp::EPOCH);
    assert_eq!(people[2].metadata, pairs(&[("k", "v")]));
}

async fn who_finds_no_place_is_told_and_the_others_come_in(mut world: World) {
    world.limits.participants_per_thread_max = 3;
    world.reopen(Stop::Gracefully).await;
    let thread = world.thread(1, &[1]).await;
    let store = world.store();
    let many = [5, 1, 4, 3, 2].map(newcomer).to_vec();
    let without = store
        .add_participants(&user(1), thread, many)
        .await
        .unwrap();
    assert_eq!(without, [user(3), user(2)]);
    assert_eq!(world.texts(1, thread).await[0], "added: name 5, name 4");
    let without = store
        .add_participants(&user(1), thread, vec![newcomer(2)])
        .await
        .unwrap();
    assert_eq!(without, [user(2)]);
    world.remove(1, thread, 5).await;
    assert!(world.add(1, thread, 2, Timestamp::EPOCH).await.is_empty());
}

async fn a_returning_participant_comes_last_with_the_new_bound(mut world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    world.remove(1, thread, 2).await;
    world.pass(100);
    world.send(1, thread, "away").await.unwrap();
    world.pass(100);
    world.add(1, thread, 2, world.now()).await;
    world.send(1, thread, "back").await.unwrap();
    for stop in BOTH {
        assert_eq!(names(&world, thread).await, ["name 1", "name 3", "name 2"]);
        assert_eq!(world.texts(2, thread).await, ["back", "added: name 2"]);
        world.reopen(stop).await;
    }
    world.send(2, thread, "may write").await.unwrap();
}

async fn removing_says_so_and_removing_nobody_says_nothing(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    for _ in 0..2 {
        world.remove(1, thread, 2).await;
    }
    world.remove(1, thread, 9).await;
    let messages = world.walk(1, thread, 200).await.unwrap();
    assert_eq!(text(&messages[0]), "removed: name 2");
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0].sequence_id, 3);
    match &messages[0].content {
        MessageContent::ParticipantsRemoved { initiator, .. } => assert_eq!(*initiator, user(1)),
        other => panic!("{other:?}"),
    }
}

async fn one_may_leave_by_oneself(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.remove(2, thread, 2).await;
    assert_eq!(world.texts(1, thread).await[0], "removed: name 2");
    refused!(world.send(2, thread, "x").await, Error::NotParticipant);
}

async fn a_removed_participant_is_refused_everything_but_old_history(mut world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.send(2, thread, "own").await.unwrap();
    world.remove(1, thread, 2).await;
    world.send(1, thread, "later").await.unwrap();
    for stop in BOTH {
        let store = world.store();
        for error in writes(&store, &user(2), thread).await {
            assert!(matches!(error, Error::NotParticipant), "{error:?}");
        }
        assert_eq!(
            world.texts(2, thread).await,
            [
                "removed: name 2",
                "own",
                "topic: topic 1",
                "added: name 1, name 2"
            ]
        );
        drop(store);
        world.reopen(stop).await;
    }
}

async fn people_are_counted_for_the_present_only(world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    let store = world.store();
    let count = store.count_participants(&user(3), thread).await.unwrap();
    assert_eq!(count, 3);
    world.remove(1, thread, 3).await;
    let count = store.count_participants(&user(1), thread).await.unwrap();
    assert_eq!(count, 2);
    refused!(
        store.count_participants(&user(3), thread).await,
        Error::NotParticipant
    );
}

async fn a_receipt_moves_forward_only(mut world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let first = world.send(1, thread, "1").await.unwrap();
    let second = world.send(1, thread, "2").await.unwrap();
    world.pass(5);
    let read_at = world.now();
    for message in [second, first, second] {
        world
            .store()
            .upsert_receipt(&user(2), thread, message)
            .await
            .unwrap();
        world.pass(5);
    }
    for stop in BOTH {
        let receipts = world.store().list_receipts(&user(1), thread).await.unwrap();
        let expected = ReadReceipt {
            reader: user(2),
            message: second,
            read_at,
        };
        assert_eq!(receipts, [expected]);
        world.reopen(stop).await;
    }
}

async fn a_receipt_needs_a_message_of_ones_own_history(world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(10);
    world.add(1, thread, 2, world.now()).await;
    let new = world.send(1, thread, "new").await.unwrap();
    let store = world.store();
    for message in [old, MessageId(START + 999), MessageId(1)] {
        refused!(
            store.upsert_receipt(&user(2), thread, message).await,
            Error::MessageNotFound
        );
    }
    store.upsert_receipt(&user(2), thread, new).await.unwrap();
    store.upsert_receipt(&user(1), thread, old).await.unwrap();
}

async fn receipts_show_nothing_of_the_history_before_the_readers(world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    let store = world.store();
    store.upsert_receipt(&user(1), thread, old).await.unwrap();
    world.pass(10);
    world.add(1, thread, 2, world.now()).await;
    let seen = store.list_receipts(&user(2), thread).await.unwrap();
    assert_eq!(seen, []);
    assert_eq!(
        store.list_receipts(&user(1), thread).await.unwrap().len(),
        1
    );
}

async fn receipts_are_of_the_present_in_the_order_of_joining(world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    let id = world.send(1, thread, "x").await.unwrap();
    let store = world.store();
    for who in [3, 2, 1] {
        store.upsert_receipt(&user(who), thread, id).await.unwrap();
    }
    world.remove(1, thread, 2).await;
    let readers = |receipts: Vec<ReadReceipt>| {
        receipts
            .into_iter()
            .map(|receipt| receipt.reader)
            .collect::<Vec<_>>()
    };
    let receipts = store.list_receipts(&user(3), thread).await.unwrap();
    assert_eq!(readers(receipts), [user(1), user(3)]);
    world.add(1, thread, 2, world.now()).await;
    let receipts = store.list_receipts(&user(3), thread).await.unwrap();
    assert_eq!(
        readers(receipts),
        [user(1), user(3)],
        "who returns has read nothing yet"
    );
}

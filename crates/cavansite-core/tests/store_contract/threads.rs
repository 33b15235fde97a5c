//! Threads: creation and its repeats, the list, changes, deletion and the tombstone.

use cavansite_core::Error;
use cavansite_core::model::*;
use cavansite_core::store::ThreadPage;

use crate::contract;
use crate::world::{
    START, Stop, World, message, new_thread, pairs, refused, thread_id, user, writes,
};

contract!(
    a_new_thread_starts_with_two_messages,
    a_repeated_create_answers_the_first_thread_unchanged,
    a_repeated_create_of_a_deleted_thread_makes_no_second_one,
    a_creator_who_was_removed_learns_nothing_new_from_a_repeated_create,
    a_thread_reads_back_with_all_its_parts,
    only_the_present_see_a_thread,
    an_unknown_thread_is_not_found_by_any_operation,
    a_thread_that_is_not_ones_own_is_refused_by_every_operation,
    the_list_is_by_newest_activity_and_comes_in_pages,
    the_list_leaves_out_older_activity_and_foreign_and_deleted_threads,
    a_list_that_was_read_follows_every_change,
    an_edit_is_no_activity,
    a_removed_participant_lists_the_thread_as_it_was_at_the_removal,
    who_sees_no_message_yet_lists_the_thread_at_their_coming,
    a_topic_change_adds_one_message_and_the_same_topic_none,
    metadata_changes_add_and_remove_keys_without_a_message,
    a_deleted_thread_is_gone_for_its_people_and_refused_to_others,
    a_deleted_thread_may_be_deleted_again_by_all_who_ever_took_part,
    a_removed_participant_may_not_delete_first,
);

const BOTH: [Stop; 2] = [Stop::Gracefully, Stop::ByCrash];

async fn a_new_thread_starts_with_two_messages(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let messages = world.walk(1, thread, 200).await.unwrap();
    assert_eq!(
        world.texts(1, thread).await,
        ["topic: topic 1", "added: name 1, name 2"]
    );
    let [topic, added] = &messages[..] else {
        panic!("two messages");
    };
    assert_eq!((added.sequence_id, topic.sequence_id), (1, 2));
    assert_eq!(added.id.0, START);
    assert_eq!(topic.id.0, START + 1);
    assert!(added.version.0 == added.id.0 && topic.version.0 == topic.id.0);
    assert_eq!(topic.created_at, world.now());
    match &added.content {
        MessageContent::ParticipantsAdded {
            initiator,
            initiator_display_name,
            participants,
        } => {
            assert_eq!(*initiator, user(1));
            assert_eq!(initiator_display_name.as_deref(), Some("name 1"));
            assert_eq!(participants[1].user, user(2));
        }
        other => panic!("{other:?}"),
    }
}

async fn a_repeated_create_answers_the_first_thread_unchanged(mut world: World) {
    let first = world
        .store()
        .create_thread(new_thread(1, &[1, 2]))
        .await
        .unwrap();
    for stop in BOTH {
        world.pass(1000);
        let mut other = new_thread(1, &[1, 3]);
        "another".clone_into(&mut other.topic);
        assert_eq!(world.store().create_thread(other).await.unwrap(), first);
        assert_eq!(world.texts(1, first.id).await.len(), 2);
        refused!(world.send(3, first.id, "x").await, Error::NotParticipant);
        world.reopen(stop).await;
    }
}

async fn a_repeated_create_of_a_deleted_thread_makes_no_second_one(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    world.store().delete_thread(&user(1), thread).await.unwrap();
    for stop in BOTH {
        let again = world.store().create_thread(new_thread(1, &[1])).await;
        assert_eq!(again.unwrap().id, thread);
        refused!(
            world.store().get_thread(&user(1), thread).await,
            Error::ThreadNotFound
        );
        world.reopen(stop).await;
    }
}

async fn a_creator_who_was_removed_learns_nothing_new_from_a_repeated_create(mut world: World) {
    let mut new = new_thread(1, &[1, 2]);
    new.metadata = pairs(&[("k", "v")]);
    new.retention = Some(RetentionPolicy::DaysAfterCreation(30));
    let first = world.store().create_thread(new.clone()).await.unwrap();
    world.pass(10);
    world.remove(2, first.id, 1).await;
    let change = ThreadChange {
        topic: Some("secret".to_owned()),
        metadata: Some(pairs(&[("k", "secret")])),
        retention: Some(RetentionPolicy::Keep),
    };
    let store = world.store();
    store
        .update_thread(&user(2), first.id, change)
        .await
        .unwrap();
    drop(store);
    let expected = Thread {
        metadata: Metadata::new(),
        retention: None,
        ..first.clone()
    };
    for stop in BOTH {
        let again = world.store().create_thread(new.clone()).await.unwrap();
        assert_eq!(again, expected);
        world.reopen(stop).await;
    }
    world.add(2, first.id, 1, Timestamp::EPOCH).await;
    let again = world.store().create_thread(new).await.unwrap();
    assert_eq!(again.topic, "secret");
}

async fn a_thread_reads_back_with_all_its_parts(mut world: World) {
    let mut new = new_thread(1, &[1]);
    new.metadata = pairs(&[("k", "v"), ("\"", "\n")]);
    new.retention = Some(RetentionPolicy::DaysAfterCreation(30));
    new.participants[0].metadata = pairs(&[("role", "host")]);
    new.participants[0].share_history_time = Timestamp::from_millis(5);
    let made = world.store().create_thread(new.clone()).await.unwrap();
    let expected = Thread {
        id: thread_id(1),
        topic: "topic 1".to_owned(),
        created_at: world.now(),
        created_by: user(1),
        metadata: new.metadata.clone(),
        retention: new.retention,
    };
    assert_eq!(made, expected);
    for stop in BOTH {
        let store = world.store();
        assert_eq!(store.get_thread(&user(1), made.id).await.unwrap(), expected);
        let people = store.list_participants(&user(1), made.id).await.unwrap();
        assert_eq!(people[0].metadata, new.participants[0].metadata);
        assert_eq!(people[0].share_history_time, Timestamp::from_millis(5));
        drop(store);
        world.reopen(stop).await;
    }
}

async fn only_the_present_see_a_thread(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.remove(1, thread, 2).await;
    let store = world.store();
    assert!(store.get_thread(&user(1), thread).await.is_ok());
    for who in [2, 3] {
        refused!(
            store.get_thread(&user(who), thread).await,
            Error::NotParticipant
        );
    }
}

async fn an_unknown_thread_is_not_found_by_any_operation(world: World) {
    let store = world.store();
    for error in writes(&store, &user(1), thread_id(9)).await {
        assert!(matches!(error, Error::ThreadNotFound), "{error:?}");
    }
    refused!(world.walk(1, thread_id(9), 10).await, Error::ThreadNotFound);
    refused!(
        store
            .get_message(&user(1), thread_id(9), MessageId(START))
            .await,
        Error::ThreadNotFound
    );
    refused!(
        store.delete_thread(&user(1), thread_id(9)).await,
        Error::ThreadNotFound
    );
}

async fn a_thread_that_is_not_ones_own_is_refused_by_every_operation(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    world.thread(2, &[2]).await;
    for stop in BOTH {
        let store = world.store();
        for stranger in [2, 3] {
            for error in writes(&store, &user(stranger), thread).await {
                assert!(matches!(error, Error::NotParticipant), "{error:?}");
            }
            refused!(
                world.walk(stranger, thread, 10).await,
                Error::NotParticipant
            );
            refused!(
                store
                    .get_message(&user(stranger), thread, MessageId(START))
                    .await,
                Error::NotParticipant
            );
            refused!(
                store.delete_thread(&user(stranger), thread).await,
                Error::NotParticipant
            );
        }
        assert_eq!(world.texts(1, thread).await.len(), 2, "nothing was written");
        drop(store);
        world.reopen(stop).await;
    }
}

async fn the_list_is_by_newest_activity_and_comes_in_pages(mut world: World) {
    for number in 1..=5 {
        world.thread(number, &[1]).await;
        // Two at each time, so that the order within a time is seen as well.
        world.pass(i64::from(number % 2));
    }
    world.pass(100);
    world.send(1, thread_id(3), "x").await.unwrap();
    for stop in BOTH {
        let whole = world.threads(1).await;
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[0].id, thread_id(3));
        assert_eq!(whole[0].last_message_at, world.now());
        assert!(whole.is_sorted_by_key(|item| std::cmp::Reverse(item.last_message_at)));
        for limit in 1..=5 {
            let mut paged = Vec::new();
            let mut after = None;
            loop {
                let page = ThreadPage {
                    start_time: Timestamp::EPOCH,
                    after,
                    limit,
                };
                let items = world.store().list_threads(&user(1), page).await.unwrap();
                assert!(items.len() <= limit);
                let Some(last) = items.last() else { break };
                after = Some((last.last_message_at, last.id));
                paged.extend(items);
            }
            assert_eq!(paged, whole);
        }
        world.reopen(stop).await;
    }
}

async fn the_list_leaves_out_older_activity_and_foreign_and_deleted_threads(world: World) {
    world.thread(1, &[1]).await;
    world.thread(2, &[2]).await;
    world.pass(10);
    world.thread(3, &[1]).await;
    world.thread(4, &[1]).await;
    let store = world.store();
    store.delete_thread(&user(1), thread_id(4)).await.unwrap();
    let ids = |items: Vec<ThreadSummary>| items.into_iter().map(|item| item.id).collect::<Vec<_>>();
    assert_eq!(ids(world.threads(1).await), [thread_id(3), thread_id(1)]);
    let page = ThreadPage {
        start_time: world.now(),
        after: None,
        limit: 10,
    };
    assert_eq!(
        ids(store.list_threads(&user(1), page).await.unwrap()),
        [thread_id(3)]
    );
    assert_eq!(ids(world.threads(9).await), []);
}

async fn a_list_that_was_read_follows_every_change(world: World) {
    let store = world.store();
    let list = async |reader| {
        let list = world.threads(reader).await.into_iter();
        list.map(|item| (item.id, item.last_message_at, item.topic))
            .collect::<Vec<_>>()
    };
    let item = |number: u8, at, topic: &str| (thread_id(number), at, topic.to_owned());
    world.thread(1, &[1, 2]).await;
    let first = world.now();
    assert_eq!(list(2).await, [item(1, first, "topic 1")]);
    world.pass(10);
    world.thread(2, &[1]).await;
    world.add(1, thread_id(2), 2, Timestamp::EPOCH).await;
    let second = world.now();
    let both = [item(2, second, "topic 2"), item(1, first, "topic 1")];
    assert_eq!(list(2).await, both);
    world.pass(10);
    world.remove(1, thread_id(1), 2).await;
    let removed = world.now();
    world.pass(10);
    world.send(1, thread_id(1), "unseen").await.unwrap();
    let both = [item(1, removed, "topic 1"), item(2, second, "topic 2")];
    assert_eq!(list(2).await, both);
    // Back, with a history that begins later.
    let bound = world.now().plus_millis(100);
    world.pass(10);
    world.add(1, thread_id(1), 2, bound).await;
    let back = world.now();
    world
        .send(1, thread_id(1), "before the bound")
        .await
        .unwrap();
    assert_eq!(list(2).await[0], item(1, back, "topic 1"));
    world.pass(10);
    let change = ThreadChange {
        topic: Some("other".to_owned()),
        ..ThreadChange::default()
    };
    let changed = store.update_thread(&user(1), thread_id(2), change).await;
    changed.unwrap();
    let third = world.now();
    let both = [item(2, third, "other"), item(1, back, "topic 1")];
    assert_eq!(list(2).await, both);
    store.delete_thread(&user(1), thread_id(2)).await.unwrap();
    assert_eq!(list(2).await, both[1..]);
    assert_eq!(list(2).await, both[1..]);
    // A page skips what is deleted and is full all the same.
    for number in 3..=6 {
        world.pass(10);
        world.thread(number, &[2]).await;
    }
    assert_eq!(list(2).await.len(), 5);
    for number in [6, 4] {
        let deleted = store.delete_thread(&user(2), thread_id(number)).await;
        deleted.unwrap();
    }
    let page = ThreadPage {
        start_time: Timestamp::EPOCH,
        after: None,
        limit: 2,
    };
    let items = store.list_threads(&user(2), page).await.unwrap();
    let ids: Vec<_> = items.into_iter().map(|item| item.id).collect();
    assert_eq!(ids, [thread_id(5), thread_id(3)]);
}

async fn an_edit_is_no_activity(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(1000);
    world.send(1, thread, "new").await.unwrap();
    let sent_at = world.now();
    world.pass(1000);
    world
        .store()
        .update_message(&user(1), thread, old, crate::world::edit("edited"))
        .await
        .unwrap();
    for stop in BOTH {
        assert_eq!(world.threads(1).await[0].last_message_at, sent_at);
        world.reopen(stop).await;
    }
    // The newest message's time is known after a restart, too, though it is not in front.
    world.pass(-10_000);
    world.send(1, thread, "newest").await.unwrap();
    let newest = &world.walk(1, thread, 1).await.unwrap()[0];
    assert_eq!(newest.created_at, sent_at);
}

async fn a_removed_participant_lists_the_thread_as_it_was_at_the_removal(mut world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.pass(10);
    world.remove(1, thread, 2).await;
    let removed_at = world.now();
    world.pass(10);
    let change = ThreadChange {
        topic: Some("secret".to_owned()),
        ..ThreadChange::default()
    };
    world
        .store()
        .update_thread(&user(1), thread, change)
        .await
        .unwrap();
    for stop in BOTH {
        let expected = ThreadSummary {
            id: thread,
            topic: "topic 1".to_owned(),
            last_message_at: removed_at,
        };
        assert_eq!(world.threads(2).await, [expected]);
        assert_eq!(world.threads(1).await[0].topic, "secret");
        assert_eq!(world.threads(1).await[0].last_message_at, world.now());
        world.reopen(stop).await;
    }
    world.add(1, thread, 2, Timestamp::EPOCH).await;
    assert_eq!(world.threads(2).await[0].topic, "secret");
    assert_eq!(world.threads(2).await[0].last_message_at, world.now());
}

async fn who_sees_no_message_yet_lists_the_thread_at_their_coming(world: World) {
    let thread = world.thread(1, &[1]).await;
    let bound = world.now().plus_millis(100);
    world.pass(10);
    world.add(1, thread, 2, bound).await;
    let joined_at = world.now();
    world.pass(10);
    world.send(1, thread, "before the bound").await.unwrap();
    assert_eq!(world.threads(2).await[0].last_message_at, joined_at);
    world.pass(100);
    world.send(1, thread, "after it").await.unwrap();
    assert_eq!(world.threads(2).await[0].last_message_at, world.now());
}

async fn a_topic_change_adds_one_message_and_the_same_topic_none(mut world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let change = ThreadChange {
        topic: Some("new".to_owned()),
        ..ThreadChange::default()
    };
    for _ in 0..2 {
        world
            .store()
            .update_thread(&user(2), thread, change.clone())
            .await
            .unwrap();
    }
    for stop in BOTH {
        assert_eq!(world.texts(1, thread).await[0], "topic: new");
        assert_eq!(world.texts(1, thread).await.len(), 3);
        let newest = &world.walk(1, thread, 1).await.unwrap()[0];
        assert_eq!(newest.sequence_id, 3);
        let expected = MessageContent::TopicUpdated {
            initiator: user(2),
            initiator_display_name: Some("name 2".to_owned()),
            topic: "new".to_owned(),
        };
        assert_eq!(newest.content, expected);
        let seen = world.store().get_thread(&user(1), thread).await.unwrap();
        assert_eq!(seen.topic, "new");
        world.reopen(stop).await;
    }
}

async fn metadata_changes_add_and_remove_keys_without_a_message(mut world: World) {
    let mut new = new_thread(1, &[1]);
    new.metadata = pairs(&[("a", "1"), ("b", "2")]);
    let thread = world.store().create_thread(new).await.unwrap().id;
    let change = ThreadChange {
        metadata: Some(pairs(&[("a", ""), ("c", "3"), ("d", "")])),
        retention: Some(RetentionPolicy::Keep),
        topic: None,
    };
    world
        .store()
        .update_thread(&user(1), thread, change)
        .await
        .unwrap();
    let max = world.limits.metadata_bytes_max;
    let too_much = ThreadChange {
        metadata: Some(pairs(&[("e", &"x".repeat(max - 3))])),
        ..ThreadChange::default()
    };
    refused!(
        world
            .store()
            .update_thread(&user(1), thread, too_much)
            .await,
        Error::Invalid { .. }
    );
    for stop in BOTH {
        let seen = world.store().get_thread(&user(1), thread).await.unwrap();
        assert_eq!(seen.metadata, pairs(&[("b", "2"), ("c", "3")]));
        assert_eq!(seen.retention, Some(RetentionPolicy::Keep));
        assert_eq!(world.texts(1, thread).await.len(), 2);
        world.reopen(stop).await;
    }
}

async fn a_deleted_thread_is_gone_for_its_people_and_refused_to_others(mut world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    world.remove(1, thread, 3).await;
    let id = world.send(1, thread, "x").await.unwrap();
    // Read once, so that there is something in memory to be dropped.
    world.texts(1, thread).await;
    world.store().delete_thread(&user(2), thread).await.unwrap();
    for stop in BOTH {
        let store = world.store();
        for who in [1, 2, 3] {
            for error in writes(&store, &user(who), thread).await {
                assert!(matches!(error, Error::ThreadNotFound), "{error:?}");
            }
            refused!(world.walk(who, thread, 5).await, Error::ThreadNotFound);
            refused!(
                store.get_message(&user(who), thread, id).await,
                Error::ThreadNotFound
            );
            assert_eq!(world.threads(who).await, []);
        }
        for error in writes(&store, &user(4), thread).await {
            assert!(matches!(error, Error::NotParticipant), "{error:?}");
        }
        refused!(world.walk(4, thread, 5).await, Error::NotParticipant);
        drop(store);
        world.reopen(stop).await;
    }
}

async fn a_deleted_thread_may_be_deleted_again_by_all_who_ever_took_part(mut world: World) {
    let thread = world.thread(1, &[1, 2, 3]).await;
    world.remove(1, thread, 3).await;
    world.store().delete_thread(&user(1), thread).await.unwrap();
    for stop in BOTH {
        for who in [1, 2, 3] {
            world
                .store()
                .delete_thread(&user(who), thread)
                .await
                .unwrap();
        }
        refused!(
            world.store().delete_thread(&user(4), thread).await,
            Error::NotParticipant
        );
        world.reopen(stop).await;
    }
}

async fn a_removed_participant_may_not_delete_first(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    world.remove(1, thread, 2).await;
    let store = world.store();
    refused!(
        store.delete_thread(&user(2), thread).await,
        Error::NotParticipant
    );
    store
        .append_message(&user(1), thread, message("still here"))
        .await
        .unwrap();
}

//! What holds when many do things at the same time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use cavansite_core::Error;
use cavansite_core::model::*;
use cavansite_core::store::MessagePage;

use crate::contract;
use crate::world::{Stop, World, edit, message, new_thread, text, thread_id, user};

contract!(
    sequence_ids_have_no_gap_and_follow_the_commits,
    what_was_acknowledged_is_there_after_a_crash_and_nothing_twice,
    a_walk_meets_each_unchanged_message_once_while_others_change,
    a_sender_reads_their_own_send_at_once,
    creating_one_thread_at_the_same_time_makes_one,
    nothing_is_shown_to_who_was_removed_before_it,
    deleting_while_others_send_leaves_one_truth,
);

async fn sequence_ids_have_no_gap_and_follow_the_commits(mut world: World) {
    const TASKS: u8 = 16;
    const SENDS: usize = 40;
    for number in 1..=3 {
        world.thread(number, &[1, 2]).await;
    }
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = world.store();
            tokio::spawn(async move {
                let thread = thread_id(1 + task % 3);
                let mut ids = Vec::new();
                for number in 0..SENDS {
                    let new = message(&format!("{task}/{number}"));
                    let id = store.append_message(&user(1), thread, new).await.unwrap();
                    ids.push((thread, id));
                }
                assert!(ids.is_sorted(), "one sender's sends keep their order");
                ids
            })
        })
        .collect();
    let mut acknowledged = HashSet::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    assert_eq!(acknowledged.len(), usize::from(TASKS) * SENDS);
    for stop in [Stop::Gracefully, Stop::ByCrash] {
        for number in 1..=3 {
            let mut all = world.walk(1, thread_id(number), 100).await.unwrap();
            all.reverse();
            for (message, sequence) in all.iter().zip(1..) {
                assert_eq!(message.sequence_id, sequence);
            }
            assert!(all.is_sorted_by(|a, b| a.id < b.id));
            assert!(all.is_sorted_by_key(|message| message.created_at));
            for message in &all[2..] {
                assert!(acknowledged.contains(&(thread_id(number), message.id)));
            }
        }
        world.reopen(stop).await;
    }
}

async fn what_was_acknowledged_is_there_after_a_crash_and_nothing_twice(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let mut expected = vec!["added: name 1".to_owned(), "topic: topic 1".to_owned()];
    for round in 0..8 {
        let tasks: Vec<_> = (0..10)
            .map(|number| {
                let store = world.store();
                let words = format!("{round}/{number}");
                tokio::spawn(async move {
                    let new = message(&words);
                    store.append_message(&user(1), thread, new).await.unwrap();
                    words
                })
            })
            .collect();
        for task in tasks {
            expected.push(task.await.unwrap());
        }
        world.reopen(Stop::ByCrash).await;
        let mut found = world.texts(1, thread).await;
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

async fn a_walk_meets_each_unchanged_message_once_while_others_change(world: World) {
    let thread = world.thread(1, &[1]).await;
    let mut changing = Vec::new();
    let mut unchanged = HashSet::new();
    for number in 0..600 {
        let id = world.send(1, thread, &format!("{number}")).await.unwrap();
        if number % 3 == 0 {
            changing.push(id);
        } else {
            unchanged.insert(id);
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let changer = tokio::spawn({
        let (store, stop) = (world.store(), Arc::clone(&stop));
        async move {
            for (number, id) in changing.into_iter().enumerate() {
                if stop.load(SeqCst) {
                    break;
                }
                match number % 3 {
                    0 => store.delete_message(&user(1), thread, id).await.unwrap(),
                    1 => {
                        let change = edit("changed");
                        store
                            .update_message(&user(1), thread, id, change)
                            .await
                            .unwrap();
                    }
                    _ => {
                        let new = message("new");
                        store.append_message(&user(1), thread, new).await.unwrap();
                    }
                }
            }
        }
    });
    for limit in [200, 50, 13, 7, 100, 200] {
        let seen = world.walk(1, thread, limit).await.unwrap();
        assert!(seen.is_sorted_by(|a, b| a.version > b.version));
        let mut times: HashMap<MessageId, usize> = HashMap::new();
        for message in &seen {
            *times.entry(message.id).or_default() += 1;
        }
        for id in &unchanged {
            assert_eq!(times.get(id), Some(&1), "pages of {limit}");
        }
    }
    stop.store(true, SeqCst);
    changer.await.unwrap();
}

async fn a_sender_reads_their_own_send_at_once(world: World) {
    for number in 1..=8 {
        world.thread(number, &[1]).await;
    }
    let tasks: Vec<_> = (1..=8)
        .map(|number| {
            let store = world.store();
            tokio::spawn(async move {
                let thread = thread_id(number);
                for text in 0..60 {
                    let text = text.to_string();
                    let new = message(&text);
                    let id = store.append_message(&user(1), thread, new).await.unwrap();
                    let page = MessagePage {
                        start_time: Timestamp::EPOCH,
                        before: None,
                        limit: 1,
                    };
                    let newest = store.list_messages(&user(1), thread, page).await.unwrap();
                    assert_eq!(newest[0].id, id);
                    if number % 2 == 0 {
                        let change = edit("edited");
                        store
                            .update_message(&user(1), thread, id, change)
                            .await
                            .unwrap();
                        let found = store.get_message(&user(1), thread, id).await.unwrap();
                        assert_eq!(self::text(&found), "edited");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn creating_one_thread_at_the_same_time_makes_one(world: World) {
    let tasks: Vec<_> = (1..=8)
        .map(|creator| {
            let store = world.store();
            tokio::spawn(async move {
                let new = new_thread(1, &[creator]);
                store.create_thread(new).await.unwrap()
            })
        })
        .collect();
    let mut made = HashSet::new();
    for task in tasks {
        made.insert(task.await.unwrap().created_by);
    }
    assert_eq!(made.len(), 1);
}

async fn nothing_is_shown_to_who_was_removed_before_it(world: World) {
    for round in 1..=20 {
        let thread = world.thread(round, &[1, 2]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let watchers: Vec<_> = (0..3)
            .map(|_| {
                let (store, stop) = (world.store(), Arc::clone(&stop));
                tokio::spawn(async move {
                    while !stop.load(SeqCst) {
                        let page = MessagePage {
                            start_time: Timestamp::EPOCH,
                            before: None,
                            limit: 3,
                        };
                        for message in store.list_messages(&user(2), thread, page).await.unwrap() {
                            assert_ne!(text(&message), "secret");
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        world.send(1, thread, "open").await.unwrap();
        world.remove(1, thread, 2).await;
        for _ in 0..5 {
            world.send(1, thread, "secret").await.unwrap();
        }
        stop.store(true, SeqCst);
        for watcher in watchers {
            watcher.await.unwrap();
        }
    }
}

async fn deleting_while_others_send_leaves_one_truth(world: World) {
    for round in 1..=10 {
        let thread = world.thread(round, &[1, 2]).await;
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let store = world.store();
                tokio::spawn(async move {
                    loop {
                        match store.append_message(&user(1), thread, message("x")).await {
                            Ok(_) => {}
                            Err(Error::ThreadNotFound) => break,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        world.store().delete_thread(&user(2), thread).await.unwrap();
        assert!(matches!(
            world.walk(1, thread, 10).await,
            Err(Error::ThreadNotFound)
        ));
        for sender in senders {
            sender.await.unwrap();
        }
    }
}

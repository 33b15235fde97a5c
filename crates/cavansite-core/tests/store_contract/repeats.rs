//! Sends that are repeated under one fingerprint: stored once, within the window, also across a stop.

use crate::contract;
use crate::world::{Stop, World, edit, fingerprinted, user};

contract!(
    a_repeated_send_is_stored_once,
    a_repeat_is_of_the_same_caller_and_within_the_window,
    a_repeat_is_recognised_after_a_restart,
    a_repeat_is_recognised_after_an_edit_and_a_restart,
    repeats_can_be_turned_off,
);

async fn a_repeated_send_is_stored_once(world: World) {
    let thread = world.thread(1, &[1]).await;
    let store = world.store();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = fingerprinted("x", 1);
        ids.push(store.append_message(&user(1), thread, new).await.unwrap());
        world.pass(100);
    }
    assert_eq!(ids, [ids[0]; 3]);
    assert_eq!(world.texts(1, thread).await.len(), 3);
    // Two at the same time, which may end in one transaction.
    let caller = user(1);
    let send = || store.append_message(&caller, thread, fingerprinted("y", 2));
    let (first, second) = tokio::join!(send(), send());
    assert_eq!(first.unwrap(), second.unwrap());
}

async fn a_repeat_is_of_the_same_caller_and_within_the_window(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let other = world.thread(2, &[1]).await;
    let store = world.store();
    let send = |who, thread, fingerprint| {
        let (store, caller) = (store.clone(), user(who));
        async move {
            store
                .append_message(&caller, thread, fingerprinted("x", fingerprint))
                .await
                .unwrap()
        }
    };
    let first = send(1, thread, 1).await;
    assert_ne!(send(2, thread, 1).await, first);
    assert_ne!(send(1, thread, 2).await, first);
    send(1, other, 1).await;
    assert_eq!(world.texts(1, other).await.len(), 3);
    world.pass(world.limits.send_repeat_window_ms);
    assert_eq!(send(1, thread, 1).await, first);
    world.pass(1);
    assert_ne!(send(1, thread, 1).await, first);
}

async fn a_repeat_is_recognised_after_a_restart(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let new = || fingerprinted("x", 1);
    let first = world
        .store()
        .append_message(&user(1), thread, new())
        .await
        .unwrap();
    for stop in Stop::BOTH {
        world.reopen(stop).await;
        world.send(1, thread, "in between").await.unwrap();
        let again = world.store().append_message(&user(1), thread, new()).await;
        assert_eq!(again.unwrap(), first);
    }
    world.pass(world.limits.send_repeat_window_ms + 1);
    world.reopen(Stop::Gracefully).await;
    let later = world.store().append_message(&user(1), thread, new()).await;
    assert_ne!(later.unwrap(), first);
}

async fn a_repeat_is_recognised_after_an_edit_and_a_restart(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(world.limits.send_repeat_window_ms + 1);
    let new = || fingerprinted("x", 1);
    let first = world
        .store()
        .append_message(&user(1), thread, new())
        .await
        .unwrap();
    // An old message that changed stands among the newest.
    for id in [first, old] {
        let store = world.store();
        store
            .update_message(&user(1), thread, id, edit("z"))
            .await
            .unwrap();
    }
    world.reopen(Stop::ByCrash).await;
    let again = world.store().append_message(&user(1), thread, new()).await;
    assert_eq!(again.unwrap(), first);
}

async fn repeats_can_be_turned_off(mut world: World) {
    world.limits.send_repeat_window_ms = 0;
    world.reopen(Stop::Gracefully).await;
    let thread = world.thread(1, &[1]).await;
    let store = world.store();
    let new = || fingerprinted("x", 1);
    let first = store.append_message(&user(1), thread, new()).await.unwrap();
    let second = store.append_message(&user(1), thread, new()).await.unwrap();
    assert_ne!(first, second);
}

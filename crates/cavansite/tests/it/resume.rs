//! Going on after a loss: with what the process kept, and with what the store has.

use std::time::Duration;

use cavansite::realtime::RealtimeLimits;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Dialect::Ga2024, Options, TestServer};
use crate::websocket::{Live, Socket};

/// A crash, as far as the memory of a process goes: its listener is gone and so is all it kept.
async fn stop(live: Live<'_>) {
    drop(live.stop);
    sleep(Duration::from_millis(300)).await;
}

/// The bodies of the messages that come next, each answered.
async fn bodies(socket: &mut Socket, count: usize) -> Vec<Value> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        bodies.push(socket.event().await["messageBody"].clone());
    }
    bodies
}

#[tokio::test]
async fn who_comes_back_to_another_process_is_told_what_happened_meanwhile() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let other = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(10_000);
    let mark = live.mark(&bob, "b", "").await;
    server.clock.advance_ms(10_000);
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    chat.say(&thread, "answered").await;
    assert_eq!(bodies(&mut socket, 1).await, ["answered"]);
    chat.say(&thread, "unanswered").await;
    socket.push().await;
    stop(live).await;
    drop(socket);
    let server = server.restart().await;
    let live = Live::start(&server).await;
    let chat = server.chat(Ga2024, &alice);
    server.clock.advance_ms(10_000);
    chat.say(&other, "elsewhere").await;
    server.clock.advance_ms(1);
    let edited = chat.say(&thread, "draft").await;
    let message = format!("{thread}/messages/{edited}");
    chat.patch(&message, &json!({ "content": "final" }))
        .await
        .expect(204);
    chat.patch(&thread, &json!({ "topic": "new" }))
        .await
        .expect(204);
    let again = live.mark(&bob, "b", &mark).await;
    let mut socket = live.connect_with(&bob, "b", &again).await;
    // Of the messages from before, at least those that were not answered.
    let mut events = Vec::new();
    while events
        .last()
        .is_none_or(|event: &Value| event["eventId"] != 258)
    {
        events.push(socket.event().await);
    }
    let bodies: Vec<_> = events
        .iter()
        .map(|event| event["messageBody"].as_str())
        .collect();
    let known = ["answered", "unanswered", "elsewhere", "final", "final"].map(Some);
    let expected = [&known[..], &[None]].concat();
    assert!(
        expected.ends_with(&bodies) && bodies.len() >= 5,
        "{bodies:?}"
    );
    assert!(socket.is_quiet().await);
    chat.say(&thread, "now").await;
    assert_eq!(socket.event().await["messageBody"], "now");
}

#[tokio::test]
async fn a_new_identity_and_one_with_a_foreign_mark_are_told_nothing_of_before() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(100_000);
    let mark = live.mark(&bob, "b", "").await;
    stop(live).await;
    let server = server.restart().await;
    let live = Live::start(&server).await;
    let chat = server.chat(Ga2024, &alice);
    server.clock.advance_ms(60_000);
    chat.say(&thread, "before").await;
    server.clock.advance_ms(60_000);
    for (user, epid, brought) in [
        (&bob, "new", ""),
        (&bob, "other", &*mark),
        (&alice, "b", &mark),
    ] {
        let own = live.mark(user, epid, brought).await;
        assert_ne!(own, mark);
        let mut socket = live.connect_with(user, epid, &own).await;
        assert!(socket.is_quiet().await, "{epid}");
    }
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    assert_eq!(bodies(&mut socket, 1).await, ["before"]);
}

#[tokio::test]
async fn more_than_is_kept_is_read_from_the_store_by_who_comes_back() {
    let for_one = RealtimeLimits {
        kept_bytes_max: 20_000,
        unanswered_bytes_max: 10_000,
        ..RealtimeLimits::default()
    };
    let for_all = RealtimeLimits {
        kept_bytes_of_all_max: 5_000,
        ..RealtimeLimits::default()
    };
    for realtime in [for_one, for_all] {
        come_back_to_more_than_is_kept(realtime).await;
    }
}

async fn come_back_to_more_than_is_kept(realtime: RealtimeLimits) {
    let server = TestServer::with(Options {
        realtime,
        ..Options::default()
    })
    .await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(10_000);
    let mark = live.mark(&bob, "b", "").await;
    let socket = live.connect_with(&bob, "b", &mark).await;
    server.clock.advance_ms(10_000);
    let texts: Vec<_> = (0..60)
        .map(|number| format!("{number} {}", "x".repeat(1000)))
        .collect();
    for text in &texts {
        chat.say(&thread, text).await;
        server.clock.advance_ms(1);
    }
    drop(socket);
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    assert_eq!(bodies(&mut socket, 60).await, texts);
    assert!(socket.is_quiet().await);
    chat.say(&thread, "now").await;
    assert_eq!(bodies(&mut socket, 1).await, ["now"]);
}

#[tokio::test]
async fn what_happened_longer_ago_than_the_window_is_not_told_again() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mark = live.mark(&bob, "b", "").await;
    chat.say(&thread, "long ago").await;
    stop(live).await;
    let server = server.restart().await;
    let live = Live::start(&server).await;
    server.clock.advance_ms(4 * 60 * 1000);
    server.chat(Ga2024, &alice).say(&thread, "missed").await;
    server.clock.advance_ms(2 * 60 * 1000);
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    assert_eq!(bodies(&mut socket, 1).await, ["missed"]);
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn who_was_told_all_before_a_stop_is_not_told_it_again() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mark = live.mark(&bob, "b", "").await;
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    // The process is old enough to know all who are there.
    server.clock.advance_ms(5 * 60 * 1000);
    for number in 0..3 {
        chat.say(&thread, &number.to_string()).await;
        server.clock.advance_ms(10_000);
    }
    assert_eq!(bodies(&mut socket, 3).await, ["0", "1", "2"]);
    // It is recorded each second.
    sleep(Duration::from_millis(2500)).await;
    stop(live).await;
    drop(socket);
    let server = server.restart().await;
    let live = Live::start(&server).await;
    server.chat(Ga2024, &alice).say(&thread, "missed").await;
    let mut socket = live.connect_with(&bob, "b", &mark).await;
    assert_eq!(bodies(&mut socket, 2).await, ["2", "missed"]);
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn many_who_come_back_at_once_are_all_told_what_they_missed() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(10_000);
    let users: Vec<_> = [&alice, &bob].into_iter().cycle().take(60).collect();
    let mut marks = Vec::new();
    for (number, user) in users.iter().enumerate() {
        marks.push(live.mark(user, &format!("e{number}"), "").await);
    }
    stop(live).await;
    server.clock.advance_ms(10_000);
    let server = server.restart().await;
    let live = Live::start(&server).await;
    for number in 0..5 {
        let text = number.to_string();
        server.chat(Ga2024, &alice).say(&thread, &text).await;
    }
    let mut sockets = Vec::new();
    for (number, (user, mark)) in users.iter().zip(&marks).enumerate() {
        sockets.push(live.connect_with(user, &format!("e{number}"), mark).await);
    }
    for socket in &mut sockets {
        assert_eq!(bodies(socket, 5).await, ["0", "1", "2", "3", "4"]);
    }
}

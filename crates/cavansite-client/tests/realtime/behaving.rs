//! The conversation with a server that keeps to the protocol, and what follows from losses.

use std::time::Duration;

use cavansite_client::realtime::{ChatEvent, DisconnectReason, RealtimeOptions, RealtimeState};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::server::{
    DATE_SECONDS, PATIENCE, Server, Step, allocation, answer, as_json, message, next, number,
};

/// The mocked server's clock, less the margin of markers.
fn before_connecting() -> Timestamp {
    Timestamp::from_second(DATE_SECONDS - 10).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_conversation_goes_as_the_official_client_s() {
    let server = Server::new();
    let (_connection, _events, mut socket) = server.connected(None).await;
    let first = socket.text().await.unwrap();
    assert!(
        first.starts_with("5:1+::") && first.contains("\"user.activity\""),
        "{first}"
    );
    socket.send("6:::1+[]").await;

    let configuration = &server.seen(Step::Configuration)[0];
    assert_eq!(
        configuration.url,
        "https://chat.test/chat/config/realTimeNotifications?api-version=2024-09-01"
    );
    assert_eq!(configuration.token.as_deref(), Some("Bearer hunter2-0"));

    let allocation = &server.seen(Step::Allocation)[0];
    assert!(
        allocation
            .url
            .starts_with("https://trouter.test/front/v4/a?")
    );
    assert_eq!(allocation.token.as_deref(), Some("hunter2-0"));
    assert_eq!(allocation.parameter("mark"), None);
    let epid = allocation.parameter("epid").unwrap();

    let handshake = &server.seen(Step::Handshake)[0];
    assert!(
        handshake
            .url
            .starts_with("https://socket.test:8443/socket.io/1/?")
    );
    assert_eq!(handshake.token.as_deref(), Some("hunter2-0"));
    let websocket = &server.seen(Step::Websocket)[0];
    assert!(
        websocket
            .url
            .starts_with("https://socket.test:8443/socket.io/1/websocket/session-1?")
    );
    assert_eq!(websocket.token, None);
    assert_eq!(websocket.parameter("t"), None);
    for seen in [handshake, websocket] {
        for (name, value) in [
            ("mark", "a-_.1"),
            ("number", "7"),
            ("v", "v4"),
            ("timeout", "40"),
            ("auth", "true"),
            ("ccid", "me"),
            ("epid", &epid),
        ] {
            assert_eq!(seen.parameter(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(seen.parameter("object"), None);
        for name in ["tc", "userActivity"] {
            let value: Value = serde_json::from_str(&seen.parameter(name).unwrap()).unwrap();
            assert!(value["cv"].is_string(), "{name}");
        }
    }

    timeout(PATIENCE, async {
        while server.seen(Step::Registration).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let registration = &server.seen(Step::Registration)[0];
    assert_eq!(
        registration.url,
        "https://registrar.test/reg/v3/registrations"
    );
    assert_eq!(registration.token.as_deref(), Some("hunter2-0"));
    assert_eq!(
        registration.body,
        json!({
            "clientDescription": {
                "appId": "AcsWeb", "aesKey": "", "languageId": "en-US", "platform": "SPOOL",
                "templateKey": "AcsWeb_Chat_2.1", "platformUIVersion": "0.0.0",
            },
            "registrationId": epid, "nodeId": "",
            "transports": { "TROUTER": [{
                "context": "", "path": "https://socket.test:8443/v4/f/me/", "ttl": 7200,
            }] },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_is_answered_once_it_is_in_the_queue_and_followed_by_a_ping() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    let activity = socket.text().await.unwrap();
    assert!(activity.contains("user.activity"));
    socket.send("6:::1+[]").await;
    socket.push_only(7, &message(1).to_string()).await;
    assert!(socket.text().await.unwrap().starts_with("3:::"));
    assert_eq!(
        socket.text().await.as_deref(),
        Some("5:2+::{\"name\":\"ping\"}")
    );
    assert_eq!(number(&next(&mut events).await), 1);
    // One ping at a time: no second one before the first is acknowledged.
    socket.push_only(8, &message(2).to_string()).await;
    assert!(socket.text().await.unwrap().contains("\"id\":8"));
    socket.send("6:::2+[]").await;
    socket.push_only(9, &message(3).to_string()).await;
    assert!(socket.text().await.unwrap().contains("\"id\":9"));
    assert_eq!(
        socket.text().await.as_deref(),
        Some("5:3+::{\"name\":\"ping\"}")
    );
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_go_both_ways_while_nothing_happens() {
    let server = Server::new();
    let (connection, _events, mut socket) = server.connected(None).await;
    let start = Instant::now();
    let mut said = Vec::new();
    while start.elapsed() < Duration::from_secs(95) {
        let text = socket.text().await.unwrap();
        let (number, event) = text.strip_prefix("5:").unwrap().split_once("+::").unwrap();
        let event: Value = serde_json::from_str(event).unwrap();
        said.push((
            event["name"].as_str().unwrap().to_owned(),
            start.elapsed().as_secs(),
        ));
        socket.send(&format!("6:::{number}+[]")).await;
        if said.len() == 4 {
            break;
        }
    }
    let expected = [
        ("user.activity", 0),
        ("user.activity", 10),
        ("ping", 40),
        ("ping", 80),
    ];
    assert_eq!(said, expected.map(|(name, at)| (name.to_owned(), at)));
    socket.send("2::").await;
    assert_eq!(socket.text().await.as_deref(), Some("2::"));
    assert_eq!(connection.state(), RealtimeState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_at_once_with_what_the_server_gave_for_that() {
    let server = Server::new();
    let (connection, mut events, mut socket) = server.connected(None).await;
    assert_eq!(socket.push(1, &message(1)).await, 200);
    let lost_at = Instant::now();
    drop(socket);
    let mut socket = server.greeted_socket().await;
    assert!(lost_at.elapsed() < Duration::from_secs(1));
    assert_eq!(number(&next(&mut events).await), 1);
    assert_eq!(
        next(&mut events).await,
        ChatEvent::Disconnected {
            reason: DisconnectReason::Lost
        }
    );
    let since = Some(before_connecting());
    assert_eq!(next(&mut events).await, ChatEvent::Reconnected { since });
    assert_eq!(connection.state(), RealtimeState::Connected);
    // What is told again is not yielded again; what is new is.
    assert_eq!(socket.push(1, &message(1)).await, 200);
    assert_eq!(socket.push(2, &message(2)).await, 200);
    assert_eq!(number(&next(&mut events).await), 2);

    let allocations = server.seen(Step::Allocation);
    assert!(
        allocations[1]
            .url
            .starts_with("https://socket.test:8443/v4/a?")
    );
    for (name, value) in [("mark", "a-_.1"), ("number", "7"), ("v", "v4")] {
        assert_eq!(allocations[1].parameter(name).as_deref(), Some(value));
    }
    let parameters = |name| {
        allocations
            .iter()
            .map(|seen| seen.parameter(name))
            .collect::<Vec<_>>()
    };
    assert_eq!(parameters("epid")[0], parameters("epid")[1]);
    assert_eq!(parameters("cor_id")[0], parameters("cor_id")[1]);
    assert_ne!(parameters("con_num")[0], parameters("con_num")[1]);
    assert_eq!(server.seen(Step::Configuration).len(), 1);
    timeout(PATIENCE, async {
        while server.seen(Step::Registration).len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("registered again");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_a_marker_is_that_of_the_newest_event_with_a_margin() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    let newest = (DATE_SECONDS + 100) * 1000;
    socket.push(1, &message(newest)).await;
    socket.push(2, &message(newest - 50_000)).await;
    next(&mut events).await;
    next(&mut events).await;
    drop(socket);
    let _socket = server.greeted_socket().await;
    next(&mut events).await;
    let since = Timestamp::from_millisecond(newest - 10_000).ok();
    assert_eq!(next(&mut events).await, ChatEvent::Reconnected { since });
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_acknowledged_or_silent_is_given_up() {
    for (is_acknowledged, reason, seconds) in [
        (false, DisconnectReason::Unacknowledged, 10),
        (true, DisconnectReason::Silent, 182),
    ] {
        let server = Server::new();
        let mut options = RealtimeOptions::default();
        if is_acknowledged {
            // Nothing is to be acknowledged before the silence is over.
            options.ping_interval = Duration::from_secs(1000);
        }
        let (_connection, mut events, mut socket) = server.connected(Some(options)).await;
        let start = Instant::now();
        if is_acknowledged {
            for number in 1..=2 {
                socket.text().await.unwrap();
                socket.send(&format!("6:::{number}")).await;
            }
        }
        let heard = start.elapsed().as_secs();
        assert_eq!(next(&mut events).await, ChatEvent::Disconnected { reason });
        assert_eq!(start.elapsed().as_secs() - heard, seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_nobody_is_there_and_end_when_somebody_is() {
    let server = Server::new();
    let (_connection, mut events, socket) = server.connected(None).await;
    server.on(Step::Allocation, |count| {
        (count <= 9).then(|| Ok(answer(502, "text/html", "<h1>Bad Gateway</h1>")))
    });
    let start = Instant::now();
    drop(socket);
    let _socket = server.greeted_socket().await;
    // 1 + 2 + 4 + 8 + 16 + 32 + 50 + 50 + 50, each a fifth more or less.
    let took = start.elapsed().as_secs_f64();
    assert!((213.0 * 0.8..213.0 * 1.2 + 1.0).contains(&took), "{took}");
    next(&mut events).await;
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Reconnected { .. }
    ));
    // After three refusals it begins afresh, at the front door.
    let allocations = server.seen(Step::Allocation);
    let at_the_socket = |seen: &crate::server::Seen| seen.url.contains("mark=");
    let known: Vec<_> = allocations.iter().map(at_the_socket).collect();
    assert_eq!(known[..6], [false, true, true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_again_and_again_is_not_made_again_in_a_hurry() {
    let server = Server::new();
    let (_connection, _events, mut socket) = server.connected(None).await;
    let start = Instant::now();
    for _ in 0..6 {
        drop(socket);
        socket = server.greeted_socket().await;
    }
    // At once, then after 1 + 2 + 4 + 8 + 16, each a fifth more or less.
    let took = start.elapsed().as_secs_f64();
    assert!((31.0 * 0.8..31.0 * 1.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_the_front_door_is_asked_where_to_go() {
    use cavansite_client::{Error, ErrorKind};
    let server = Server::new();
    let (_connection, _events, socket) = server.connected(None).await;
    server.on(Step::Allocation, |count| {
        (count <= 3).then(|| Err(Error::new(ErrorKind::Connection, "nobody")))
    });
    drop(socket);
    let _socket = server.greeted_socket().await;
    let probe = &server.seen(Step::Probe)[0];
    assert!(
        probe.url.starts_with("https://trouter.test/?check="),
        "{}",
        probe.url
    );
    assert_eq!(probe.token, None);
    // It goes there with what it was given, so that it is known there.
    let last = server.seen(Step::Allocation).pop().unwrap();
    assert!(
        last.url.starts_with("https://trouter.test/front/v4/a?"),
        "{}",
        last.url
    );
    assert_eq!(last.parameter("mark").as_deref(), Some("a-_.1"));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_gave_to_come_back_with_is_dropped_an_hour_before_it_expires() {
    for (minutes, is_brought_back) in [(59, false), (61, true)] {
        let server = Server::new();
        server.on(Step::Allocation, move |_| {
            let mut body = allocation();
            let left = jiff::SignedDuration::from_mins(minutes);
            let expires = Timestamp::now().checked_add(left).unwrap();
            body["connectparams"]["se"] = json!(expires.as_millisecond().to_string());
            Some(Ok(as_json(&body)))
        });
        let (_connection, _events, socket) = server.connected(None).await;
        drop(socket);
        let _socket = server.greeted_socket().await;
        let second = &server.seen(Step::Allocation)[1];
        assert_eq!(second.parameter("mark").is_some(), is_brought_back);
        let host = if is_brought_back {
            "socket.test"
        } else {
            "trouter.test"
        };
        assert!(second.url.contains(host), "{}", second.url);
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_move_opens_a_second_connection_first_and_loses_nothing() {
    for (target, host) in [("self", "socket.test:8443"), ("host", "trouter.test/front")] {
        let server = Server::new();
        let (_connection, mut events, mut old) = server.connected(None).await;
        old.send(&format!(
            "5:::{{\"name\":\"trouter.reconnect\",\"args\":[{{\"target\":\"{target}\"}}]}}"
        ))
        .await;
        let mut new = server.socket().await;
        // Until the new one is there, the old one serves.
        assert_eq!(old.push(1, &message(1)).await, 200);
        new.greet().await;
        assert_eq!(new.push(1, &message(2)).await, 200);
        // And beside it for a while.
        assert_eq!(old.push(2, &message(3)).await, 200);
        drop(old);
        assert_eq!(new.push(2, &message(4)).await, 200);
        for id in 1..=4 {
            assert_eq!(number(&next(&mut events).await), id);
        }
        let allocation = &server.seen(Step::Allocation)[1];
        assert!(
            allocation.url.starts_with(&format!("https://{host}/v4/a?")),
            "{}",
            allocation.url
        );
        assert_eq!(allocation.parameter("mark").is_some(), target == "self");
        assert_eq!(
            server.seen(Step::Registration).len(),
            3,
            "the first, the move's, and its keeping"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_that_fails_leaves_the_connection_where_it_is() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    server.on(Step::Allocation, |_| {
        Some(Ok(answer(500, "text/plain", "")))
    });
    socket
        .send("5:::{\"name\":\"trouter.reconnect\",\"args\":[{\"target\":\"self\"}]}")
        .await;
    assert_eq!(socket.push(1, &message(1)).await, 200);
    assert_eq!(number(&next(&mut events).await), 1);
    assert_eq!(socket.push(2, &message(2)).await, 200);
    assert_eq!(number(&next(&mut events).await), 2);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_server_lost_are_confirmed_and_told_of() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    let list = json!({ "droppedIndicators": [
        { "tag": "a", "etag": "1" }, { "tag": "b", "etag": "2" },
    ] });
    socket
        .send(&format!(
            "5:::{{\"name\":\"trouter.message_loss\",\"args\":[{list}]}}"
        ))
        .await;
    let word = socket.word().await.unwrap();
    let (_, event) = word.split_once("+::").unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        event,
        json!({ "name": "trouter.processed_message_loss", "args": [list] })
    );
    let since = Some(before_connecting());
    assert_eq!(
        next(&mut events).await,
        ChatEvent::Lagged { missed: 2, since }
    );
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_fails_is_tried_again_and_events_flow_meanwhile() {
    let server = Server::new();
    server.on(Step::Registration, |count| match count {
        1 => Some(Ok(answer(503, "text/plain", ""))),
        2 => Some(Ok(answer(401, "text/plain", ""))),
        3 => Some(Ok(answer(400, "text/plain", ""))),
        _ => None,
    });
    let (_connection, mut events, mut socket) = server.connected(None).await;
    assert_eq!(socket.push(1, &message(1)).await, 200);
    assert_eq!(number(&next(&mut events).await), 1);
    let start = Instant::now();
    tokio::spawn(async move { while socket.word().await.is_some() {} });
    timeout(PATIENCE, async {
        while server.seen(Step::Registration).len() < 5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if start.elapsed() > Duration::from_secs(200) {
                break;
            }
        }
    })
    .await
    .unwrap();
    let tokens = server.seen(Step::Registration);
    let tokens: Vec<_> = tokens
        .iter()
        .map(|seen| seen.token.as_deref().unwrap())
        .collect();
    assert_eq!(tokens, ["hunter2-0", "hunter2-0", "hunter2-1", "hunter2-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_long_connection_is_registered_again_before_its_registration_ends() {
    let server = Server::new();
    let (_connection, _events, mut socket) = server.connected(None).await;
    tokio::spawn(async move { while socket.word().await.is_some() {} });
    tokio::time::sleep(Duration::from_secs(7169)).await;
    assert_eq!(server.seen(Step::Registration).len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.seen(Step::Registration).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn closing_says_goodbye_and_ends_the_registration_and_the_stream() {
    let server = Server::new();
    let (connection, mut events, mut socket) = server.connected(None).await;
    assert_eq!(socket.push(1, &message(1)).await, 200);
    let mut state = connection.watch_state();
    let (words, ()) = tokio::join!(
        async {
            let mut words = Vec::new();
            while let Some(word) = socket.word().await {
                words.push(word);
            }
            words
        },
        connection.close()
    );
    assert_eq!(words, ["0::"]);
    assert_eq!(*state.borrow_and_update(), RealtimeState::Closed);
    let epid = server.seen(Step::Allocation)[0].parameter("epid").unwrap();
    let deregistration = &server.seen(Step::Deregistration)[0];
    assert_eq!(
        deregistration.url,
        format!("https://registrar.test/reg/v3/registrations/{epid}")
    );
    // What waited can still be read.
    assert_eq!(number(&next(&mut events).await), 1);
    assert!(events.next().await.is_none());
    connection.close().await;
}

#[tokio::test(start_paused = true)]
async fn closing_is_over_in_time_when_nobody_is_there_any_more() {
    let server = Server::new();
    let (connection, mut events, socket) = server.connected(None).await;
    server.on(Step::Allocation, |_| {
        Some(Ok(answer(503, "text/plain", "")))
    });
    server.on(Step::Deregistration, |_| {
        Some(Ok(answer(503, "text/plain", "")))
    });
    drop(socket);
    next(&mut events).await;
    assert_eq!(connection.state(), RealtimeState::Reconnecting);
    let start = Instant::now();
    connection.close().await;
    assert!(start.elapsed() <= Duration::from_secs(5));
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_ends_the_connection() {
    let server = Server::new();
    let (connection, events, mut socket) = server.connected(None).await;
    drop(events);
    assert_eq!(socket.word().await.as_deref(), Some("0::"));
    assert_eq!(socket.word().await, None);
    connection.close().await;
    assert_eq!(server.seen(Step::Deregistration).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_future_of_next_loses_nothing() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    assert!(
        timeout(Duration::from_millis(1), events.next())
            .await
            .is_err()
    );
    assert_eq!(socket.push(1, &message(1)).await, 200);
    assert_eq!(number(&next(&mut events).await), 1);
}

//! Real-time notifications over real websockets, and what browsers ask before (CORS).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use cavansite::realtime::RealtimeLimits;
use cavansite_core::limits::Limits;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

use crate::harness::{Answer, Dialect::Ga2024, HOST, Options, TestServer};
use crate::websocket::{Live, PATIENCE, SOON, Socket, UNAUTHORIZED, ask};

#[tokio::test]
async fn every_device_of_every_participant_is_pushed_what_happens_in_order() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mut sockets = [
        live.connect(&alice, "a1").await,
        live.connect(&bob, "b1").await,
        live.connect(&bob, "b2").await,
    ];
    let hostile = "%22 \" \\ </script> \u{1F427}";
    let id = chat.say(&thread, hostile).await;
    let receivers = [&alice, &bob, &bob];
    for number in 0..3 {
        chat.say(&thread, &number.to_string()).await;
    }
    chat.patch(&thread, &json!({ "topic": hostile }))
        .await
        .expect(204);
    for ((socket, user), epid) in sockets.iter_mut().zip(receivers).zip(["a1", "b1", "b2"]) {
        let push = socket.push().await;
        assert_eq!(push.url, format!("/v4/f/{epid}/chatMessageReceived"));
        socket.answer(&push).await;
        assert_eq!(push.event["eventId"], 200);
        assert_eq!(push.event["messageId"], id);
        assert_eq!(push.event["messageBody"], hostile);
        assert_eq!(push.event["recipientMri"], user.id);
        for number in 0..3 {
            assert_eq!(socket.event().await["messageBody"], number.to_string());
        }
        let changed = socket.event().await;
        let properties = changed["properties"].as_str().unwrap();
        assert!(!properties.contains('%'), "{properties}");
        let properties: Value = serde_json::from_str(properties).unwrap();
        assert_eq!(properties["topic"], hostile);
    }
}

#[tokio::test]
async fn a_client_s_events_are_acknowledged_at_once() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let mut socket = live.connect(&server.user().await, "a").await;
    socket
        .send("5:1+::{\"name\":\"user.activity\",\"args\":[]}")
        .await;
    assert_eq!(socket.text().await.unwrap(), "6:::1+[]");
    socket.send("5:22+::{\"name\":\"ping\"}").await;
    assert_eq!(socket.text().await.unwrap(), "6:::22+[]");
}

#[tokio::test]
async fn a_ping_behind_a_push_is_acknowledged_with_the_next_push_and_also_without_one() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let alice = server.user().await;
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    let mut socket = live.connect(&alice, "a").await;
    for (number, text) in [(1, "first"), (2, "second"), (3, "third")] {
        chat.say(&thread, text).await;
        let push = socket.push().await;
        assert_eq!(push.event["messageBody"], text);
        socket.answer(&push).await;
        socket
            .send(&format!("5:{number}+::{{\"name\":\"ping\"}}"))
            .await;
        // No push comes before it does.
        let acknowledged = socket.text().await.unwrap();
        assert_eq!(acknowledged, format!("6:::{number}+[]"));
    }
    socket.send("5:4+::{\"name\":\"ping\"}").await;
    chat.say(&thread, "fourth").await;
    let came = [socket.text().await.unwrap(), socket.text().await.unwrap()];
    assert!(came.contains(&"6:::4+[]".to_owned()), "{came:?}");
    assert!(
        came.iter().any(|frame| frame.contains("fourth")),
        "{came:?}"
    );
}

#[tokio::test]
async fn an_answer_counts_also_where_the_connection_ends_right_behind_it() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let alice = server.user().await;
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    let mut socket = live.connect(&alice, "a").await;
    chat.say(&thread, "answered").await;
    let push = socket.push().await;
    socket.answer(&push).await;
    drop(socket);
    sleep(Duration::from_millis(300)).await;
    let mut socket = live.connect(&alice, "a").await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn what_was_not_answered_is_pushed_again_to_who_comes_back_and_nothing_else() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let alice = server.user().await;
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    let mut socket = live.connect(&alice, "a").await;
    chat.say(&thread, "answered").await;
    chat.say(&thread, "unanswered").await;
    socket.event().await;
    assert_eq!(socket.push().await.event["messageBody"], "unanswered");
    // The answer has been read when what was sent after it is acknowledged.
    socket.send("5:1+::{\"name\":\"ping\"}").await;
    assert_eq!(socket.text().await.unwrap(), "6:::1+[]");
    drop(socket);
    sleep(Duration::from_millis(300)).await;
    chat.say(&thread, "missed").await;
    let mut other = live.connect(&alice, "b").await;
    let mut socket = live.connect(&alice, "a").await;
    assert_eq!(socket.event().await["messageBody"], "unanswered");
    assert_eq!(socket.event().await["messageBody"], "missed");
    assert!(socket.is_quiet().await && other.is_quiet().await);
    // Beyond the window the identity is as new.
    drop(socket);
    sleep(Duration::from_millis(300)).await;
    chat.say(&thread, "too late").await;
    server.clock.advance_ms(5 * 60 * 1000 + 1);
    sleep(Duration::from_millis(1200)).await;
    let mut socket = live.connect(&alice, "a").await;
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn typing_and_receipts_that_were_not_answered_come_again_within_the_process() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let id = chat.say(&thread, "read").await;
    let mut socket = live.connect(&bob, "b").await;
    let type_and_read = async || {
        let typing = format!("{thread}/typing");
        chat.post(&typing, &json!({ "senderDisplayName": "A" }))
            .await
            .expect(200);
        let receipts = format!("{thread}/readreceipts");
        chat.post(&receipts, &json!({ "chatMessageId": id }))
            .await
            .expect(200);
    };
    type_and_read().await;
    for event in [245, 246] {
        assert_eq!(socket.push().await.event["eventId"], event);
    }
    drop(socket);
    sleep(Duration::from_millis(300)).await;
    let typing = format!("{thread}/typing");
    chat.post(&typing, &json!({})).await.expect(200);
    let mut socket = live.connect(&bob, "b").await;
    for event in [245, 246, 245] {
        assert_eq!(socket.event().await["eventId"], event);
    }
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn a_change_of_a_message_from_before_one_s_history_is_not_pushed_to_them() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    let id = chat.say(&thread, "secret").await;
    server.clock.advance_ms(10_000);
    let now = server.clock_text(0);
    chat.add(&thread, &bob, &json!({ "shareHistoryTime": now }))
        .await;
    let mut alices = live.connect(&alice, "a").await;
    let mut bobs = live.connect(&bob, "b").await;
    let message = format!("{thread}/messages/{id}");
    chat.patch(&message, &json!({ "content": "still secret" }))
        .await
        .expect(204);
    chat.post(
        &format!("{thread}/readreceipts"),
        &json!({ "chatMessageId": id }),
    )
    .await
    .expect(200);
    chat.delete(&message).await.expect(204);
    let ids = [
        alices.event().await["eventId"].clone(),
        alices.event().await["eventId"].clone(),
        alices.event().await["eventId"].clone(),
    ];
    assert_eq!(ids, [247, 246, 248]);
    chat.say(&thread, "open").await;
    assert_eq!(bobs.event().await["messageBody"], "open");
}

#[tokio::test]
async fn who_is_removed_is_told_so_and_of_nothing_after_it() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mut bobs = live.connect(&bob, "b").await;
    chat.remove(&thread, &bob).await.expect(204);
    chat.say(&thread, "without Bob").await;
    assert_eq!(bobs.event().await["eventId"], 261);
    assert!(bobs.is_quiet().await);
    chat.add(&thread, &bob, &Value::Null).await;
    assert_eq!(bobs.event().await["eventId"], 260);
    chat.delete(&thread).await.expect(204);
    assert_eq!(bobs.event().await["eventId"], 259);
}

#[tokio::test]
async fn a_websocket_ends_with_its_token() {
    for azure in [false, true] {
        let server = if azure {
            TestServer::azure().await
        } else {
            TestServer::start().await
        };
        let live = Live::start(&server).await;
        let (revoked, deleted) = (server.user().await, server.user().await);
        let expired = server.user().await;
        let mut of_revoked = live.connect(&revoked, "r").await;
        let mut of_deleted = live.connect(&deleted, "d").await;
        let mut of_expired = live.connect(&expired, "e").await;
        server.revoke(&revoked).await;
        server.delete_user(&deleted).await;
        let words = timeout(SOON, of_revoked.last_words()).await;
        assert_eq!(words.as_deref(), Ok(UNAUTHORIZED));
        if azure {
            assert!(of_deleted.is_quiet().await);
            server.clock.advance_ms(15 * 60 * 1000);
        }
        let words = timeout(SOON, of_deleted.last_words()).await;
        assert_eq!(words.as_deref(), Ok(UNAUTHORIZED));
        assert!(of_expired.is_quiet().await);
        server.clock.advance_ms(24 * 60 * 60 * 1000);
        let words = timeout(SOON, of_expired.last_words()).await;
        assert_eq!(words.as_deref(), Ok(UNAUTHORIZED));
        let target = "/v4/a?epid=r";
        ask(&server, Method::POST, target, &revoked.token, "")
            .await
            .expect(401);
    }
}

#[tokio::test]
async fn a_session_id_is_good_once_for_seconds_and_cannot_be_forged() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let id = live.session_id(&alice, "a").await;
    assert!(live.open(&id).await.is_some());
    assert!(live.open(&id).await.is_none(), "used twice");
    let mut forged = live.session_id(&bob, "b").await.into_bytes();
    let at = forged.len() / 2;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    assert!(live.open(&forged).await.is_none(), "forged");
    assert!(live.open("none").await.is_none());
    let late = live.session_id(&alice, "a").await;
    server.clock.advance_ms(30_000);
    assert!(live.open(&late).await.is_none(), "late");
    // Between handshake and websocket, the token is revoked.
    let id = live.session_id(&bob, "b").await;
    server.revoke(&bob).await;
    let mut socket = Socket(live.open(&id).await.unwrap());
    assert_eq!(socket.last_words().await, UNAUTHORIZED);
}

#[tokio::test]
async fn thousands_of_handshakes_that_nobody_finishes_take_no_place() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let alice = server.user().await;
    let mut ids = Vec::new();
    for number in 0..3000 {
        let epid = format!("e{number}");
        live.mark(&alice, &epid, "").await;
        ids.push(live.session_id(&alice, &epid).await);
    }
    // Each is still good, and the last identities find room as the first do.
    for id in [&ids[0], &ids[2999]] {
        let mut socket = Socket(live.open(id).await.unwrap());
        assert_eq!(socket.text().await.unwrap(), "1::");
    }
}

#[tokio::test]
async fn frames_that_are_none_end_their_websocket_alone() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mut bobs = live.connect(&bob, "b").await;
    let long = format!("5:1+::{}", "x".repeat(64 * 1024));
    for frame in [
        Message::text(long),
        Message::text("hello"),
        Message::text("99:::"),
        Message::text("3:::{no json"),
        Message::binary(vec![0xff, 0xfe]),
        Message::Frame(Frame::message(
            vec![0xff, 0xfe],
            OpCode::Data(Data::Text),
            true,
        )),
    ] {
        let mut socket = live.connect(&alice, "a").await;
        let _ = socket.0.send(frame).await;
        assert_eq!(socket.last_words().await, "");
    }
    chat.say(&thread, "still here").await;
    assert_eq!(bobs.event().await["messageBody"], "still here");
}

#[tokio::test]
async fn a_client_that_closes_its_websocket_sees_that_it_was_closed_cleanly() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let mut socket = live.connect(&server.user().await, "e").await;
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    socket.0.close(Some(normal.clone())).await.unwrap();
    let answer = timeout(PATIENCE, socket.0.next()).await.unwrap();
    assert_eq!(answer.unwrap().unwrap(), Message::Close(Some(normal)));
}

#[tokio::test]
async fn a_client_that_never_answers_is_cut_at_its_bound_and_others_get_all() {
    let server = TestServer::with(Options {
        realtime: RealtimeLimits {
            kept_bytes_max: 64 * 1024,
            unanswered_bytes_max: 16 * 1024,
            ..RealtimeLimits::default()
        },
        limits: Limits::default(),
        ..Options::default()
    })
    .await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mut silent = live.connect(&bob, "b").await;
    let mut reader = live.connect(&alice, "a").await;
    let text = "x".repeat(1024);
    for number in 0..60 {
        chat.say(&thread, &format!("{number} {text}")).await;
        let body = reader.event().await["messageBody"].clone();
        assert!(body.as_str().unwrap().starts_with(&number.to_string()));
    }
    let mut pushed = 0;
    let words = loop {
        match silent.text().await.unwrap() {
            push if push.starts_with("3:::") => pushed += 1,
            words => break words,
        }
    };
    assert_eq!(words, "0:::too slow");
    // As many as may be unanswered, and no more: 1.5 KiB each.
    assert!((8..=12).contains(&pushed), "{pushed} pushes");
}

#[tokio::test]
async fn a_user_has_so_many_identities_and_the_same_one_takes_its_place_over() {
    let server = TestServer::with(Options {
        realtime: RealtimeLimits {
            identities_per_user_max: 2,
            ..RealtimeLimits::default()
        },
        ..Options::default()
    })
    .await;
    let live = Live::start(&server).await;
    let alice = server.user().await;
    let mut first = live.connect(&alice, "1").await;
    let mut second = live.connect(&alice, "2").await;
    let id = live.session_id(&alice, "3").await;
    let mut third = Socket(live.open(&id).await.unwrap());
    assert_eq!(third.last_words().await, "");
    let mut again = live.connect(&alice, "2").await;
    assert_eq!(second.last_words().await, "0:::dup");
    assert!(first.is_quiet().await && again.is_quiet().await);
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_to_its_websockets() {
    let server = TestServer::start().await;
    let mut live = Live::start(&server).await;
    let mut socket = live.connect(&server.user().await, "a").await;
    live.stop.take().unwrap().send(()).unwrap();
    assert_eq!(socket.last_words().await, "0:::going away");
}

#[tokio::test]
async fn who_registers_or_stops_somebody_else_s_identity_touches_their_own_alone() {
    let server = TestServer::start().await;
    let live = Live::start(&server).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let mut socket = live.connect(&alice, "a").await;
    let registration = "{\"registrationId\":\"a\",\"transports\":{}}";
    let target = "/v3/registrations";
    let forged = ask(&server, Method::POST, target, &bob.token, registration);
    forged.await.expect(202);
    let target = "/v3/registrations/a";
    let stopped = ask(&server, Method::DELETE, target, &bob.token, "");
    stopped.await.expect(202);
    assert!(socket.is_quiet().await);
    let stopped = ask(&server, Method::DELETE, target, &alice.token, "");
    stopped.await.expect(202);
    assert_eq!(socket.last_words().await, "0::");
}

#[tokio::test]
async fn allocation_and_registration_need_a_token_and_an_identity() {
    let server = TestServer::start().await;
    let alice = server.user().await;
    let call = server.user_with_scopes(&["voip"]).await;
    let at = async |method, target, token: &str, body| {
        let answer = ask(&server, method, target, token, body).await;
        answer.status.as_u16()
    };
    let (post, get) = (Method::POST, Method::GET);
    let registration = "{\"registrationId\":\"a-1\",\"transports\":{}}";
    let answer = ask(&server, Method::POST, "/v4/a?epid=a-1", &alice.token, "")
        .await
        .expect(200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    assert_eq!(answer.json["socketio"], format!("https://{HOST}/"));
    for (method, target, token, body, status) in [
        (&post, "/v4/a?epid=a", "forged", "", 401),
        (&post, "/v4/a?epid=a", &*call.token, "", 403),
        (&post, "/v4/a", &*alice.token, "", 400),
        (&post, "/v4/a?epid=%3Cb%3E", &*alice.token, "", 400),
        (&get, "/socket.io/1/?epid=a", "forged", "", 401),
        (&post, "/v3/registrations", &*alice.token, registration, 202),
        (&post, "/v3/registrations", &*alice.token, "{", 400),
        (&post, "/v3/registrations", "forged", registration, 401),
        (&Method::DELETE, "/v3/registrations/a-1", "forged", "", 401),
        (
            &Method::DELETE,
            "/v3/registrations/a-1",
            &*alice.token,
            "",
            202,
        ),
        (&get, "/?check=1", "", "", 200),
    ] {
        assert_eq!(
            at(method.clone(), target, token, body).await,
            status,
            "{target}"
        );
    }
    let target = "//chat/config/realTimeNotifications?api-version=2024-09-01";
    let answer = server.chat(Ga2024, &alice).get(target).await.expect(200);
    assert_eq!(answer.json["cloudType"], "Public");
    assert_eq!(answer.json["trouterServiceUrl"], format!("https://{HOST}"));
}

async fn from_origin(server: &TestServer, method: Method, target: &str, origin: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", HOST)
        .header("origin", origin)
        .header("access-control-request-method", "PATCH")
        .header(
            "access-control-request-headers",
            "authorization,x-skypetoken",
        );
    server.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn browsers_of_other_origins_are_let_in_on_every_route_and_with_errors() {
    let server = TestServer::start().await;
    let origin = "https://app.example.com";
    for target in [
        "/chat/threads",
        "/v4/a",
        "/identities",
        "/socket.io/1/",
        "/nowhere",
    ] {
        let preflight = from_origin(&server, Method::OPTIONS, target, origin)
            .await
            .expect(200);
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            Some(origin)
        );
        let allowed = preflight.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("x-skypetoken"));
        assert!(
            preflight
                .header("access-control-allow-methods")
                .unwrap()
                .contains("PATCH")
        );
        let refused = from_origin(&server, Method::GET, target, origin).await;
        assert!(refused.status.is_client_error());
        assert_eq!(refused.header("access-control-allow-origin"), Some(origin));
        assert!(
            refused
                .header("access-control-expose-headers")
                .unwrap()
                .contains("ms-cv")
        );
    }
}

#[tokio::test]
async fn the_emulator_lets_pages_of_this_machine_in_alone() {
    let server = TestServer::with(Options {
        own_hosts_only: true,
        ..Options::default()
    })
    .await;
    for (origin, is_let_in) in [
        ("http://localhost:3000", true),
        ("https://127.0.0.1:5173", true),
        ("https://chat.test", true),
        ("https://evil.example", false),
        ("https://localhost.evil.example", false),
        ("null", false),
    ] {
        let preflight = from_origin(&server, Method::OPTIONS, "/chat/threads", origin).await;
        let allowed = preflight.header("access-control-allow-origin");
        assert_eq!(allowed, is_let_in.then_some(origin), "{origin}");
    }
}

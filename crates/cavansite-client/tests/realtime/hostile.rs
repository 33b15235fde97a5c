//! Servers that answer nonsense, nothing, or would have the token elsewhere: typed errors, in
//! bounded time, and the token goes nowhere.

use std::time::Duration;

use cavansite_client::realtime::{ChatEvent, DisconnectReason, RealtimeOptions, RealtimeState};
use cavansite_client::{Error, ErrorKind, Result};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::server::{
    PATIENCE, Server, Step, allocation, answer, as_json, configuration, message, next, number,
};

/// The error with which a first connection fails, and after how long.
async fn failure(server: &std::sync::Arc<Server>) -> (Error, Duration) {
    let (client, _) = server.client();
    let start = Instant::now();
    let outcome = timeout(PATIENCE, client.connect_realtime(None)).await;
    let error = outcome.expect("an end").expect_err("an error");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    (error, start.elapsed())
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// Addresses that a token must not be sent to.
const HOSTILE: [&str; 8] = [
    "http://evil.test",
    "http://127.0.0.1",
    "ftp://evil.test",
    "file:///etc/passwd",
    "https://user:password@evil.test",
    "https://evil.test?query",
    "//evil.test",
    "",
];

#[tokio::test(start_paused = true)]
async fn a_configuration_with_a_hostile_address_is_refused_and_nothing_is_sent_there() {
    for name in ["trouterServiceUrl", "registrarServiceUrl"] {
        for address in HOSTILE {
            let server = Server::new();
            server.on(Step::Configuration, move |_| {
                Some(Ok(as_json(&with(configuration(), name, json!(address)))))
            });
            let (error, took) = failure(&server).await;
            assert_eq!(
                error.kind(),
                &ErrorKind::DataConversion,
                "{address}: {error}"
            );
            assert!(took < Duration::from_secs(1));
            let seen: Vec<_> = server.all_seen().iter().map(|seen| seen.step).collect();
            assert_eq!(seen, [Step::Configuration], "{address}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_allocation_with_a_hostile_address_is_refused_and_nothing_is_sent_there() {
    for address in HOSTILE
        .into_iter()
        .chain(["https://socket.test/namespace/"])
    {
        let server = Server::new();
        server.on(Step::Allocation, move |_| {
            Some(Ok(as_json(&with(allocation(), "socketio", json!(address)))))
        });
        let (error, _) = failure(&server).await;
        assert_eq!(
            error.kind(),
            &ErrorKind::DataConversion,
            "{address}: {error}"
        );
        let last = server.all_seen().pop().unwrap().step;
        assert_eq!(last, Step::Allocation, "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    for step in [Step::Configuration, Step::Allocation, Step::Handshake] {
        let server = Server::new();
        server.on(step, |_| {
            let mut redirect = answer(302, "text/html", "");
            let place = http::HeaderValue::from_static("https://evil.test/");
            redirect.headers.insert("location", place);
            Some(Ok(redirect))
        });
        let (error, took) = failure(&server).await;
        assert_eq!(error.status(), Some(302), "{error}");
        assert!(took < Duration::from_secs(1));
        assert_eq!(server.all_seen().pop().unwrap().step, step);
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_on_the_way_is_a_typed_error_at_once() {
    type Nonsense = fn() -> Result<cavansite_client::RawResponse>;
    let everywhere: [Nonsense; 5] = [
        || Ok(answer(200, "text/html", "<h1>Welcome</h1>")),
        || Ok(answer(200, "application/json", "{\"socketio\":\"https://")),
        || Ok(answer(200, "application/json", "[]")),
        || Ok(answer(200, "application/json", "")),
        || {
            Ok(answer(
                200,
                "application/json",
                &format!("\"{}\"", "x".repeat(1 << 20)),
            ))
        },
    ];
    for step in [Step::Configuration, Step::Allocation, Step::Handshake] {
        for nonsense in everywhere {
            let server = Server::new();
            server.on(step, move |_| Some(nonsense()));
            let (error, took) = failure(&server).await;
            assert_eq!(
                error.kind(),
                &ErrorKind::DataConversion,
                "{step:?}: {error}"
            );
            assert!(took < Duration::from_secs(1), "{step:?} took {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_allocation_that_lacks_something_or_gives_too_much_is_refused() {
    let much: serde_json::Map<_, _> = (0..33)
        .map(|number| (format!("n{number}"), json!("v")))
        .collect();
    let without = |name: &str| {
        let mut allocation = allocation();
        allocation.as_object_mut().unwrap().remove(name);
        allocation
    };
    for body in [
        without("socketio"),
        without("connectparams"),
        without("surl"),
        without("ttl"),
        with(allocation(), "ttl", json!("soon")),
        with(allocation(), "connectparams", json!([])),
        with(allocation(), "connectparams", json!(much)),
        with(
            allocation(),
            "connectparams",
            json!({ "a": "x".repeat(5000) }),
        ),
    ] {
        let server = Server::new();
        let shown = body.to_string();
        server.on(Step::Allocation, move |_| Some(Ok(as_json(&body))));
        let (error, _) = failure(&server).await;
        assert_eq!(error.kind(), &ErrorKind::DataConversion, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_echoed_stays_in_its_place() {
    let server = Server::new();
    server.on(Step::Allocation, |_| {
        let params = json!({ "a&epid": "x", "b": "1&2=3#4 5\r\n\u{e4}%41+/", "scae": "1" });
        Some(Ok(as_json(&with(allocation(), "connectparams", params))))
    });
    let (_connection, _events, _socket) = server.connected(None).await;
    let handshake = &server.seen(Step::Handshake)[0];
    assert_eq!(handshake.parameter("a&epid").as_deref(), Some("x"));
    // As it is, where it can be: clients do not encode it.
    assert!(
        handshake
            .url
            .contains("&b=1%262%3D3%234%205%0D%0A%C3%A4%41+/&"),
        "{}",
        handshake.url
    );
    assert_eq!(handshake.parameter("scae"), None);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_a_usable_session_or_websocket_is_refused() {
    for (text, kind) in [
        ("", ErrorKind::DataConversion),
        (":180:180:websocket", ErrorKind::DataConversion),
        ("..:180:180:websocket", ErrorKind::DataConversion),
        ("a/b:180:180:websocket", ErrorKind::DataConversion),
        ("a b:180:180:websocket", ErrorKind::DataConversion),
        ("a:soon:180:websocket", ErrorKind::DataConversion),
        ("a:180:180:websocket:more", ErrorKind::DataConversion),
        ("a:180:180:xhr-polling", ErrorKind::Realtime),
    ] {
        let server = Server::new();
        server.on(Step::Handshake, move |_| {
            Some(Ok(answer(200, "text/plain", text)))
        });
        let (client, _) = server.client();
        let error = client.connect_realtime(None).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{text}");
        assert!(server.seen(Step::Websocket).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_will_not_change_is_an_error_at_once_and_what_may_is_tried_for_half_a_minute() {
    for (status, is_final) in [
        (400, true),
        (403, true),
        (404, true),
        (429, false),
        (503, false),
    ] {
        let server = Server::new();
        server.on(Step::Allocation, move |_| {
            Some(Ok(answer(status, "text/plain", "")))
        });
        let (error, took) = failure(&server).await;
        assert_eq!(error.status(), Some(status));
        let expected = if is_final { 0 } else { 30 };
        assert_eq!(took.as_secs(), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_be_left_alone_is() {
    let server = Server::new();
    let (_connection, _events, socket) = server.connected(None).await;
    server.on(Step::Allocation, |count| {
        (count == 1).then(|| {
            let mut busy = answer(503, "text/plain", "");
            let seconds = http::HeaderValue::from_static("120");
            busy.headers.insert("retry-after", seconds);
            Ok(busy)
        })
    });
    let start = Instant::now();
    drop(socket);
    let _socket = server.greeted_socket().await;
    assert_eq!(start.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_opens_and_says_nothing_is_given_up() {
    for words in [
        &[][..],
        &["1::"],
        &["1::", "2::", "8::", "5:::{\"name\":\"x\"}"],
    ] {
        let server = Server::new();
        let (client, _) = server.client();
        let start = Instant::now();
        let (outcome, _sockets) = tokio::join!(client.connect_realtime(None), async {
            let mut sockets = Vec::new();
            for _ in 0..2 {
                let mut socket = server.socket().await;
                for word in words {
                    socket.send(word).await;
                }
                sockets.push(socket);
            }
            sockets
        });
        assert_eq!(outcome.unwrap_err().kind(), &ErrorKind::Timeout);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(
            server.seen(Step::Websocket).len(),
            2,
            "after twenty seconds, another"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_answers_the_upgrade_but_is_no_websocket_is_an_error() {
    let server = Server::new();
    server.on(Step::Websocket, |_| Some(Ok(answer(200, "text/plain", ""))));
    let (error, took) = failure(&server).await;
    assert_eq!(error.kind(), &ErrorKind::Other);
    assert_eq!(took.as_secs(), 30);
}

/// Sends what is none of the protocol over an open websocket, and waits for the client to come back.
async fn come_back_after(bad: Message) -> DisconnectReason {
    let server = Server::new();
    let (connection, mut events, mut socket) = server.connected(None).await;
    // It may be gone before all of it was written.
    let _ = socket.0.send(bad).await;
    let ChatEvent::Disconnected { reason } = next(&mut events).await else {
        panic!()
    };
    let mut socket = server.greeted_socket().await;
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Reconnected { .. }
    ));
    assert_eq!(socket.push(1, &message(1)).await, 200);
    assert_eq!(number(&next(&mut events).await), 1);
    assert_eq!(connection.state(), RealtimeState::Connected);
    reason
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_none_end_their_connection_and_no_more() {
    for bad in [
        Message::text("hello"),
        Message::text(""),
        Message::text("99:::"),
        Message::text("5:::{no json"),
        Message::text("6:::99999999999999999999999+[]"),
        Message::text(format!("3:::{}", "x".repeat(1024 * 1024))),
        Message::binary(vec![0xff, 0xfe]),
    ] {
        let shown = format!("{bad:?}");
        let reason = come_back_after(bad).await;
        let shown = &shown[..shown.len().min(80)];
        assert_eq!(reason, DisconnectReason::OutOfProtocol, "{shown}");
    }
    let reason = come_back_after(Message::text("0:::too slow")).await;
    assert_eq!(
        reason,
        DisconnectReason::ByServer(Some("too slow".to_owned()))
    );
    let reason = come_back_after(Message::text("0:::dup")).await;
    assert_eq!(reason, DisconnectReason::Replaced);
    let reason = come_back_after(Message::text(format!("0:::{}", "\u{e4}".repeat(9999)))).await;
    let DisconnectReason::ByServer(Some(word)) = reason else {
        panic!()
    };
    assert_eq!(word.len(), 200);
    let reason = come_back_after(Message::text("7:::1+0")).await;
    assert_eq!(reason, DisconnectReason::ByServer(None));
    assert_eq!(
        come_back_after(Message::Close(None)).await,
        DisconnectReason::Lost
    );
}

#[tokio::test(start_paused = true)]
async fn pushes_that_cannot_be_answered_or_come_too_early_do_no_harm() {
    let server = Server::new();
    let (client, _) = server.client();
    let (connected, mut socket) = tokio::join!(client.connect_realtime(None), async {
        let mut socket = server.socket().await;
        socket.push_only(1, &message(1).to_string()).await;
        socket.greet().await;
        socket
    });
    let (_connection, mut events) = connected.unwrap();
    assert_eq!(next(&mut events).await, ChatEvent::Connected);
    let early = socket.word().await.unwrap();
    assert!(early.contains("\"status\":504"), "{early}");
    for request in [
        "3:::",
        "3:::{}",
        "3:::{\"id\":-1}",
        "3:::[]",
        "1::",
        "6:::77+[]",
        "8::",
    ] {
        socket.send(request).await;
    }
    // Acknowledged where that is asked for.
    socket
        .send(&format!(
            "3:5::{}",
            json!({ "id": 2, "body": message(2).to_string() })
        ))
        .await;
    assert_eq!(socket.word().await.as_deref(), Some("6:::5"));
    assert!(socket.word().await.unwrap().contains("\"id\":2"));
    assert_eq!(number(&next(&mut events).await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_its_answers_is_not_listened_to_for_long() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    // Each is answered with a hundred bytes; nobody reads those.
    let mut pushed = 0_u32;
    for id in 0..100_000 {
        let pushing = socket.push_only(id, "{\"eventId\":4242}");
        if timeout(Duration::from_secs(1), pushing).await.is_err() {
            break;
        }
        pushed += 1;
    }
    assert!(pushed < 10_000, "{pushed}");
    loop {
        if let ChatEvent::Disconnected { reason } = next(&mut events).await {
            assert_eq!(reason, DisconnectReason::Unacknowledged);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_the_server_asks_for_is_bounded() {
    for (handshake, seconds) in [("a:1:999999999:websocket", 7), ("a::60:websocket", 62)] {
        let server = Server::new();
        server.on(Step::Handshake, move |_| {
            Some(Ok(answer(200, "text/plain", handshake)))
        });
        let mut options = RealtimeOptions::default();
        options.ping_interval = Duration::from_secs(1000);
        let (_connection, mut events, mut socket) = server.connected(Some(options)).await;
        let start = Instant::now();
        let mut said = Instant::now();
        tokio::spawn(async move {
            // `user.activity`, twice; acknowledged once, so that all that is left is silence.
            while let Some(text) = socket.text().await {
                let (number, _) = text[2..].split_once('+').unwrap();
                socket.send(&format!("6:::{number}")).await;
            }
        });
        let ended = next(&mut events).await;
        let reason = DisconnectReason::Silent;
        assert_eq!(ended, ChatEvent::Disconnected { reason });
        if seconds > 10 {
            said += Duration::from_secs(10);
        }
        assert_eq!(
            (Instant::now() - said).as_secs(),
            seconds,
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused_before_anything_is_sent() {
    let server = Server::new();
    let (client, _) = server.client();
    let changes: [fn(&mut RealtimeOptions); 3] = [
        |options| options.queue_events = 0,
        |options| options.initial_delay = Duration::ZERO,
        |options| options.ping_interval = Duration::ZERO,
    ];
    for change in changes {
        let mut options = RealtimeOptions::default();
        change(&mut options);
        let error = client.connect_realtime(Some(options)).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    }
    assert!(server.all_seen().is_empty());
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn no_token_session_or_content_is_logged_or_shown() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || written.clone())
        .finish();
    // What is of interest is remembered for all threads: without one for all, a test beside this one
    // that nobody listens to may settle that nothing is. An error: there is one already.
    let everybody = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(std::io::sink)
        .finish();
    let _ = tracing::subscriber::set_global_default(everybody);
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::new();
    let (connection, mut events, mut socket) = server.connected(None).await;
    server.on(Step::Allocation, |count| match count {
        1 => Some(Ok(answer(
            401,
            "text/plain",
            "{\"error\":{\"message\":\"no hunter2-1\"}}",
        ))),
        2 => Some(Ok(answer(
            500,
            "application/json",
            "{\"error\":{\"message\":\"no hunter2-2\"}}",
        ))),
        3 => Some(Ok(answer(200, "application/json", "{"))),
        _ => None,
    });
    assert_eq!(socket.push(1, &message(1)).await, 200);
    socket.send("3:::{\"id\":\"message 1\"}").await;
    socket.send("0:::{\"reason\":\"unauthorized\"}").await;
    let _socket = server.greeted_socket().await;
    next(&mut events).await;
    let shown = format!("{connection:?} {events:?} {:?}", RealtimeOptions::default());
    drop(events);
    connection.close().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("not connected") && log.contains("disconnected"),
        "{log}"
    );
    for secret in ["hunter2", "session-1", "a-_.1", "message 1"] {
        assert!(!log.contains(secret), "{secret}: {log}");
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

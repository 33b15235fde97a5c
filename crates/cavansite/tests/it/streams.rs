//! The plain event stream, and access keys that are replaced under open connections.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use cavansite::http::HttpLimits;
use cavansite::realtime::RealtimeLimits;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::event_stream::{
    EVENTS, Event, Stream, for_one_stream_each, listen, opens, request, until_opens,
};
use crate::harness::{Answer, Dialect::Ga2024, HOST, Options, Signing, TestServer, User};
use crate::websocket::{Live, PATIENCE, QUIET, SOON, UNAUTHORIZED};

fn kind(event: &Event) -> &str {
    let kind = event.data["type"].as_str().unwrap();
    kind.strip_prefix("Microsoft.Communication.").unwrap()
}

#[tokio::test]
async fn a_stream_tells_all_that_happens_in_the_threads_of_its_user() {
    let server = TestServer::start().await;
    let (alice, bob, carol) = (
        server.user().await,
        server.user().await,
        server.user().await,
    );
    let mut streams = [
        Stream::open(&server, &alice, None).await,
        Stream::open(&server, &bob, None).await,
    ];
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let hostile = "%22 \" \\ \n\n </script> \\u0000 \u{1F427}";
    let id = chat.say(&thread, hostile).await;
    let message = format!("{thread}/messages/{id}");
    chat.patch(&message, &json!({ "content": "edited" }))
        .await
        .expect(204);
    chat.post(
        &format!("{thread}/typing"),
        &json!({ "senderDisplayName": "A" }),
    )
    .await
    .expect(200);
    chat.post(
        &format!("{thread}/readreceipts"),
        &json!({ "chatMessageId": id }),
    )
    .await
    .expect(200);
    chat.delete(&message).await.expect(204);
    chat.patch(&thread, &json!({ "topic": hostile }))
        .await
        .expect(204);
    chat.add(&thread, &carol, &Value::Null).await;
    chat.remove(&thread, &carol).await.expect(204);
    chat.delete(&thread).await.expect(204);
    for (stream, user) in streams.iter_mut().zip([&alice, &bob]) {
        let mut events = Vec::new();
        for _ in 0..10 {
            events.push(stream.event().await);
        }
        let kinds: Vec<_> = events.iter().map(kind).collect();
        assert_eq!(
            kinds,
            [
                "ChatThreadCreatedWithUser",
                "ChatMessageReceived",
                "ChatMessageEdited",
                "ChatTypingIndicatorReceived",
                "ChatReadReceiptReceived",
                "ChatMessageDeleted",
                "ChatThreadPropertiesUpdatedPerUser",
                "ChatParticipantAddedToThreadWithUser",
                "ChatParticipantRemovedFromThreadWithUser",
                "ChatThreadWithUserDeleted",
            ]
        );
        let mut ids = std::collections::HashSet::new();
        for event in &events {
            let data = &event.data["data"];
            let recipient = &data["recipientCommunicationIdentifier"];
            assert_eq!(event.data["specversion"], "1.0");
            assert_eq!(recipient["rawId"], user.id);
            assert_eq!(recipient["communicationUser"]["id"], user.id);
            assert!(thread.ends_with(data["threadId"].as_str().unwrap()));
            assert!(ids.insert(event.data["id"].to_string()));
            let is_passing = matches!(
                kind(event),
                "ChatTypingIndicatorReceived" | "ChatReadReceiptReceived"
            );
            assert_eq!(event.id.is_none(), is_passing);
        }
        assert_eq!(events[1].data["data"]["messageBody"], hostile);
        assert_eq!(events[1].data["data"]["version"], id);
        assert_eq!(
            events[1].data["data"]["senderCommunicationIdentifier"]["rawId"],
            alice.id
        );
        assert_eq!(events[5].data["data"]["messageBody"], Value::Null);
        assert_eq!(events[6].data["data"]["properties"]["topic"], hostile);
        let added = &events[7].data["data"]["participantAdded"];
        assert_eq!(
            added["participantCommunicationIdentifier"]["rawId"],
            carol.id
        );
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_its_client_has() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(10_000);
    let mut stream = Stream::open(&server, &bob, None).await;
    for number in 0..3 {
        chat.say(&thread, &number.to_string()).await;
    }
    let first = stream.event().await;
    stream.bodies(2).await;
    drop(stream);
    let mut again = Stream::open(&server, &bob, first.id.as_deref()).await;
    assert_eq!(again.bodies(2).await, ["1", "2"]);
    assert!(again.is_quiet().await);
    // Also in another process, and hours later.
    drop(again);
    let server = server.restart().await;
    server.clock.advance_ms(23 * 60 * 60 * 1000);
    let mut again = Stream::open(&server, &bob, first.id.as_deref()).await;
    assert_eq!(again.bodies(2).await, ["1", "2"]);
    server.clock.advance_ms(2 * 60 * 60 * 1000);
    let token = server.token(&bob).await;
    let bob = User { token, ..bob };
    let mut too_late = Stream::open(&server, &bob, first.id.as_deref()).await;
    let left_out = ": connected; events of more than 86400 seconds ago are left out";
    assert_eq!(too_late.comment, left_out);
    assert!(too_late.is_quiet().await);
}

#[tokio::test]
async fn who_is_cut_off_before_the_first_event_is_told_what_came_meanwhile() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    server.clock.advance_ms(10_000);
    let mut stream = Stream::open(&server, &bob, None).await;
    let (_, id) = stream.comment.split_once("\nid: ").unwrap();
    let id = id.to_owned();
    assert!(stream.is_quiet().await);
    drop(stream);
    let server = server.restart().await;
    server.clock.advance_ms(10_000);
    let chat = server.chat(Ga2024, &alice);
    chat.say(&thread, "meanwhile").await;
    let mut again = Stream::open(&server, &bob, Some(&id)).await;
    assert_eq!(again.bodies(1).await, ["meanwhile"]);
    assert!(again.is_quiet().await);
    assert_eq!(again.comment, ": connected", "it has its last id still");
}

#[tokio::test]
async fn a_stream_whose_client_reads_slowly_misses_nothing_that_is_stored() {
    let server = TestServer::with(Options {
        realtime: RealtimeLimits {
            kept_bytes_max: 20_000,
            ..RealtimeLimits::default()
        },
        ..Options::default()
    })
    .await;
    let alice = server.user().await;
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    server.clock.advance_ms(10_000);
    let mut stream = Stream::open(&server, &alice, None).await;
    let texts: Vec<_> = (0..80)
        .map(|number| format!("{number} {}", "x".repeat(1000)))
        .collect();
    for text in &texts {
        chat.say(&thread, text).await;
        server.clock.advance_ms(1);
    }
    assert_eq!(stream.bodies(80).await, texts);
    assert_eq!(stream.overflows, 1);
    assert!(stream.is_quiet().await);
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_its_stream_is_cut_and_holds_up_nobody() {
    let server = for_one_stream_each().await;
    let limits = HttpLimits {
        write_stall_ms: 300,
        ..HttpLimits::default()
    };
    let live = listen(&server, limits).await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[&bob]).await;
    let mut client = TcpStream::connect(live.address).await.unwrap();
    let head = format!(
        "GET {EVENTS} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {}\r\n\r\n",
        bob.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    until_opens(&server, &bob, false, PATIENCE).await;
    let mut alices = Stream::open(&server, &alice, None).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let text = "x".repeat(27_000);
    // More than any system takes in for who does not read.
    while !opens(&server, &bob).await {
        assert!(tokio::time::Instant::now() < deadline, "it is never cut");
        for _ in 0..20 {
            chat.say(&thread, &text).await;
            assert_eq!(alices.bodies(1).await, [&*text]);
        }
    }
    drop(client);
}

/// A request for a stream over HTTP/2 by a client that leaves the answer no room at all.
fn without_window(user: &User) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [
            length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
        ];
        [&head[..], payload].concat()
    };
    // HPACK (RFC 7541): a literal with a name of the static table, and no Huffman code.
    let literal = |name: &[u8], value: &str| {
        let length = match value.len() {
            short @ ..127 => vec![u8::try_from(short).unwrap()],
            long => {
                let beyond = long - 127;
                let (low, high) = (beyond % 128, beyond / 128);
                vec![
                    127,
                    u8::try_from(low).unwrap() | 128,
                    u8::try_from(high).unwrap(),
                ]
            }
        };
        [name, &length, value.as_bytes()].concat()
    };
    let headers = [
        vec![0x82, 0x86],
        literal(&[0x04], EVENTS),
        literal(&[0x01], HOST),
        literal(&[0x0f, 8], &format!("Bearer {}", user.token)),
    ];
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    [preface, settings, frame(1, 5, 1, &headers.concat())].concat()
}

#[tokio::test]
async fn a_stream_whose_client_leaves_it_no_room_ends_with_its_token_too() {
    let server = for_one_stream_each().await;
    let limits = HttpLimits {
        write_stall_ms: 10_000,
        head_timeout_ms: 200,
        ..HttpLimits::default()
    };
    let live = listen(&server, limits).await;
    let alice = server.user().await;
    let mut client = TcpStream::connect(live.address).await.unwrap();
    client.write_all(&without_window(&alice)).await.unwrap();
    until_opens(&server, &alice, false, PATIENCE).await;
    // Nothing moves, and it stays open.
    let mut answer = [0; 1024];
    let quiet = async { while client.read(&mut answer).await.unwrap() > 0 {} };
    assert!(timeout(QUIET, quiet).await.is_err(), "cut before its end");
    server.revoke(&alice).await;
    let token = server.token(&alice).await;
    let alice = User { token, ..alice };
    // Its place is free before its client is cut for taking nothing.
    until_opens(&server, &alice, true, SOON).await;
    let mut stream = Stream::open(&server, &alice, None).await;
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, client.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection stays");
    assert!(stream.is_quiet().await);
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = TestServer::start().await;
    let (revoked, expired) = (server.user().await, server.user().await);
    let deleted = server.user().await;
    let mut of_deleted = Stream::open(&server, &deleted, None).await;
    let mut of_revoked = Stream::open(&server, &revoked, None).await;
    let mut of_expired = Stream::open(&server, &expired, None).await;
    server.revoke(&revoked).await;
    assert!(timeout(SOON, of_revoked.next()).await.unwrap().is_none());
    server.delete_user(&deleted).await;
    assert!(timeout(SOON, of_deleted.next()).await.unwrap().is_none());
    assert!(of_expired.is_quiet().await);
    server.clock.advance_ms(24 * 60 * 60 * 1000);
    assert!(timeout(SOON, of_expired.next()).await.unwrap().is_none());
    for stream in [of_revoked, of_deleted, of_expired] {
        assert_eq!(stream.comment, ": the token has ended");
    }
    server.send(request(&revoked, None)).await.expect(401);
}

#[tokio::test]
async fn an_hour_in_which_nothing_comes_costs_a_stream_none_of_what_waits_for_it() {
    let server = TestServer::start().await;
    let alice = server.user().await;
    let chat = server.chat(Ga2024, &alice);
    let thread = chat.thread_with(&[]).await;
    let mut stream = Stream::open(&server, &alice, None).await;
    chat.say(&thread, "before").await;
    server.clock.advance_ms(60 * 60 * 1000);
    chat.say(&thread, "after").await;
    assert_eq!(stream.bodies(2).await, ["before", "after"]);
}

#[tokio::test]
async fn what_is_said_while_a_stream_is_told_of_a_thread_ahead_of_the_clock_comes_once() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user().await, server.user().await);
    let chat = server.chat(Ga2024, &alice);
    let ahead = chat.thread_with(&[&bob]).await;
    let other = chat.thread_with(&[&bob]).await;
    let mut stream = Stream::open(&server, &bob, None).await;
    chat.say(&ahead, "first").await;
    let first = stream.event().await;
    drop(stream);
    // More than is read at once, each with a version of its own, while the clock stands.
    let mut expected = Vec::new();
    for number in 0..700 {
        chat.say(&ahead, &number.to_string()).await;
        expected.push(number.to_string());
    }
    let mut stream = Stream::open(&server, &bob, first.id.as_deref()).await;
    // The two threads' making was before, in the same two seconds.
    let mut heard = Vec::new();
    while heard.len() < 300 {
        let event = stream.event().await.data["data"]["messageBody"].clone();
        heard.extend(event.as_str().map(str::to_owned));
    }
    chat.say(&other, "meanwhile").await;
    for _ in 0..401 {
        let body = stream.bodies(1).await.remove(0);
        heard.push(body.as_str().unwrap().to_owned());
    }
    assert!(stream.is_quiet().await);
    let at = heard.iter().position(|body| body == "meanwhile").unwrap();
    heard.remove(at);
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_stream_is_refused_without_a_token_or_scope_with_a_malformed_id_and_beyond_its_number() {
    let server = TestServer::start().await;
    let alice = server.user().await;
    let no_token = Request::get(EVENTS).header("host", HOST);
    server
        .send(no_token.body(Body::empty()).unwrap())
        .await
        .expect(401);
    let voip = server.user_with_scopes(&["voip"]).await;
    server.send(request(&voip, None)).await.expect(403);
    for id in ["x", "1-2-3", "1605055118692-1-\u{e9}"] {
        let answer = server.send(request(&alice, Some(id))).await;
        assert_eq!(answer.expect(400).json["error"]["target"], "Last-Event-ID");
    }
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(Stream::open(&server, &alice, Some("")).await);
    }
    let answer = server.send(request(&alice, None)).await;
    assert_eq!(answer.expect(429).json["error"]["code"], "TooManyRequests");
    streams.pop();
    Stream::open(&server, &alice, None).await;
}

#[tokio::test]
async fn a_quiet_stream_is_sent_comments() {
    let server = TestServer::with(Options {
        realtime: RealtimeLimits {
            stream_heartbeat_ms: 50,
            ..RealtimeLimits::default()
        },
        ..Options::default()
    })
    .await;
    let mut stream = Stream::open(&server, &server.user().await, None).await;
    for _ in 0..3 {
        assert_eq!(stream.block().await.unwrap(), ":");
    }
}

async fn rotate(server: &TestServer, key: usize, which: &str) -> Answer {
    let signing = Signing {
        key,
        ..Signing::default()
    };
    let body = json!({ "keyType": which }).to_string();
    let target = "/cavansite/v1/admin/regenerateKey";
    server
        .send(server.sign(&signing, Method::POST, target, &body))
        .await
}

#[tokio::test]
async fn a_replaced_access_key_ends_with_its_tokens_and_their_connections() {
    let mut server = TestServer::start().await;
    let (alice, bob) = (server.user().await, server.user().await);
    let by_secondary = server.user_signed_with(1).await;
    let live = Live::start(&server).await;
    let mut socket = live.connect(&alice, "a").await;
    let mut other = live.connect(&by_secondary, "c").await;
    let mut stream = Stream::open(&server, &bob, None).await;
    let keys = rotate(&server, 1, "Primary").await.expect(200);
    assert_eq!(keys.headers["cache-control"], "no-store");
    let words = timeout(SOON, socket.last_words()).await;
    assert_eq!(words.as_deref(), Ok(UNAUTHORIZED));
    assert!(timeout(SOON, stream.next()).await.unwrap().is_none());
    server.send(request(&alice, None)).await.expect(401);
    assert!(other.is_quiet().await);
    drop((live, socket, other, stream));
    // The old primary key signs nothing any more, the new one does, also after a restart.
    rotate(&server, 0, "Secondary").await.expect(401);
    server.use_key(0, keys.json["primaryKey"].as_str().unwrap());
    let mut server = server.restart().await;
    server.use_key(0, keys.json["primaryKey"].as_str().unwrap());
    server.send(request(&alice, None)).await.expect(401);
    Stream::open(&server, &by_secondary, None).await;
    let again = rotate(&server, 0, "Secondary").await.expect(200);
    assert_eq!(again.json["primaryKey"], keys.json["primaryKey"]);
    assert_ne!(again.json["secondaryKey"], keys.json["secondaryKey"]);
    let connection = again.json["secondaryConnectionString"].as_str().unwrap();
    let key = again.json["secondaryKey"].as_str().unwrap();
    assert_eq!(
        connection,
        format!("endpoint=https://{HOST}/;accesskey={key}")
    );
    server.send(request(&by_secondary, None)).await.expect(401);
}

#[tokio::test]
async fn a_key_is_replaced_also_where_its_client_goes_away_meanwhile() {
    let server = TestServer::start().await;
    let alice = server.user().await;
    let rotation = rotate(&server, 1, "Primary");
    // It has come as far as the store's queue, and is dropped.
    assert!(rotation.now_or_never().is_none());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while server.send(request(&alice, None)).await.status != 401 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the key is in force"
        );
        sleep(Duration::from_millis(10)).await;
    }
    rotate(&server, 0, "Secondary").await.expect(401);
}

#[tokio::test]
async fn replacing_a_key_needs_a_signature_and_a_known_key() {
    let server = TestServer::start().await;
    let target = "/cavansite/v1/admin/regenerateKey";
    let unsigned = Request::post(target).header("host", HOST);
    server
        .send(unsigned.body(Body::from("{}")).unwrap())
        .await
        .expect(401);
    rotate(&server, 0, "Tertiary").await.expect(400);
    let user = server.user().await;
    let by_token = Request::post(target)
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", user.token));
    server
        .send(by_token.body(Body::from("{}")).unwrap())
        .await
        .expect(401);
}

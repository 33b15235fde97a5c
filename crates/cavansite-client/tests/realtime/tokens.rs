//! Tokens that a server refuses, and services that will not have the client any more.

use std::time::Duration;

use cavansite_client::realtime::{ChatEvent, DisconnectReason, RealtimeState};
use tokio::time::{Instant, timeout};

use crate::server::{PATIENCE, Server, Step, answer, next};

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_another_token_gets_one_at_once() {
    let server = Server::new();
    let (client, tokens) = server.client();
    let (connected, mut socket) =
        tokio::join!(client.connect_realtime(None), server.greeted_socket());
    let (_connection, mut events) = connected.unwrap();
    next(&mut events).await;
    let start = Instant::now();
    socket.send("0:::{\"reason\":\"unauthorized\"}").await;
    let _socket = server.greeted_socket().await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(tokens.refused(), 1);
    assert_eq!(
        server.seen(Step::Allocation)[1].token.as_deref(),
        Some("hunter2-1")
    );
    let reason = DisconnectReason::Unauthorized;
    assert_eq!(next(&mut events).await, ChatEvent::Disconnected { reason });
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Reconnected { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_three_times_before_it_is_believed() {
    for refusals in [3, 4] {
        let server = Server::new();
        let (client, tokens) = server.client();
        server.on(Step::Allocation, move |count| {
            (count <= refusals).then(|| Ok(answer(401, "text/plain", "no")))
        });
        let connecting = client.connect_realtime(None);
        let (connected, _socket) = tokio::join!(connecting, async {
            if refusals == 3 {
                Some(server.greeted_socket().await)
            } else {
                None
            }
        });
        assert_eq!(tokens.refused(), refusals);
        match connected {
            Ok(_) => assert_eq!(refusals, 3),
            Err(error) => {
                assert_eq!((refusals, error.status()), (4, Some(401)));
                assert!(!format!("{error} {error:?}").contains("hunter2"));
            }
        }
        assert_eq!(server.seen(Step::Allocation).len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_tokens_are_refused_for_good_ends_with_that_error() {
    let server = Server::new();
    let (connection, mut events, mut socket) = server.connected(None).await;
    server.on(Step::Allocation, |_| {
        Some(Ok(answer(401, "text/plain", "no")))
    });
    socket.send("0:::{\"reason\":\"unauthorized\"}").await;
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Disconnected { .. }
    ));
    let error = timeout(PATIENCE, events.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(events.next().await.is_none());
    assert_eq!(connection.state(), RealtimeState::Closed);
    assert_eq!(server.seen(Step::Allocation).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_will_not_have_the_client_any_more_ends_the_stream() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    socket
        .send("0:::{\"reason\":\"skypetoken-deprecated\"}")
        .await;
    let reason = DisconnectReason::Deprecated;
    assert_eq!(next(&mut events).await, ChatEvent::Disconnected { reason });
    assert!(
        timeout(PATIENCE, events.next())
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert!(events.next().await.is_none());
    assert_eq!(server.seen(Step::Allocation).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_allocation_may_say_so_too() {
    let server = Server::new();
    let (client, _) = server.client();
    server.on(Step::Allocation, |_| {
        let mut refusal = answer(403, "text/plain", "");
        let one = http::HeaderValue::from_static("1");
        refusal
            .headers
            .insert("x-trouter-skypetoken-deprecated", one);
        Some(Ok(refusal))
    });
    let error = client.connect_realtime(None).await.unwrap_err();
    assert_eq!(error.kind(), &cavansite_client::ErrorKind::Realtime);
    assert_eq!(server.seen(Step::Allocation).len(), 1);
}

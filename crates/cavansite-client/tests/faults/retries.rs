//! What is sent again, when, and what is not.

use std::time::Duration;

use cavansite_client::models::{CommunicationUserIdentifier, TokenScope};
use cavansite_client::{ChatClient, Error, ErrorKind, MethodOptions, SendChatMessageOptions};
use tokio::time::Instant;

use crate::mock::{Mock, Reply, header};

fn with_retry_after(status: u16, value: &str) -> Reply {
    Reply::With(status, ("retry-after", value.to_owned()), "{}".to_owned())
}

/// All methods whose repetition is harmless, and all others, run once against a script.
async fn run(mock: &std::sync::Arc<Mock>, operation: &str) -> Result<(), Error> {
    let (chat, thread, identity) = (mock.chat(), mock.thread(), mock.identity());
    let user = CommunicationUserIdentifier::new("8:acs:r_u");
    let person = cavansite_client::models::ChatParticipant::new(&user);
    match operation {
        "create_thread" => chat.create_thread("t", None).await.map(drop),
        "delete_thread" => chat.delete_thread("t", None).await.map(drop),
        "get_properties" => thread.get_properties(None).await.map(drop),
        "update_topic" => thread.update_topic("t", None).await.map(drop),
        "get_message" => thread.get_message("1", None).await.map(drop),
        "update_message" => thread.update_message("1", None).await.map(drop),
        "delete_message" => thread.delete_message("1", None).await.map(drop),
        "add_participants" => thread.add_participants(&[person], None).await.map(drop),
        "remove_participant" => thread.remove_participant(user, None).await.map(drop),
        "send_read_receipt" => thread.send_read_receipt("1", None).await.map(drop),
        "get_token" => identity
            .get_token(&user, &[TokenScope::Chat], None)
            .await
            .map(drop),
        "revoke_tokens" => identity.revoke_tokens(&user, None).await.map(drop),
        "delete_user" => identity.delete_user(&user, None).await.map(drop),
        "send_message" => thread.send_message("hello", None).await.map(drop),
        "send_typing_notification" => thread.send_typing_notification(None).await.map(drop),
        "create_user" => identity.create_user(None).await.map(drop),
        "create_user_and_token" => identity
            .create_user_and_token(&[TokenScope::Chat], None)
            .await
            .map(drop),
        _ => panic!("{operation}"),
    }
}

const HARMLESS: [&str; 13] = [
    "create_thread",
    "delete_thread",
    "get_properties",
    "update_topic",
    "get_message",
    "update_message",
    "delete_message",
    "add_participants",
    "remove_participant",
    "send_read_receipt",
    "get_token",
    "revoke_tokens",
    "delete_user",
];
const HARMFUL: [&str; 4] = [
    "send_message",
    "send_typing_notification",
    "create_user",
    "create_user_and_token",
];

/// How often an operation is sent when it always meets the same.
async fn attempts(operation: &str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> usize {
    let mock = Mock::new(move |_, _| reply());
    run(&mock, operation).await.unwrap_err();
    mock.count()
}

#[tokio::test(start_paused = true)]
async fn what_is_harmless_twice_is_sent_nine_times_and_what_is_not_once() {
    for operation in HARMLESS {
        for status in [408, 429, 500, 502, 503, 504] {
            let tries = attempts(operation, move || Reply::Json(status, "{}")).await;
            assert_eq!(tries, 9, "{operation} after {status}");
        }
        let tries = attempts(operation, || Reply::Fails(ErrorKind::Io)).await;
        assert_eq!(tries, 9, "{operation} after a connection that broke");
    }
    for operation in HARMFUL {
        for status in [408, 500, 502, 503, 504] {
            let tries = attempts(operation, move || Reply::Json(status, "{}")).await;
            assert_eq!(tries, 1, "{operation} after {status}");
        }
        for kind in [ErrorKind::Io, ErrorKind::Timeout] {
            let tries = attempts(operation, move || Reply::Fails(kind.clone())).await;
            assert_eq!(tries, 1, "{operation}");
        }
        let tries = attempts(operation, || Reply::Silence).await;
        assert_eq!(tries, 1, "{operation} without an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_service_cannot_have_done_is_sent_again_whatever_it_is() {
    for operation in HARMLESS.into_iter().chain(HARMFUL) {
        let tries = attempts(operation, || Reply::Fails(ErrorKind::Connection)).await;
        assert_eq!(tries, 9, "{operation} without a connection");
        let tries = attempts(operation, || Reply::Json(429, "{}")).await;
        assert_eq!(tries, 9, "{operation} after 429");
        for status in [429, 503] {
            let tries = attempts(operation, move || with_retry_after(status, "1")).await;
            assert_eq!(tries, 9, "{operation} after {status} with Retry-After");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_refusals_and_nonsense_are_not_asked_for_again() {
    for operation in HARMLESS.into_iter().chain(HARMFUL) {
        for status in [302, 400, 401, 403, 404, 409, 413, 501, 505] {
            let tries = attempts(operation, move || Reply::Json(status, "{}")).await;
            assert_eq!(tries, 1, "{operation} after {status}");
        }
        for kind in [ErrorKind::DataConversion, ErrorKind::Tls] {
            let tries = attempts(operation, move || Reply::Fails(kind.clone())).await;
            assert_eq!(tries, 1, "{operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waits_double_with_jitter_and_an_answer_ends_them() {
    let mock = Mock::new(|_, before| match before {
        0..4 => Reply::Json(500, "{}"),
        _ => Reply::Json(204, ""),
    });
    let start = Instant::now();
    mock.chat().delete_thread("t", None).await.unwrap();
    // 200, 400, 800 and 1600 milliseconds, each more or less by a fifth.
    let took = start.elapsed().as_secs_f64();
    assert!((2.4..3.7).contains(&took), "{took}");
    assert_eq!(mock.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_in_seconds_and_as_a_date() {
    for value in ["7", " 7 "] {
        let value = value.to_owned();
        let mock = Mock::new(move |_, before| match before {
            0 => with_retry_after(429, &value),
            _ => Reply::Json(201, r#"{"id":"1"}"#),
        });
        let start = Instant::now();
        mock.thread().send_message("hello", None).await.unwrap();
        let waited = start.elapsed();
        let just = Duration::from_secs(7)..Duration::from_millis(7_100);
        assert!(just.contains(&waited), "{waited:?}");
    }
    let mock = Mock::new(move |_, before| match before {
        0 => with_retry_after(503, "Thu, 01 Jan 1970 00:00:00 GMT"),
        _ => Reply::Json(201, r#"{"id":"1"}"#),
    });
    let start = Instant::now();
    mock.thread().send_message("hello", None).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_all_patience_comes_back_at_once() {
    for value in [
        "61",
        "18446744073709551615",
        "99999999999999999999999",
        "Thu, 30 Dec 9999 00:00:00 GMT",
    ] {
        let mock = Mock::new(move |_, _| with_retry_after(429, value));
        let start = Instant::now();
        let error = mock.chat().delete_thread("t", None).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{value}");
        assert!(error.retry_after().unwrap() > Duration::from_mins(1));
        assert_eq!(mock.count(), 1, "{value}");
    }
    for value in ["soon", "-1", ""] {
        let mock = Mock::new(move |_, _| with_retry_after(503, value));
        let error = mock.thread().send_message("hello", None).await.unwrap_err();
        assert_eq!((error.retry_after(), mock.count()), (None, 1), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_take_about_a_minute_at_most() {
    let start = Instant::now();
    let tries = attempts("get_message", || Reply::Silence).await;
    let took = start.elapsed();
    // Attempts of 30 seconds; none begins after 60.
    assert!((2..=3).contains(&tries), "{tries}");
    assert!(took <= Duration::from_secs(91), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_own_time() {
    let mock = Mock::new(|_, _| Reply::Silence);
    let two = Duration::from_secs(2);
    let start = Instant::now();
    let options = MethodOptions::default().with_timeout(two);
    let error = mock
        .thread()
        .get_message("1", Some(options))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert!(error.request_id().is_some());
    let options = SendChatMessageOptions::default().with_timeout(two);
    let error = mock
        .thread()
        .send_message("1", Some(options))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout);
    assert_eq!(start.elapsed(), two * 2);
    assert_eq!(mock.count(), 2);

    let mock = Mock::new(|_, _| Reply::Json(500, "{}"));
    let options = MethodOptions::default().with_timeout(two);
    let error = mock
        .thread()
        .get_message("1", Some(options))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Timeout, "repetitions count");
}

#[tokio::test(start_paused = true)]
async fn retries_can_be_turned_down() {
    let mock = Mock::new(|_, _| Reply::Json(500, "{}"));
    let mut options = mock.chat_options();
    options.client.retry.max_retries = 2;
    let credential = cavansite_client::StaticTokenCredential::new(crate::mock::token("ada"));
    let credential = std::sync::Arc::new(credential.unwrap());
    let chat = ChatClient::new(crate::mock::ENDPOINT, credential, Some(options)).unwrap();
    chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!(mock.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_call_have_the_same_ids_and_each_call_its_own() {
    for (operation, name) in [
        ("create_thread", "repeatability-request-id"),
        ("create_thread", "x-ms-client-request-id"),
        ("get_message", "x-ms-client-request-id"),
    ] {
        let mock = Mock::new(|_, _| Reply::Json(503, "{}"));
        for _ in 0..2 {
            let error = run(&mock, operation).await.unwrap_err();
            let last = mock.requests().pop().unwrap();
            assert_eq!(error.request_id(), header(&last, "x-ms-client-request-id"));
        }
        let requests = mock.requests();
        let ids: Vec<_> = requests
            .iter()
            .map(|request| header(request, name).unwrap())
            .collect();
        assert_eq!(ids.len(), 18);
        assert!(
            ids[..9].iter().all(|id| *id == ids[0] && id.len() == 36),
            "{ids:?}"
        );
        assert!(
            ids[9..].iter().all(|id| *id == ids[9] && *id != ids[0]),
            "{ids:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let mock = Mock::new(|_, before| match before {
        0 => Reply::Silence,
        _ => Reply::Json(204, ""),
    });
    let chat = mock.chat();
    let call = chat.delete_thread("t", None);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), call)
            .await
            .is_err()
    );
    chat.delete_thread("t", None).await.unwrap();
    assert_eq!(mock.count(), 2);
}

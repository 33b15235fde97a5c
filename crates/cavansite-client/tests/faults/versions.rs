//! What each api-version can say, and that it says no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use cavansite_client::models::{
    ChatMessageType, ChatParticipant, ChatRetentionPolicy, CommunicationIdentifier,
    CommunicationUserIdentifier, TokenScope,
};
use cavansite_client::{
    AccessKeyCredential, ChatApiVersion, ChatClient, CommunicationIdentityClient,
    CommunicationIdentityClientOptions, CreateChatThreadOptions, Error, ErrorKind,
    IdentityApiVersion, IssueTokenOptions, SendChatMessageOptions, SendTypingNotificationOptions,
    StaticTokenCredential, UpdateChatMessageOptions, UpdateChatThreadOptions,
};

use crate::mock::{ENDPOINT, KEY, Mock, Reply, header, token};

fn chat(mock: &Arc<Mock>, version: ChatApiVersion) -> ChatClient {
    let mut options = mock.chat_options();
    options.api_version = version;
    let credential = StaticTokenCredential::new(token("ada")).unwrap();
    ChatClient::new(ENDPOINT, Arc::new(credential), Some(options)).unwrap()
}

fn pairs() -> BTreeMap<String, String> {
    BTreeMap::from([("a".to_owned(), "1".to_owned())])
}

fn assert_lacks<T>(outcome: Result<T, Error>, since: &str, mock: &Mock) {
    let error = outcome.err().unwrap();
    assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .ends_with(&format!("which came with {since}")),
        "{error}"
    );
    assert_eq!(mock.count(), 0, "nothing was sent");
}

#[tokio::test]
async fn what_a_chat_version_lacks_is_refused_before_anything_is_sent() {
    let mock = Mock::new(|_, _| Reply::Json(500, "{}"));
    let policy = ChatRetentionPolicy::ThreadCreationDate {
        delete_thread_after_days: 30,
    };
    for version in &ChatApiVersion::ALL[..4] {
        let chat = chat(&mock, *version);
        let thread = chat.thread_client("t");
        let with = CreateChatThreadOptions::default().with_metadata(pairs());
        assert_lacks(
            chat.create_thread("t", Some(with)).await,
            "2025-03-15",
            &mock,
        );
        let with = CreateChatThreadOptions::default().with_retention_policy(policy.clone());
        assert_lacks(
            chat.create_thread("t", Some(with)).await,
            "2025-03-15",
            &mock,
        );
        let with = UpdateChatThreadOptions::default().with_metadata(pairs());
        assert_lacks(
            thread.update_properties(Some(with)).await,
            "2025-03-15",
            &mock,
        );
        let with = UpdateChatThreadOptions::default().with_retention_policy(policy.clone());
        assert_lacks(
            thread.update_properties(Some(with)).await,
            "2025-03-15",
            &mock,
        );
        let ben = ChatParticipant::new(CommunicationUserIdentifier::new("8:acs:r_u"));
        let ben = ben.with_metadata(pairs());
        let with = CreateChatThreadOptions::default().with_participant(ben.clone());
        assert_lacks(
            chat.create_thread("t", Some(with)).await,
            "2025-03-15",
            &mock,
        );
        assert_lacks(
            thread.add_participants(&[ben], None).await,
            "2025-03-15",
            &mock,
        );
    }
    for version in &ChatApiVersion::ALL[..3] {
        let app = r#"{"rawId":"28:orgid:x","microsoftTeamsApp":{"appId":"x"}}"#;
        let app: CommunicationIdentifier = serde_json::from_str(app).unwrap();
        let thread = chat(&mock, *version).thread_client("t");
        assert_lacks(
            thread.remove_participant(&app, None).await,
            "2024-03-07",
            &mock,
        );
    }
    let thread = chat(&mock, ChatApiVersion::V2021_03_07).thread_client("t");
    let with = SendChatMessageOptions::default().with_metadata(pairs());
    assert_lacks(
        thread.send_message("m", Some(with)).await,
        "2021-09-07",
        &mock,
    );
    let with = UpdateChatMessageOptions::default().with_metadata(pairs());
    assert_lacks(
        thread.update_message("1", Some(with)).await,
        "2021-09-07",
        &mock,
    );
    let with = SendTypingNotificationOptions::default().with_sender_display_name("Ada");
    assert_lacks(
        thread.send_typing_notification(Some(with)).await,
        "2021-09-07",
        &mock,
    );
}

#[tokio::test]
async fn what_an_identity_version_lacks_is_refused_before_anything_is_sent() {
    let mock = Mock::new(|_, _| Reply::Json(500, "{}"));
    let user = CommunicationUserIdentifier::new("8:acs:r_u");
    for version in IdentityApiVersion::ALL {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client.transport = Some(mock.clone());
        options.api_version = *version;
        let key = AccessKeyCredential::new(KEY).unwrap();
        let identity = CommunicationIdentityClient::new(ENDPOINT, key, Some(options)).unwrap();
        let hour = || Some(IssueTokenOptions::default().with_expires_in_minutes(60u32));
        if *version < IdentityApiVersion::V2022_10_01 {
            let chat = [TokenScope::Chat];
            let outcome = identity.get_token(&user, &chat, hour()).await;
            assert_lacks(outcome, "2022-10-01", &mock);
            let outcome = identity.create_user_and_token(&chat, hour()).await;
            assert_lacks(outcome, "2022-10-01", &mock);
        }
        if *version < IdentityApiVersion::V2023_10_01 {
            for scope in [
                TokenScope::ChatJoin,
                TokenScope::ChatJoinLimited,
                TokenScope::VoIPJoin,
            ] {
                let outcome = identity.get_token(&user, &[scope], None).await;
                assert_lacks(outcome, "2023-10-01", &mock);
            }
        }
        let error = identity.get_token(&user, &[], None).await.unwrap_err();
        assert_eq!((error.kind(), mock.count()), (&ErrorKind::InvalidInput, 0));
    }
}

#[tokio::test]
async fn requests_say_their_version_and_no_more_than_was_given() {
    for version in ChatApiVersion::ALL {
        let mock = Mock::new(|_, _| Reply::Json(201, r#"{"id":"1"}"#));
        let thread = chat(&mock, *version).thread_client("19:t@thread.v2");
        thread.send_message("hello", None).await.unwrap();
        thread.send_typing_notification(None).await.unwrap();
        thread.update_message("1", None).await.unwrap();
        let requests = mock.requests();
        let version = version.as_str();
        let expected = [
            (
                format!("messages?api-version={version}"),
                r#"{"content":"hello"}"#,
            ),
            (
                format!("typing?api-version={version}"),
                if version == "2021-03-07" { "" } else { "{}" },
            ),
            (format!("messages/1?api-version={version}"), "{}"),
        ];
        for (request, (url, body)) in requests.iter().zip(expected) {
            let url = format!("{ENDPOINT}/chat/threads/19:t@thread.v2/{url}");
            assert_eq!(request.url.as_str(), url);
            assert_eq!(request.body, body.as_bytes());
        }
        let kinds = requests
            .iter()
            .map(|request| header(request, "content-type"));
        let typing = (version != "2021-03-07").then_some("application/json");
        let edit = Some("application/merge-patch+json");
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [Some("application/json"), typing, edit]
        );
    }
}

#[tokio::test]
async fn requests_say_what_was_given() {
    let mock = Mock::new(|_, _| Reply::Json(201, r#"{"id":"1"}"#));
    let thread = mock.thread();
    let options = SendChatMessageOptions::default()
        .with_message_type(ChatMessageType::Html)
        .with_sender_display_name("Ada")
        .with_metadata(pairs());
    thread
        .send_message("<b>hi</b>", Some(options))
        .await
        .unwrap();
    let ben = CommunicationUserIdentifier::new("8:acs:r_u");
    let since = "2020-11-11T00:38:38.123456789Z"
        .parse::<cavansite_client::Timestamp>()
        .unwrap();
    let participant = ChatParticipant::new(&ben)
        .with_display_name("Ben")
        .with_share_history_time(since)
        .with_metadata(pairs());
    let options = CreateChatThreadOptions::default()
        .with_participant(participant)
        .with_metadata(pairs())
        .with_retention_policy(ChatRetentionPolicy::None)
        .with_repeatability_request_id("again");
    let _ = mock.chat().create_thread("lunch", Some(options)).await;
    thread.remove_participant(&ben, None).await.unwrap();
    let bodies: Vec<_> = mock
        .requests()
        .into_iter()
        .map(|request| request.body)
        .collect();
    let person =
        r#""communicationIdentifier":{"rawId":"8:acs:r_u","communicationUser":{"id":"8:acs:r_u"}}"#;
    let expected = [
        r#"{"content":"<b>hi</b>","senderDisplayName":"Ada","type":"html","metadata":{"a":"1"}}"#
            .to_owned(),
        format!(
            r#"{{"topic":"lunch","participants":[{{{person},"displayName":"Ben","shareHistoryTime":"2020-11-11T00:38:38.123456789Z","metadata":{{"a":"1"}}}}],"metadata":{{"a":"1"}},"retentionPolicy":{{"kind":"none"}}}}"#
        ),
        r#"{"rawId":"8:acs:r_u","communicationUser":{"id":"8:acs:r_u"}}"#.to_owned(),
    ];
    assert_eq!(bodies, expected);
    let requests = mock.requests();
    assert_eq!(
        header(&requests[1], "repeatability-request-id"),
        Some("again")
    );
}

#[tokio::test]
async fn ids_that_are_none_are_refused_before_anything_is_sent() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    for id in ["", ".", ".."] {
        let user = CommunicationUserIdentifier::new(id);
        let thread = mock.thread();
        let refusals = [
            mock.chat().delete_thread(id, None).await,
            mock.chat()
                .thread_client(id)
                .delete_message("1", None)
                .await,
            thread.delete_message(id, None).await,
            mock.identity().delete_user(&user, None).await,
        ];
        for error in refusals.into_iter().map(Result::unwrap_err) {
            assert_eq!(error.kind(), &ErrorKind::InvalidInput);
        }
    }
    let nobody = CommunicationUserIdentifier::new("");
    let error = mock
        .thread()
        .remove_participant(nobody, None)
        .await
        .unwrap_err();
    assert_eq!((error.kind(), mock.count()), (&ErrorKind::InvalidInput, 0));
}

#[tokio::test]
async fn ids_cannot_leave_their_place_in_the_path() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    for id in ["a/b", "a?b", "a#b", "a%2fb", "..\\x", "%2e%2e", "ü \u{0}"] {
        mock.chat().delete_thread(id, None).await.unwrap();
    }
    for request in mock.requests() {
        let segments: Vec<_> = request.url.path_segments().unwrap().collect();
        assert_eq!(
            (segments.len(), &segments[..2]),
            (3, &["chat", "threads"][..]),
            "{segments:?}"
        );
        assert_eq!(request.url.query(), Some("api-version=2025-03-15"));
    }
}

#[tokio::test]
async fn an_endpoint_is_an_address_and_keeps_its_path() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    let new = |endpoint: &str| {
        let credential = StaticTokenCredential::new(token("ada")).unwrap();
        ChatClient::new(endpoint, Arc::new(credential), Some(mock.chat_options()))
    };
    for endpoint in [
        "",
        "chat.example.com",
        "localhost:8080",
        "ftp://chat.example.com",
        "data:text/plain,x",
        "https://",
        "https://user@chat.example.com",
        "https://chat.example.com?x=y",
        "https://chat.example.com#x",
        "http://chat.example.com",
        "http://127.0.0.1:1",
        "http://localhost",
    ] {
        let error = new(endpoint).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidInput, "{endpoint}");
    }
    for (endpoint, url) in [
        (
            "https://chat.example.com",
            "https://chat.example.com/chat/threads/t",
        ),
        (
            "https://chat.example.com:8443/",
            "https://chat.example.com:8443/chat/threads/t",
        ),
        (
            "HTTPS://CHAT.example.com/a/b/",
            "https://chat.example.com/a/b/chat/threads/t",
        ),
    ] {
        new(endpoint)
            .unwrap()
            .delete_thread("t", None)
            .await
            .unwrap();
        let last = mock.requests().pop().unwrap();
        assert_eq!(last.url.as_str(), format!("{url}?api-version=2025-03-15"));
    }
}

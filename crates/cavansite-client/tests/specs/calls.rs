//! Every method of the clients, called with the least and with all that a version has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cavansite_client::models::{
    ChatMessageType, ChatParticipant, ChatRetentionPolicy, CommunicationIdentifier,
    CommunicationUserIdentifier, TokenScope,
};
use cavansite_client::{
    AccessKeyCredential, ChatApiVersion, ChatClient, ChatClientOptions, ChatThreadClient,
    ClientOptions, CommunicationIdentityClient, CommunicationIdentityClientOptions,
    CreateChatThreadOptions, Error, ErrorKind, IdentityApiVersion, IssueTokenOptions,
    ListBySkipOptions, ListByTimeOptions, MethodOptions, RawResponse, Request, Result,
    SendChatMessageOptions, SendTypingNotificationOptions, StaticTokenCredential, Transport,
    UpdateChatMessageOptions, UpdateChatThreadOptions, Upgraded,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

const ENDPOINT: &str = "https://chat.example";
const THREAD: &str = "19:abc@thread.v2";
const USER: &str = "8:acs:resource_user";

/// A request, and the call that made it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) by: String,
    pub(crate) request: Request,
}

/// Keeps requests, and answers each with a bit of everything that an answer may have.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Request>>);

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, request: Request) -> Result<RawResponse> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        let time = "2025-01-02T03:04:05Z";
        let body = json!({
            "id": "1", "type": "text", "sequenceId": "1", "version": "1", "topic": "Lunch",
            "createdOn": time, "value": [],
            "chatThread": { "id": THREAD, "topic": "Lunch", "createdOn": time },
            "identity": { "id": USER },
            "accessToken": { "token": "x", "expiresOn": time },
            "token": "x", "expiresOn": time,
        });
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        Ok(RawResponse::new(StatusCode::OK, headers, body.to_string()))
    }

    async fn upgrade(&self, _: Request) -> Result<Upgraded> {
        Err(Error::new(
            ErrorKind::Other,
            "no call of the REST API upgrades",
        ))
    }
}

/// Calls in their order, each with the one request that it made.
struct Calls {
    recorder: Arc<Recorder>,
    options: ClientOptions,
    made: Vec<Made>,
}

impl Calls {
    fn new() -> Self {
        let recorder = Arc::new(Recorder::default());
        let mut options = ClientOptions::default();
        options.transport = Some(recorder.clone());
        options.application_id = Some("specs/1.0".to_owned());
        Self {
            recorder,
            options,
            made: Vec::new(),
        }
    }

    /// Takes what the last call sent.
    fn take<T>(&mut self, by: &str, answer: Result<T>) {
        if let Err(error) = answer {
            panic!("{by}: {error}");
        }
        let requests = std::mem::take(
            &mut *self
                .recorder
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        assert_eq!(requests.len(), 1, "{by}");
        let made = requests.into_iter().map(|request| Made {
            by: by.to_owned(),
            request,
        });
        self.made.extend(made);
    }
}

fn run(calls: impl Future<Output = Vec<Made>>) -> Vec<Made> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(calls)
}

fn all() -> MethodOptions {
    let mut options = MethodOptions::default();
    options.timeout = Some(Duration::from_secs(5));
    options
}

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("colour".to_owned(), "blue".to_owned())])
}

/// One participant of each kind that a version has.
fn participants(version: ChatApiVersion) -> Vec<ChatParticipant> {
    let user = json!({ "userId": "1", "isAnonymous": false, "cloud": "public" });
    let mut identifiers = vec![
        json!({ "rawId": USER, "communicationUser": { "id": USER } }),
        json!({ "rawId": "4:+12025550100", "phoneNumber": { "value": "+12025550100" } }),
        json!({ "rawId": "8:orgid:1", "microsoftTeamsUser": user }),
        json!({ "rawId": "else" }),
    ];
    if version >= ChatApiVersion::V2024_03_07 {
        let app = json!({ "appId": "1", "cloud": "gcch" });
        identifiers.push(json!({ "rawId": "28:orgid:1", "microsoftTeamsApp": app }));
    }
    let participants = identifiers.into_iter().map(|identifier| {
        let identifier: CommunicationIdentifier =
            serde_json::from_value(identifier).expect("an identifier");
        let time: jiff::Timestamp = "2025-01-02T03:04:05.678Z".parse().expect("a time");
        let participant = ChatParticipant::new(identifier)
            .with_display_name("Ada")
            .with_share_history_time(time);
        if version >= ChatApiVersion::V2025_03_15 {
            participant.with_metadata(metadata())
        } else {
            participant
        }
    });
    participants.collect()
}

/// The calls of chat.
pub(crate) fn of_chat(version: ChatApiVersion) -> Vec<Made> {
    run(async {
        let mut calls = Calls::new();
        let mut options = ChatClientOptions::default();
        options.client = calls.options.clone();
        options.api_version = version;
        let credential = StaticTokenCredential::new("h.eyJleHAiOjQxMDI0NDQ4MDB9.s");
        let credential = Arc::new(credential.expect("a token"));
        let client = ChatClient::new(ENDPOINT, credential, Some(options)).expect("a client");
        threads(&client, version, &mut calls).await;
        let thread = client.thread_client(THREAD);
        properties(&thread, version, &mut calls).await;
        messages(&thread, version, &mut calls).await;
        people(&thread, version, &mut calls).await;
        calls.made
    })
}

async fn threads(client: &ChatClient, version: ChatApiVersion, calls: &mut Calls) {
    let mut most = CreateChatThreadOptions::default().with_repeatability_request_id("1");
    most.participants = participants(version);
    most.timeout = Some(Duration::from_secs(5));
    if version >= ChatApiVersion::V2025_03_15 {
        most = most.with_metadata(metadata()).with_retention_policy(
            ChatRetentionPolicy::ThreadCreationDate {
                delete_thread_after_days: 30,
            },
        );
    }
    for options in [None, Some(most)] {
        let answer = client.create_thread("Lunch", options).await;
        calls.take("create_thread", answer);
    }
    for options in [None, Some(by_time())] {
        let mut threads = client.list_threads(options).expect("a pager");
        assert!(threads.next().await.is_none());
        calls.take("list_threads", Ok(()));
    }
    for options in [None, Some(all())] {
        let answer = client.delete_thread(THREAD, options).await;
        calls.take("delete_thread", answer);
    }
}

fn by_time() -> ListByTimeOptions {
    let time: jiff::Timestamp = "2025-01-02T03:04:05.678Z".parse().expect("a time");
    ListByTimeOptions::default()
        .with_start_time(time)
        .with_max_page_size(20_u32)
        .with_timeout(Duration::from_secs(5))
}

fn by_skip() -> ListBySkipOptions {
    ListBySkipOptions::default()
        .with_skip(3_u32)
        .with_max_page_size(20_u32)
        .with_timeout(Duration::from_secs(5))
}

async fn properties(thread: &ChatThreadClient, version: ChatApiVersion, calls: &mut Calls) {
    let mut most = UpdateChatThreadOptions::default().with_topic("Supper");
    if version >= ChatApiVersion::V2025_03_15 {
        most = most
            .with_metadata(metadata())
            .with_retention_policy(ChatRetentionPolicy::None);
    }
    for options in [None, Some(most)] {
        let answer = thread.update_properties(options).await;
        calls.take("update_properties", answer);
    }
    for options in [None, Some(all())] {
        let answer = thread.get_properties(options.clone()).await;
        calls.take("get_properties", answer);
        let answer = thread.update_topic("Supper", options).await;
        calls.take("update_topic", answer);
    }
}

async fn messages(thread: &ChatThreadClient, version: ChatApiVersion, calls: &mut Calls) {
    let has_metadata = version >= ChatApiVersion::V2021_09_07;
    for message_type in [ChatMessageType::Text, ChatMessageType::Html] {
        let mut most = SendChatMessageOptions::default()
            .with_message_type(message_type)
            .with_sender_display_name("Ada");
        if has_metadata {
            most = most.with_metadata(metadata());
        }
        for options in [None, Some(most)] {
            let answer = thread.send_message("Hello", options).await;
            calls.take("send_message", answer);
        }
    }
    let mut most = UpdateChatMessageOptions::default().with_content("Hi");
    if has_metadata {
        most = most.with_metadata(metadata());
    }
    for options in [None, Some(most)] {
        let answer = thread.update_message("1", options).await;
        calls.take("update_message", answer);
    }
    for options in [None, Some(by_time())] {
        let mut messages = thread.list_messages(options).expect("a pager");
        assert!(messages.next().await.is_none());
        calls.take("list_messages", Ok(()));
    }
    for options in [None, Some(all())] {
        let answer = thread.get_message("1", options.clone()).await;
        calls.take("get_message", answer);
        let answer = thread.delete_message("1", options).await;
        calls.take("delete_message", answer);
    }
}

async fn people(thread: &ChatThreadClient, version: ChatApiVersion, calls: &mut Calls) {
    let everybody = participants(version);
    let least = ChatParticipant::new(CommunicationUserIdentifier::new(USER));
    for participants in [vec![least], everybody.clone()] {
        let answer = thread.add_participants(&participants, Some(all())).await;
        calls.take("add_participants", answer);
    }
    for participant in everybody {
        let answer = thread
            .remove_participant(participant.identifier, Some(all()))
            .await;
        calls.take("remove_participant", answer);
    }
    for options in [None, Some(by_skip())] {
        let mut participants = thread.list_participants(options.clone()).expect("a pager");
        assert!(participants.next().await.is_none());
        calls.take("list_participants", Ok(()));
        let mut receipts = thread.list_read_receipts(options).expect("a pager");
        assert!(receipts.next().await.is_none());
        calls.take("list_read_receipts", Ok(()));
    }
    let answer = thread.send_read_receipt("1", Some(all())).await;
    calls.take("send_read_receipt", answer);
    let most = (version >= ChatApiVersion::V2021_09_07)
        .then(|| SendTypingNotificationOptions::default().with_sender_display_name("Ada"));
    for options in [None, most] {
        let answer = thread.send_typing_notification(options).await;
        calls.take("send_typing_notification", answer);
    }
}

/// The calls of identity, by access key and by token.
pub(crate) fn of_identity(version: IdentityApiVersion) -> Vec<Made> {
    run(async {
        let mut calls = Calls::new();
        let mut options = CommunicationIdentityClientOptions::default();
        options.client = calls.options.clone();
        options.api_version = version;
        let options = Some(options);
        let key = AccessKeyCredential::new("a2V5cw==").expect("a key");
        let by_key = CommunicationIdentityClient::new(ENDPOINT, key, options.clone());
        let string = format!("endpoint={ENDPOINT}/;accesskey=a2V5cw==");
        let by_string =
            CommunicationIdentityClient::from_connection_string(&string, options.clone());
        let token = StaticTokenCredential::new("h.eyJleHAiOjQxMDI0NDQ4MDB9.s");
        let token = Arc::new(token.expect("a token"));
        let by_token = CommunicationIdentityClient::with_token_credential(ENDPOINT, token, options);
        for client in [by_key, by_string, by_token] {
            users(&client.expect("a client"), version, &mut calls).await;
        }
        calls.made
    })
}

async fn users(
    client: &CommunicationIdentityClient,
    version: IdentityApiVersion,
    calls: &mut Calls,
) {
    let mut scopes = vec![TokenScope::Chat, TokenScope::VoIP];
    let mut most = IssueTokenOptions::default().with_timeout(Duration::from_secs(5));
    if version >= IdentityApiVersion::V2022_10_01 {
        most = most.with_expires_in_minutes(60_u32);
    }
    if version >= IdentityApiVersion::V2023_10_01 {
        let new = [
            TokenScope::ChatJoin,
            TokenScope::ChatJoinLimited,
            TokenScope::VoIPJoin,
        ];
        scopes.extend(new);
    }
    let user = CommunicationUserIdentifier::new(USER);
    for options in [None, Some(most)] {
        let answer = client.create_user_and_token(&scopes, options.clone()).await;
        calls.take("create_user_and_token", answer);
        let answer = client.get_token(&user, &scopes[..1], options).await;
        calls.take("get_token", answer);
    }
    for options in [None, Some(all())] {
        let answer = client.create_user(options.clone()).await;
        calls.take("create_user", answer);
        let answer = client.revoke_tokens(&user, options.clone()).await;
        calls.take("revoke_tokens", answer);
        let answer = client.delete_user(&user, options).await;
        calls.take("delete_user", answer);
    }
}

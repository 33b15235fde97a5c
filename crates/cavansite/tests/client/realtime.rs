//! Real-time against the real binary: all ten events beside what REST says, and losses of every
//! kind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cavansite_client::models::{
    ChatMessageType, ChatParticipant, ChatRetentionPolicy, CommunicationIdentifier,
};
use cavansite_client::realtime::{
    ChatEvent, DisconnectReason, RealtimeEvents, RealtimeOptions, RealtimeState,
    ThreadDeletionReason,
};
use cavansite_client::{
    ChatApiVersion, ChatClient, ChatThreadClient, CreateChatThreadOptions,
    RefreshingTokenCredential, SendChatMessageOptions, SendTypingNotificationOptions,
    StaticTokenCredential, Timestamp, UpdateChatMessageOptions, UpdateChatThreadOptions,
};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;

use crate::harness::PATIENCE;
use crate::proxy::Kept;
use crate::resume::send_once;
use crate::{Service, harness};

/// Reconnects soon, since nobody else does.
pub(crate) fn soon() -> RealtimeOptions {
    let mut options = RealtimeOptions::default();
    options.initial_delay = Duration::from_millis(50);
    options.max_delay = Duration::from_millis(500);
    options
}

/// The next item of the stream.
pub(crate) async fn next(events: &mut RealtimeEvents) -> ChatEvent {
    let item = timeout(harness::PATIENCE, events.next()).await;
    item.expect("an event").expect("no end").expect("no error")
}

/// The next event of a thread.
async fn next_of_a_thread(events: &mut RealtimeEvents) -> ChatEvent {
    loop {
        let event = next(events).await;
        if !event.is_marker() {
            return event;
        }
    }
}

fn pairs(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

/// REST tells times to the second.
fn to_the_second(time: Option<Timestamp>) -> Timestamp {
    Timestamp::from_second(time.unwrap().as_second()).unwrap()
}

/// Text that is hard to carry: what JSON, `unescape()` and HTML would each take for theirs.
const HOSTILE: &str = "%22 %u0041 \\u0025 \" \\ <b> \u{1F427} 100%";

/// Ada's thread, and what Ben is told of it.
struct Stage {
    ada_id: CommunicationIdentifier,
    ben_id: CommunicationIdentifier,
    ada: ChatClient,
    thread: ChatThreadClient,
    bens_thread: ChatThreadClient,
    events: RealtimeEvents,
    service: Service,
}

const VERSION: ChatApiVersion = ChatApiVersion::V2025_03_15;

impl Stage {
    /// Up to Ben's being told of the thread, which is the same as Ada is told.
    async fn set() -> Self {
        let service = Service::start();
        let (ada_id, ada) = service.person(VERSION).await;
        let (ben_id, ben) = service.person(VERSION).await;
        let [ada_id, ben_id] = [ada_id, ben_id].map(CommunicationIdentifier::from);
        let (_, mut events) = ben.connect_realtime(None).await.unwrap();
        assert_eq!(next(&mut events).await, ChatEvent::Connected);
        let ben_takes_part = ChatParticipant::new(&ben_id)
            .with_display_name(HOSTILE)
            .with_metadata(pairs("role", HOSTILE));
        let policy = ChatRetentionPolicy::ThreadCreationDate {
            delete_thread_after_days: 60,
        };
        let options = CreateChatThreadOptions::default()
            .with_participant(ben_takes_part)
            .with_metadata(pairs("x", HOSTILE))
            .with_retention_policy(policy);
        let created = ada.create_thread(HOSTILE, Some(options)).await.unwrap();
        let of_rest = created.into_model().chat_thread;
        let thread = ada.thread_client(&*of_rest.id);
        let bens_thread = ben.thread_client(&*of_rest.id);
        let listed: Vec<ChatParticipant> = thread
            .list_participants(None)
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let ChatEvent::ThreadCreated(event) = next(&mut events).await else {
            panic!()
        };
        assert_eq!(event.thread_id, of_rest.id);
        assert_eq!(event.properties.topic, of_rest.topic);
        assert_eq!(event.properties.metadata, of_rest.metadata);
        assert_eq!(event.properties.retention_policy, of_rest.retention_policy);
        assert_eq!(to_the_second(event.created_on), of_rest.created_on);
        assert_eq!(
            Some(&event.created_by.identifier),
            of_rest.created_by.as_ref()
        );
        let by_id = |people: &[ChatParticipant]| {
            let mut people: Vec<_> = people
                .iter()
                .map(|one| {
                    let name = one.display_name.clone().unwrap_or_default();
                    (
                        one.identifier.raw_id().to_owned(),
                        name,
                        one.metadata.clone(),
                    )
                })
                .collect();
            people.sort();
            people
        };
        assert_eq!(by_id(&event.participants), by_id(&listed));
        assert_eq!(event.participants.len(), 2);

        Self {
            ada_id,
            ben_id,
            ada,
            thread,
            bens_thread,
            events,
            service,
        }
    }
}

#[tokio::test]
async fn events_of_messages_say_what_rest_says() {
    let Stage {
        ada_id,
        ben_id,
        thread,
        bens_thread,
        mut events,
        service: _service,
        ..
    } = Stage::set().await;

    // Received.
    let options = SendChatMessageOptions::default()
        .with_sender_display_name("Ada")
        .with_message_type(ChatMessageType::Html)
        .with_metadata(pairs("k", HOSTILE));
    let sent = thread
        .send_message("<b>% &amp; \u{1F427}</b>", Some(options))
        .await;
    let id = sent.unwrap().into_model().id;
    let of_rest = bens_thread
        .get_message(&id, None)
        .await
        .unwrap()
        .into_model();
    let ChatEvent::MessageReceived(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!((&event.id, &event.version), (&of_rest.id, &of_rest.version));
    assert_eq!(event.thread_id, thread.thread_id());
    assert_eq!(event.message_type, of_rest.message_type);
    assert_eq!(Some(&event.message), of_rest.content.message.as_ref());
    assert_eq!(event.metadata, of_rest.metadata);
    assert_eq!(Some(&event.sender), of_rest.sender.as_ref());
    assert_eq!(event.sender_display_name, of_rest.sender_display_name);
    assert_eq!(to_the_second(event.created_on), of_rest.created_on);
    assert_eq!(event.recipient.as_ref(), Some(&ben_id));
    // The list knows it as the same.
    assert_eq!(events.missed(thread.thread_id(), &of_rest), None);

    // Edited.
    let options = UpdateChatMessageOptions::default().with_content(HOSTILE);
    thread.update_message(&id, Some(options)).await.unwrap();
    let of_rest = bens_thread
        .get_message(&id, None)
        .await
        .unwrap()
        .into_model();
    let ChatEvent::MessageEdited(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!((&event.id, &event.version), (&of_rest.id, &of_rest.version));
    assert_eq!(Some(&event.message), of_rest.content.message.as_ref());
    assert_eq!(event.metadata, of_rest.metadata);
    assert_eq!(to_the_second(event.created_on), of_rest.created_on);
    assert_eq!(Some(to_the_second(event.edited_on)), of_rest.edited_on);
    assert_eq!(events.missed(thread.thread_id(), &of_rest), None);

    // Deleted.
    thread.delete_message(&id, None).await.unwrap();
    let of_rest = bens_thread
        .get_message(&id, None)
        .await
        .unwrap()
        .into_model();
    let ChatEvent::MessageDeleted(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!((&event.id, &event.version), (&of_rest.id, &of_rest.version));
    assert_eq!(Some(to_the_second(event.deleted_on)), of_rest.deleted_on);
    assert_eq!(event.sender, ada_id);
    assert_eq!(events.missed(thread.thread_id(), &of_rest), None);
}

#[tokio::test]
async fn typing_and_receipts_say_what_rest_says() {
    let Stage {
        ada_id,
        ben_id,
        thread,
        bens_thread,
        mut events,
        service: _service,
        ..
    } = Stage::set().await;
    let sent = thread.send_message("hello", None).await.unwrap();
    let id = sent.into_model().id;
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::MessageReceived(_)
    ));

    // Typing.
    let options = SendTypingNotificationOptions::default().with_sender_display_name(HOSTILE);
    thread
        .send_typing_notification(Some(options))
        .await
        .unwrap();
    let ChatEvent::TypingIndicatorReceived(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(event.thread_id, thread.thread_id());
    assert_eq!((&event.sender, &event.recipient), (&ada_id, &ben_id));
    assert_eq!(event.sender_display_name.as_deref(), Some(HOSTILE));

    // Read.
    bens_thread.send_read_receipt(&id, None).await.unwrap();
    let receipts = thread.list_read_receipts(None).unwrap();
    let receipts: Vec<_> = receipts.try_collect().await.unwrap();
    let ChatEvent::ReadReceiptReceived(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(event.chat_message_id, receipts[0].chat_message_id);
    assert_eq!(event.sender, receipts[0].sender);
    assert_eq!(to_the_second(event.read_on), receipts[0].read_on);
}

#[tokio::test]
async fn events_of_threads_and_people_say_what_rest_says() {
    let Stage {
        ada_id,
        ada,
        thread,
        mut events,
        service,
        ..
    } = Stage::set().await;

    // Changed.
    let options = UpdateChatThreadOptions::default()
        .with_topic("100% %41")
        .with_retention_policy(ChatRetentionPolicy::None);
    thread.update_properties(Some(options)).await.unwrap();
    let of_rest = thread.get_properties(None).await.unwrap().into_model();
    let ChatEvent::ThreadPropertiesUpdated(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(event.properties.topic, of_rest.topic);
    assert_eq!(event.properties.metadata, of_rest.metadata);
    assert_eq!(event.properties.retention_policy, of_rest.retention_policy);
    assert_eq!(event.updated_by.identifier, ada_id);

    // Added and removed.
    let (cem_id, _) = service.person(VERSION).await;
    let cem_id = CommunicationIdentifier::from(cem_id);
    let history = Timestamp::from_second(1_600_000_000).unwrap();
    let cem = ChatParticipant::new(&cem_id)
        .with_display_name("Cem %41")
        .with_share_history_time(history);
    thread.add_participants(&[cem], None).await.unwrap();
    let ChatEvent::ParticipantsAdded(event) = next(&mut events).await else {
        panic!()
    };
    let [added] = &event.participants_added[..] else {
        panic!()
    };
    assert_eq!(added.identifier, cem_id);
    assert_eq!(added.display_name.as_deref(), Some("Cem %41"));
    assert_eq!(added.share_history_time, Some(history));
    assert_eq!(event.added_by.identifier, ada_id);
    assert!(event.added_on.is_some());
    thread.remove_participant(&cem_id, None).await.unwrap();
    let ChatEvent::ParticipantsRemoved(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(event.participants_removed[0].identifier, cem_id);
    assert_eq!(event.removed_by.identifier, ada_id);

    // Deleted, the thread itself.
    ada.delete_thread(thread.thread_id(), None).await.unwrap();
    let ChatEvent::ThreadDeleted(event) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(event.thread_id, thread.thread_id());
    assert_eq!(event.reason, Some(ThreadDeletionReason::DeletedByUser));
    assert_eq!(event.deleted_by.unwrap().identifier, ada_id);
}

#[tokio::test]
async fn a_cut_connection_comes_back_with_what_happened_meanwhile() {
    let kept = Kept::start().await;
    let (thread, ben) = kept.thread().await;
    let (connection, mut events) = ben.connect_realtime(Some(soon())).await.unwrap();
    assert_eq!(next(&mut events).await, ChatEvent::Connected);
    thread.send_message("before", None).await.unwrap();
    let ChatEvent::MessageReceived(before) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(before.message, "before");
    kept.cut();
    // The sender's connection was cut too.
    send_once(&thread, "meanwhile").await;
    let reason = DisconnectReason::Lost;
    assert_eq!(next(&mut events).await, ChatEvent::Disconnected { reason });
    let ChatEvent::Reconnected { since } = next(&mut events).await else {
        panic!()
    };
    let margin = before.created_on.unwrap().duration_since(since.unwrap());
    assert!((0..=10).contains(&margin.as_secs()), "{margin:?}");
    let ChatEvent::MessageReceived(meanwhile) = next(&mut events).await else {
        panic!()
    };
    assert_eq!(meanwhile.message, "meanwhile");
    assert_eq!(connection.state(), RealtimeState::Connected);
}

#[tokio::test]
async fn a_server_that_drains_or_is_killed_is_come_back_to() {
    let mut kept = Kept::start().await;
    let (thread, ben) = kept.thread().await;
    let (connection, mut events) = ben.connect_realtime(Some(soon())).await.unwrap();
    let mut state = connection.watch_state();
    assert_eq!(next(&mut events).await, ChatEvent::Connected);
    for signal in ["TERM", "KILL"] {
        kept.end(signal).await;
        let ChatEvent::Disconnected { reason } = next(&mut events).await else {
            panic!()
        };
        let going = DisconnectReason::ByServer(Some("going away".to_owned()));
        let expected = if signal == "TERM" {
            going
        } else {
            DisconnectReason::Lost
        };
        assert_eq!(reason, expected);
        let waiting = state.wait_for(|state| *state == RealtimeState::Reconnecting);
        timeout(PATIENCE, waiting).await.unwrap().unwrap();
        kept.start_again().await;
        assert!(matches!(
            next(&mut events).await,
            ChatEvent::Reconnected { .. }
        ));
        thread.send_message(signal, None).await.unwrap();
        let ChatEvent::MessageReceived(received) = next(&mut events).await else {
            panic!()
        };
        assert_eq!(received.message, signal);
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_the_credential() {
    let kept = Kept::start().await;
    let (ada_id, ada) = kept.person().await;
    let (ben_id, first) = kept.user().await;
    let identity = Arc::new(kept.identity());
    let (asked, user) = (Arc::clone(&identity), ben_id.clone());
    let mut options = cavansite_client::RefreshingTokenCredentialOptions::default();
    options.initial_token = Some(first);
    let credential = RefreshingTokenCredential::new(
        move || {
            let (identity, user) = (Arc::clone(&asked), user.clone());
            async move {
                let scopes = [cavansite_client::models::TokenScope::Chat];
                let token = identity.get_token(&user, &scopes, None).await?;
                Ok(token.into_model())
            }
        },
        Some(options),
    );
    let ben = kept.chat(Arc::new(credential.unwrap()));
    let (_connection, mut events) = ben.connect_realtime(Some(soon())).await.unwrap();
    assert_eq!(next(&mut events).await, ChatEvent::Connected);
    identity.revoke_tokens(&ben_id, None).await.unwrap();
    let reason = DisconnectReason::Unauthorized;
    assert_eq!(next(&mut events).await, ChatEvent::Disconnected { reason });
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Reconnected { .. }
    ));
    let ben_takes_part = ChatParticipant::new(&ben_id);
    let options = CreateChatThreadOptions::default().with_participant(ben_takes_part);
    ada.create_thread("again", Some(options)).await.unwrap();
    let ChatEvent::ThreadCreated(created) = next_of_a_thread(&mut events).await else {
        panic!()
    };
    assert_eq!(created.created_by.identifier.raw_id(), ada_id.id);
}

#[tokio::test]
async fn a_revoked_token_that_nothing_replaces_ends_the_stream_with_that_error() {
    let kept = Kept::start().await;
    let (ben_id, token) = kept.user().await;
    let ben = kept.chat(Arc::new(StaticTokenCredential::from(token)));
    let (connection, mut events) = ben.connect_realtime(Some(soon())).await.unwrap();
    assert_eq!(next(&mut events).await, ChatEvent::Connected);
    kept.identity().revoke_tokens(&ben_id, None).await.unwrap();
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::Disconnected { .. }
    ));
    let end = timeout(PATIENCE, events.next()).await.unwrap().unwrap();
    assert_eq!(end.unwrap_err().status(), Some(401));
    assert!(events.next().await.is_none());
    assert_eq!(connection.state(), RealtimeState::Closed);
}

#[tokio::test]
async fn a_token_without_the_right_to_chat_is_refused_at_once() {
    let kept = Kept::start().await;
    let identity = kept.identity();
    let scopes = [cavansite_client::models::TokenScope::VoIP];
    let created = identity.create_user_and_token(&scopes, None).await;
    let token = created.unwrap().into_model().access_token;
    let caller = kept.chat(Arc::new(StaticTokenCredential::from(token)));
    let error = caller.connect_realtime(None).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
}

//! What the stream yields: all ten events, what does not fit, and what a list adds.

use cavansite_client::models::{ChatMessage, ChatRetentionPolicy, CommunicationIdentifier};
use cavansite_client::realtime::{
    ChatEvent, RealtimeEvents, RealtimeOptions, ThreadDeletionReason,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{DATE_SECONDS, Server, message, next, number};

fn at(millis: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis).ok()
}

fn of_the_thread(event_id: u16, more: &Value) -> Value {
    let mut event = json!({
        "eventId": event_id, "senderId": "8:acs:r_alice", "recipientMri": "8:acs:r_bob",
        "threadId": "19:t@thread.v2", "version": "5",
    });
    event
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    event
}

/// Somebody, in the way in which a thread event has people.
fn person(id: &str, name: &str) -> Value {
    json!({
        "participantId": id, "displayName": name, "shareHistoryTime": 1000,
        "memberMetaData": "{\"a\":\"b\"}",
    })
}

/// Pushes an event, and gives what the stream makes of it.
async fn read(event: &Value) -> ChatEvent {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    let status = socket.push(1, event).await;
    let read = next(&mut events).await;
    let expected = if matches!(read, ChatEvent::Unknown(_)) {
        404
    } else {
        200
    };
    assert_eq!(status, expected, "{event}");
    read
}

#[tokio::test(start_paused = true)]
async fn a_message_has_all_that_was_pushed() {
    let mut pushed = message(1_795_417_200_123);
    pushed["attachments"] = json!("[{\"id\":\"x\",\"attachmentType\":\"image\",\"url\":\"/y\"}]");
    let ChatEvent::MessageReceived(received) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(received.thread_id, "19:t@thread.v2");
    assert_eq!(received.id, "1795417200123");
    assert_eq!(received.version, "1795417200123");
    assert_eq!(received.message_type.as_str(), "text");
    assert_eq!(received.message, "message 1795417200123");
    assert_eq!(received.metadata["key"], "value");
    assert_eq!(received.attachments[0].id, "x");
    assert_eq!(received.attachments[0].url.as_deref(), Some("/y"));
    assert_eq!(received.sender.raw_id(), "8:acs:r_alice");
    assert_eq!(received.sender_display_name.as_deref(), Some("Alice"));
    assert_eq!(received.recipient.unwrap().raw_id(), "8:acs:r_bob");
    assert_eq!(received.created_on, at(1_795_417_200_123));

    pushed["eventId"] = json!(247);
    pushed["messageType"] = json!("RichText/Html");
    pushed["edittime"] = json!("2026-11-23T07:00:01.5Z");
    let ChatEvent::MessageEdited(edited) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(edited.message_type.as_str(), "html");
    assert_eq!(edited.metadata["key"], "value");
    assert_eq!(edited.edited_on, at(1_795_417_201_500));

    pushed["eventId"] = json!(248);
    pushed["deletetime"] = json!("2026-11-23T07:00:02Z");
    let ChatEvent::MessageDeleted(deleted) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(deleted.id, "1795417200123");
    assert_eq!(deleted.sender.raw_id(), "8:acs:r_alice");
    assert_eq!(deleted.deleted_on, at(1_795_417_202_000));
}

#[tokio::test(start_paused = true)]
async fn typing_and_receipts_have_all_that_was_pushed() {
    let mut pushed = message(1_795_417_200_123);
    pushed["eventId"] = json!(245);
    let ChatEvent::TypingIndicatorReceived(typing) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(typing.thread_id, "19:t@thread.v2");
    assert_eq!(typing.sender.raw_id(), "8:acs:r_alice");
    assert_eq!(typing.sender_display_name.as_deref(), Some("Alice"));
    assert_eq!(typing.received_on, at(1_795_417_200_123));

    pushed["eventId"] = json!(246);
    pushed["messageBody"] =
        json!("{\"user\":\"8:acs:r_alice\",\"consumptionhorizon\":\"17;18000;19\"}");
    let ChatEvent::ReadReceiptReceived(receipt) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(receipt.chat_message_id, "1795417200123");
    assert_eq!(receipt.sender.raw_id(), "8:acs:r_alice");
    assert_eq!(receipt.recipient.raw_id(), "8:acs:r_bob");
    assert_eq!(receipt.read_on, at(18_000));
}

#[tokio::test(start_paused = true)]
async fn thread_events_have_all_that_was_pushed() {
    let alice = person("8:acs:r_alice", "Alice").to_string();
    let both = json!([person("8:acs:r_alice", "Alice"), person("8:acs:r_bob", "")]).to_string();
    let properties = json!({
        "topic": "tea", "acsChatThreadMetadata": "{\"x\":\"y\"}",
        "retentionPolicy":
            "{\"retentionPolicyType\":\"DeleteAfterCreationTime\",\"executeAfter\":\"60.00:00:00\"}",
    })
    .to_string();
    let created = json!({
        "createTime": "2026-11-23T07:00:00Z", "createdBy": alice, "members": both,
        "properties": properties,
    });
    let ChatEvent::ThreadCreated(created) = read(&of_the_thread(257, &created)).await else {
        panic!()
    };
    assert_eq!(
        (&*created.thread_id, &*created.version),
        ("19:t@thread.v2", "5")
    );
    assert_eq!(created.properties.topic, "tea");
    assert_eq!(created.properties.metadata["x"], "y");
    assert_eq!(
        created.properties.retention_policy,
        Some(ChatRetentionPolicy::ThreadCreationDate {
            delete_thread_after_days: 60
        })
    );
    assert_eq!(created.created_on, at(DATE_SECONDS * 1000));
    assert_eq!(created.created_by.identifier.raw_id(), "8:acs:r_alice");
    let [first, second] = &created.participants[..] else {
        panic!()
    };
    assert_eq!(first.display_name.as_deref(), Some("Alice"));
    assert_eq!(first.share_history_time, at(1000));
    assert_eq!(first.metadata.as_ref().unwrap()["a"], "b");
    assert_eq!(second.display_name, None);

    let updated = json!({
        "editTime": "2026-11-23T07:00:00Z", "editedBy": alice,
        "properties": "{\"topic\":\"coffee\"}",
    });
    let ChatEvent::ThreadPropertiesUpdated(updated) = read(&of_the_thread(258, &updated)).await
    else {
        panic!()
    };
    assert_eq!(updated.properties.topic, "coffee");
    assert_eq!(updated.properties.retention_policy, None);
    assert_eq!(updated.updated_by.identifier.raw_id(), "8:acs:r_alice");
    assert_eq!(updated.updated_on, at(DATE_SECONDS * 1000));

    let deleted = json!({ "deleteTime": "2026-11-23T07:00:00Z", "deletedBy": alice, "reason": "deletedByUser" });
    let ChatEvent::ThreadDeleted(deleted) = read(&of_the_thread(259, &deleted)).await else {
        panic!()
    };
    assert_eq!(deleted.reason, Some(ThreadDeletionReason::DeletedByUser));
    assert_eq!(
        deleted.deleted_by.unwrap().identifier.raw_id(),
        "8:acs:r_alice"
    );
    let by_policy = json!({ "reason": "deletedByPolicy" });
    let ChatEvent::ThreadDeleted(deleted) = read(&of_the_thread(259, &by_policy)).await else {
        panic!()
    };
    assert_eq!((deleted.deleted_by, deleted.deleted_on), (None, None));

    let added =
        json!({ "time": "2026-11-23T07:00:00Z", "addedBy": alice, "participantsAdded": both });
    let ChatEvent::ParticipantsAdded(added) = read(&of_the_thread(260, &added)).await else {
        panic!()
    };
    assert_eq!(added.participants_added.len(), 2);
    assert_eq!(added.added_on, at(DATE_SECONDS * 1000));
    assert_eq!(added.added_by.identifier.raw_id(), "8:acs:r_alice");

    let removed =
        json!({ "time": "2026-11-23T07:00:00Z", "removedBy": alice, "participantsRemoved": both });
    let ChatEvent::ParticipantsRemoved(removed) = read(&of_the_thread(261, &removed)).await else {
        panic!()
    };
    assert_eq!(
        removed.participants_removed[1].identifier.raw_id(),
        "8:acs:r_bob"
    );
    assert_eq!(removed.removed_on, at(DATE_SECONDS * 1000));
}

#[tokio::test(start_paused = true)]
async fn percent_escapes_in_thread_events_are_undone_as_the_official_client_does() {
    let alice = person("8:acs:r_alice", "Alice").to_string();
    for (written, topic) in [
        ("{\"topic\":\"a \\u0022b\\u0022\"}", "a \"b\""),
        // Written as the hosted service may: all of it percent-escaped.
        (
            "%7B%22topic%22%3A%22a %5C%22b%5C%22 %u0041 %uD83D%uDC27%22%7D",
            "a \"b\" A \u{1F427}",
        ),
        // Written as Cavansite does: a percent sign as an escape of JSON survives.
        (
            "{\"topic\":\"100\\u0025, \\u002522, \\u0025u0041 \u{1F427}\"}",
            "100%, %22, %u0041 \u{1F427}",
        ),
    ] {
        let updated = json!({ "editedBy": alice, "properties": written });
        let ChatEvent::ThreadPropertiesUpdated(updated) = read(&of_the_thread(258, &updated)).await
        else {
            panic!("{written}")
        };
        assert_eq!(updated.properties.topic, topic);
    }
    // In messages a percent sign is one.
    let mut pushed = message(1);
    pushed["messageBody"] = json!("%22 %u0041");
    let ChatEvent::MessageReceived(received) = read(&pushed).await else {
        panic!()
    };
    assert_eq!(received.message, "%22 %u0041");
}

#[tokio::test(start_paused = true)]
async fn what_an_event_can_do_without_is_left_out_and_what_it_cannot_makes_it_unknown() {
    for name in [
        "groupId",
        "messageId",
        "version",
        "messageType",
        "messageBody",
        "senderDisplayName",
        "acsChatMessageMetadata",
        "originalArrivalTime",
    ] {
        for value in [Value::Null, json!(true), json!("\u{0}{")] {
            let mut pushed = message(1);
            pushed[name] = value;
            assert!(
                matches!(read(&pushed).await, ChatEvent::MessageReceived(_)),
                "{pushed}"
            );
        }
    }
    let required = ["senderId", "recipientMri", "eventId"].map(|name| {
        let mut pushed = message(1);
        pushed.as_object_mut().unwrap().remove(name);
        pushed
    });
    let others = [
        of_the_thread(
            257,
            &json!({ "createdBy": "{}", "members": "[]", "properties": "{}" }),
        ),
        of_the_thread(
            258,
            &json!({ "editedBy": person("8:acs:a", "").to_string() }),
        ),
        of_the_thread(259, &json!({})),
        of_the_thread(
            260,
            &json!({ "addedBy": person("8:acs:a", "").to_string(), "participantsAdded": "{}" }),
        ),
        json!({ "eventId": 4242 }),
        json!({ "eventId": "200", "senderId": "8:acs:a", "recipientMri": "8:acs:a" }),
        json!([]),
        json!("text"),
    ];
    for pushed in required.into_iter().chain(others) {
        let ChatEvent::Unknown(unknown) = read(&pushed).await else {
            panic!("{pushed}")
        };
        assert_eq!(unknown.body, pushed.to_string());
        assert_eq!(unknown.event_id, pushed["eventId"].as_i64());
    }
}

#[tokio::test(start_paused = true)]
async fn senders_are_of_the_kind_that_their_id_says() {
    use CommunicationIdentifier as Id;
    for (raw_id, is_right) in [
        (
            "8:acs:r_u",
            (|id| matches!(id, Id::CommunicationUser(_))) as fn(&Id) -> bool,
        ),
        ("8:gcch-acs:r_u", |id| {
            matches!(id, Id::CommunicationUser(_))
        }),
        (
            "8:orgid:u",
            |id| matches!(id, Id::MicrosoftTeamsUser(u) if u.user_id == "u" && !u.is_anonymous),
        ),
        (
            "8:teamsvisitor:v",
            |id| matches!(id, Id::MicrosoftTeamsUser(u) if u.is_anonymous),
        ),
        (
            "4:+491",
            |id| matches!(id, Id::PhoneNumber(n) if n.value == "+491"),
        ),
        ("28:bot", |id| matches!(id, Id::Unknown(_))),
    ] {
        let mut pushed = message(1);
        pushed["senderId"] = json!(raw_id);
        let ChatEvent::MessageReceived(received) = read(&pushed).await else {
            panic!()
        };
        assert!(is_right(&received.sender), "{:?}", received.sender);
        assert_eq!(received.sender.raw_id(), raw_id);
    }
}

/// Everything that waits in the stream.
fn drain(events: &mut RealtimeEvents) -> Vec<ChatEvent> {
    let mut all = Vec::new();
    while let Some(item) = futures_util::FutureExt::now_or_never(events.next()) {
        all.push(item.unwrap().unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_counted_in_its_place() {
    let server = Server::new();
    let mut options = RealtimeOptions::default();
    options.queue_events = 3;
    let (_connection, mut events, mut socket) = server.connected(Some(options)).await;
    let of = |second: i64| (DATE_SECONDS + second) * 1000;
    for second in 1..=7 {
        // Answered all the same: the server is not to wait, and not to repeat it.
        assert_eq!(socket.push(1, &message(of(second))).await, 200);
    }
    assert_eq!(number(&next(&mut events).await), of(1));
    assert_eq!(socket.push(1, &message(of(8))).await, 200);
    assert_eq!(socket.push(1, &message(of(9))).await, 200);
    let rest = drain(&mut events);
    let [second, third, lagged, eighth, lagged_again] = &rest[..] else {
        panic!("{rest:?}")
    };
    assert_eq!([second, third, eighth].map(number), [2, 3, 8].map(of));
    // From the third message on, less the margin; then from the seventh.
    let since = at(of(3 - 10));
    assert_eq!(*lagged, ChatEvent::Lagged { missed: 4, since });
    let since = at(of(8 - 10));
    assert_eq!(*lagged_again, ChatEvent::Lagged { missed: 1, since });
    // What was dropped is news when it comes again.
    assert_eq!(socket.push(1, &message(of(5))).await, 200);
    assert_eq!(socket.push(1, &message(of(3))).await, 200);
    let rest = drain(&mut events);
    assert_eq!(rest.iter().map(number).collect::<Vec<_>>(), [of(5)]);
}

#[tokio::test(start_paused = true)]
async fn large_events_that_nobody_reads_are_bounded_too() {
    let server = Server::new();
    let mut options = RealtimeOptions::default();
    options.queue_events = usize::MAX;
    let (_connection, mut events, mut socket) = server.connected(Some(options)).await;
    for id in 1..=20 {
        let mut pushed = message(id);
        pushed["messageBody"] = json!("x".repeat(512 * 1024));
        assert_eq!(socket.push(1, &pushed).await, 200);
    }
    let all = drain(&mut events);
    let (last, taken) = all.split_last().unwrap();
    assert_eq!(taken.len(), 15);
    assert!(
        matches!(last, ChatEvent::Lagged { missed: 5, .. }),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn markers_that_nobody_reads_become_one_of_each_kind() {
    let server = Server::new();
    let mut options = RealtimeOptions::default();
    options.queue_events = 1;
    let (_connection, mut events, mut socket) = server.connected(Some(options)).await;
    for id in 1..=8 {
        assert_eq!(socket.push(1, &message(id)).await, 200);
        drop(socket);
        socket = server.greeted_socket().await;
    }
    assert_eq!(socket.push(1, &message(9)).await, 200);
    let all = drain(&mut events);
    let [first, disconnected, lagged, reconnected] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(number(first), 1);
    assert!(matches!(disconnected, ChatEvent::Disconnected { .. }));
    assert!(
        matches!(lagged, ChatEvent::Lagged { missed: 8, .. }),
        "{lagged:?}"
    );
    assert!(matches!(reconnected, ChatEvent::Reconnected { .. }));
}

/// A message as a list has it.
fn listed(id: i64, more: &Value) -> ChatMessage {
    let mut message = json!({
        "id": id.to_string(), "type": "text", "sequenceId": "1", "version": id.to_string(),
        "content": { "message": format!("message {id}") },
        "createdOn": "2026-11-23T07:00:00Z", "senderDisplayName": "Alice",
        "senderCommunicationIdentifier": {
            "rawId": "8:acs:r_alice", "communicationUser": { "id": "8:acs:r_alice" },
        },
    });
    message
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(message).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_list_and_the_stream_yield_each_message_and_change_once() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    let thread = "19:t@thread.v2";
    let none = json!({});
    socket.push(1, &message(1)).await;
    socket.push(2, &message(2)).await;
    assert_eq!(number(&next(&mut events).await), 1);
    // 1 was yielded, 2 waits, 3 is news.
    assert_eq!(events.missed(thread, &listed(1, &none)), None);
    assert_eq!(events.missed(thread, &listed(2, &none)), None);
    let missed = events.missed(thread, &listed(3, &none)).unwrap();
    assert_eq!(number(&missed), 3);
    let ChatEvent::MessageReceived(received) = missed else {
        panic!()
    };
    assert_eq!(
        (&*received.message, received.recipient),
        ("message 3", None)
    );
    assert_eq!(events.missed(thread, &listed(3, &none)), None);
    assert!(
        events
            .missed("19:other@thread.v2", &listed(3, &none))
            .is_some()
    );
    // The stream does not tell it again.
    socket.push(3, &message(3)).await;
    socket.push(4, &message(4)).await;
    assert_eq!(number(&next(&mut events).await), 2);
    assert_eq!(number(&next(&mut events).await), 4);

    // Changes of what was yielded are told, once each.
    let edit = json!({ "version": "9", "editedOn": "2026-11-23T08:00:00Z" });
    assert!(matches!(
        events.missed(thread, &listed(1, &edit)),
        Some(ChatEvent::MessageEdited(_))
    ));
    assert_eq!(events.missed(thread, &listed(1, &edit)), None);
    let mut pushed = message(1);
    pushed["eventId"] = json!(247);
    pushed["version"] = json!("9");
    socket.push(5, &pushed).await;
    let deletion = json!({ "version": "10", "deletedOn": "2026-11-23T08:00:00Z" });
    assert!(matches!(
        events.missed(thread, &listed(1, &deletion)),
        Some(ChatEvent::MessageDeleted(_))
    ));
    assert_eq!(events.missed(thread, &listed(1, &deletion)), None);
    // One that is edited before it was seen has come, in its new form.
    assert!(matches!(
        events.missed(thread, &listed(6, &edit)),
        Some(ChatEvent::MessageReceived(_))
    ));
    assert_eq!(events.missed(thread, &listed(6, &edit)), None);
    // Words of the service about the thread are none.
    let topic = json!({ "type": "topicUpdated", "content": { "topic": "x" } });
    assert_eq!(events.missed(thread, &listed(7, &topic)), None);
    assert_eq!(drain(&mut events), []);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_message_that_waits_is_left_to_the_stream() {
    let server = Server::new();
    let (_connection, mut events, mut socket) = server.connected(None).await;
    socket.push(1, &message(1)).await;
    for change in ["editedOn", "deletedOn"] {
        let change = json!({ "version": "9", change: "2026-11-23T08:00:00Z" });
        assert_eq!(events.missed("19:t@thread.v2", &listed(1, &change)), None);
    }
    assert_eq!(number(&next(&mut events).await), 1);
    let mut pushed = message(1);
    pushed["eventId"] = json!(247);
    pushed["version"] = json!("9");
    socket.push(2, &pushed).await;
    assert!(matches!(
        next(&mut events).await,
        ChatEvent::MessageEdited(_)
    ));
}

//! Messages: sent, read, listed, edited and deleted.

use std::collections::BTreeMap;

use cavansite_client::models::{ChatMessageType, ChatParticipant};
use cavansite_client::{
    ChatApiVersion, ChatThreadClient, CreateChatThreadOptions, ListByTimeOptions,
    SendChatMessageOptions, UpdateChatMessageOptions,
};
use futures_util::TryStreamExt as _;

use crate::{Service, assert_refused};

/// A new thread of two, seen by each.
async fn thread(service: &Service, version: ChatApiVersion) -> [ChatThreadClient; 2] {
    let (_, ada) = service.person(version).await;
    let (ben, ben_chat) = service.person(version).await;
    let options = CreateChatThreadOptions::default().with_participant(ChatParticipant::new(ben));
    let created = ada.create_thread("lunch", Some(options)).await.unwrap();
    let id = created.into_model().chat_thread.id;
    [ada.thread_client(id.clone()), ben_chat.thread_client(id)]
}

#[tokio::test]
async fn a_message_is_sent_read_listed_edited_and_deleted_in_every_version() {
    let service = Service::start();
    for &version in ChatApiVersion::ALL {
        let [ada, ben] = thread(&service, version).await;
        let has_metadata = version >= ChatApiVersion::V2021_09_07;
        let metadata = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
        let mut options = SendChatMessageOptions::default()
            .with_sender_display_name("Ada")
            .with_message_type(ChatMessageType::Html);
        options.metadata = has_metadata.then(|| metadata("1"));
        let sent = ada
            .send_message("<b>hello</b>", Some(options))
            .await
            .unwrap();
        assert_eq!(sent.status(), 201);
        let location = sent.headers()["location"].to_str().unwrap();
        assert!(location.contains("/messages/"), "{location}");
        let id = sent.into_model().id;

        let read = ben.get_message(&id, None).await.unwrap().into_model();
        assert_eq!(read.id, id);
        assert_eq!(read.message_type, ChatMessageType::Html);
        assert_eq!(read.content.message.as_deref(), Some("<b>hello</b>"));
        assert_eq!(read.sender_display_name.as_deref(), Some("Ada"));
        let value = read.metadata.get("a").map(String::as_str);
        assert_eq!(value, has_metadata.then_some("1"));
        assert_eq!((read.edited_on, read.deleted_on), (None, None));
        assert!(read.sender.unwrap().raw_id().starts_with("8:acs:"));

        let mut options = UpdateChatMessageOptions::default().with_content("hello, world");
        options.metadata = has_metadata.then(|| metadata(""));
        ada.update_message(&id, Some(options)).await.unwrap();
        let edited = ben.get_message(&id, None).await.unwrap().into_model();
        assert_eq!(edited.content.message.as_deref(), Some("hello, world"));
        assert!(edited.edited_on.is_some() && edited.metadata.is_empty());

        let edit = UpdateChatMessageOptions::default().with_content("mine");
        let refused = ben.update_message(&id, Some(edit)).await;
        assert_refused(refused, 403, "Forbidden");

        ada.delete_message(&id, None).await.unwrap();
        let all: Vec<_> = ben
            .list_messages(None)
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(all[0].id, id);
        assert!(all[0].deleted_on.is_some());
        assert_eq!(all[0].content.message.as_deref().unwrap_or_default(), "");
        let kinds: Vec<_> = all
            .iter()
            .map(|message| message.message_type.as_str())
            .collect();
        assert_eq!(kinds, ["html", "topicUpdated", "participantAdded"]);
        assert_eq!(all[1].content.topic.as_deref(), Some("lunch"));
        assert_eq!(all[2].content.participants.len(), 2);
        assert!(all[2].content.initiator.is_some() && all[2].sender.is_none());
    }
}

#[tokio::test]
async fn what_is_not_named_in_a_send_is_left_to_the_service() {
    let service = Service::start();
    let [ada, _] = thread(&service, ChatApiVersion::default()).await;
    let id = ada
        .send_message("hello", None)
        .await
        .unwrap()
        .into_model()
        .id;
    ada.update_message(&id, None).await.unwrap();
    let read = ada.get_message(&id, None).await.unwrap().into_model();
    assert_eq!(read.message_type, ChatMessageType::Text);
    assert_eq!(read.sender_display_name.as_deref(), Some(""));
    assert_eq!(read.metadata.len(), 0);
}

#[tokio::test]
async fn a_list_of_messages_gives_each_once_over_many_pages_and_from_a_time_on() {
    let service = Service::start();
    let [ada, ben] = thread(&service, ChatApiVersion::default()).await;
    for number in 0..25 {
        ada.send_message(&number.to_string(), None).await.unwrap();
    }
    let by_four = ListByTimeOptions::default().with_max_page_size(4u32);
    let all: Vec<_> = ben
        .list_messages(Some(by_four))
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let texts: Vec<_> = all
        .iter()
        .filter_map(|one| one.content.message.clone())
        .collect();
    let expected: Vec<_> = (0..25)
        .rev()
        .map(|number: u32| number.to_string())
        .collect();
    assert_eq!(texts, expected);

    let later = all[0].created_on + std::time::Duration::from_hours(1);
    let since = ListByTimeOptions::default().with_start_time(later);
    let none: Vec<_> = ben
        .list_messages(Some(since))
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(none.len(), 0);
}

#[tokio::test]
async fn what_the_service_refuses_of_messages_is_a_typed_error() {
    let service = Service::start();
    let [ada, _] = thread(&service, ChatApiVersion::default()).await;
    assert_refused(ada.get_message("1", None).await, 404, "NotFound");
    assert_refused(ada.delete_message("1", None).await, 404, "NotFound");
    let huge = "x".repeat(100_000);
    let refused = ada.send_message(&huge, None).await.unwrap_err();
    assert!(matches!(refused.status(), Some(400 | 413)), "{refused}");
    let kind = SendChatMessageOptions::default().with_message_type(ChatMessageType::TopicUpdated);
    let refused = ada.send_message("x", Some(kind)).await;
    assert_refused(refused, 400, "BadRequest");
}

#[tokio::test]
async fn clones_of_a_client_work_from_many_tasks_at_once() {
    let service = Service::start();
    let [ada, ben] = thread(&service, ChatApiVersion::default()).await;
    let sends = (0..50).map(|number| {
        let ada = ada.clone();
        tokio::spawn(async move {
            let sent = ada.send_message(&number.to_string(), None).await.unwrap();
            (sent.into_model().id, number.to_string())
        })
    });
    let mut sent = std::collections::BTreeMap::new();
    for send in sends.collect::<Vec<_>>() {
        let (id, text) = send.await.unwrap();
        sent.insert(id, text);
    }
    let mut read = std::collections::BTreeMap::new();
    let mut messages = ben.list_messages(None).unwrap();
    while let Some(message) = messages.try_next().await.unwrap() {
        read.extend(message.content.message.map(|text| (message.id, text)));
    }
    assert_eq!(sent.len(), 50);
    assert_eq!(read, sent);
}

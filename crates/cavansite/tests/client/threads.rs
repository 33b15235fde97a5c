//! Threads: made, read, listed, changed and deleted.

use std::collections::BTreeMap;

use cavansite_client::models::{ChatParticipant, ChatRetentionPolicy, CommunicationUserIdentifier};
use cavansite_client::{
    ChatApiVersion, CreateChatThreadOptions, ErrorKind, ListByTimeOptions, UpdateChatThreadOptions,
};
use futures_util::TryStreamExt as _;

use crate::{Service, assert_refused};

#[tokio::test]
async fn a_thread_is_made_read_listed_changed_and_deleted_in_every_version() {
    let service = Service::start();
    for &version in ChatApiVersion::ALL {
        let (ada, ada_chat) = service.person(version).await;
        let (ben, ben_chat) = service.person(version).await;
        let ben = ChatParticipant::new(ben).with_display_name("Ben");
        let stranger = CommunicationUserIdentifier::new("8:acs:some-other-resource_user");
        let options = CreateChatThreadOptions::default()
            .with_participant(ben)
            .with_participant(ChatParticipant::new(stranger.clone()));
        let created = ada_chat
            .create_thread("lunch", Some(options))
            .await
            .unwrap();
        assert_eq!(created.status(), 201);
        let created = created.into_model();
        let invalid = &created.invalid_participants;
        assert_eq!(invalid.len(), 1, "{invalid:?}");
        assert_eq!(invalid[0].target.as_deref(), Some(&*stranger.id));
        assert_eq!(invalid[0].code.as_deref(), Some("403"));

        let thread = ben_chat.thread_client(created.chat_thread.id.clone());
        assert_eq!(thread.thread_id(), created.chat_thread.id);
        let properties = thread.get_properties(None).await.unwrap().into_model();
        assert_eq!(properties, created.chat_thread);
        assert_eq!(properties.topic, "lunch");
        let creator = properties.created_by.unwrap();
        assert_eq!(creator.as_communication_user(), Some(&ada));

        thread.update_topic("dinner", None).await.unwrap();
        let listed: Vec<_> = ada_chat
            .list_threads(None)
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (&*listed[0].id, &*listed[0].topic),
            (thread.thread_id(), "dinner")
        );
        assert!(listed[0].last_message_received_on >= Some(properties.created_on));

        ada_chat
            .delete_thread(thread.thread_id(), None)
            .await
            .unwrap();
        ada_chat
            .delete_thread(thread.thread_id(), None)
            .await
            .unwrap();
        assert_refused(thread.get_properties(None).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn metadata_and_retention_go_along_where_the_version_has_them() {
    let service = Service::start();
    let (_, chat) = service.person(ChatApiVersion::V2025_03_15).await;
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let policy = ChatRetentionPolicy::ThreadCreationDate {
        delete_thread_after_days: 30,
    };
    let options = CreateChatThreadOptions::default()
        .with_metadata(pairs(&[("a", "1"), ("b", "2")]))
        .with_retention_policy(policy.clone());
    let created = chat
        .create_thread("lunch", Some(options))
        .await
        .unwrap()
        .into_model();
    assert_eq!(
        created.chat_thread.metadata,
        pairs(&[("a", "1"), ("b", "2")])
    );
    assert_eq!(created.chat_thread.retention_policy, Some(policy));

    let thread = chat.thread_client(created.chat_thread.id);
    let update = UpdateChatThreadOptions::default()
        .with_topic("dinner")
        .with_metadata(pairs(&[("a", ""), ("c", "3")]))
        .with_retention_policy(ChatRetentionPolicy::None);
    thread.update_properties(Some(update)).await.unwrap();
    let properties = thread.get_properties(None).await.unwrap().into_model();
    assert_eq!(properties.topic, "dinner");
    assert_eq!(properties.metadata, pairs(&[("b", "2"), ("c", "3")]));
    assert_eq!(properties.retention_policy, Some(ChatRetentionPolicy::None));
}

#[tokio::test]
async fn a_create_under_the_same_id_gives_the_same_thread() {
    let service = Service::start();
    let (_, chat) = service.person(ChatApiVersion::default()).await;
    let mut made = Vec::new();
    for id in ["one", "one", "another"] {
        let options = CreateChatThreadOptions::default().with_repeatability_request_id(id);
        let created = chat.create_thread("lunch", Some(options)).await.unwrap();
        made.push(created.into_model().chat_thread.id);
    }
    made.push(
        chat.create_thread("lunch", None)
            .await
            .unwrap()
            .into_model()
            .chat_thread
            .id,
    );
    assert_eq!(made[0], made[1]);
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 3);
}

#[tokio::test]
async fn a_list_of_threads_pages_goes_on_from_a_place_and_takes_a_start_time() {
    let service = Service::start();
    let (_, chat) = service.person(ChatApiVersion::default()).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let created = chat
            .create_thread(&format!("thread {number}"), None)
            .await
            .unwrap();
        made.push(created.into_model().chat_thread);
        // Threads of one millisecond stand in the list in any order.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let expected: Vec<_> = made.iter().rev().map(|thread| thread.id.clone()).collect();
    let by_two = ListByTimeOptions::default().with_max_page_size(2u32);

    let mut pages = chat
        .list_threads(Some(by_two.clone()))
        .unwrap()
        .into_pages();
    let mut sizes = Vec::new();
    while let Some(page) = pages.try_next().await.unwrap() {
        sizes.push(page.items.len());
        assert_eq!(page.continuation, pages.continuation());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 5, "{sizes:?}");
    assert!(sizes.iter().all(|&size| size <= 2), "{sizes:?}");

    let mut list = chat.list_threads(Some(by_two)).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(list.try_next().await.unwrap().unwrap().id);
    }
    // One of the second page was given out: that page comes again.
    let place = list.continuation().unwrap();
    let rest = ListByTimeOptions::default().with_continuation(place);
    let rest: Vec<_> = chat
        .list_threads(Some(rest))
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let rest: Vec<_> = rest.into_iter().map(|thread| thread.id).collect();
    assert_eq!(rest, expected[2..]);
    assert_eq!(seen, expected[..3]);

    let long_ago = made[0].created_on - std::time::Duration::from_mins(1);
    let since = ListByTimeOptions::default().with_start_time(long_ago);
    let since: Vec<_> = chat
        .list_threads(Some(since))
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(since.len(), 5);
    let to_come = made[4].created_on + std::time::Duration::from_hours(1);
    let since = ListByTimeOptions::default().with_start_time(to_come);
    let since: Vec<_> = chat
        .list_threads(Some(since))
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(since.len(), 0);
}

#[tokio::test]
async fn a_thread_id_that_is_none_is_refused_here_or_there() {
    let service = Service::start();
    let (_, chat) = service.person(ChatApiVersion::default()).await;
    for id in ["", ".", ".."] {
        let error = chat
            .thread_client(id)
            .get_properties(None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    }
    for id in [
        "19:nothing@thread.v2",
        "a/b",
        "%2e%2e",
        "?x=y",
        "#",
        "ü\u{0}\n",
    ] {
        let error = chat
            .thread_client(id)
            .get_properties(None)
            .await
            .unwrap_err();
        assert!(
            matches!(error.status(), Some(400 | 403 | 404)),
            "{id:?}: {error}"
        );
    }
}

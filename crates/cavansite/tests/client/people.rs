//! Participants, read receipts and typing.

use std::collections::BTreeMap;

use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier};
use cavansite_client::{ChatApiVersion, ListBySkipOptions, SendTypingNotificationOptions};
use futures_util::TryStreamExt as _;

use crate::{Service, assert_refused};

#[tokio::test]
async fn people_are_added_listed_and_removed_in_every_version() {
    let service = Service::start();
    for &version in ChatApiVersion::ALL {
        let (ada, ada_chat) = service.person(version).await;
        let (ben, ben_chat) = service.person(version).await;
        let created = ada_chat
            .create_thread("lunch", None)
            .await
            .unwrap()
            .into_model();
        let thread = ada_chat.thread_client(created.chat_thread.id);
        let seen_by_ben = ben_chat.thread_client(thread.thread_id());
        assert_refused(seen_by_ben.get_properties(None).await, 403, "Forbidden");

        let mut participant = ChatParticipant::new(&ben)
            .with_display_name("Ben")
            .with_share_history_time(created.chat_thread.created_on);
        if version >= ChatApiVersion::V2025_03_15 {
            let metadata = BTreeMap::from([("role".to_owned(), "guest".to_owned())]);
            participant = participant.with_metadata(metadata);
        }
        let nobody = CommunicationUserIdentifier::new("8:acs:another_resource");
        let people = [participant.clone(), ChatParticipant::new(&nobody)];
        let added = thread
            .add_participants(&people, None)
            .await
            .unwrap()
            .into_model();
        assert_eq!(added.invalid_participants.len(), 1);
        let again = thread
            .add_participants(&people[..1], None)
            .await
            .unwrap()
            .into_model();
        assert_eq!(again.invalid_participants.len(), 0);

        let by_one = ListBySkipOptions::default().with_max_page_size(1u32);
        let listed: Vec<_> = seen_by_ben
            .list_participants(Some(by_one))
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(listed.len(), 2);
        let found = |id: &str| {
            listed
                .iter()
                .find(|one| one.identifier.raw_id() == id)
                .unwrap()
        };
        assert_eq!(found(&ben.id), &participant);
        assert_eq!(found(&ada.id).display_name, None);
        let but_one = ListBySkipOptions::default().with_skip(1u32);
        let rest: Vec<_> = thread
            .list_participants(Some(but_one))
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(rest, listed[1..]);

        thread.remove_participant(&ben, None).await.unwrap();
        thread.remove_participant(&ben, None).await.unwrap();
        let refused = seen_by_ben.send_message("still here?", None).await;
        assert_refused(refused, 403, "Forbidden");
    }
}

#[tokio::test]
async fn receipts_and_typing_are_told_in_every_version() {
    let service = Service::start();
    for &version in ChatApiVersion::ALL {
        let (ada, chat) = service.person(version).await;
        let created = chat
            .create_thread("lunch", None)
            .await
            .unwrap()
            .into_model();
        let thread = chat.thread_client(created.chat_thread.id);
        let sent = thread
            .send_message("hello", None)
            .await
            .unwrap()
            .into_model();

        thread.send_read_receipt(&sent.id, None).await.unwrap();
        let receipts: Vec<_> = thread
            .list_read_receipts(None)
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(receipts.len(), 1);
        assert_eq!(receipts[0].chat_message_id, sent.id);
        assert_eq!(receipts[0].sender.raw_id(), ada.id);
        assert!(receipts[0].read_on >= created.chat_thread.created_on);
        let but_one = ListBySkipOptions::default().with_skip(1u32);
        let rest: Vec<_> = thread
            .list_read_receipts(Some(but_one))
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(rest, []);

        thread.send_typing_notification(None).await.unwrap();
        if version >= ChatApiVersion::V2021_09_07 {
            let named = SendTypingNotificationOptions::default().with_sender_display_name("Ada");
            thread.send_typing_notification(Some(named)).await.unwrap();
        }
        let nothing = thread.send_read_receipt("1", None).await;
        assert_refused(nothing, 404, "NotFound");
    }
}

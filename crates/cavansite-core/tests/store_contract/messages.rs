//! Messages: order and time, lists and pages, history bounds, edits, deletions.

use cavansite_core::Error;
use cavansite_core::model::*;
use cavansite_core::store::MessagePage;

use crate::contract;
use crate::world::{START, Stop, World, edit, message, pairs, refused, sent, text, user};

contract!(
    ids_and_versions_rise_by_the_clock_or_by_one,
    the_commit_time_never_falls_when_the_clock_steps_back,
    a_message_reads_back_with_all_its_parts,
    a_list_is_by_version_and_pages_join_without_gap,
    a_list_begins_at_the_start_time,
    an_edit_moves_a_message_to_the_front,
    an_edit_changes_what_it_names_and_nothing_else,
    an_edit_that_makes_a_message_too_long_is_refused,
    only_the_sender_changes_a_message,
    a_deleted_message_keeps_its_skeleton,
    deleting_again_changes_nothing,
    a_deleted_message_cannot_be_edited,
    history_before_the_bound_is_not_shown_by_any_way,
    an_edit_does_not_bring_old_history_across_the_bound,
    the_bound_goes_by_the_commit_time_in_a_burst,
    a_history_that_begins_in_the_future_stays_empty_until_then,
    a_removed_participant_sees_nothing_newer_or_changed_since,
    a_number_that_is_a_version_names_no_message,
);

async fn ids_and_versions_rise_by_the_clock_or_by_one(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    assert_eq!(world.send(1, thread, "a").await.unwrap().0, START + 2);
    assert_eq!(world.send(1, thread, "b").await.unwrap().0, START + 3);
    world.pass(100);
    let c = world.send(1, thread, "c").await.unwrap();
    assert_eq!(c.0, START + 100);
    world.pass(-500);
    assert_eq!(world.send(1, thread, "d").await.unwrap().0, START + 101);
    let store = world.store();
    store
        .update_message(&user(1), thread, c, edit("c2"))
        .await
        .unwrap();
    drop(store);
    world.reopen(Stop::ByCrash).await;
    assert_eq!(world.send(1, thread, "e").await.unwrap().0, START + 103);
    let all = world.walk(1, thread, 3).await.unwrap();
    assert_eq!(all[0].sequence_id, 8);
    assert!(all.is_sorted_by_key(|message| std::cmp::Reverse(message.version)));
    assert!(all.is_sorted_by_key(|message| std::cmp::Reverse(message.sequence_id)));
}

async fn the_commit_time_never_falls_when_the_clock_steps_back(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    world.pass(1000);
    let high = world.now();
    let first = world.send(1, thread, "a").await.unwrap();
    world.pass(-5000);
    for stop in Stop::BOTH {
        world.send(1, thread, "b").await.unwrap();
        world
            .store()
            .update_message(&user(1), thread, first, edit("a2"))
            .await
            .unwrap();
        world.reopen(stop).await;
    }
    let all = world.walk(1, thread, 200).await.unwrap();
    for message in &all[..3] {
        assert_eq!(message.created_at, high);
    }
    let edited = all.iter().find(|message| message.id == first).unwrap();
    assert_eq!(sent(edited).edited_at, Some(high));
}

async fn a_message_reads_back_with_all_its_parts(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let new = NewMessage {
        sender_display_name: "Naïve \"name\"".to_owned(),
        format: TextFormat::Html,
        content: "<p>line\nline \u{1f600}</p>\0end".to_owned(),
        priority: Priority::High,
        metadata: pairs(&[("a", "1"), ("ключ", "значение")]),
        fingerprint: None,
    };
    let id = world
        .store()
        .append_message(&user(1), thread, new.clone())
        .await
        .unwrap();
    for stop in Stop::BOTH {
        let store = world.store();
        let found = store.get_message(&user(1), thread, id).await.unwrap();
        let expected = Message {
            id,
            version: Version(id.0),
            sequence_id: 3,
            created_at: world.now(),
            content: MessageContent::User(UserMessage {
                sender: user(1),
                sender_display_name: new.sender_display_name.clone(),
                format: new.format,
                content: new.content.clone(),
                priority: new.priority,
                metadata: new.metadata.clone(),
                edited_at: None,
                deleted_at: None,
            }),
        };
        assert_eq!(*found, expected);
        assert_eq!(*world.walk(1, thread, 7).await.unwrap()[0], expected);
        drop(store);
        world.reopen(stop).await;
    }
}

async fn a_list_is_by_version_and_pages_join_without_gap(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    for number in 0..500 {
        world.send(1, thread, &format!("{number}")).await.unwrap();
    }
    for stop in Stop::BOTH {
        for limit in [1, 7, 100, 200, 1000] {
            let all = world.walk(1, thread, limit).await.unwrap();
            assert_eq!(all.len(), 502);
            assert!(all.is_sorted_by(|a, b| a.version > b.version));
            for (message, number) in all.iter().zip((0..500).rev()) {
                assert_eq!(text(message), number.to_string());
            }
        }
        world.reopen(stop).await;
    }
}

async fn a_list_begins_at_the_start_time(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    world.pass(10);
    world.send(1, thread, "old").await.unwrap();
    world.pass(10);
    let since = world.now();
    world.send(1, thread, "on time").await.unwrap();
    world.send(1, thread, "new").await.unwrap();
    for stop in Stop::BOTH {
        for limit in [1, 2, 3, 200] {
            let page = MessagePage {
                start_time: since,
                before: None,
                limit,
            };
            let store = world.store();
            let items = store.list_messages(&user(1), thread, page).await.unwrap();
            let texts: Vec<_> = items.iter().map(|message| text(message)).collect();
            let expected = ["new", "on time"];
            assert_eq!(texts, expected[..limit.min(2)]);
        }
        world.reopen(stop).await;
    }
}

async fn an_edit_moves_a_message_to_the_front(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let first = world.send(1, thread, "a").await.unwrap();
    world.send(1, thread, "b").await.unwrap();
    world.pass(50);
    let store = world.store();
    store
        .update_message(&user(1), thread, first, edit("a2"))
        .await
        .unwrap();
    let found = store.get_message(&user(1), thread, first).await.unwrap();
    assert_eq!(found.version, Version(START + 50));
    assert_eq!(found.created_at.as_millis(), START);
    assert_eq!(found.sequence_id, 5);
    assert_eq!(sent(&found).edited_at, Some(world.now()));
    drop(store);
    for stop in Stop::BOTH {
        for limit in [1, 2, 200] {
            let all = world.walk(1, thread, limit).await.unwrap();
            let texts: Vec<_> = all.iter().map(|message| text(message)).collect();
            assert_eq!(texts, ["a2", "b", "topic: topic 1", "added: name 1"]);
        }
        let found = world.store().get_message(&user(1), thread, first).await;
        assert_eq!(text(&found.unwrap()), "a2");
        world.reopen(stop).await;
    }
}

async fn an_edit_changes_what_it_names_and_nothing_else(world: World) {
    let thread = world.thread(1, &[1]).await;
    let new = NewMessage {
        sender_display_name: "name".to_owned(),
        metadata: pairs(&[("a", "1"), ("b", "2")]),
        ..message("text")
    };
    let store = world.store();
    let id = store.append_message(&user(1), thread, new).await.unwrap();
    let change = MessageChange {
        metadata: Some(pairs(&[("a", ""), ("c", "3")])),
        ..MessageChange::default()
    };
    store
        .update_message(&user(1), thread, id, change)
        .await
        .unwrap();
    let change = MessageChange {
        priority: Some(Priority::High),
        ..MessageChange::default()
    };
    store
        .update_message(&user(1), thread, id, change)
        .await
        .unwrap();
    let found = store.get_message(&user(1), thread, id).await.unwrap();
    let found = sent(&found);
    assert_eq!(found.content, "text");
    assert_eq!(found.sender_display_name, "name");
    assert_eq!(found.metadata, pairs(&[("b", "2"), ("c", "3")]));
    assert_eq!(found.priority, Priority::High);
}

async fn an_edit_that_makes_a_message_too_long_is_refused(world: World) {
    let thread = world.thread(1, &[1]).await;
    let max = world.limits.message_bytes_max;
    let id = world.send(1, thread, &"x".repeat(max)).await.unwrap();
    let store = world.store();
    let grow = |key: &str| MessageChange {
        metadata: Some(pairs(&[(key, "v")])),
        ..MessageChange::default()
    };
    refused!(
        store.update_message(&user(1), thread, id, grow("k")).await,
        Error::Invalid { .. }
    );
    let found = store.get_message(&user(1), thread, id).await.unwrap();
    assert_eq!(found.version.0, id.0, "nothing has changed");
    let text = edit(&"é".repeat((max - 2) / 2));
    store
        .update_message(&user(1), thread, id, text)
        .await
        .unwrap();
    store
        .update_message(&user(1), thread, id, grow("k"))
        .await
        .unwrap();
}

async fn only_the_sender_changes_a_message(world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let own = world.send(1, thread, "x").await.unwrap();
    let store = world.store();
    let system = [MessageId(START), MessageId(START + 1)];
    for (who, id) in [(2, own), (1, system[0]), (1, system[1])] {
        refused!(
            store
                .update_message(&user(who), thread, id, edit("y"))
                .await,
            Error::NotSender
        );
        refused!(
            store.delete_message(&user(who), thread, id).await,
            Error::NotSender
        );
    }
    for id in [MessageId(1), MessageId(START + 99)] {
        refused!(
            store.update_message(&user(1), thread, id, edit("y")).await,
            Error::MessageNotFound
        );
        refused!(
            store.delete_message(&user(1), thread, id).await,
            Error::MessageNotFound
        );
        refused!(
            store.get_message(&user(1), thread, id).await,
            Error::MessageNotFound
        );
    }
}

async fn a_deleted_message_keeps_its_skeleton(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let new = NewMessage {
        sender_display_name: "name".to_owned(),
        metadata: pairs(&[("a", "1")]),
        priority: Priority::High,
        ..message("secret")
    };
    let id = world
        .store()
        .append_message(&user(1), thread, new)
        .await
        .unwrap();
    let created_at = world.now();
    world.pass(10);
    let store = world.store();
    store
        .update_message(&user(1), thread, id, edit("secret too"))
        .await
        .unwrap();
    world.pass(10);
    store.delete_message(&user(1), thread, id).await.unwrap();
    drop(store);
    let deleted_at = world.now();
    for stop in Stop::BOTH {
        let found = world.store().get_message(&user(1), thread, id).await;
        let expected = Message {
            id,
            version: Version(deleted_at.as_millis()),
            sequence_id: 5,
            created_at,
            content: MessageContent::User(UserMessage {
                sender: user(1),
                sender_display_name: "name".to_owned(),
                format: TextFormat::Text,
                content: String::new(),
                priority: Priority::High,
                metadata: Metadata::new(),
                edited_at: None,
                deleted_at: Some(deleted_at),
            }),
        };
        assert_eq!(*found.unwrap(), expected);
        assert_eq!(*world.walk(1, thread, 2).await.unwrap()[0], expected);
        world.reopen(stop).await;
    }
}

async fn deleting_again_changes_nothing(world: World) {
    let thread = world.thread(1, &[1]).await;
    let id = world.send(1, thread, "x").await.unwrap();
    let store = world.store();
    store.delete_message(&user(1), thread, id).await.unwrap();
    let first = store.get_message(&user(1), thread, id).await.unwrap();
    world.pass(10);
    store.delete_message(&user(1), thread, id).await.unwrap();
    let second = store.get_message(&user(1), thread, id).await.unwrap();
    assert_eq!(first, second);
}

async fn a_deleted_message_cannot_be_edited(world: World) {
    let thread = world.thread(1, &[1]).await;
    let id = world.send(1, thread, "x").await.unwrap();
    let store = world.store();
    store.delete_message(&user(1), thread, id).await.unwrap();
    refused!(
        store.update_message(&user(1), thread, id, edit("y")).await,
        Error::MessageNotFound
    );
}

async fn history_before_the_bound_is_not_shown_by_any_way(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(10);
    world.add(1, thread, 2, world.now()).await;
    let new = world.send(1, thread, "new").await.unwrap();
    for stop in Stop::BOTH {
        let store = world.store();
        for limit in [1, 2, 200] {
            let seen = world.walk(2, thread, limit).await.unwrap();
            let texts: Vec<_> = seen.iter().map(|message| text(message)).collect();
            assert_eq!(texts, ["new", "added: name 2"]);
        }
        refused!(
            store.get_message(&user(2), thread, old).await,
            Error::MessageNotFound
        );
        refused!(
            store.update_message(&user(2), thread, old, edit("x")).await,
            Error::MessageNotFound
        );
        refused!(
            store.delete_message(&user(2), thread, old).await,
            Error::MessageNotFound
        );
        assert!(store.get_message(&user(2), thread, new).await.is_ok());
        drop(store);
        world.reopen(stop).await;
    }
}

async fn an_edit_does_not_bring_old_history_across_the_bound(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let old = world.send(1, thread, "old").await.unwrap();
    world.pass(10);
    world.add(1, thread, 2, world.now()).await;
    world
        .store()
        .update_message(&user(1), thread, old, edit("old, edited"))
        .await
        .unwrap();
    for stop in Stop::BOTH {
        for limit in [1, 200] {
            let seen = world.walk(2, thread, limit).await.unwrap();
            assert_eq!(seen.len(), 1);
            assert_eq!(text(&seen[0]), "added: name 2");
        }
        refused!(
            world.store().get_message(&user(2), thread, old).await,
            Error::MessageNotFound
        );
        world.reopen(stop).await;
    }
}

async fn the_bound_goes_by_the_commit_time_in_a_burst(world: World) {
    let thread = world.thread(1, &[1]).await;
    // Their ids run ahead of the clock, which stands.
    for _ in 0..20 {
        world.send(1, thread, "burst").await.unwrap();
    }
    world.pass(5);
    world.add(1, thread, 2, world.now()).await;
    assert_eq!(world.texts(2, thread).await, ["added: name 2"]);
}

async fn a_history_that_begins_in_the_future_stays_empty_until_then(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    world.add(1, thread, 2, world.now().plus_millis(1000)).await;
    for stop in Stop::BOTH {
        world.reopen(stop).await;
        assert!(world.texts(2, thread).await.is_empty());
        world.send(1, thread, "x").await.unwrap();
        assert!(world.texts(2, thread).await.is_empty());
        // The second time from what the first has left in memory.
        let first = world.texts(1, thread).await;
        assert_eq!(world.texts(1, thread).await, first);
    }
    assert_eq!(world.texts(1, thread).await.len(), 5);
    world.pass(1000);
    world.send(1, thread, "y").await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.texts(2, thread).await, ["y"]);
        assert_eq!(world.texts(1, thread).await.len(), 6);
    }
}

async fn a_removed_participant_sees_nothing_newer_or_changed_since(mut world: World) {
    let thread = world.thread(1, &[1, 2]).await;
    let kept = world.send(1, thread, "kept").await.unwrap();
    let changed = world.send(1, thread, "will change").await.unwrap();
    world.remove(1, thread, 2).await;
    let later = world.send(1, thread, "later").await.unwrap();
    world
        .store()
        .update_message(&user(1), thread, changed, edit("changed"))
        .await
        .unwrap();
    for stop in Stop::BOTH {
        for limit in [1, 2, 200] {
            let seen = world.walk(2, thread, limit).await.unwrap();
            let texts: Vec<_> = seen.iter().map(|message| text(message)).collect();
            let old = ["topic: topic 1", "added: name 1, name 2"];
            assert_eq!(texts, [&["removed: name 2", "kept"], &old[..]].concat());
        }
        let store = world.store();
        for id in [later, changed] {
            refused!(
                store.get_message(&user(2), thread, id).await,
                Error::NotParticipant
            );
        }
        assert!(store.get_message(&user(2), thread, kept).await.is_ok());
        drop(store);
        world.reopen(stop).await;
    }
}

async fn a_number_that_is_a_version_names_no_message(mut world: World) {
    let thread = world.thread(1, &[1]).await;
    let id = world.send(1, thread, "x").await.unwrap();
    let store = world.store();
    store
        .update_message(&user(1), thread, id, edit("y"))
        .await
        .unwrap();
    let found = store.get_message(&user(1), thread, id).await.unwrap();
    drop(store);
    for stop in Stop::BOTH {
        let store = world.store();
        refused!(
            store
                .get_message(&user(1), thread, MessageId(found.version.0))
                .await,
            Error::MessageNotFound
        );
        refused!(
            store
                .delete_message(&user(1), thread, MessageId(found.version.0))
                .await,
            Error::MessageNotFound
        );
        drop(store);
        world.reopen(stop).await;
    }
}

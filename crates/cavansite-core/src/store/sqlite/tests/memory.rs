//! The memory of active threads: what is served from it, and its bounds.

use super::*;
use crate::model::{Thread, Version};
use crate::store::sqlite::cache::{Filling, Posted, Publication, ThreadCache, ThreadFacts};
use crate::store::sqlite::state::{Member, Members, ThreadRecord};
use crate::store::{IdentityStore, ParticipantStore, ThreadPage};

#[tokio::test]
async fn a_conversation_and_its_polls_touch_no_database() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.insert_identity(&user(1)).await.unwrap();
    // From here on a read from the database is refused.
    store.shared.readers.close();
    let thread = thread(&store, 1, &[1, 2]).await;
    let first = send(&store, thread, "first").await.unwrap();
    for number in 0..50 {
        send(&store, thread, &number.to_string()).await.unwrap();
    }
    store
        .update_message(&user(1), thread, first, edit("changed"))
        .await
        .unwrap();
    assert_eq!(texts(&store, thread).await[0], "changed");
    assert_eq!(texts(&store, thread).await.len(), 51);
    assert!(store.get_message(&user(2), thread, first).await.is_ok());
    assert!(store.get_thread(&user(2), thread).await.is_ok());
    let people = store.list_participants(&user(2), thread).await.unwrap();
    assert_eq!(people.len(), 2);
    assert!(store.get_identity(&user(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_first_page_is_read_once_and_then_kept_current() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    for number in 0..300 {
        send(&store, thread, &number.to_string()).await.unwrap();
    }
    drop(store);
    let store = open(&directory);
    assert_eq!(page(&store, thread, None, 100).await.len(), 100);
    assert_eq!(store.reads(), 1);
    assert_eq!(page(&store, thread, None, 100).await.len(), 100);
    assert_eq!(store.reads(), 1);
    store.shared.readers.close();
    send(&store, thread, "new").await.unwrap();
    let again = page(&store, thread, None, 100).await;
    assert_eq!(again.len(), 100);
    assert_eq!(again[0].sequence_id, 303);
    // A poll for what is new is answered though the page is not full.
    let poll = MessagePage {
        start_time: Timestamp::from_millis(again[5].version.0),
        before: None,
        limit: 100,
    };
    let new = store.list_messages(&user(1), thread, poll).await.unwrap();
    assert_eq!(new[..], again[..6]);
    let older = MessagePage {
        start_time: Timestamp::EPOCH,
        before: Some(again[99].version),
        limit: 100,
    };
    assert!(store.list_messages(&user(1), thread, older).await.is_err());
}

#[tokio::test]
async fn under_a_tiny_bound_everything_still_reads_right() {
    let directory = TempDir::new().unwrap();
    let mut options = options(&directory.path().join("data"));
    options.limits.thread_cache_bytes_max = 40_000;
    options.limits.page_cache_bytes_max = 40 * 1024;
    let store = Arc::new(SqliteStore::open_with(options, 30).unwrap());
    let kib = store.shared.readers.read(|connection| {
        let kib = connection.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0));
        Ok(kib.unwrap())
    });
    assert_eq!(kib.await.unwrap(), -40);
    for number in 1..=40 {
        thread(&store, number, &[1]).await;
    }
    let mut expected = vec![Vec::new(); 41];
    for round in 0..20 {
        for number in 1..=40_u8 {
            let text = format!("{round} {}", "x".repeat(usize::from(number) * 10));
            send(&store, id(number), &text).await.unwrap();
            expected[usize::from(number)].insert(0, text);
            if (round + i32::from(number)) % 7 == 0 {
                assert_eq!(
                    texts(&store, id(number)).await,
                    expected[usize::from(number)]
                );
            }
        }
        assert!(store.shared.threads.bytes() <= 40_000);
    }
    for number in 1..=40 {
        assert_eq!(
            texts(&store, id(number)).await,
            expected[usize::from(number)]
        );
    }
}

async fn listed(store: &SqliteStore, user_number: u8) -> Vec<ThreadId> {
    let page = ThreadPage {
        start_time: Timestamp::EPOCH,
        after: None,
        limit: 100,
    };
    let threads = store.list_threads(&user(user_number), page).await.unwrap();
    threads.into_iter().map(|thread| thread.id).collect()
}

#[tokio::test]
async fn a_list_of_threads_is_read_once_and_then_kept_in_order() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for number in 1..=30 {
        thread(&store, number, &[1, 2]).await;
    }
    assert_eq!(listed(&store, 1).await.len(), 30);
    // From here on nothing can be learnt of the newest messages from the database.
    let other = database(&directory);
    other
        .execute_batch("DELETE FROM messages; DELETE FROM message_index")
        .unwrap();
    for number in [7, 19, 3] {
        send(&store, id(number), "new").await.unwrap();
    }
    thread(&store, 31, &[2]).await;
    thread(&store, 32, &[2, 1]).await;
    let list = listed(&store, 1).await;
    assert_eq!(list[..4], [id(32), id(3), id(19), id(7)]);
    assert_eq!(list.len(), 31);
}

#[tokio::test]
async fn lists_of_threads_are_held_under_their_bound() {
    let directory = TempDir::new().unwrap();
    let mut options = options(&directory.path().join("data"));
    options.limits.thread_cache_bytes_max = 100_000;
    let store = Arc::new(SqliteStore::open_with(options, 30).unwrap());
    let bound = 100_000 / crate::store::sqlite::writer::LISTS_SHARE;
    let users: Vec<u8> = (1..=100).collect();
    for number in 1..=40 {
        thread(&store, number, &users).await;
    }
    let mut expected: Vec<_> = (1..=40).rev().map(id).collect();
    for round in 0..3 {
        for user in 1..=100 {
            assert_eq!(listed(&store, user).await, expected);
        }
        assert!(store.shared.lists.bytes() > 0);
        assert!(store.shared.lists.bytes() <= bound);
        let moved = id(5 + round);
        send(&store, moved, "x").await.unwrap();
        expected.retain(|thread| *thread != moved);
        expected.insert(0, moved);
    }
    // One that is over the bound by itself is not kept, and reads right.
    for number in 41..=250 {
        thread(&store, number, &[1]).await;
        expected.insert(0, id(number));
    }
    assert_eq!(listed(&store, 1).await, expected[..100]);
    assert!(store.shared.lists.bytes() <= bound);
    send(&store, id(1), "x").await.unwrap();
    assert_eq!(listed(&store, 1).await[0], id(1));
}

#[tokio::test]
async fn threads_that_do_not_exist_leave_nothing_in_memory() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for number in 0..200 {
        assert!(store.get_thread(&user(1), id(number)).await.is_err());
        assert!(send(&store, id(number), "x").await.is_err());
    }
    assert_eq!(store.shared.threads.bytes(), 0);
    let thread = thread(&store, 1, &[1]).await;
    assert!(store.shared.threads.bytes() > 0);
    store.delete_thread(&user(1), thread).await.unwrap();
    assert!(store.get_thread(&user(1), thread).await.is_err());
    assert_eq!(store.shared.threads.bytes(), 0);
}

#[test]
fn views_that_are_gone_do_not_gather_in_the_ring() {
    let cache = ThreadCache::new(1_000_000);
    for number in 0..10_000_u128 {
        let thread = ThreadId::from_bytes(number.to_be_bytes());
        let view = cache.get_or_insert(thread);
        cache.remove(thread, &view);
    }
    assert_eq!(cache.bytes(), 0);
    assert!(cache.ring_len() < 200);
}

/// A thread that user 1 is in.
fn facts() -> ThreadFacts {
    let participant = crate::model::Participant {
        user: user(1),
        display_name: None,
        share_history_time: Timestamp::EPOCH,
        metadata: Metadata::new(),
    };
    let member = Member {
        number: 1,
        joined: 1,
        participant,
    };
    let thread = Thread {
        id: id(1),
        topic: String::new(),
        created_at: Timestamp::EPOCH,
        created_by: user(1),
        metadata: Metadata::new(),
        retention: None,
    };
    ThreadFacts {
        record: Arc::new(ThreadRecord {
            number: 1,
            deleted: false,
            updated_version: 0,
            thread,
        }),
        members: Arc::new(Members([(user(1), member)].into())),
    }
}

fn stored(id: i64, version: i64) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId(id),
        version: Version(version),
        sequence_id: version,
        created_at: Timestamp::from_millis(id),
        content: MessageContent::TopicUpdated {
            initiator: user(1),
            initiator_display_name: None,
            topic: String::new(),
        },
    })
}

/// A whole thread of messages 1 to `top`, as a reader has read it.
fn read(top: i64) -> Filling {
    Filling {
        facts: facts(),
        newest: (1..=top).rev().map(|id| stored(id, id)).collect(),
        top,
        floor: 0,
        newest_created_at: Timestamp::from_millis(top),
    }
}

fn appended(id: i64) -> Publication {
    Publication {
        messages: Posted::Appended {
            previous: id - 1,
            message: stored(id, id),
        },
        ..Publication::default()
    }
}

/// The versions that a first page shows; `None` where the database has to be asked.
fn shown(cache: &ThreadCache) -> Option<Vec<i64>> {
    let page = MessagePage {
        start_time: Timestamp::from_millis(1),
        before: None,
        limit: 1000,
    };
    let messages = cache.get(id(1))?.page(&user(1), &page)?;
    Some(messages.iter().map(|message| message.version.0).collect())
}

#[test]
fn what_is_added_while_a_view_is_being_read_joins_it() {
    // Committed before the reader's snapshot or after it: the result is the same.
    for top in [3, 4, 5] {
        let cache = ThreadCache::new(1_000_000);
        let view = cache.get_or_insert(id(1));
        let epoch = view.epoch();
        cache.publish(id(1), appended(4));
        cache.publish(id(1), appended(5));
        cache.fill(id(1), &view, epoch, read(top));
        assert_eq!(shown(&cache), Some(vec![5, 4, 3, 2, 1]));
    }
}

#[test]
fn a_view_refuses_what_was_read_before_a_change_that_is_no_addition() {
    let moved = Publication {
        messages: Posted::Moved {
            previous: 3,
            message: stored(1, 4),
        },
        ..Publication::default()
    };
    let people = Publication {
        members: Some(Arc::default()),
        ..Publication::default()
    };
    let unkept = Publication {
        messages: Posted::Unkept,
        ..Publication::default()
    };
    for change in [moved, people, unkept] {
        let cache = ThreadCache::new(1_000_000);
        let view = cache.get_or_insert(id(1));
        let epoch = view.epoch();
        cache.publish(id(1), change);
        cache.fill(id(1), &view, epoch, read(3));
        assert_eq!(shown(&cache), None);
        assert!(view.facts(&user(1)).is_none());
    }
}

#[test]
fn a_view_that_was_not_given_an_addition_starts_anew() {
    let cache = ThreadCache::new(1_000_000);
    let view = cache.get_or_insert(id(1));
    cache.fill(id(1), &view, view.epoch(), read(3));
    assert_eq!(shown(&cache), Some(vec![3, 2, 1]));
    let unkept = Publication {
        messages: Posted::Unkept,
        ..Publication::default()
    };
    cache.publish(id(1), unkept);
    assert_eq!(shown(&cache), None);
}

#[test]
fn a_view_refuses_what_no_longer_meets_it() {
    let cache = ThreadCache::new(1_000_000);
    let view = cache.get_or_insert(id(1));
    let epoch = view.epoch();
    for id in 4..=1000 {
        cache.publish(self::id(1), appended(id));
    }
    cache.fill(id(1), &view, epoch, read(3));
    assert_eq!(shown(&cache), None);
}

#[test]
fn a_view_that_was_forgotten_while_it_was_read_takes_no_memory() {
    let cache = ThreadCache::new(1_000_000);
    let view = cache.get_or_insert(id(1));
    let epoch = view.epoch();
    cache.remove(id(1), &view);
    cache.fill(id(1), &view, epoch, read(3));
    assert_eq!(cache.bytes(), 0);
    assert_eq!(shown(&cache), None);
}

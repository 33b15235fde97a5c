//! The memory of active threads: what is served from it, and its bounds.

use super::*;
use crate::store::sqlite::cache::ThreadCache;
use crate::store::{IdentityStore, ParticipantStore};

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
    let store = Arc::new(SqliteStore::open_with(options, 30).unwrap());
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

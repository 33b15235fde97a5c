//! The index settled behind the sends, across runs, crashes and edits; and erasure.

use super::*;
use crate::store::sqlite::cache::{Posted, Publication};
use crate::store::sqlite::erase::{Erased, Erasing};
use crate::store::sqlite::messages::Piece;
use crate::store::sqlite::read::ReadThread;
use crate::store::sqlite::row::MessageReader;
use crate::store::sqlite::schema;

/// What the index should hold, and what it holds.
fn index(database: &Connection) -> (Vec<[i64; 3]>, Vec<[i64; 3]>) {
    let read = |sql: &str| {
        database
            .prepare(sql)
            .unwrap()
            .query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
            .unwrap()
            .collect::<rusqlite::Result<Vec<[i64; 3]>>>()
            .unwrap()
    };
    let rows = "SELECT thread, version, row FROM messages ORDER BY thread, version";
    let keys = "SELECT thread, version, row FROM message_index ORDER BY thread, version";
    (read(rows), read(keys))
}

fn settled_through(database: &Connection) -> i64 {
    let sql = "SELECT settled_through FROM engine";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn newest_row(database: &Connection) -> i64 {
    let sql = "SELECT max(row) FROM messages";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Sends, edits and deletions over a few threads, by a seed; returns what each thread must hold.
async fn work(
    store: &Arc<SqliteStore>,
    seed: &mut u64,
    expected: &mut [Vec<(MessageId, String)>],
    steps: usize,
) {
    for step in 0..steps {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = usize::try_from(*seed >> 40).unwrap();
        let at = number % expected.len();
        let thread = id(u8::try_from(at).unwrap() + 1);
        let messages = &mut expected[at];
        let place = (number / 8) % (messages.len() + 1);
        if number % 5 == 0 && place < messages.len() {
            let (message, _) = messages.remove(place);
            let text = format!("edited in step {step}");
            store
                .update_message(&user(1), thread, message, edit(&text))
                .await
                .unwrap();
            messages.insert(0, (message, text));
        } else {
            let text = format!("sent in step {step}");
            let message = send(store, thread, &text).await.unwrap();
            messages.insert(0, (message, text));
        }
    }
}

async fn holds(store: &SqliteStore, expected: &[Vec<(MessageId, String)>]) {
    for (messages, number) in expected.iter().zip(1..) {
        let texts = texts(store, id(number)).await;
        let expected: Vec<_> = messages.iter().map(|(_, text)| text.clone()).collect();
        assert_eq!(texts, expected);
        for (message, text) in messages {
            let found = store.get_message(&user(1), id(number), *message).await;
            match &found.unwrap().content {
                MessageContent::User(sent) => assert_eq!(sent.content, *text),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_index_equals_the_rows_after_every_kind_of_stop() {
    for (run_keys, seed) in [(1, 1), (7, 2), (40, 3), (100_000, 4)] {
        let directory = TempDir::new().unwrap();
        let mut seed: u64 = seed;
        let mut expected = vec![Vec::new(); 4];
        let mut store = open_with_runs(&directory, run_keys);
        for number in 1..=4 {
            thread(&store, number, &[1]).await;
        }
        for round in 0..6 {
            work(&store, &mut seed, &mut expected, 60).await;
            holds(&store, &expected).await;
            if round % 2 == 0 {
                store.close().await;
                drop(store);
                let database = database(&directory);
                let (rows, keys) = index(&database);
                assert_eq!(keys, rows);
                assert_eq!(settled_through(&database), newest_row(&database));
            } else {
                drop(store);
            }
            store = open_with_runs(&directory, run_keys);
            holds(&store, &expected).await;
        }
    }
}

#[tokio::test]
async fn a_full_run_is_written_behind_the_sends_that_follow() {
    let directory = TempDir::new().unwrap();
    let store = open_with_runs(&directory, 50);
    let thread = thread(&store, 1, &[1]).await;
    for _ in 0..40 {
        send(&store, thread, "x").await.unwrap();
    }
    let beside = database(&directory);
    assert_eq!(
        index(&beside).1.len(),
        0,
        "a send writes one row and no key"
    );
    assert_eq!(store.shared.unsettled.len(), 42);
    for _ in 0..20 {
        send(&store, thread, "x").await.unwrap();
    }
    assert_eq!(settled_through(&beside), 50);
    assert_eq!(index(&beside).1.len(), 50);
    assert_eq!(store.shared.unsettled.len(), 12);
}

#[tokio::test]
async fn at_rest_everything_is_settled() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    for number in 0..100 {
        send(&store, thread, &number.to_string()).await.unwrap();
    }
    until(|| store.shared.unsettled.len() == 0).await;
    let (rows, keys) = index(&database(&directory));
    assert_eq!(keys, rows);
    let texts = texts(&store, thread).await;
    assert_eq!(texts.len(), 100);
    assert_eq!(texts[0], "99");
}

#[tokio::test]
async fn rows_of_the_newest_messages_are_not_used_again_after_erasure() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let kept = thread(&store, 1, &[1]).await;
    let gone = thread(&store, 2, &[1]).await;
    for _ in 0..10 {
        send(&store, gone, "x").await.unwrap();
    }
    store.delete_thread(&user(1), gone).await.unwrap();
    let beside = database(&directory);
    until(|| newest_row(&beside) == 2).await;
    assert_eq!(settled_through(&beside), 14);
    drop(beside);
    drop(store);
    let store = open(&directory);
    send(&store, kept, "later").await.unwrap();
    assert_eq!(newest_row(&database(&directory)), 15);
    drop(store);
    let store = open(&directory);
    assert_eq!(texts(&store, kept).await, ["later"]);
}

#[tokio::test]
async fn a_deleted_threads_content_leaves_the_files() {
    const SECRET: &str = "the content of a deleted thread";
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let deleted = thread(&store, 1, &[1, 2]).await;
    let kept = thread(&store, 2, &[1]).await;
    for _ in 0..100 {
        send(&store, deleted, SECRET).await.unwrap();
    }
    send(&store, kept, "stays").await.unwrap();
    let found = || {
        ["cavansite.db", "cavansite.db-wal"]
            .into_iter()
            .any(|name| {
                let path = directory.path().join("data").join(name);
                let bytes = std::fs::read(path).unwrap_or_default();
                bytes
                    .windows(SECRET.len())
                    .any(|window| window == SECRET.as_bytes())
            })
    };
    assert!(found());
    store.delete_thread(&user(1), deleted).await.unwrap();
    until(|| !found()).await;
    let names: i64 = database(&directory)
        .query_row(
            "SELECT count(*) FROM participants WHERE thread = 1 AND display_name IS NOT NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(names, 0);
    assert_eq!(texts(&store, kept).await, ["stays"]);
    let list = store
        .list_messages(
            &user(2),
            deleted,
            MessagePage {
                start_time: Timestamp::EPOCH,
                before: None,
                limit: 1,
            },
        )
        .await;
    assert!(matches!(list, Err(crate::Error::ThreadNotFound)));
}

#[tokio::test]
async fn an_interrupted_erasure_goes_on_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let deleted = thread(&store, 1, &[1]).await;
    for _ in 0..200 {
        send(&store, deleted, "x").await.unwrap();
    }
    store.delete_thread(&user(1), deleted).await.unwrap();
    drop(store);
    let store = open(&directory);
    let beside = database(&directory);
    until(|| {
        let sql = "SELECT (SELECT count(*) FROM messages) + count(*) FROM threads \
                   WHERE erased_at IS NULL";
        beside
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
            == 0
    })
    .await;
    drop(store);
}

#[tokio::test]
async fn a_message_that_moves_between_the_look_at_what_waits_and_the_snapshot_is_met_once() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    let first = send(&store, thread, "first").await.unwrap();
    let second = send(&store, thread, "second").await.unwrap();
    let waiting = store.shared.unsettled.of_thread(1, i64::MAX, 100);
    assert_eq!(waiting.len(), 4);
    store
        .update_message(&user(1), thread, first, edit("moved"))
        .await
        .unwrap();
    let connection = schema::open_for_reading(&directory.path().join("data/cavansite.db")).unwrap();
    let mut reader = MessageReader::new(&connection);
    let piece = Piece::read(&mut reader, 1, &waiting, 0..i64::MAX, 100).unwrap();
    let ids: Vec<_> = piece.messages.iter().map(|message| message.id).collect();
    assert_eq!(ids[..2], [first, second]);
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn what_one_group_commits_between_the_look_at_what_waits_and_the_snapshot_is_met_whole() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    let old = send(&store, thread, "old").await.unwrap();
    let database = directory.path().join("data/cavansite.db");
    let tokio = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let connection = schema::open_for_reading(&database).unwrap();
        let shared = Arc::clone(&store.shared);
        let take = |number| {
            let waiting = shared.unsettled.of_thread(number, i64::MAX, 100);
            tokio.block_on(async {
                let held = hold(&store).await;
                let caller = user(1);
                let both = async {
                    let sent = send(&store, thread, "new");
                    let edited = store.update_message(&caller, thread, old, edit("moved"));
                    let (sent, edited) = tokio::join!(sent, edited);
                    edited.unwrap();
                    sent.unwrap()
                };
                tokio::join!(both, held.release_when(&store, 2));
            });
            waiting
        };
        let caller = user(1);
        let (read, waiting) =
            ReadThread::begin(&connection, &shared, &caller, thread, take).unwrap();
        let mut reader = MessageReader::new(&connection);
        let piece = Piece::read(&mut reader, 1, &waiting, 0..i64::MAX, 100).unwrap();
        drop(read);
        let sequences = piece.messages.iter().map(|message| message.sequence_id);
        sequences.collect::<Vec<_>>()
    });
    // The edit, the send before it, and the two that a thread begins with.
    assert_eq!(reading.await.unwrap(), [5, 4, 2, 1]);
}

#[tokio::test]
async fn a_message_that_a_view_was_filled_with_is_not_added_again_when_it_is_published() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    send(&store, thread, "old").await.unwrap();
    texts(&store, thread).await;
    let newest = page(&store, thread, None, 2).await;
    for (moves, at) in [(false, 0), (true, 0), (true, 1)] {
        let message = Arc::clone(&newest[at]);
        let previous = message.version.0 - 1;
        let messages = if moves {
            Posted::Moved { previous, message }
        } else {
            Posted::Appended { previous, message }
        };
        let publication = Publication {
            messages,
            ..Publication::default()
        };
        store.shared.threads.publish(thread, publication);
        assert_eq!(page(&store, thread, None, 2).await, newest);
    }
}

/// How many messages of deleted threads are there, beside the threads that are not marked erased.
fn not_erased(database: &Connection) -> (i64, i64) {
    let sql = "SELECT count(*), (SELECT count(*) FROM messages WHERE thread IN \
               (SELECT thread FROM threads WHERE deleted_at IS NOT NULL)) FROM threads \
               WHERE deleted_at IS NOT NULL AND erased_at IS NULL";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    database.query_row(sql, [], row).unwrap()
}

#[tokio::test]
async fn content_is_erased_while_sends_leave_the_writer_no_rest() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let other = thread(&store, 1, &[1]).await;
    let deleted = thread(&store, 2, &[1]).await;
    for _ in 0..200 {
        send(&store, deleted, "x").await.unwrap();
    }
    store.delete_thread(&user(1), deleted).await.unwrap();
    for _ in 0..20 {
        send(&store, other, "y").await.unwrap();
    }
    assert_eq!(not_erased(&database(&directory)), (0, 0));
}

#[tokio::test]
async fn content_is_erased_soon_under_light_traffic_and_leaves_the_log() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let other = thread(&store, 1, &[1]).await;
    let deleted = thread(&store, 2, &[1]).await;
    let held = hold(&store).await;
    let sends = (0..2000).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { send(&store, deleted, "x").await })
    });
    let sends: Vec<_> = sends.collect();
    held.release_when(&store, 2000).await;
    for sent in sends {
        sent.await.unwrap().unwrap();
    }
    store.delete_thread(&user(1), deleted).await.unwrap();
    let log = directory.path().join("data/cavansite.db-wal");
    let mut was_emptied = false;
    for _ in 0..6 {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            was_emptied |= std::fs::metadata(&log).unwrap().len() == 0;
        }
        send(&store, other, "y").await.unwrap();
    }
    assert_eq!(not_erased(&database(&directory)), (0, 0));
    assert!(was_emptied);
}

#[tokio::test]
async fn a_thread_whose_keys_wait_holds_up_no_other_erasure() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    thread(&store, 1, &[1]).await;
    until(|| store.shared.unsettled.len() == 0).await;
    thread(&store, 2, &[1]).await;
    let beside = database(&directory);
    let mut erasing = Erasing::open(&beside).unwrap();
    erasing.committed(Erased::Nothing, vec![2, 1]);
    let unsettled = &store.shared.unsettled;
    assert!(erasing.waits_for(unsettled));
    beside.execute_batch("BEGIN").unwrap();
    let now = Timestamp::EPOCH;
    let erased = erasing.erase_some(&beside, unsettled, now, false).unwrap();
    assert!(matches!(erased, Erased::Thread(1)));
    beside.execute_batch("ROLLBACK").unwrap();
}

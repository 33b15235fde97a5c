//! Refusals inside a group, failing commits, a full queue, a writer that stops.

use super::*;
use crate::Error;
use crate::store::sqlite::queue::Failure;

/// Makes the commit of its own group fail, as a failing disk does: a deferred constraint is broken.
fn break_the_commit(
    batch: &mut crate::store::sqlite::Batch<'_>,
) -> std::result::Result<(), Failure> {
    batch.tx.connection.execute_batch(
        "CREATE TEMP TABLE parent (a PRIMARY KEY); \
         CREATE TEMP TABLE child (a REFERENCES parent (a) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO child VALUES (1);",
    )?;
    Ok(())
}

fn recoveries(directory: &TempDir) -> i64 {
    let sql = "SELECT recoveries FROM engine";
    database(directory)
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_refused_request_leaves_its_neighbours_alone() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    let held = hold(&store).await;
    let groups = store.writes().groups;
    let stranger = user(2);
    let (first, refused, unknown, last, ()) = tokio::join!(
        send(&store, thread, "first"),
        store.append_message(&stranger, thread, message("x")),
        send(&store, id(9), "x"),
        send(&store, thread, "last"),
        held.release_when(&store, 4),
    );
    assert_eq!(store.writes().groups, groups + 2, "the held one and theirs");
    assert!(first.is_ok() && last.is_ok());
    assert!(matches!(refused, Err(Error::NotParticipant)));
    assert!(matches!(unknown, Err(Error::ThreadNotFound)));
    assert_eq!(texts(&store, thread).await, ["last", "first"]);
}

#[tokio::test]
async fn a_failed_commit_fails_its_group_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let store = open_with_runs(&directory, 10);
    let thread = thread(&store, 1, &[1]).await;
    for number in 0..9 {
        send(&store, thread, &number.to_string()).await.unwrap();
    }
    texts(&store, thread).await;
    let edited = send(&store, thread, "as it was").await.unwrap();
    let held = hold(&store).await;
    let caller = user(1);
    let other = NewThread {
        id: id(2),
        topic: String::new(),
        creator: user(1),
        participants: Vec::new(),
        metadata: Metadata::new(),
        retention: None,
    };
    let (sent, changed, made, broken, ()) = tokio::join!(
        send(&store, thread, "lost"),
        store.update_message(&caller, thread, edited, edit("lost")),
        store.create_thread(other),
        store.write(break_the_commit),
        held.release_when(&store, 4),
    );
    assert!(matches!(sent, Err(Error::Store(_))));
    assert!(matches!(changed, Err(Error::Store(_))));
    assert!(matches!(made, Err(Error::Store(_))));
    assert!(matches!(broken, Err(Error::Store(_))));
    assert_eq!(texts(&store, thread).await[0], "as it was");
    assert!(matches!(
        send(&store, id(2), "x").await,
        Err(Error::ThreadNotFound)
    ));
    // The next group begins with the mark, and goes on without a gap.
    let next = send(&store, thread, "next").await.unwrap();
    assert_eq!(recoveries(&directory), 1);
    let newest = page(&store, thread, None, 2).await;
    assert_eq!(newest[0].id, next);
    assert_eq!(newest[0].sequence_id, newest[1].sequence_id + 1);
    drop(store);
    let store = open_with_runs(&directory, 10);
    let texts = texts(&store, thread).await;
    assert_eq!(texts[..2], ["next", "as it was"]);
    assert_eq!(texts.len(), 11);
}

#[tokio::test]
async fn a_full_disk_fails_the_group_and_nothing_more() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    store
        .write(|batch| {
            // SQLite's own "database or disk is full"; a new connection knows nothing of it.
            let pages: i64 = batch
                .tx
                .connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))?;
            batch.tx.connection.query_row(
                &format!("PRAGMA max_page_count = {pages}"),
                [],
                |_| Ok(()),
            )?;
            Ok(())
        })
        .await
        .unwrap();
    let large = "x".repeat(20_000);
    assert!(matches!(
        send(&store, thread, &large).await,
        Err(Error::Store(_))
    ));
    send(&store, thread, &large).await.unwrap();
    assert_eq!(recoveries(&directory), 1);
    assert_eq!(texts(&store, thread).await, [large]);
}

#[tokio::test]
async fn while_the_mark_cannot_be_committed_every_write_is_refused_and_reads_go_on() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    send(&store, thread, "kept").await.unwrap();
    assert!(store.write(break_the_commit).await.is_err());
    let (real, away) = (
        directory.path().join("data/cavansite.db"),
        directory.path().join("data/away"),
    );
    std::fs::rename(&real, &away).unwrap();
    for _ in 0..3 {
        assert!(matches!(
            send(&store, thread, "refused").await,
            Err(Error::Store(_))
        ));
        assert_eq!(texts(&store, thread).await, ["kept"]);
    }
    std::fs::rename(&away, &real).unwrap();
    send(&store, thread, "again").await.unwrap();
    assert_eq!(texts(&store, thread).await, ["again", "kept"]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_then_takes_again() {
    let directory = TempDir::new().unwrap();
    let mut options = options(&directory.path().join("data"));
    options.limits.write_queue_max = 2;
    let store = Arc::new(SqliteStore::open(options).unwrap());
    let thread = thread(&store, 1, &[1]).await;
    let held = hold(&store).await;
    let over = async {
        while store.shared.queue.len() < 2 {
            tokio::task::yield_now().await;
        }
        let over = tokio::time::timeout(PATIENCE / 6, send(&store, thread, "over")).await;
        held.release_when(&store, 2).await;
        over.expect("an answer at once")
    };
    let (first, second, over) = tokio::join!(
        send(&store, thread, "first"),
        send(&store, thread, "second"),
        over
    );
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(over, Err(Error::Store(_))));
    send(&store, thread, "third").await.unwrap();
    assert_eq!(texts(&store, thread).await, ["third", "second", "first"]);
}

#[tokio::test]
async fn whoever_asks_a_writer_that_has_stopped_is_refused_and_not_left_waiting() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    let (release, released) = mpsc::channel::<()>();
    let (tell, held) = tokio::sync::oneshot::channel();
    let stopping = store.write::<(), _>(move |_| {
        let _ = tell.send(());
        let _ = released.recv_timeout(PATIENCE);
        panic!("a fault in the engine")
    });
    let behind = async {
        held.await.unwrap();
        tokio::join!(send(&store, thread, "behind it"), async {
            while store.shared.queue.is_empty() {
                tokio::task::yield_now().await;
            }
            release.send(()).unwrap();
        })
        .0
    };
    let both = async { tokio::join!(stopping, behind) };
    assert!(
        tokio::time::timeout(Duration::ZERO, store.ended())
            .await
            .is_err(),
        "the writer lives"
    );
    let (stopped, behind) = tokio::time::timeout(PATIENCE / 6, both).await.unwrap();
    assert!(matches!(stopped, Err(Error::Store(_))));
    assert!(matches!(behind, Err(Error::Store(_))));
    assert!(matches!(
        send(&store, thread, "x").await,
        Err(Error::Store(_))
    ));
    tokio::time::timeout(PATIENCE, store.ended()).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&directory);
    send(&store, thread, "x").await.unwrap();
}

#[tokio::test]
async fn a_request_is_carried_out_though_nobody_waits_for_it() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    let held = hold(&store).await;
    let abandoned = tokio::spawn({
        let store = Arc::clone(&store);
        async move { send(&store, thread, "abandoned").await }
    });
    while store.shared.queue.is_empty() {
        tokio::task::yield_now().await;
    }
    abandoned.abort();
    held.release_when(&store, 1).await;
    send(&store, thread, "next").await.unwrap();
    assert_eq!(texts(&store, thread).await, ["next", "abandoned"]);
}

#[tokio::test]
async fn one_damaged_row_does_not_break_a_list() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    for number in 0..3 {
        send(&store, thread, &number.to_string()).await.unwrap();
    }
    drop(store);
    let beside = database(&directory);
    beside
        .execute("UPDATE messages SET metadata = '{' WHERE content = '1'", [])
        .unwrap();
    drop(beside);
    let store = open(&directory);
    assert_eq!(texts(&store, thread).await, ["2", "0"]);
    send(&store, thread, "3").await.unwrap();
}

#[tokio::test]
async fn a_message_changed_in_the_group_that_sends_it_has_one_key() {
    let directory = TempDir::new().unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(1_600_000_000_000)));
    let store = Arc::new(
        SqliteStore::open(SqliteOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..options(&directory.path().join("data"))
        })
        .unwrap(),
    );
    let thread = thread(&store, 1, &[1]).await;
    clock.0.fetch_add(1000, SeqCst);
    let held = hold(&store).await;
    // The time of the next group, and so the id of its first message.
    let expected = MessageId(clock.0.load(SeqCst));
    let caller = user(1);
    let (sent, changed, ()) = tokio::join!(
        send(&store, thread, "x"),
        store.update_message(&caller, thread, expected, edit("y")),
        held.release_when(&store, 2),
    );
    assert_eq!(sent.unwrap(), expected);
    changed.unwrap();
    store.close().await;
    drop(store);
    let count = "SELECT count(*) FROM message_index";
    let keys: i64 = database(&directory)
        .query_row(count, [], |row| row.get(0))
        .unwrap();
    assert_eq!(keys, 3);
    let store = open(&directory);
    assert_eq!(texts(&store, thread).await, ["y"]);
}

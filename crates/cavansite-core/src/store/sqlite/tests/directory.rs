//! The data directory: rights, lock, refusals, and the files after a crash.

use std::fs;
use std::path::Path;

use super::*;
use crate::model::{AccessKey, Installation, ThreadChange};
use crate::secret::Secret;
use crate::store::sqlite::read_installation;
use crate::store::sqlite::schema::APPLICATION_ID;
use crate::store::{EventSource, IdentityStore};

fn refusal(directory: &Path) -> OpenError {
    match SqliteStore::open(options(directory)) {
        Ok(_) => panic!("must be refused"),
        Err(error) => error,
    }
}

/// Every file of the directory with its bytes.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .filter(|(name, _)| name != "cavansite.lock")
        .collect();
    files.sort();
    files
}

fn refused_untouched(directory: &Path) -> OpenError {
    let before = files(directory);
    let error = refusal(directory);
    assert_eq!(files(directory), before);
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    error
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_directory_and_its_files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = directory.path().join("data");
    thread(&store, 1, &[1]).await;
    assert_eq!(mode(&data), 0o700);
    for file in fs::read_dir(&data).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_free() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let data = directory.path().join("data");
    assert!(matches!(refusal(&data), OpenError::Locked { .. }));
    drop(store);
    SqliteStore::open(options(&data)).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("cavansite.db"), "my notes").unwrap();
    let error = refused_untouched(directory.path());
    assert!(matches!(error, OpenError::Foreign { .. }));
}

#[test]
fn a_database_of_another_program_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let other = Connection::open(directory.path().join("cavansite.db")).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (c)")
        .unwrap();
    drop(other);
    let error = refused_untouched(directory.path());
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(read_installation(directory.path()).is_err());
}

#[tokio::test]
async fn a_log_whose_database_is_missing_or_empty_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    thread(&store, 1, &[1]).await;
    let data = TempDir::new().unwrap();
    let log = data.path().join("cavansite.db-wal");
    fs::copy(directory.path().join("data/cavansite.db-wal"), &log).unwrap();
    let error = refused_untouched(data.path());
    assert!(matches!(error, OpenError::LogAlone { .. }), "{error:?}");
    fs::write(data.path().join("cavansite.db"), "").unwrap();
    let error = refused_untouched(data.path());
    assert!(matches!(error, OpenError::LogAlone { .. }), "{error:?}");
    // One that holds nothing tells nothing.
    fs::write(&log, "").unwrap();
    SqliteStore::open(options(data.path())).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.close().await;
    drop(store);
    let database = database(&directory);
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = refused_untouched(&directory.path().join("data"));
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_it_holds() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let old = Connection::open(data.join("cavansite.db")).unwrap();
    old.execute_batch(include_str!(
        "../../../../migrations/sqlite/0001_initial.sql"
    ))
    .unwrap();
    let sender = user(1);
    old.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; \
         INSERT INTO users VALUES (1, '{}', 0, NULL); \
         INSERT INTO threads VALUES (1, x'{}', 'topic', 5, 1, NULL, NULL, NULL, NULL, NULL); \
         INSERT INTO participants VALUES (1, 1, 1, 5, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL); \
         INSERT INTO messages VALUES (1, 1, 5, 5, 1, 5, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, \
         NULL, 'old');",
        sender.as_str(),
        "01".repeat(16)
    ))
    .unwrap();
    drop(old);
    let store = open(&directory);
    let thread = ThreadId::from_bytes([1; 16]);
    assert_eq!(texts(&store, thread).await, ["old"]);
    let change = ThreadChange {
        metadata: Some([("key".to_owned(), "value".to_owned())].into()),
        ..ThreadChange::default()
    };
    store.update_thread(&sender, thread, change).await.unwrap();
    send(&store, thread, "new").await.unwrap();
    assert_eq!(texts(&store, thread).await, ["new", "old"]);
    let found = store.get_thread(&sender, thread).await.unwrap();
    assert_eq!(found.metadata["key"], "value");
    assert_eq!(store.get_told_through().await.unwrap(), Timestamp::EPOCH);
    assert_eq!(store.get_issued_through().await.unwrap(), Timestamp::EPOCH);
}

#[tokio::test]
async fn a_database_without_its_schema_or_a_table_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.close().await;
    drop(store);
    let data = directory.path().join("data");
    let change = |sql: &str| {
        let database = database(&directory);
        database.execute_batch(sql).unwrap();
    };
    change("DROP TABLE engine");
    let error = refused_untouched(&data);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    change("PRAGMA user_version = 0");
    let error = refused_untouched(&data);
    assert!(matches!(error, OpenError::NoSchema { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_database_is_refused_untouched() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.close().await;
    drop(store);
    let data = directory.path().join("data");
    let mut bytes = fs::read(data.join("cavansite.db")).unwrap();
    bytes[100..].fill(0xa5);
    fs::write(data.join("cavansite.db"), bytes).unwrap();
    let error = refused_untouched(&data);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stop_between_making_and_naming_a_database_starts_anew() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("cavansite.db.new"), "half of one").unwrap();
    let store = open(&directory);
    thread(&store, 1, &[1]).await;
}

#[tokio::test]
async fn the_files_as_they_lie_at_any_time_hold_all_that_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let store = open_with_runs(&directory, 40);
    let thread = thread(&store, 1, &[1]).await;
    let mut expected = Vec::new();
    for number in 0..150 {
        let text = format!("{number}");
        let id = send(&store, thread, &text).await.unwrap();
        expected.insert(0, text);
        if number % 10 == 7 {
            store
                .update_message(&user(1), thread, id, edit("changed"))
                .await
                .unwrap();
            expected[0] = "changed".to_owned();
        }
        if number % 25 != 24 {
            continue;
        }
        // What a power cut leaves: the files, copied while the engine runs.
        let copy = TempDir::new().unwrap();
        for name in ["cavansite.db", "cavansite.db-wal"] {
            let from = directory.path().join("data").join(name);
            fs::create_dir_all(copy.path().join("data")).unwrap();
            fs::copy(from, copy.path().join("data").join(name)).unwrap();
        }
        let found = open_with_runs(&copy, 40);
        assert_eq!(texts(&found, thread).await, expected);
        send(&found, thread, "goes on").await.unwrap();
    }
}

#[tokio::test]
async fn a_graceful_stop_leaves_one_file() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let thread = thread(&store, 1, &[1]).await;
    send(&store, thread, "x").await.unwrap();
    texts(&store, thread).await;
    store.close().await;
    assert!(send(&store, thread, "late").await.is_err());
    drop(store);
    let names: Vec<_> = files(&directory.path().join("data"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["cavansite.db"]);
}

#[tokio::test]
async fn the_installation_can_be_read_without_and_beside_a_server() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    assert!(read_installation(&data).unwrap().is_none());
    assert!(!data.exists(), "reading makes nothing");
    let store = open(&directory);
    assert!(read_installation(&data).unwrap().is_none());
    let key = |number: u8| AccessKey {
        generation: number.into(),
        key: Secret::new([number; 4]),
    };
    let made = Installation {
        resource: Uuid::from_u128(5),
        access_keys: [key(1), key(2)],
        token_key: Secret::new([3; 4]),
        derivation_key: Secret::new([4; 4]),
    };
    store.get_or_insert_installation(made).await.unwrap();
    for running in [true, false] {
        let read = read_installation(&data).unwrap().unwrap();
        assert_eq!(read.resource, Uuid::from_u128(5));
        assert_eq!(read.access_keys[1].key.expose(), [2; 4]);
        assert_eq!(read.access_keys[1].generation, 2);
        if running {
            store.close().await;
        }
    }
}

async fn synchronous(store: &SqliteStore) -> Result<i64> {
    store
        .write(|batch| {
            let connection = batch.tx.connection;
            let value = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
            Ok(value)
        })
        .await
}

#[tokio::test]
async fn a_store_that_promises_nothing_syncs_nothing() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(SqliteOptions {
        durability: Durability::None,
        ..options(&directory.path().join("data"))
    })
    .unwrap();
    assert_eq!(synchronous(&store).await.unwrap(), 0);
    drop(store);
    let store = open(&directory);
    assert_eq!(synchronous(&store).await.unwrap(), 2);
}

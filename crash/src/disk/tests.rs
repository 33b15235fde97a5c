//! Disks after cuts, made from records that are written here.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::recording::{Event, Record, Recording};
use super::{Change, Fate};

fn write(position: u64, text: &str) -> Record {
    let data = text.into();
    of(position, Event::Write { offset: 0, data })
}

fn of(position: u64, event: Event) -> Record {
    Record {
        position,
        inode: 1,
        path: "a".to_owned(),
        event,
    }
}

#[test]
fn of_two_syncs_of_a_directory_the_one_that_began_last_says_what_is_named() {
    let named = || BTreeMap::from([("a".to_owned(), 1)]);
    let recording = Recording {
        records: vec![
            directory_sync(1, Event::SyncBegins(1, BTreeMap::new())),
            of(2, Event::Create),
            directory_sync(3, Event::SyncBegins(2, named())),
            directory_sync(4, Event::Synced(2)),
            directory_sync(5, Event::Synced(1)),
        ],
    };
    assert_eq!(outcomes(&recording, 5), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn the_old_file_comes_back_where_the_new_one_with_its_inode_has_no_synced_name() {
    let named = || BTreeMap::from([("a".to_owned(), 1)]);
    let recording = Recording {
        records: vec![
            of(1, Event::Create),
            write(2, "old"),
            of(3, Event::SyncBegins(1, BTreeMap::new())),
            of(4, Event::Synced(1)),
            directory_sync(5, Event::SyncBegins(2, named())),
            directory_sync(6, Event::Synced(2)),
            of(7, Event::Unlink),
            of(8, Event::Create),
            write(9, "new"),
            of(10, Event::SyncBegins(3, BTreeMap::new())),
            of(11, Event::Synced(3)),
        ],
    };
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(outcomes(&recording, 11), BTreeSet::from([None, old, new]));
}

fn directory_sync(position: u64, event: Event) -> Record {
    Record {
        position,
        inode: 9,
        path: String::new(),
        event,
    }
}

/// What the file holds after cuts at that position, over many seeds.
fn outcomes(recording: &Recording, position: u64) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let disk = recording.cut(position, &mut Rng::with_seed(seed));
        let id = disk.directories.get("")?.durable.get("a")?;
        Some(disk.files[id].durable.clone())
    };
    (0..200).map(outcome).collect()
}

#[test]
fn what_was_synced_stays_and_what_was_not_may_go() {
    let named = BTreeMap::from([("a".to_owned(), 1)]);
    let recording = Recording {
        records: vec![
            of(1, Event::Create),
            write(2, "old"),
            of(3, Event::SyncBegins(1, BTreeMap::new())),
            write(4, "new"),
            of(5, Event::Synced(1)),
            directory_sync(6, Event::SyncBegins(2, named)),
            directory_sync(7, Event::Synced(2)),
        ],
    };
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(outcomes(&recording, 7), BTreeSet::from([old, new]));
    assert!(
        outcomes(&recording, 5).contains(&None),
        "its name was not synced"
    );
    assert!(outcomes(&recording, 1).contains(&Some(Vec::new())));
}

#[test]
fn what_a_failed_sync_should_have_written_may_be_lost_though_a_later_one_succeeds() {
    let named = BTreeMap::from([("a".to_owned(), 1)]);
    let recording = Recording {
        records: vec![
            of(1, Event::Create),
            directory_sync(2, Event::SyncBegins(1, named)),
            directory_sync(3, Event::Synced(1)),
            write(4, "x"),
            of(5, Event::SyncBegins(2, BTreeMap::new())),
            of(6, Event::SyncFailed(2)),
            of(7, Event::SyncBegins(3, BTreeMap::new())),
            of(8, Event::Synced(3)),
        ],
    };
    let outcomes = outcomes(&recording, 8);
    assert_eq!(
        outcomes,
        BTreeSet::from([Some(Vec::new()), Some(b"x".to_vec())])
    );
}

#[test]
fn a_record_that_lacks_what_the_server_did_is_refused() {
    let folder = std::env::temp_dir().join(format!("cavansite-crash-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a"), "x").unwrap();
    std::fs::write(folder.join("a-shm"), "shared").unwrap();
    let mut records = vec![of(1, Event::Create), write(2, "x")];
    // What a failed sync left stands in the file.
    records.push(of(3, Event::SyncBegins(1, BTreeMap::new())));
    records.push(of(4, Event::SyncFailed(1)));
    let is_complete = |records| Recording { records }.check_complete(&folder).is_ok();
    let whole = is_complete(records);
    let lacks_the_write = is_complete(vec![of(1, Event::Create)]);
    let lacks_the_name = is_complete(Vec::new());
    // Also where a sync told of it later.
    let named = || BTreeMap::from([("a".to_owned(), 1)]);
    let synced = |mut records: Vec<Record>| {
        records.push(directory_sync(8, Event::SyncBegins(1, named())));
        records.push(directory_sync(9, Event::Synced(1)));
        is_complete(records)
    };
    let told_before = synced(vec![of(1, Event::Create), write(2, "x")]);
    let told_late = synced(vec![write(2, "x")]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(whole && told_before);
    assert!(!lacks_the_write && !lacks_the_name && !told_late);
}

#[test]
fn a_write_may_be_torn_between_sectors_and_nowhere_else() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut file = vec![0; 1024];
        let data = vec![1; 600];
        let change = Change::Write { offset: 200, data };
        Fate::Torn.apply(0, &change, &mut file, &mut Rng::with_seed(seed));
        let (first, second) = (&file[200..512], &file[512..800]);
        assert!(first.iter().all(|byte| *byte == first[0]));
        assert!(second.iter().all(|byte| *byte == second[0]));
        seen.insert((first[0], second[0]));
    }
    assert_eq!(seen.len(), 4);
}

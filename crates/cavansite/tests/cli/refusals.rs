//! Data directories that cannot be used: one line that says what to do, and nothing touched.
//! Read-only and full disks are attacked by `cargo xtask crash refusals`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Home, assert_refusal};

/// Where SQLite keeps `user_version` in the first page.
const SCHEMA_AT: std::ops::Range<usize> = 60..64;

/// A home whose server has stopped; its data lies in `data`.
fn stopped() -> Home {
    let home = Home::new();
    let mut server = home.start(&["serve", "--data", "data"]);
    server.signal("TERM");
    assert!(server.wait().success());
    home
}

/// All files below a folder with their bytes; folders have none.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, None);
        } else {
            found.insert(path.clone(), Some(fs::read(path).unwrap()));
        }
    }
    found
}

/// `serve` refuses the home's data in one line with these words, and leaves it as it is.
fn assert_refused_untouched(home: &Home, words: &str) {
    let before = contents(&home.path("data"));
    let refused = home.run(&["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    assert_refusal(&refused, 1, words);
    let after = contents(&home.path("data"));
    let names = |files: &BTreeMap<PathBuf, _>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "a file has changed");
}

fn change_database(home: &Home, change: impl FnOnce(&mut Vec<u8>)) {
    let file = home.path("data").join("cavansite.db");
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
}

#[test]
fn a_damaged_database_is_refused_in_one_line_and_left_alone() {
    let home = stopped();
    change_database(&home, |bytes| bytes[100..].fill(0xa5));
    assert_refused_untouched(&home, "is damaged");
}

#[test]
fn a_database_cut_short_is_refused_in_one_line_and_left_alone() {
    let home = stopped();
    change_database(&home, |bytes| bytes.truncate(4096));
    assert_refused_untouched(&home, "restore the data directory from a backup");
}

#[test]
fn a_newer_schema_is_refused_in_one_line_and_left_alone() {
    let home = stopped();
    change_database(&home, |bytes| {
        bytes[SCHEMA_AT].copy_from_slice(&99_u32.to_be_bytes());
    });
    assert_refused_untouched(&home, "start that version or a newer one");
}

#[test]
fn a_missing_schema_is_refused_in_one_line_and_left_alone() {
    let home = stopped();
    change_database(&home, |bytes| bytes[SCHEMA_AT].fill(0));
    assert_refused_untouched(&home, "holds no schema");
}

#[test]
fn a_foreign_file_is_refused_in_one_line_and_nothing_is_put_beside_it() {
    let home = Home::new();
    fs::create_dir(home.path("data")).unwrap();
    fs::write(home.path("data").join("cavansite.db"), "my notes").unwrap();
    assert_refused_untouched(&home, "is not a Cavansite database");
}

#[test]
fn a_log_without_its_database_is_refused_in_one_line_and_left_alone() {
    let home = Home::new();
    fs::create_dir(home.path("data")).unwrap();
    fs::write(home.path("data").join("cavansite.db-wal"), "frames").unwrap();
    assert_refused_untouched(&home, "put ");
}

#[test]
fn a_directory_held_by_another_process_is_refused_in_one_line_and_left_alone() {
    let home = Home::new();
    let _server = home.start(&["serve", "--data", "data"]);
    assert_refused_untouched(&home, "in use by another cavansite process");
}

#[test]
fn a_file_where_the_directory_should_be_is_refused_in_one_line_and_left_alone() {
    let home = Home::new();
    fs::write(home.path("data"), "my notes").unwrap();
    let refused = home.run(&["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    assert_refusal(&refused, 1, "check its owner, its rights and the disk");
    assert_eq!(fs::read_to_string(home.path("data")).unwrap(), "my notes");
}

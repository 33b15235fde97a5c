//! Opening the database: settings of a connection, and the numbered migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Durability, OpenError, directory};

/// Marks the file as ours (`PRAGMA application_id`): "CVST".
pub(super) const APPLICATION_ID: i32 = 0x4356_5354;

/// How long to wait for a lock that somebody else's tool holds on the database.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The migrations, in order; the number of those applied is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_initial.sql"),
    include_str!("../../../migrations/sqlite/0002_resume.sql"),
    include_str!("../../../migrations/sqlite/0003_thread_updates.sql"),
    include_str!("../../../migrations/sqlite/0004_issued_tokens.sql"),
];

/// The schema that this program knows.
fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Opens the directory's database for writing, makes it where there is none, and brings its schema
/// up to date.
pub(super) fn open(directory: &Path, durability: Durability) -> Result<Connection, OpenError> {
    let database = directory::database(directory);
    if directory::look(&database)? == directory::Found::Nothing {
        directory::create_database(directory, durability, |new| {
            let mut connection = Connection::open(new)?;
            // It is synced once, as a whole; a crash before leaves it under another name.
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "journal_mode", "MEMORY")?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            migrate(&mut connection, 0)?;
            // The mode is kept in the file; nothing is in a log before the file has its name.
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.close().map_err(|(_, error)| error)?;
            Ok(())
        })?;
    } else if durability == Durability::Synced {
        directory::sync_log(directory)?;
    }
    let mut connection =
        open_for_writing(&database, durability).map_err(|error| opening(&database, error))?;
    let version = version(&connection, &database)?;
    if durability == Durability::Synced {
        // Reading has made the log where there was none. SQLite syncs its name with the first
        // commit and goes on when that fails; a power cut would then take every write in the log.
        directory::sync_names(directory)?;
    }
    migrate(&mut connection, version).map_err(|error| opening(&database, error))?;
    Ok(connection)
}

/// A connection for the writer, on a database that is there.
pub(super) fn open_for_writing(
    database: &Path,
    durability: Durability,
) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    settle(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Synced => "FULL",
        Durability::None => "OFF",
    };
    #[cfg(feature = "fault-injection")]
    let synchronous = super::fault::synchronous(synchronous);
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "secure_delete", true)?;
    // The writer does it after it has answered.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// A connection for a reader, on a database that is there.
pub(super) fn open_for_reading(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    settle(&connection)?;
    Ok(connection)
}

/// The schema's number; refuses one that this program does not know.
pub(super) fn version(connection: &Connection, database: &Path) -> Result<i64, OpenError> {
    let version = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| opening(database, error))?;
    // A new database gets its name with its schema in it.
    if version < 1 {
        return Err(OpenError::NoSchema {
            file: database.to_owned(),
        });
    }
    if version > newest() {
        return Err(OpenError::Newer {
            file: database.to_owned(),
            found: version,
            known: newest(),
        });
    }
    Ok(version)
}

/// What a failure to open says to the operator.
pub(super) fn opening(database: &Path, error: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
    match error.sqlite_error_code() {
        // Unknown is what a table that is missing is told by.
        Some(DatabaseCorrupt | NotADatabase | Unknown) => OpenError::Damaged {
            file: database.to_owned(),
            source: error,
        },
        _ => OpenError::Sqlite(error),
    }
}

/// Bounds what the connection keeps of the database's pages.
pub(super) fn bound_pages(connection: &Connection, bytes: usize) -> rusqlite::Result<()> {
    // A negative number counts KiB; 0 would mean the default.
    let kib = i64::try_from(bytes / 1024).unwrap_or(i64::MAX).max(1);
    connection.pragma_update(None, "cache_size", -kib)
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Plans do not depend on bound values: SQLite would else look at them where a partial index
    // may apply, and prepare the statement anew whenever they change.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A mapped file turns an I/O error into a signal.
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(())
}

fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    for (number, sql) in (1..).zip(MIGRATIONS) {
        if number > from {
            let transaction = connection.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", number)?;
            transaction.commit()?;
        }
    }
    Ok(())
}

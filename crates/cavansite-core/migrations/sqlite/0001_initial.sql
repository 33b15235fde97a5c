-- The first layout of a data directory's database. docs/adr/0002-sqlite-layout.md says why it is so.
-- Times are milliseconds since 1970-01-01T00:00:00Z. Maps of string pairs are JSON text, NULL when
-- empty. Threads and users have numbers of this database's own, so that rows stay small.

-- One row: the resource's id and keys.
CREATE TABLE installation (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    resource BLOB NOT NULL,
    primary_key BLOB NOT NULL,
    primary_generation INTEGER NOT NULL,
    secondary_key BLOB NOT NULL,
    secondary_generation INTEGER NOT NULL,
    token_key BLOB NOT NULL,
    derivation_key BLOB NOT NULL
) STRICT;

-- One row: up to which row of `messages` the index is complete, and how often the engine has had to
-- recover from a failed commit.
CREATE TABLE engine (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    settled_through INTEGER NOT NULL,
    recoveries INTEGER NOT NULL
) STRICT;

INSERT INTO engine VALUES (1, 0, 0);

-- Everybody who was made here or was ever named in a thread. `valid_from` is NULL for whom this
-- resource did not make.
CREATE TABLE users (
    user INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    valid_from INTEGER,
    deleted_at INTEGER
) STRICT;

-- A deleted thread stays as a tombstone; `erased_at` tells when the last of its content went.
-- `retention_days`: NULL, no policy; -1, keep for ever; otherwise days after the creation.
CREATE TABLE threads (
    thread INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by INTEGER NOT NULL,
    metadata TEXT,
    retention_days INTEGER,
    deleted_at INTEGER,
    deleted_version INTEGER,
    erased_at INTEGER
) STRICT;

CREATE INDEX threads_to_erase ON threads (thread)
    WHERE deleted_at IS NOT NULL AND erased_at IS NULL;

-- All who take or took part. `joined` orders the people of a thread. The `removed_` columns are set
-- while somebody is removed: the version and time of the message that says so, and the topic then.
CREATE TABLE participants (
    thread INTEGER NOT NULL,
    user INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    display_name TEXT,
    share_history_time INTEGER NOT NULL,
    metadata TEXT,
    removed_version INTEGER,
    removed_at INTEGER,
    removed_topic TEXT,
    receipt_message INTEGER,
    receipt_message_created_at INTEGER,
    receipt_at INTEGER,
    PRIMARY KEY (thread, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX participants_by_user ON participants (user, thread);

-- One row per message, in the order of the commits; a send writes here and nowhere else.
-- `kind`: 1 text, 2 HTML, 3 topic updated, 4 participants added, 5 participants removed.
-- `content`: the text, the topic, or the participants as JSON.
-- `newest_created_at`: in an edited or deleted message, when the newest message of the thread had
-- been committed at that time; so the row of the highest version tells all the thread's counters.
CREATE TABLE messages (
    row INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    version INTEGER NOT NULL,
    id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER,
    newest_created_at INTEGER,
    fingerprint BLOB,
    sender_display_name TEXT,
    metadata TEXT,
    content TEXT NOT NULL
) STRICT;

-- Finds a changed message by its id; an unchanged one's version is its id.
CREATE UNIQUE INDEX messages_changed ON messages (thread, id) WHERE version <> id;

-- (thread, version) -> row, written behind the sends in sorted runs.
CREATE TABLE message_index (
    thread INTEGER NOT NULL,
    version INTEGER NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (thread, version)
) STRICT, WITHOUT ROWID;

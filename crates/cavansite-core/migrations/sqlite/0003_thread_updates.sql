-- What clients that come back need of changes that no message tells of.

-- The last change of a thread's metadata or policy without a new topic: its version (0, none), when
-- it was made and by whom.
ALTER TABLE threads ADD COLUMN updated_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE threads ADD COLUMN updated_at INTEGER;
ALTER TABLE threads ADD COLUMN updated_by INTEGER;

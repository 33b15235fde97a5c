-- What clients of real-time notifications need to go on where a server left them.

-- Who deleted a thread; NULL for those deleted before this column.
ALTER TABLE threads ADD COLUMN deleted_by INTEGER;

-- Clients of the server before this one may have missed what was committed from this time on.
ALTER TABLE engine ADD COLUMN told_through INTEGER NOT NULL DEFAULT 0;

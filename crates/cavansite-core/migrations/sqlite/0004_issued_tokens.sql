-- No token was issued after this time. A revocation reaches at least that far, also after a restart
-- with a clock that was set back meanwhile.
ALTER TABLE engine ADD COLUMN issued_through INTEGER NOT NULL DEFAULT 0;

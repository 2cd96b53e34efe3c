-- Results of steps that are kept for other runs, and which attempt computes one at this moment.

CREATE TABLE cache_entries (
    "key" TEXT PRIMARY KEY,
    -- Who computed it, for people, such as 'etl#17 load[0]'.
    source TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    -- 0 for never.
    expires_us INTEGER NOT NULL,
    -- A msgpack StoredValue; NULL for None.
    value BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE cache_claims (
    "key" TEXT PRIMARY KEY,
    owner INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    token INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

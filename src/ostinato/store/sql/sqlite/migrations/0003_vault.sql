-- Connections, variables and pools: what is configured beside the definitions of flows.

CREATE TABLE connections (
    conn_id TEXT PRIMARY KEY,
    -- JSON of what may be seen.
    fields BLOB NOT NULL,
    -- Encrypted JSON of the password and of "extra"; empty where there is neither.
    secrets BLOB NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE variables (
    "key" TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    -- The encrypted value.
    secrets BLOB NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;

CREATE TABLE pools (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL,
    description TEXT NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Event sensors and the sources of messages: what they keep, and what their ticks came to.
CREATE TABLE sensors (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    is_paused INTEGER NOT NULL,
    "cursor" TEXT,
    number INTEGER NOT NULL,
    ticked_us INTEGER NOT NULL,
    succeeded_us INTEGER NOT NULL,
    last_run_key TEXT NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE sensor_ticks (
    project TEXT NOT NULL,
    sensor TEXT NOT NULL,
    number INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    times INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    runs INTEGER NOT NULL,
    known INTEGER NOT NULL,
    run_ids TEXT NOT NULL,
    output TEXT NOT NULL,
    PRIMARY KEY (project, sensor, number)
) STRICT, WITHOUT ROWID;

-- Messages that were acknowledged, until their runs are there.
CREATE TABLE received_messages (
    -- AUTOINCREMENT: the order of receipt, though rows are deleted.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    received_us INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX received_messages_by_key ON received_messages (project, source, message_id);

-- Files that have arrived and are still there.
CREATE TABLE seen_files (
    project TEXT NOT NULL,
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    PRIMARY KEY (project, source, file)
) STRICT, WITHOUT ROWID;

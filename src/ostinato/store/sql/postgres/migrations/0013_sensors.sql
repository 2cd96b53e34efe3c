-- Event sensors and the sources of messages: what they keep, and what their ticks came to.
CREATE TABLE sensors (
    project TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    is_paused BIGINT NOT NULL,
    "cursor" TEXT COLLATE "C",
    number BIGINT NOT NULL,
    ticked_us BIGINT NOT NULL,
    succeeded_us BIGINT NOT NULL,
    last_run_key TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE TABLE sensor_ticks (
    project TEXT COLLATE "C" NOT NULL,
    sensor TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    started_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    times BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    runs BIGINT NOT NULL,
    known BIGINT NOT NULL,
    run_ids TEXT COLLATE "C" NOT NULL,
    output TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, sensor, number)
);

-- Messages that were acknowledged, until their runs are there.
CREATE TABLE received_messages (
    -- The order of receipt, though rows are deleted.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    received_us BIGINT NOT NULL,
    body BYTEA NOT NULL
);

CREATE UNIQUE INDEX received_messages_by_key ON received_messages (project, source, message_id);

-- Files that have arrived and are still there.
CREATE TABLE seen_files (
    project TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    file TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, source, file)
);

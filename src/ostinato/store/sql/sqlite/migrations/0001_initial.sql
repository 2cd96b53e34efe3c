-- The tables of the first release. Ids are given by the application; times are microseconds.

CREATE TABLE manifests (
    version TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE coordinators (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    wake_address TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    project TEXT NOT NULL,
    flow TEXT NOT NULL,
    manifest_version TEXT NOT NULL,
    params BLOB NOT NULL,
    "trigger" TEXT NOT NULL,
    home TEXT NOT NULL,
    logical_key TEXT,
    logical_date_us INTEGER NOT NULL,
    interval_start_us INTEGER NOT NULL,
    interval_end_us INTEGER NOT NULL,
    partition TEXT NOT NULL,
    tags TEXT NOT NULL,
    target TEXT NOT NULL,
    code TEXT NOT NULL,
    state INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;

-- Ids grow with the moments of creation, and each index has the id as its last column: newest
-- first is backwards.
CREATE UNIQUE INDEX runs_by_number ON runs (flow, number);
CREATE UNIQUE INDEX runs_by_key ON runs (project, flow, logical_key) WHERE logical_key IS NOT NULL;
CREATE INDEX runs_by_flow ON runs (flow);
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX runs_by_trigger ON runs ("trigger");
CREATE INDEX runs_by_moment ON runs (created_us);
-- Only live runs have an owner.
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner != 0;

CREATE TABLE run_tags (
    run_id INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (tag, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_params (
    -- Scalar parameters, so that runs can be found by them.
    run_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, value, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_runs (
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    -- Four bytes for each index, so that index 10 comes after index 2.
    path_key BLOB NOT NULL,
    path TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    queued_us INTEGER NOT NULL,
    first_started_us INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    length INTEGER,
    chosen TEXT,
    stop INTEGER NOT NULL,
    failure BLOB,
    inputs TEXT,
    reason TEXT NOT NULL,
    PRIMARY KEY (run_id, task_id, path_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    failure BLOB,
    PRIMARY KEY (run_id, task_id, path, generation, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE expansions (
    run_id INTEGER NOT NULL,
    container_id TEXT NOT NULL,
    path TEXT NOT NULL,
    lengths TEXT NOT NULL,
    PRIMARY KEY (run_id, container_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_values (
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    path_key BLOB NOT NULL,
    "key" TEXT NOT NULL,
    path TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    format TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    data BLOB,
    location TEXT NOT NULL,
    type_name TEXT NOT NULL,
    preview TEXT NOT NULL,
    PRIMARY KEY (run_id, task_id, path_key, "key")
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    -- One transaction writes at a time, so this is the order of commits.
    position INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- Its last column is the position.
CREATE INDEX events_by_run ON events (run_id);

CREATE TABLE requests (
    -- An answered request is deleted; AUTOINCREMENT keeps its id from naming another one.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    "by" TEXT NOT NULL
) STRICT;

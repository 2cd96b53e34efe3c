-- The tables of the first release that keeps them in PostgreSQL; numbers are those of SQLite's
-- migrations. Ids are given by the application; times are microseconds. Texts that are looked
-- up are ordered by their bytes, as in SQLite.

CREATE TABLE manifests (
    version TEXT COLLATE "C" PRIMARY KEY,
    project TEXT NOT NULL,
    data BYTEA NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE coordinators (
    id BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    pid BIGINT NOT NULL,
    host TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    wake_address TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    machine TEXT NOT NULL,
    -- By the server's clock; 0 when nothing that it started runs any more.
    heartbeat_us BIGINT NOT NULL
) WITH (fillfactor = 30);

CREATE TABLE roles (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder BIGINT NOT NULL,
    taken_us BIGINT NOT NULL
);

CREATE TABLE runs (
    id BIGINT PRIMARY KEY,
    number BIGINT NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    flow TEXT COLLATE "C" NOT NULL,
    manifest_version TEXT COLLATE "C" NOT NULL,
    params BYTEA NOT NULL,
    "trigger" TEXT COLLATE "C" NOT NULL,
    home TEXT COLLATE "C" NOT NULL,
    logical_key TEXT COLLATE "C",
    logical_date_us BIGINT NOT NULL,
    interval_start_us BIGINT NOT NULL,
    interval_end_us BIGINT NOT NULL,
    partition TEXT NOT NULL,
    tags TEXT NOT NULL,
    target TEXT NOT NULL,
    code TEXT NOT NULL,
    state BIGINT NOT NULL,
    reason TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    started_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    owner BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    name TEXT NOT NULL,
    priority BIGINT NOT NULL
) WITH (fillfactor = 70);

-- Ids grow with the moments of creation: newest first is backwards.
CREATE UNIQUE INDEX runs_by_number ON runs (flow, number);
CREATE UNIQUE INDEX runs_by_key ON runs (project, flow, logical_key) WHERE logical_key IS NOT NULL;
CREATE INDEX runs_by_flow ON runs (flow, id);
CREATE INDEX runs_by_state ON runs (state, id);
CREATE INDEX runs_by_trigger ON runs ("trigger", id);
CREATE INDEX runs_by_moment ON runs (created_us, id);
CREATE INDEX runs_by_logical_date ON runs (flow, logical_date_us, id);
-- Only live runs have an owner.
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner != 0;
-- What workers may claim; a claimed run leaves it.
CREATE INDEX runs_claimable ON runs (project, flow, manifest_version, priority DESC, id)
    WHERE owner = 0 AND home = 'service' AND state < 4;
-- What counts towards a flow's limit of active runs.
CREATE INDEX runs_active ON runs (project, flow)
    WHERE state < 4 AND (owner != 0 OR state > 0);

CREATE TABLE run_tags (
    run_id BIGINT NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, run_id)
);

CREATE INDEX run_tags_by_run ON run_tags (run_id);

CREATE TABLE run_params (
    -- Scalar parameters, so that runs can be found by them.
    run_id BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (name, value, run_id)
);

CREATE INDEX run_params_by_run ON run_params (run_id);

CREATE TABLE task_runs (
    run_id BIGINT NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    -- Four bytes for each index, so that index 10 comes after index 2.
    path_key BYTEA NOT NULL,
    path TEXT NOT NULL,
    state BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    losses BIGINT NOT NULL,
    queued_us BIGINT NOT NULL,
    first_started_us BIGINT NOT NULL,
    started_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    due_us BIGINT NOT NULL,
    length BIGINT,
    chosen TEXT,
    stop BIGINT NOT NULL,
    failure BYTEA,
    inputs TEXT,
    reason TEXT NOT NULL,
    -- What a deferred task run waits for, or how its next attempt goes on.
    wait BYTEA,
    -- An encoded StepInfo; NULL for other task runs.
    step BYTEA,
    -- What people call an index of a mapped task.
    map_name TEXT NOT NULL,
    PRIMARY KEY (run_id, task_id, path_key)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

-- No index names the state, which changes most: updates stay on their page (HOT).
CREATE INDEX task_runs_waiting ON task_runs (run_id) WHERE wait IS NOT NULL;

CREATE TABLE attempts (
    run_id BIGINT NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    state TEXT NOT NULL,
    started_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    failure BYTEA,
    PRIMARY KEY (run_id, task_id, path, generation, attempt)
);

CREATE TABLE expansions (
    run_id BIGINT NOT NULL,
    container_id TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    lengths TEXT NOT NULL,
    PRIMARY KEY (run_id, container_id, path)
);

CREATE TABLE task_values (
    run_id BIGINT NOT NULL,
    task_id TEXT COLLATE "C" NOT NULL,
    path_key BYTEA NOT NULL,
    "key" TEXT COLLATE "C" NOT NULL,
    path TEXT NOT NULL,
    generation BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    format TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    data BYTEA,
    location TEXT NOT NULL,
    type_name TEXT NOT NULL,
    preview TEXT NOT NULL,
    PRIMARY KEY (run_id, task_id, path_key, "key")
);

CREATE SEQUENCE event_positions CACHE 1;

CREATE TABLE events (
    -- The transaction that wrote it: a reader takes what is older than all that still run, so
    -- that a late commit is never skipped.
    xid BIGINT NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    position BIGINT NOT NULL DEFAULT nextval('event_positions'),
    run_id BIGINT NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    -- By the server's clock, so that there is always a partition.
    stored_on DATE NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date
) PARTITION BY RANGE (stored_on);

CREATE INDEX events_by_position ON events (xid, position);
CREATE INDEX events_by_run ON events (run_id, xid, position);

-- The net, should nobody have made a day's partition ahead.
CREATE TABLE events_other PARTITION OF events DEFAULT;

CREATE TABLE requests (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    "by" TEXT NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    payload BYTEA NOT NULL
);

CREATE INDEX requests_by_run ON requests (run_id);

CREATE TABLE notices (
    id BIGINT PRIMARY KEY,
    run_id BIGINT NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    generation BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    moment TEXT NOT NULL,
    -- Name of the callback, or of the channel.
    recipient TEXT NOT NULL,
    -- Of an alert: its rule, and what repeated alerts have in common.
    rule TEXT NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    tries BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    due_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    -- Coordinator that is to send it.
    owner BIGINT NOT NULL,
    facts BYTEA NOT NULL,
    failure BYTEA,
    message TEXT
);

CREATE INDEX notices_by_run ON notices (run_id, id);
CREATE INDEX notices_by_topic ON notices (topic, created_us) WHERE topic != '';
CREATE INDEX notices_pending ON notices (due_us) WHERE state = 'pending';

CREATE TABLE connections (
    conn_id TEXT COLLATE "C" PRIMARY KEY,
    -- JSON of what may be seen.
    fields BYTEA NOT NULL,
    -- Encrypted JSON of the password and of "extra"; empty where there is neither.
    secrets BYTEA NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE TABLE variables (
    "key" TEXT COLLATE "C" PRIMARY KEY,
    description TEXT NOT NULL,
    -- The encrypted value.
    secrets BYTEA NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE TABLE pools (
    name TEXT COLLATE "C" PRIMARY KEY,
    slots BIGINT NOT NULL,
    description TEXT NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE TABLE artifacts (
    -- Made of where it was published, so that a replay writes the same row.
    id BIGINT PRIMARY KEY,
    run_id BIGINT NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    "key" TEXT COLLATE "C" NOT NULL,
    -- 1, 2, 3 ... of its key; 0 without one.
    version BIGINT NOT NULL,
    description TEXT NOT NULL,
    -- JSON, by its kind.
    data BYTEA NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);

CREATE INDEX artifacts_by_key ON artifacts ("key", version) WHERE "key" != '';
CREATE INDEX artifacts_by_run ON artifacts (run_id);
CREATE INDEX artifacts_by_time ON artifacts (created_us, id);

CREATE TABLE cache_entries (
    "key" TEXT COLLATE "C" PRIMARY KEY,
    -- Who computed it, for people, such as 'etl#17 load[0]'.
    source TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    -- 0 for never.
    expires_us BIGINT NOT NULL,
    -- A msgpack StoredValue; NULL for None.
    value BYTEA
);

CREATE TABLE cache_claims (
    "key" TEXT COLLATE "C" PRIMARY KEY,
    owner BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    token BIGINT NOT NULL
);

-- Nodes of ids are asked for in turn, so that one that was let go is not taken soon again.
CREATE SEQUENCE nodes;

-- A partition for each day from today on, by the server's clock; one at a time makes them.
CREATE FUNCTION make_event_partitions(days INT) RETURNS INT LANGUAGE plpgsql AS $$
DECLARE
    wanted DATE;
    made INT := 0;
BEGIN
    FOR ahead IN 0 .. days LOOP
        wanted := (now() AT TIME ZONE 'UTC')::date + ahead;
        CONTINUE WHEN to_regclass(format('events_%s', to_char(wanted, 'YYYYMMDD'))) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(1332966506, 2);
        -- Another session may have made it while this one waited. A query sees it, for it takes
        -- a lock and so hears what has changed; to_regclass would repeat what it knew.
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM pg_inherits JOIN pg_class ON pg_class.oid = pg_inherits.inhrelid
            WHERE pg_inherits.inhparent = 'events'::regclass
              AND pg_class.relname = format('events_%s', to_char(wanted, 'YYYYMMDD'))
        );
        EXECUTE format(
            'CREATE TABLE events_%s PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
            to_char(wanted, 'YYYYMMDD'), wanted, wanted + 1
        );
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

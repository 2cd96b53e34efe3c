-- What PostgreSQL says otherwise than ../*.sql.

-- name: take_numbers
-- Number the next runs of flows, by a JSON list of flows with how many; the last number of each is
-- returned. Primary key.
INSERT INTO flow_numbers (flow, number)
SELECT asked.pair ->> 0, (asked.pair ->> 1)::bigint
FROM jsonb_array_elements(?::text::jsonb) AS asked (pair)
ON CONFLICT (flow) DO UPDATE SET number = flow_numbers.number + excluded.number
RETURNING flow, number

-- name: among_known_runs
-- Runs that were asked for before, by a JSON list of projects, flows and keys. runs_by_key.
 FROM jsonb_array_elements(?::text::jsonb) AS asked (key) JOIN runs
    ON right(runs.logical_key, 20) = right(asked.key ->> 2, 20)
    AND runs.project = asked.key ->> 0 AND runs.flow = asked.key ->> 1
    AND runs.logical_key = asked.key ->> 2

-- name: select_requests_of_ended
-- What was asked of runs of the service that have ended. Whole table, which is short; of each its
-- run, by primary key, and not the other way round: OFFSET keeps the planner from that, and a sum
-- from the index of all that has ended.
SELECT
    requests.id, requests.run_id, requests.kind, requests."by", requests.task_id, requests.path,
    requests.payload
FROM requests, LATERAL (
    SELECT 1 FROM runs
    WHERE id = requests.run_id AND project = ? AND owner = 0 AND home = 'service'
        AND state + 0 >= 4
    OFFSET 0
) AS run
ORDER BY requests.id

-- name: upsert_artifact
-- Keep what a task published; again, it keeps version and moment. Primary key, artifacts_by_key.
INSERT INTO artifacts (
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6::text,
    CASE WHEN ?6::text = '' THEN 0 ELSE (
        SELECT coalesce(max(version), 0) + 1 FROM artifacts
        WHERE "key" = ?6::text AND "key" != ''
    ) END + 0 * ?7,
    ?8, ?9, ?10, ?11
)
ON CONFLICT (id) DO UPDATE SET
    description = excluded.description, data = excluded.data, updated_us = excluded.updated_us

-- name: select_waiting
-- Deferred (4) task runs of all runs, or of one. task_runs_waiting, then the primary key.
SELECT
    run_id, task_id, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
FROM task_runs WHERE wait IS NOT NULL AND state = 4 AND (?1 = 0 OR run_id = ?1)
ORDER BY run_id, task_id, path_key

-- name: select_events
-- Events behind a position, of transactions older than all that run. events_by_position.
SELECT xid, position, run_id, task_id, path, at_us, payload FROM events
WHERE (xid, position) > (?, ?)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY xid, position LIMIT ?

-- name: select_events_of_runs
-- The same, of runs and not of their task runs. events_by_position.
SELECT xid, position, run_id, task_id, path, at_us, payload FROM events
WHERE (xid, position) > (?, ?) AND task_id = ''
    AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY xid, position LIMIT ?

-- name: select_run_events
-- Events of a run behind a position. events_by_run.
SELECT xid, position, run_id, task_id, path, at_us, payload FROM events
WHERE run_id = ? AND (xid, position) > (?, ?)
    AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY xid, position LIMIT ?

-- name: newest_event
-- The oldest transaction that may still write: all before it can be read.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: write_task_runs
-- Write task runs, a column an array; the first write inserts. Primary key.
INSERT INTO task_runs (
    run_id, task_id, path_key, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
) SELECT * FROM unnest(
    ?::bigint[], ?::text[], ?::bytea[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::text[], ?::bigint[], ?::bytea[], ?::text[], ?::text[], ?::bytea[], ?::bytea[],
    ?::text[]
)
ON CONFLICT (run_id, task_id, path_key) DO UPDATE SET
    state = excluded.state, attempt = excluded.attempt, generation = excluded.generation,
    failures = excluded.failures, losses = excluded.losses, queued_us = excluded.queued_us,
    first_started_us = excluded.first_started_us, started_us = excluded.started_us,
    ended_us = excluded.ended_us, due_us = excluded.due_us, length = excluded.length,
    chosen = excluded.chosen, stop = excluded.stop, failure = excluded.failure,
    inputs = excluded.inputs, reason = excluded.reason, wait = excluded.wait,
    step = excluded.step, map_name = excluded.map_name

-- name: write_events
-- Append to the log, a column an array; their order is that of the arrays.
INSERT INTO events (run_id, task_id, path, at_us, payload)
SELECT * FROM unnest(?::bigint[], ?::text[], ?::text[], ?::bigint[], ?::bytea[])

-- name: write_values
-- Write values, a column an array; that of a later attempt replaces an earlier one. Primary key.
INSERT INTO task_values (
    run_id, task_id, path_key, "key", path, generation, attempt, format, size_bytes, data,
    location, type_name, preview
) SELECT * FROM unnest(
    ?::bigint[], ?::text[], ?::bytea[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::text[],
    ?::bigint[], ?::bytea[], ?::text[], ?::text[], ?::text[]
)
ON CONFLICT (run_id, task_id, path_key, "key") DO UPDATE SET
    generation = excluded.generation, attempt = excluded.attempt, format = excluded.format,
    size_bytes = excluded.size_bytes, data = excluded.data, location = excluded.location,
    type_name = excluded.type_name, preview = excluded.preview

-- name: write_runs
-- Create runs, a column an array in the order of RunRow.
INSERT INTO runs (
    id, number, project, flow, manifest_version, params, "trigger", home, logical_key,
    logical_date_us, interval_start_us, interval_end_us, partition, tags, target, code,
    state, reason, created_us, started_us, ended_us, owner, generation, name, priority
) SELECT * FROM unnest(
    ?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::text[], ?::text[],
    ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[],
    ?::bigint[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[],
    ?::text[], ?::bigint[]
)

-- name: write_tags
-- Make runs findable by tags, a column an array. Primary key.
INSERT INTO run_tags (run_id, tag) SELECT * FROM unnest(?::bigint[], ?::text[])
ON CONFLICT DO NOTHING

-- name: write_params
-- Make runs findable by scalar parameters, a column an array. Primary key.
INSERT INTO run_params (run_id, name, value) SELECT * FROM unnest(?::bigint[], ?::text[], ?::text[])
ON CONFLICT DO NOTHING

-- name: select_owner
-- Flow, number, state and owner of a run, which ends only when it has been asked. Primary key.
SELECT flow, number, state, owner FROM runs WHERE id = ? FOR SHARE

-- name: take_notices_alone
-- Nobody else takes notices until the transaction ends.
SELECT pg_advisory_xact_lock(1332966506, 3)

-- name: publish_alone
-- Nobody else gives versions to artifacts until the transaction ends.
SELECT pg_advisory_xact_lock(1332966506, 4)

-- name: create_alone
-- Nobody else creates runs until the transaction ends: ids and moments grow together.
SELECT pg_advisory_xact_lock(1332966506, 1)

-- name: limit_idleness
-- The server gives this transaction up, with its session, if nothing is heard for five seconds.
SET LOCAL idle_in_transaction_session_timeout = 5000

-- name: make_event_partitions
-- Make the partitions of the log for the days to come that lack one.
SELECT make_event_partitions(?::int)

-- name: check_pages
-- What is unsound below the tables, which PostgreSQL tells by itself; "ok".
SELECT 'ok'

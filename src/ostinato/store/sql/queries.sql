-- Statements of both stores by name: a line that says what each is for, and which index serves
-- it. What a store says otherwise is in its own folder; INDEXED BY is heard by SQLite alone.

-- name: insert_manifest
-- Keep definitions under their version. Primary key.
INSERT INTO manifests (version, project, data, created_us) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING

-- name: select_manifest
-- Definitions of a version. Primary key.
SELECT data FROM manifests WHERE version = ?

-- name: select_manifests
-- Definitions of all versions of a project; there are few. No index.
SELECT data FROM manifests WHERE project = ?

-- name: newest_run
-- Id and moment that the next run must be behind. Primary key.
SELECT id, created_us FROM runs ORDER BY id DESC LIMIT 1

-- name: insert_run
-- Create a run; columns in the order of RunRow.
INSERT INTO runs (
    id, number, project, flow, manifest_version, params, "trigger", home, logical_key,
    logical_date_us, interval_start_us, interval_end_us, partition, tags, target, code,
    state, reason, created_us, started_us, ended_us, owner, generation, name, priority
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_tag
-- Make a run findable by a tag. Primary key.
INSERT INTO run_tags (run_id, tag) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: insert_param
-- Make a run findable by a scalar parameter. Primary key.
INSERT INTO run_params (run_id, name, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: select_runs
-- Columns of runs in the order of RunRow; table, condition and order follow (filters.py).
SELECT
    runs.id, runs.number, runs.project, runs.flow, runs.manifest_version, runs.params,
    runs."trigger", runs.home, runs.logical_key, runs.logical_date_us, runs.interval_start_us,
    runs.interval_end_us, runs.partition, runs.tags, runs.target, runs.code, runs.state,
    runs.reason, runs.created_us, runs.started_us, runs.ended_us, runs.owner, runs.generation,
    runs.name, runs.priority

-- name: among_open_subflows
-- Runs under way (below 4) that flows called, by a range of tags. Primary key of tags, then of runs.
 FROM run_tags CROSS JOIN runs ON runs.id = run_tags.run_id
WHERE run_tags.tag >= ? AND run_tags.tag < ? AND runs.state < 4 AND runs."trigger" = 'flow'
ORDER BY runs.id

-- name: newest_run_with_value
-- The newest run of a flow up to a logical date, but for one, with a task's value. runs_live,
-- runs_ended_by_date.
SELECT id FROM (
    SELECT * FROM (
        SELECT id, logical_date_us FROM runs INDEXED BY runs_live
        WHERE flow = ?1 AND state < 4 AND logical_date_us <= ?2 AND id != ?3 AND EXISTS (
            SELECT 1 FROM task_values WHERE task_values.run_id = runs.id
                AND task_values.task_id = ?4 AND task_values."key" = ?5
        )
        ORDER BY logical_date_us DESC, id DESC LIMIT 1
    ) AS live
    UNION ALL SELECT * FROM (
        SELECT id, logical_date_us FROM runs INDEXED BY runs_ended_by_date
        WHERE flow = ?1 AND state >= 4 AND logical_date_us <= ?2 AND id != ?3 AND EXISTS (
            SELECT 1 FROM task_values WHERE task_values.run_id = runs.id
                AND task_values.task_id = ?4 AND task_values."key" = ?5
        )
        ORDER BY logical_date_us DESC, id DESC LIMIT 1
    ) AS ended
) AS found
ORDER BY logical_date_us DESC, id DESC LIMIT 1

-- name: select_owner
-- Flow, number, state and owner of a run. Primary key.
SELECT flow, number, state, owner FROM runs WHERE id = ?

-- name: update_run
-- What a coordinator changes in its run; one that has ended (4 and more) has no owner. Primary key.
UPDATE runs SET
    state = ?1, reason = ?2, started_us = ?3, ended_us = ?4, generation = ?5,
    name = ?7, owner = CASE WHEN ?1 >= 4 THEN 0 ELSE owner END
WHERE id = ?6

-- name: upsert_task_run
-- Write a task run; the first write inserts. Primary key.
INSERT INTO task_runs (
    run_id, task_id, path_key, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, task_id, path_key) DO UPDATE SET
    state = excluded.state, attempt = excluded.attempt, generation = excluded.generation,
    failures = excluded.failures, losses = excluded.losses, queued_us = excluded.queued_us,
    first_started_us = excluded.first_started_us, started_us = excluded.started_us,
    ended_us = excluded.ended_us, due_us = excluded.due_us, length = excluded.length,
    chosen = excluded.chosen, stop = excluded.stop, failure = excluded.failure,
    inputs = excluded.inputs, reason = excluded.reason, wait = excluded.wait,
    step = excluded.step, map_name = excluded.map_name

-- name: select_task_runs
-- Columns of task runs in the order of TaskRunRow; a condition follows.
SELECT
    run_id, task_id, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
FROM task_runs

-- name: select_waiting
-- Deferred (4) task runs of all runs, or of one. task_runs_waiting, then the primary key.
SELECT
    run_id, task_id, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
FROM task_runs WHERE state = 4 AND (?1 = 0 OR run_id = ?1) ORDER BY run_id, task_id, path_key

-- name: select_steps
-- Steps of a run with their results, behind a task and place. Both primary keys, in step.
SELECT
    task_runs.run_id, task_runs.task_id, task_runs.path, state, task_runs.attempt,
    task_runs.generation, failures, losses, queued_us, first_started_us, started_us, ended_us,
    due_us, length, chosen, stop, failure, inputs, reason, wait, step,
    map_name, task_values.path, "key", format, size_bytes, data, location, type_name, preview
FROM task_runs
LEFT JOIN task_values ON task_values.run_id = task_runs.run_id
    AND task_values.task_id = task_runs.task_id AND task_values.path_key = task_runs.path_key
    AND "key" = 'return_value'
WHERE task_runs.run_id = ?1 AND step IS NOT NULL
    AND (task_runs.task_id, task_runs.path_key) > (?2, ?3)
ORDER BY task_runs.task_id, task_runs.path_key LIMIT ?4

-- name: count_task_runs
-- How many task runs of each task are in each state. Primary key.
SELECT task_id, state, count(*) FROM task_runs WHERE run_id = ? GROUP BY task_id, state

-- name: upsert_attempt
-- Keep an attempt that is followed by another. Primary key.
INSERT INTO attempts (
    run_id, task_id, path, generation, attempt, state, started_us, ended_us, failure
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, task_id, path, generation, attempt) DO UPDATE SET
    state = excluded.state, started_us = excluded.started_us, ended_us = excluded.ended_us,
    failure = excluded.failure

-- name: select_attempts
-- Earlier attempts of a task run, oldest first. Primary key.
SELECT run_id, task_id, path, generation, attempt, state, started_us, ended_us, failure
FROM attempts WHERE run_id = ? AND task_id = ? AND path = ?
ORDER BY generation, attempt

-- name: upsert_expansion
-- Write the length of a mapped task or group. Primary key.
INSERT INTO expansions (run_id, container_id, path, lengths) VALUES (?, ?, ?, ?)
ON CONFLICT (run_id, container_id, path) DO UPDATE SET lengths = excluded.lengths

-- name: select_expansions
-- Lengths of a run's mapped tasks and groups. Primary key.
SELECT run_id, container_id, path, lengths FROM expansions WHERE run_id = ?

-- name: upsert_value
-- Write a value; that of a later attempt replaces an earlier one. Primary key.
INSERT INTO task_values (
    run_id, task_id, path_key, "key", path, generation, attempt, format, size_bytes, data,
    location, type_name, preview
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, task_id, path_key, "key") DO UPDATE SET
    generation = excluded.generation, attempt = excluded.attempt, format = excluded.format,
    size_bytes = excluded.size_bytes, data = excluded.data, location = excluded.location,
    type_name = excluded.type_name, preview = excluded.preview

-- name: select_values
-- A task's values under a key, in the order of index. Primary key, by task.
SELECT path, "key", format, size_bytes, data, location, type_name, preview
FROM task_values WHERE run_id = ? AND task_id = ? AND "key" = ? ORDER BY path_key

-- name: select_value
-- One task run's value under a key. Primary key.
SELECT path, "key", format, size_bytes, data, location, type_name, preview
FROM task_values WHERE run_id = ? AND task_id = ? AND path_key = ? AND "key" = ?

-- name: delete_values
-- A task run runs again: what it stored until then is void. Primary key.
DELETE FROM task_values
WHERE run_id = ? AND task_id = ? AND path_key = ? AND (generation, attempt) <= (?, ?)

-- name: upsert_notice
-- Write a notice; what becomes of it follows. Primary key.
INSERT INTO notices (
    id, run_id, task_id, path, generation, attempt, moment, recipient, rule, topic, state, tries,
    created_us, due_us, ended_us, owner, facts, failure, message
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, tries = excluded.tries, due_us = excluded.due_us,
    ended_us = excluded.ended_us, owner = excluded.owner, failure = excluded.failure,
    message = excluded.message

-- name: select_notices
-- Notices of a run in the order in which they were caused. notices_by_run.
SELECT
    id, run_id, task_id, path, generation, attempt, moment, recipient, rule, topic, state, tries,
    created_us, due_us, ended_us, owner, facts, failure, message
FROM notices WHERE run_id = ? ORDER BY id

-- name: select_due_alerts
-- Alerts of any run that are to be sent, oldest first. notices_pending.
SELECT
    id, run_id, task_id, path, generation, attempt, moment, recipient, rule, topic, state, tries,
    created_us, due_us, ended_us, owner, facts, failure, message
FROM notices WHERE state = 'pending' AND due_us <= ? AND rule != '' ORDER BY due_us, id

-- name: select_left_callbacks
-- Runs of the service that have ended before their callbacks were executed, and who was to execute
-- them. notices_pending.
SELECT DISTINCT notices.run_id, notices.owner
FROM notices JOIN runs ON runs.id = notices.run_id
WHERE notices.state = 'pending' AND notices.rule = '' AND runs.project = ?
    AND runs.home = 'service' AND runs.state >= 4
ORDER BY notices.run_id

-- name: take_notices_alone
-- Nobody else takes notices meanwhile: SQLite lets one transaction write.
SELECT 1

-- name: own_notice
-- Hand a notice over. Primary key.
UPDATE notices SET owner = ? WHERE id = ?

-- name: newest_alert
-- When the newest alert on a topic was made that was not dropped. notices_by_topic.
SELECT created_us FROM notices
WHERE topic = ? AND topic != '' AND state != 'dropped' ORDER BY created_us DESC LIMIT 1

-- name: insert_event
-- Append to the log; the position is the order of commits.
INSERT INTO events (run_id, task_id, path, at_us, payload) VALUES (?, ?, ?, ?, ?)

-- name: select_events
-- Events behind a position. Primary key.
SELECT position, run_id, task_id, path, at_us, payload
FROM events WHERE position > ? ORDER BY position LIMIT ?

-- name: select_events_of_runs
-- Events behind a position that are of no task run. Primary key.
SELECT position, run_id, task_id, path, at_us, payload
FROM events WHERE position > ? AND task_id = '' ORDER BY position LIMIT ?

-- name: select_run_events
-- Events of a run behind a position. events_by_run.
SELECT position, run_id, task_id, path, at_us, payload
FROM events WHERE run_id = ? AND position > ? ORDER BY position LIMIT ?

-- name: newest_event
-- Position of the newest event. Primary key.
SELECT coalesce(max(position), 0) FROM events

-- name: insert_request
-- Ask something of a run's owner.
INSERT INTO requests (run_id, kind, "by", task_id, path, payload) VALUES (?, ?, ?, ?, ?, ?)
RETURNING id

-- name: select_requests
-- What was asked of a coordinator's runs. The table holds unanswered requests only.
SELECT
    requests.id, requests.run_id, requests.kind, requests."by", requests.task_id, requests.path,
    requests.payload
FROM requests JOIN runs ON runs.id = requests.run_id WHERE runs.owner = ? ORDER BY requests.id

-- name: select_requests_of_ended
-- What was asked of runs of the service that have ended. Whole table, which is short.
SELECT
    requests.id, requests.run_id, requests.kind, requests."by", requests.task_id, requests.path,
    requests.payload
FROM requests JOIN runs ON runs.id = requests.run_id
WHERE runs.project = ? AND runs.owner = 0 AND runs.home = 'service' AND runs.state >= 4
ORDER BY requests.id

-- name: repin_run
-- Have a run that is executed again be of other definitions. Primary key.
UPDATE runs SET manifest_version = ? WHERE id = ? AND owner = ?

-- name: delete_request
-- A request was answered. Primary key.
DELETE FROM requests WHERE id = ?

-- name: any_request
-- Whether something is asked of a run. The table holds unanswered requests only.
SELECT 1 FROM requests WHERE run_id = ? LIMIT 1

-- name: delete_requests
-- A run has ended: nothing can be asked of it any more. The table holds unanswered ones only.
DELETE FROM requests WHERE run_id = ?

-- name: select_connection
-- A connection; columns in the order of ConnectionRow. Primary key.
SELECT conn_id, fields, secrets, updated_us FROM connections WHERE conn_id = ?

-- name: select_connections
-- All connections, which are few. Whole primary key.
SELECT conn_id, fields, secrets, updated_us FROM connections ORDER BY conn_id

-- name: upsert_connection
-- Keep a connection; columns in the order of ConnectionRow. Primary key.
INSERT INTO connections (conn_id, fields, secrets, updated_us) VALUES (?, ?, ?, ?)
ON CONFLICT (conn_id) DO UPDATE SET
    fields = excluded.fields, secrets = excluded.secrets, updated_us = excluded.updated_us

-- name: delete_connection
-- A connection is no longer wanted. Primary key.
DELETE FROM connections WHERE conn_id = ?

-- name: replace_connection_secrets
-- Encrypt anew what nobody has changed since it was read. Primary key.
UPDATE connections SET secrets = ? WHERE conn_id = ? AND secrets = ?

-- name: select_variable
-- A variable; columns in the order of VariableRow. The index of the primary key.
SELECT "key", description, secrets, updated_us FROM variables WHERE "key" = ?

-- name: select_variables
-- All variables. The index of the primary key.
SELECT "key", description, secrets, updated_us FROM variables ORDER BY "key"

-- name: upsert_variable
-- Keep a variable; columns in the order of VariableRow. The index of the primary key.
INSERT INTO variables ("key", description, secrets, updated_us) VALUES (?, ?, ?, ?)
ON CONFLICT ("key") DO UPDATE SET
    description = excluded.description, secrets = excluded.secrets,
    updated_us = excluded.updated_us

-- name: delete_variable
-- A variable is no longer wanted. The index of the primary key.
DELETE FROM variables WHERE "key" = ?

-- name: replace_variable_secrets
-- Encrypt anew what nobody has changed since it was read. The index of the primary key.
UPDATE variables SET secrets = ? WHERE "key" = ? AND secrets = ?

-- name: select_pools
-- All pools, which are few; columns in the order of PoolRow. Whole primary key.
SELECT name, slots, description, updated_us FROM pools ORDER BY name

-- name: upsert_pool
-- Keep a pool; columns in the order of PoolRow. Primary key.
INSERT INTO pools (name, slots, description, updated_us) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    slots = excluded.slots, description = excluded.description, updated_us = excluded.updated_us

-- name: delete_pool
-- A pool is no longer wanted. Primary key.
DELETE FROM pools WHERE name = ?

-- name: upsert_artifact
-- Keep what a task published; again, it keeps version and moment. Primary key, artifacts_by_key.
INSERT INTO artifacts (
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6,
    CASE WHEN ?6 = '' THEN 0 ELSE (
        SELECT coalesce(max(version), 0) + 1 FROM artifacts WHERE "key" = ?6 AND "key" != ''
    ) END + 0 * ?7,
    ?8, ?9, ?10, ?11
)
ON CONFLICT (id) DO UPDATE SET
    description = excluded.description, data = excluded.data, updated_us = excluded.updated_us

-- name: select_artifact
-- What a task published. Primary key.
SELECT
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
FROM artifacts WHERE id = ?

-- name: select_versions_of_artifact
-- All versions of a key, of one run or of all. artifacts_by_key.
SELECT
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
FROM artifacts WHERE "key" = ?1 AND "key" != '' AND (?2 = 0 OR run_id = ?2)
ORDER BY version DESC LIMIT ?3

-- name: select_artifacts_of_run
-- What a run published. artifacts_by_run.
SELECT
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
FROM artifacts WHERE run_id = ? ORDER BY created_us DESC, id DESC LIMIT ?

-- name: select_newest_artifacts
-- The newest version of each key, and those without a key. artifacts_by_time, artifacts_by_key.
SELECT
    id, run_id, task_id, path, kind, "key", version, description, data, created_us, updated_us
FROM artifacts AS one
WHERE "key" = '' OR NOT EXISTS (
    SELECT 1 FROM artifacts
    WHERE artifacts."key" = one."key" AND artifacts."key" != '' AND artifacts.version > one.version
)
ORDER BY created_us DESC, id DESC LIMIT ?

-- name: upsert_cache_entry
-- Keep a result for other runs. Primary key.
INSERT INTO cache_entries ("key", source, created_us, expires_us, value) VALUES (?, ?, ?, ?, ?)
ON CONFLICT ("key") DO UPDATE SET
    source = excluded.source, created_us = excluded.created_us,
    expires_us = excluded.expires_us, value = excluded.value

-- name: select_cache_entry
-- What is kept under a key and has not expired. Primary key.
SELECT "key", source, created_us, expires_us, value FROM cache_entries
WHERE "key" = ?1 AND (expires_us = 0 OR expires_us > ?2)

-- name: select_cache_claim
-- Who computes a key. Primary key.
SELECT owner, epoch, token FROM cache_claims WHERE "key" = ?

-- name: upsert_cache_claim
-- Claim a key, unless somebody else came before. Primary key.
INSERT INTO cache_claims ("key", owner, epoch, token) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT ("key") DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, token = excluded.token
WHERE (cache_claims.owner, cache_claims.epoch, cache_claims.token) = (?5, ?6, ?7)
RETURNING "key"

-- name: delete_cache_claim
-- What was claimed is there. Primary key.
DELETE FROM cache_claims WHERE "key" = ?

-- name: delete_cache_claims
-- Give up what an attempt claimed: a key, or all. Whole table, which is short.
DELETE FROM cache_claims
WHERE owner = ?1 AND epoch = ?2 AND token = ?3 AND (?4 = '' OR "key" = ?4)

-- name: check_orphan_task_runs
-- Runs that are missing, though they have task runs. Whole primary key.
SELECT DISTINCT run_id FROM task_runs WHERE run_id NOT IN (SELECT id FROM runs)
    AND run_id NOT IN (SELECT run_id FROM pruned_runs)

-- name: check_orphan_events
-- Runs that are missing, though they have events. Whole events_by_run.
SELECT DISTINCT run_id FROM events WHERE run_id NOT IN (SELECT id FROM runs)
    AND run_id NOT IN (SELECT run_id FROM pruned_runs)

-- name: check_orphan_expansions
-- Runs that are missing, though they have lengths of mapped tasks. Whole primary key.
SELECT DISTINCT run_id FROM expansions WHERE run_id NOT IN (SELECT id FROM runs)
    AND run_id NOT IN (SELECT run_id FROM pruned_runs)

-- name: check_orphan_attempts
-- Runs with an earlier attempt of no task run; by sorting, as there is no common index.
SELECT DISTINCT run_id FROM (
    SELECT run_id, task_id, path FROM attempts
    EXCEPT
    SELECT run_id, task_id, path FROM task_runs
) AS lonely

-- name: check_orphan_values
-- Runs with a value of no task run. Both primary keys, in step.
SELECT DISTINCT task_values.run_id
FROM task_values LEFT JOIN task_runs USING (run_id, task_id, path_key)
WHERE task_runs.run_id IS NULL

-- name: check_orphan_notices
-- Runs that are missing, though they have notices. Whole notices_by_run.
SELECT DISTINCT run_id FROM notices WHERE run_id NOT IN (SELECT id FROM runs)
    AND run_id NOT IN (SELECT run_id FROM pruned_runs)

-- name: check_live_task_runs
-- Runs that have ended (4 and more) with a live task run (below 5). Whole tables.
SELECT DISTINCT runs.id FROM runs JOIN task_runs ON task_runs.run_id = runs.id
WHERE runs.state >= 4 AND task_runs.state < 5

-- name: check_owned_ends
-- Runs that have ended and still have an owner. runs_by_owner.
SELECT id FROM runs WHERE owner != 0 AND state >= 4

-- name: check_manifests
-- Runs whose definitions are missing. Whole table.
SELECT id FROM runs WHERE manifest_version NOT IN (SELECT version FROM manifests)

-- name: check_moments
-- Runs that are older than one with a smaller id. Whole table.
SELECT id FROM (SELECT id, created_us, max(created_us) OVER (ORDER BY id) AS newest FROM runs) AS ordered
WHERE created_us < newest

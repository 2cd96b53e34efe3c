-- Statements on what is deleted because it is old.

-- name: select_prunable_runs
-- Ended runs (4 and more) behind an id that were created before a moment, oldest first, with what
-- finds their tags and parameters. Primary key.
SELECT id, flow, params, tags, ended_us, manifest_version FROM runs
WHERE id > ? AND project = ? AND state >= 4 AND owner = 0 AND created_us < ? AND ended_us < ?
ORDER BY id LIMIT ?

-- name: select_surplus_runs
-- Ended runs of a flow behind an id and up to another, oldest first. runs_ended.
SELECT id, flow, params, tags, ended_us, manifest_version FROM runs INDEXED BY runs_ended
WHERE flow = ? AND id > ? AND id <= ? AND project = ? AND state >= 4 AND owner = 0
ORDER BY id LIMIT ?

-- name: select_flows_with_runs
-- Flows with runs that have ended, each found behind the one before. runs_ended.
WITH RECURSIVE found (flow) AS (
    SELECT min(flow) FROM runs WHERE state >= 4
    UNION ALL
    SELECT (SELECT min(runs.flow) FROM runs WHERE runs.flow > found.flow AND state >= 4)
    FROM found WHERE found.flow IS NOT NULL
)
SELECT flow FROM found WHERE flow IS NOT NULL

-- name: select_run_at_rank
-- Id of the n-th newest run of a flow that has ended, from 0. runs_ended.
SELECT id FROM runs INDEXED BY runs_ended
WHERE flow = ? AND state >= 4 ORDER BY id DESC LIMIT 1 OFFSET ?

-- name: select_newest_success
-- Id of the newest run of a flow that succeeded (4). runs_ended.
SELECT id FROM runs INDEXED BY runs_ended
WHERE flow = ? AND state >= 4 AND state = 4 ORDER BY id DESC LIMIT 1

-- name: any_pending_notice
-- Whether a run has callbacks or alerts that are not done. notices_by_run.
SELECT 1 FROM notices WHERE run_id = ? AND state = 'pending' LIMIT 1

-- name: delete_run
-- A run goes, unless somebody has taken it up again. Primary key.
DELETE FROM runs WHERE id = ? AND state >= 4 AND owner = 0

-- name: insert_pruned_run
-- What belonged to a run is still to be deleted. Primary key.
INSERT INTO pruned_runs (run_id) VALUES (?) ON CONFLICT DO NOTHING

-- name: select_pruned_runs
-- Runs of which something is still to be deleted. Primary key.
SELECT run_id FROM pruned_runs ORDER BY run_id LIMIT ?

-- name: delete_pruned_run
-- Nothing of a run is left. Primary key.
DELETE FROM pruned_runs WHERE run_id = ?

-- name: delete_run_tag
-- Primary key.
DELETE FROM run_tags WHERE tag = ? AND run_id = ?

-- name: delete_run_param
-- Primary key.
DELETE FROM run_params WHERE name = ? AND value = ? AND run_id = ?

-- name: prune_events
-- Some events of a run. events_by_run.
DELETE FROM events
WHERE position IN (SELECT position FROM events WHERE run_id = ? LIMIT ?)

-- name: prune_task_runs
-- Some task runs of a run. Primary key.
DELETE FROM task_runs WHERE run_id = ?1 AND (task_id, path_key) IN (
    SELECT task_id, path_key FROM task_runs WHERE run_id = ?1 LIMIT ?2
)

-- name: prune_task_values
-- Some values of a run. Primary key.
DELETE FROM task_values WHERE run_id = ?1 AND (task_id, path_key, "key") IN (
    SELECT task_id, path_key, "key" FROM task_values WHERE run_id = ?1 LIMIT ?2
)

-- name: prune_attempts
-- Some earlier attempts of a run. Primary key.
DELETE FROM attempts WHERE run_id = ?1 AND (task_id, path, generation, attempt) IN (
    SELECT task_id, path, generation, attempt FROM attempts WHERE run_id = ?1 LIMIT ?2
)

-- name: prune_expansions
-- Some lengths of a run. Primary key.
DELETE FROM expansions WHERE run_id = ?1 AND (container_id, path) IN (
    SELECT container_id, path FROM expansions WHERE run_id = ?1 LIMIT ?2
)

-- name: prune_notices
-- Some notices of a run. notices_by_run.
DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE run_id = ? LIMIT ?)

-- name: prune_artifacts
-- Some of what a run published. artifacts_by_run.
DELETE FROM artifacts WHERE id IN (SELECT id FROM artifacts WHERE run_id = ? LIMIT ?)

-- name: prune_requests
-- What was asked of a run. The table holds unanswered requests only.
DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE run_id = ? LIMIT ?)

-- name: prune_old_events
-- The oldest events, where they are from before a moment. Primary key.
DELETE FROM events WHERE position IN (SELECT position FROM events ORDER BY position LIMIT ?2)
AND at_us < ?1

-- name: prune_cache
-- Some results that have expired. No index: they are few.
DELETE FROM cache_entries WHERE "key" IN (
    SELECT "key" FROM cache_entries WHERE expires_us > 0 AND expires_us < ? LIMIT ?
)

-- name: select_cached_values
-- Results that are kept for other runs. No index: they are few.
SELECT value FROM cache_entries
WHERE value IS NOT NULL AND (expires_us = 0 OR expires_us >= ?)

-- name: select_unused_manifests
-- Definitions kept before a moment that no run has, no flow is served in and no live backfill began
-- with. Whole tables.
SELECT version FROM manifests
WHERE project = ? AND created_us < ?
    AND version NOT IN (SELECT manifest_version FROM runs)
    AND version NOT IN (SELECT manifest_version FROM served_flows)
    AND version NOT IN (
        SELECT manifest_version FROM backfills
        WHERE state IN ('running', 'paused', 'cancelling')
    )

-- name: delete_manifest
-- Nobody has these definitions, nor has since they were found unused. Primary keys.
DELETE FROM manifests WHERE version = ?
    AND version NOT IN (SELECT manifest_version FROM served_flows)
    AND version NOT IN (SELECT manifest_version FROM runs WHERE id > ?)

-- name: count_events_before
-- How many events are from before a moment. Whole table.
SELECT count(*) FROM events WHERE at_us < ?

-- name: prune_backfill_dates
-- Some dates of backfills that ended before a moment. Primary key, for each of the few backfills.
DELETE FROM backfill_dates WHERE (backfill_id, position) IN (
    SELECT backfill_dates.backfill_id, backfill_dates.position
    FROM backfills JOIN backfill_dates ON backfill_dates.backfill_id = backfills.id
    WHERE backfills.project = ? AND backfills.ended_us > 0 AND backfills.ended_us < ? LIMIT ?
)

-- name: prune_backfills
-- Backfills that ended before a moment, and whose dates are gone. Whole table: they are few.
DELETE FROM backfills WHERE project = ? AND ended_us > 0 AND ended_us < ? AND NOT EXISTS (
    SELECT 1 FROM backfill_dates WHERE backfill_dates.backfill_id = backfills.id
)

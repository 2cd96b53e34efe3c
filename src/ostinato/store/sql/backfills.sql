-- Statements on backfills.

-- name: insert_backfill
-- Keep a backfill; the store gives it its id.
INSERT INTO backfills (
    project, flow, manifest_version, params, reprocess, max_active, state, "by", created_us,
    ended_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id

-- name: insert_backfill_date
-- Keep one of its dates.
INSERT INTO backfill_dates (
    backfill_id, position, date_us, interval_start_us, interval_end_us, state, run_id, tries
) VALUES (?, ?, ?, ?, ?, 'waiting', 0, 0)

-- name: select_backfill
-- A backfill; columns in the order of BackfillRow. Primary key.
SELECT
    id, project, flow, manifest_version, params, reprocess, max_active, state, "by", created_us,
    ended_us
FROM backfills WHERE id = ?

-- name: select_backfills
-- Backfills of a project before an id, newest first. Primary key.
SELECT
    id, project, flow, manifest_version, params, reprocess, max_active, state, "by", created_us,
    ended_us
FROM backfills WHERE id < ? AND project = ? ORDER BY id DESC LIMIT ?

-- name: select_live_backfills
-- Backfills of a project that are not over, oldest first. backfills_live.
SELECT
    id, project, flow, manifest_version, params, reprocess, max_active, state, "by", created_us,
    ended_us
FROM backfills
WHERE project = ? AND state IN ('running', 'paused', 'cancelling') ORDER BY id

-- name: update_backfill_state
-- A backfill goes from one state to another. Primary key.
UPDATE backfills SET state = ?, ended_us = ? WHERE id = ? AND state = ?

-- name: select_backfill_dates
-- Dates of a backfill behind a position, in order. Primary key.
SELECT backfill_id, position, date_us, interval_start_us, interval_end_us, state, run_id, tries
FROM backfill_dates WHERE backfill_id = ? AND position > ? ORDER BY position LIMIT ?

-- name: select_backfill_dates_in_state
-- Dates of a backfill in a state behind a position, in order. backfill_dates_by_state.
SELECT backfill_id, position, date_us, interval_start_us, interval_end_us, state, run_id, tries
FROM backfill_dates WHERE backfill_id = ? AND state = ? AND position > ?
ORDER BY position LIMIT ?

-- name: count_backfill_dates
-- How many dates of a backfill are in each state. backfill_dates_by_state.
SELECT state, count(*) FROM backfill_dates WHERE backfill_id = ? GROUP BY state

-- name: select_backfill_range
-- The first and the last of the dates of a backfill. Primary key.
SELECT coalesce(min(date_us), 0), coalesce(max(date_us), 0)
FROM backfill_dates WHERE backfill_id = ?

-- name: select_ended_backfill_dates
-- Active dates whose runs have ended (4 and more) or are gone. backfill_dates_by_state.
SELECT position, coalesce(runs.state, -1), run_id
FROM backfill_dates LEFT JOIN runs ON runs.id = run_id
WHERE backfill_id = ? AND backfill_dates.state = 'active' AND coalesce(runs.state, 6) >= 4

-- name: update_backfill_date
-- A date goes from one state to another. Primary key.
UPDATE backfill_dates SET state = ?, run_id = ?
WHERE backfill_id = ? AND position = ? AND state = ?

-- name: drop_waiting_backfill_dates
-- What waits will not be run: the backfill is cancelled. backfill_dates_by_state.
UPDATE backfill_dates SET state = 'cancelled' WHERE backfill_id = ? AND state = 'waiting'

-- name: retry_backfill_dates
-- What failed or was cancelled waits again; what has run is a further try. backfill_dates_by_state.
UPDATE backfill_dates SET state = 'waiting', tries = tries + CASE WHEN run_id = 0 THEN 0 ELSE 1 END
WHERE backfill_id = ? AND state IN ('failed', 'cancelled')

-- name: select_newest_run_at
-- Id, number, state and key of the newest run of a flow at a logical date. runs_live,
-- runs_ended_by_date.
SELECT id, number, state, coalesce(logical_key, '') FROM runs WHERE id = (
    SELECT max(id) FROM (
        SELECT id FROM runs INDEXED BY runs_live
        WHERE flow = ?1 AND state < 4 AND logical_date_us = ?2 AND project = ?3
        UNION ALL
        SELECT id FROM runs INDEXED BY runs_ended_by_date
        WHERE flow = ?1 AND state >= 4 AND logical_date_us = ?2 AND project = ?3
    ) AS found
)

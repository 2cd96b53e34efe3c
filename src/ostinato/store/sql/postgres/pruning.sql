-- What PostgreSQL deletes in its own way.

-- name: prune_events
-- Some events of a run. events_by_run.
DELETE FROM events WHERE (run_id, xid, position) IN (
    SELECT run_id, xid, position FROM events WHERE run_id = ? LIMIT ?
)

-- name: drop_event_partitions
-- Drop the days of the log before a moment.
SELECT drop_event_partitions(?)

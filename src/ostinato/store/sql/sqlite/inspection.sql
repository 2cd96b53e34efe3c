-- What SQLite tells of itself.

-- name: inspect_kind
-- The database and its version.
SELECT 'SQLite ' || sqlite_version()

-- name: inspect_schema
-- The version of the schema.
SELECT user_version FROM pragma_user_version

-- name: inspect_size
-- Bytes in all, and those that are free to be used again.
SELECT page_count * page_size, freelist_count * page_size
FROM pragma_page_count(), pragma_page_size(), pragma_freelist_count()

-- name: inspect_counts
-- How much there is of what. runs_by_state, and the ends of the log.
SELECT 'runs', count(*) FROM runs
UNION ALL
SELECT 'live runs', count(*) FROM runs WHERE state < 4
UNION ALL
SELECT 'events', coalesce(
    (SELECT max(position) FROM events) - (SELECT min(position) FROM events) + 1, 0
)
UNION ALL
SELECT 'definitions', count(*) FROM manifests
UNION ALL
SELECT 'half deleted runs', count(*) FROM pruned_runs

-- name: inspect_clock
-- The time of the server, in microseconds: there is none.
SELECT NULL

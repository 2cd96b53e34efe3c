-- What PostgreSQL tells of itself.

-- name: inspect_kind
-- The database and its version.
SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)

-- name: inspect_schema
-- The version of the schema.
SELECT coalesce(max(version), 0) FROM schema_version

-- name: inspect_size
-- Bytes in all; what is free is used again.
SELECT pg_database_size(current_database()), 0::bigint

-- name: inspect_counts
-- How much there is of what; of the large tables, what the server last counted.
SELECT 'runs', count(*) FROM runs
UNION ALL
SELECT 'live runs', count(*) FROM runs WHERE state < 4
UNION ALL
SELECT 'events', coalesce(sum(greatest(child.reltuples, 0)), 0)::bigint
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'events'::regclass
UNION ALL
SELECT 'definitions', count(*) FROM manifests
UNION ALL
SELECT 'half deleted runs', count(*) FROM pruned_runs

-- name: inspect_clock
-- The time of the server, in microseconds.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint

-- name: lock_budgets
-- Let one coordinator at a time change shares, and tell the time of the server in microseconds.
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM (SELECT pg_advisory_xact_lock(hashtext('ostinato.budgets'))) AS locked

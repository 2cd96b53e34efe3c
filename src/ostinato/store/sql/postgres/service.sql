-- Coordinators as PostgreSQL sees them: sessions with locks, and beats by the server's clock.

-- name: insert_coordinator
-- Register a coordinator with its first epoch and beat. Primary key.
INSERT INTO coordinators (
    id, epoch, pid, host, started_us, wake_address, kind, name, version, machine, heartbeat_us
) VALUES (
    ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
)

-- name: try_identity
-- Hold the identity of a coordinator for as long as this session lasts.
SELECT pg_try_advisory_lock(?)

-- name: try_lock
-- Hold something of ours for as long as this session lasts.
SELECT pg_try_advisory_lock(?::int, ?::int)

-- name: next_node
-- A node that was not asked for since all others were.
SELECT nextval('nodes') % 1024

-- name: beat
-- Say that coordinators live whose locks are held. Primary key.
UPDATE coordinators
SET heartbeat_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
WHERE id = ANY(?) AND id IN (
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
RETURNING id

-- name: say_gone
-- Nothing that a coordinator started runs any more. Primary key.
UPDATE coordinators SET heartbeat_us = 0 WHERE id = ?

-- name: select_signs
-- What tells whether coordinators live: process, silence, session. Primary key.
SELECT
    coordinators.id, coordinators.pid, machine, heartbeat_us,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - heartbeat_us, held.pid
FROM coordinators LEFT JOIN (
    SELECT (classid::bigint << 32) | objid::bigint AS id, pid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS held ON held.id = coordinators.id
WHERE coordinators.id = ANY(?)

-- name: end_session
-- End a session and wait until it has ended.
SELECT pg_terminate_backend(?::int, ?)

-- name: claim_alone
-- Nobody else claims runs of a flow with a limit until the transaction ends.
SELECT pg_advisory_xact_lock(1332966506, hashtext(?))

-- name: lock_run
-- Nobody else takes a run until the transaction ends. Primary key.
SELECT id FROM runs WHERE id = ? FOR UPDATE

-- name: select_all_claimable
-- Runs of flows that wait for a worker, the urgent first, then the oldest. runs_claimable.
SELECT waiting.id, waiting.flow, waiting.state, waiting.priority
FROM unnest(?1::text[], ?2::text[], ?3::bigint[]) AS pair (flow, version, state)
JOIN LATERAL (
    SELECT id, flow, state, priority FROM runs
    WHERE project = ?4 AND flow = pair.flow AND manifest_version = pair.version
        AND owner = 0 AND home = 'service' AND state < 4 AND state >= pair.state
    ORDER BY priority DESC, id LIMIT ?5
) AS waiting ON TRUE
ORDER BY waiting.priority DESC, waiting.id LIMIT ?6

-- name: own_claimed
-- Own runs that nobody else has got hold of meanwhile, or has ended; their columns follow.
-- Primary key: the index of what lives looks small, but keeps what has ended until it is vacuumed,
-- and a sum is not looked for there.
UPDATE runs SET owner = ?1 WHERE id IN (
    SELECT id FROM runs WHERE id = ANY(?2) AND owner = 0 AND state + 0 < 4 FOR UPDATE SKIP LOCKED
) RETURNING

-- name: wake_others
-- Wake whoever listens, when the transaction has been committed.
SELECT pg_notify('ostinato', '')

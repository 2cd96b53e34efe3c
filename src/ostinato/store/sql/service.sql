-- Coordinators, the roles that they hold, and the runs that they claim.

-- name: insert_coordinator
-- Register a coordinator with its first epoch. Primary key.
INSERT INTO coordinators (
    id, epoch, pid, host, started_us, wake_address, kind, name, version, machine, heartbeat_us
) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, 0)

-- name: select_coordinator
-- A coordinator as others see it. Primary key.
SELECT
    id, epoch, pid, host, started_us, wake_address, kind, name, version, heartbeat_us,
    (SELECT count(*) FROM runs WHERE owner = coordinators.id AND owner != 0)
FROM coordinators WHERE id = ?

-- name: select_all_coordinators
-- All coordinators that have not signed off, oldest first. Whole primary key, runs_by_owner.
SELECT
    id, epoch, pid, host, started_us, wake_address, kind, name, version, heartbeat_us,
    (SELECT count(*) FROM runs WHERE owner = coordinators.id AND owner != 0)
FROM coordinators ORDER BY id

-- name: select_coordinators
-- All coordinators, and whether they own a run, and one of the service. runs_by_owner.
SELECT
    id, wake_address,
    EXISTS (SELECT 1 FROM runs WHERE owner = coordinators.id AND owner != 0),
    EXISTS (
        SELECT 1 FROM runs WHERE owner = coordinators.id AND owner != 0 AND home = 'service'
    )
FROM coordinators ORDER BY id

-- name: newest_coordinator
-- The largest id of a coordinator that has not signed off. Primary key.
SELECT coalesce(max(id), 0) FROM coordinators

-- name: select_wake_addresses
-- Where coordinators of a kind are woken. Whole table, which is short.
SELECT wake_address FROM coordinators WHERE kind = ? AND wake_address != ''

-- name: select_epoch
-- The newest epoch of a coordinator, checked in each commit. Primary key.
SELECT epoch FROM coordinators WHERE id = ?

-- name: raise_epoch
-- Shut a dead coordinator out. Primary key.
UPDATE coordinators SET epoch = epoch + 1 WHERE id = ?

-- name: delete_coordinator
-- A coordinator signs off, or is gone and owns nothing. Primary key.
DELETE FROM coordinators WHERE id = ?

-- name: select_run_owner
-- Who owns a run. Primary key.
SELECT owner FROM runs WHERE id = ?

-- name: set_owner
-- Hand a run over. Primary key.
UPDATE runs SET owner = ? WHERE id = ?

-- name: release_run
-- Leave a run without an owner, if it is still this one. Primary key.
UPDATE runs SET owner = 0 WHERE id = ? AND owner = ?

-- name: release_all_runs
-- Leave all runs of a coordinator without an owner. runs_by_owner.
UPDATE runs SET owner = 0 WHERE owner = ? AND owner != 0

-- name: release_service_runs
-- Leave the runs of a dead coordinator to the workers. runs_by_owner.
UPDATE runs SET owner = 0 WHERE owner = ? AND owner != 0 AND home = 'service'

-- name: select_role
-- Who holds a role. Primary key.
SELECT holder FROM roles WHERE name = ?

-- name: select_roles
-- Who holds the roles in a range of names. Primary key.
SELECT name, holder FROM roles WHERE name >= ? AND name < ?

-- name: upsert_role
-- Hand a role over, unless somebody else was quicker. Primary key.
INSERT INTO roles (name, holder, taken_us) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, taken_us = excluded.taken_us
WHERE roles.holder = ?4
RETURNING holder

-- name: delete_role
-- Give a role up. Primary key.
DELETE FROM roles WHERE name = ? AND holder = ?

-- name: count_claimable
-- How many runs wait for a worker, by flow and definitions; those first of which one is the most
-- urgent, then the oldest. runs_claimable.
SELECT flow, manifest_version, count(*) FROM runs
WHERE project = ? AND owner = 0 AND home = 'service' AND state < 4
GROUP BY flow, manifest_version ORDER BY max(priority) DESC, min(id)

-- name: count_active
-- How many runs of a flow are under way. runs_active.
SELECT count(*) FROM runs
WHERE project = ? AND flow = ? AND state < 4 AND (owner != 0 OR state > 0)

-- name: claim_alone
-- Nobody else claims runs of a flow with a limit meanwhile: SQLite lets one transaction write.
SELECT ?

-- name: select_manifest_moments
-- The versions of a project, oldest first; there are few. No index.
SELECT version, created_us FROM manifests WHERE project = ? ORDER BY created_us, version

-- name: lock_run
-- Nobody else takes a run meanwhile: SQLite lets one transaction write.
SELECT ?

-- name: select_claimable
-- Runs of a flow that wait for a worker, the urgent first, then the oldest. runs_claimable.
SELECT id, flow, state, priority FROM runs INDEXED BY runs_claimable
WHERE project = ? AND flow = ? AND manifest_version = ?
    AND owner = 0 AND home = 'service' AND state < 4 AND state >= ?
ORDER BY priority DESC, id LIMIT ?

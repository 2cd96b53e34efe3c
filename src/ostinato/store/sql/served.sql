-- Which flows are served, and in which version.

-- name: select_served_flows
-- All of a project, by name: the primary key.
SELECT flow, manifest_version, served_us FROM served_flows WHERE project = ? ORDER BY flow

-- name: select_served_flow
-- One flow: the primary key.
SELECT flow, manifest_version, served_us FROM served_flows WHERE project = ? AND flow = ?

-- name: upsert_served_flow
-- The version that is in force from now on.
INSERT INTO served_flows (project, flow, manifest_version, served_us) VALUES (?, ?, ?, ?)
ON CONFLICT (project, flow) DO UPDATE
SET manifest_version = excluded.manifest_version, served_us = excluded.served_us

-- name: delete_served_flow
-- A flow that is no longer there.
DELETE FROM served_flows WHERE project = ? AND flow = ?

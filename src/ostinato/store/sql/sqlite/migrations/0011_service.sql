-- Coordinators that live on, what they claim, and who holds a role.

-- When definitions were first kept: which of two versions is the older one.
ALTER TABLE manifests ADD COLUMN created_us INTEGER NOT NULL DEFAULT 0;

-- What a coordinator is: run, worker, scheduler ...; what people call it; its release.
ALTER TABLE coordinators ADD COLUMN kind TEXT NOT NULL DEFAULT 'run';
ALTER TABLE coordinators ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE coordinators ADD COLUMN version TEXT NOT NULL DEFAULT '';
-- The machine and its namespace of processes: where the pid means something.
ALTER TABLE coordinators ADD COLUMN machine TEXT NOT NULL DEFAULT '';
-- When it last said that it lives; 0 where its lock says so.
ALTER TABLE coordinators ADD COLUMN heartbeat_us INTEGER NOT NULL DEFAULT 0;

CREATE TABLE roles (
    name TEXT PRIMARY KEY,
    -- Coordinator that has the role for as long as it lives.
    holder INTEGER NOT NULL,
    taken_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Larger ones are claimed first.
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

-- What workers may claim; a claimed run leaves it.
CREATE INDEX runs_claimable ON runs (project, flow, manifest_version, priority DESC, id)
    WHERE owner = 0 AND home = 'service' AND state < 4;
-- What counts towards a flow's limit of active runs.
CREATE INDEX runs_active ON runs (project, flow)
    WHERE state < 4 AND (owner != 0 OR state > 0);

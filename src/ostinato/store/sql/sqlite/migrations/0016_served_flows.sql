-- The version of each flow that is in force: who starts a run without the code at hand pins it
-- to this one.

CREATE TABLE served_flows (
    project TEXT NOT NULL,
    flow TEXT NOT NULL,
    manifest_version TEXT NOT NULL,
    served_us INTEGER NOT NULL,
    PRIMARY KEY (project, flow)
) STRICT, WITHOUT ROWID;

-- The version of each flow that is in force: who starts a run without the code at hand pins it
-- to this one.

CREATE TABLE served_flows (
    project TEXT COLLATE "C" NOT NULL,
    flow TEXT COLLATE "C" NOT NULL,
    manifest_version TEXT COLLATE "C" NOT NULL,
    served_us BIGINT NOT NULL,
    PRIMARY KEY (project, flow)
);

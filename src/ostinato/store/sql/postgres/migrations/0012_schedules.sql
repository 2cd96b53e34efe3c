-- How the schedules of flows stand. They say when to fire; the keys of runs see to it that
-- a moment is fired once.
CREATE TABLE schedules (
    project TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    schedule TEXT COLLATE "C" NOT NULL,
    is_paused BIGINT NOT NULL,
    changed_by TEXT COLLATE "C" NOT NULL,
    since_us BIGINT NOT NULL,
    last_tick_us BIGINT NOT NULL,
    next_us BIGINT NOT NULL,
    ticks BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);

-- Asked for before anything fires; few are paused.
CREATE INDEX schedules_paused ON schedules (project, name) WHERE is_paused = 1;

-- The newest ticks of each schedule: a new one takes the slot of the oldest.
CREATE TABLE schedule_ticks (
    project TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    slot BIGINT NOT NULL,
    number BIGINT NOT NULL,
    tick_us BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (project, name, slot)
);

-- How the schedules of flows stand. They say when to fire; the keys of runs see to it that
-- a moment is fired once.
CREATE TABLE schedules (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    schedule TEXT NOT NULL,
    is_paused INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    last_tick_us INTEGER NOT NULL,
    next_us INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

-- Asked for before anything fires; few are paused.
CREATE INDEX schedules_paused ON schedules (project, name) WHERE is_paused = 1;

-- The newest ticks of each schedule: a new one takes the slot of the oldest.
CREATE TABLE schedule_ticks (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    slot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    tick_us INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    run_id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (project, name, slot)
) STRICT, WITHOUT ROWID;

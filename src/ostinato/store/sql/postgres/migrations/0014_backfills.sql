-- Runs for a range of dates, with what holds for all of them.
CREATE TABLE backfills (
    -- An id is part of the keys of runs, and must not come again.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    flow TEXT COLLATE "C" NOT NULL,
    manifest_version TEXT COLLATE "C" NOT NULL,
    params BYTEA NOT NULL,
    reprocess TEXT COLLATE "C" NOT NULL,
    max_active BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    "by" TEXT COLLATE "C" NOT NULL,
    created_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL
);

-- There are few that are not over, among all that were.
CREATE INDEX backfills_live ON backfills (project)
WHERE state IN ('running', 'paused', 'cancelling');

-- The dates in the order in which they are run.
CREATE TABLE backfill_dates (
    backfill_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    date_us BIGINT NOT NULL,
    interval_start_us BIGINT NOT NULL,
    interval_end_us BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    run_id BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    PRIMARY KEY (backfill_id, position)
);

CREATE INDEX backfill_dates_by_state ON backfill_dates (backfill_id, state, position);

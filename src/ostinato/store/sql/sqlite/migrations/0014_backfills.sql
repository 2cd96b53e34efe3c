-- Runs for a range of dates, with what holds for all of them.
CREATE TABLE backfills (
    -- AUTOINCREMENT: an id is part of the keys of runs, and must not come again.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    flow TEXT NOT NULL,
    manifest_version TEXT NOT NULL,
    params BLOB NOT NULL,
    reprocess TEXT NOT NULL,
    max_active INTEGER NOT NULL,
    state TEXT NOT NULL,
    "by" TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL
) STRICT;

-- There are few that are not over, among all that were.
CREATE INDEX backfills_live ON backfills (project)
WHERE state IN ('running', 'paused', 'cancelling');

-- The dates in the order in which they are run.
CREATE TABLE backfill_dates (
    backfill_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    date_us INTEGER NOT NULL,
    interval_start_us INTEGER NOT NULL,
    interval_end_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    run_id INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    PRIMARY KEY (backfill_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX backfill_dates_by_state ON backfill_dates (backfill_id, state, position);

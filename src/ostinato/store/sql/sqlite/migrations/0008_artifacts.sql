-- What tasks publish for people: tables, texts, links, images, progress.

CREATE TABLE artifacts (
    -- Made of where it was published, so that a replay writes the same row.
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    "key" TEXT NOT NULL,
    -- 1, 2, 3 ... of its key; 0 without one.
    version INTEGER NOT NULL,
    description TEXT NOT NULL,
    -- JSON, by its kind.
    data BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;

CREATE INDEX artifacts_by_key ON artifacts ("key", version) WHERE "key" != '';
CREATE INDEX artifacts_by_run ON artifacts (run_id);
CREATE INDEX artifacts_by_time ON artifacts (created_us);

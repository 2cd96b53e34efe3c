-- What is to be told, written with the event that causes it, and what became of it.

CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    path TEXT NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    moment TEXT NOT NULL,
    -- Name of the callback, or of the channel.
    recipient TEXT NOT NULL,
    -- Of an alert: its rule, and what repeated alerts have in common.
    rule TEXT NOT NULL,
    topic TEXT NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    ended_us INTEGER NOT NULL,
    -- Coordinator that is to send it.
    owner INTEGER NOT NULL,
    facts BLOB NOT NULL,
    failure BLOB,
    message TEXT
) STRICT;

-- Its last column is the id, which grows with time.
CREATE INDEX notices_by_run ON notices (run_id);
CREATE INDEX notices_by_topic ON notices (topic, created_us) WHERE topic != '';
CREATE INDEX notices_pending ON notices (due_us) WHERE state = 'pending';

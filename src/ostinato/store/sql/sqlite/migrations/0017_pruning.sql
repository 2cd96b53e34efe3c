-- Runs that are gone, and of which something is still to be deleted.
CREATE TABLE pruned_runs (
    run_id INTEGER PRIMARY KEY
) STRICT;

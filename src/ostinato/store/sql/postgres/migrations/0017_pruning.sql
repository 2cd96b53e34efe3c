-- Runs that are gone, and of which something is still to be deleted.
CREATE TABLE pruned_runs (
    run_id BIGINT PRIMARY KEY
);

-- Drop the partitions of the log of days that ended before a moment, and tell about how many events
-- were in them. Whoever reads or writes meanwhile is not kept waiting: then it is tried again.
CREATE FUNCTION drop_event_partitions(before_us BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    part RECORD;
    dropped BIGINT := 0;
    last_day DATE := (to_timestamp(before_us / 1000000.0) AT TIME ZONE 'UTC')::date - 1;
BEGIN
    SET LOCAL lock_timeout TO '1s';
    FOR part IN
        SELECT child.oid::regclass AS name, greatest(child.reltuples, 0)::bigint AS events
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_\d{8}$'
            AND to_date(right(child.relname, 8), 'YYYYMMDD') <= last_day
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %s', part.name);
        dropped := dropped + part.events + 1;
    END LOOP;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;

-- A run is found by its flow among the live ones or among those that have ended: thousands that are
-- created at one moment share few pages then, however many runs their flows have had.
CREATE INDEX runs_live ON runs (flow, id) WHERE state < 4;
CREATE INDEX runs_ended ON runs (flow, id, number, state) WHERE state >= 4;
CREATE INDEX runs_ended_by_date ON runs (flow, logical_date_us, id) WHERE state >= 4;
DROP INDEX runs_by_flow;
DROP INDEX runs_by_number;
DROP INDEX runs_by_logical_date;

-- Keys of schedules end with their moment: those of one moment stand together.
DROP INDEX runs_by_key;
CREATE UNIQUE INDEX runs_by_key ON runs (substr(logical_key, -20), project, flow, logical_key)
    WHERE logical_key IS NOT NULL;

-- Number of the newest run of each flow.
CREATE TABLE flow_numbers (
    flow TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO flow_numbers (flow, number) SELECT flow, max(number) FROM runs GROUP BY flow;

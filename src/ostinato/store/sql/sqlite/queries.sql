-- What only SQLite says, or says otherwise than ../*.sql.

-- name: check_pages
-- What SQLite finds unsound in the file; "ok" when all is well.
PRAGMA integrity_check

-- name: take_numbers
-- Number the next runs of flows, by a JSON list of flows with how many; the last number of each is
-- returned. Primary key.
INSERT INTO flow_numbers (flow, number)
SELECT json_extract(asked.value, '$[0]'), json_extract(asked.value, '$[1]')
FROM json_each(?) AS asked WHERE TRUE
ON CONFLICT (flow) DO UPDATE SET number = flow_numbers.number + excluded.number
RETURNING flow, number

-- name: among_known_runs
-- Runs that were asked for before, by a JSON list of projects, flows and keys. runs_by_key.
 FROM json_each(?) AS asked CROSS JOIN runs
    ON substr(runs.logical_key, -20) = substr(json_extract(asked.value, '$[2]'), -20)
    AND runs.project = json_extract(asked.value, '$[0]')
    AND runs.flow = json_extract(asked.value, '$[1]')
    AND runs.logical_key = json_extract(asked.value, '$[2]')

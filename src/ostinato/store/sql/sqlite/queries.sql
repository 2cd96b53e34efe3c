-- What only SQLite says, or says otherwise than ../*.sql.

-- name: check_pages
-- What SQLite finds unsound in the file; "ok" when all is well.
PRAGMA integrity_check

-- name: newest_numbers
-- Number of the newest run of each flow of a JSON list. runs_by_number.
SELECT asked.value, (SELECT coalesce(max(number), 0) FROM runs WHERE flow = asked.value)
FROM json_each(?) AS asked

-- name: among_known_runs
-- Runs that were asked for before, by a JSON list of projects, flows and keys. runs_by_key.
 FROM json_each(?) AS asked CROSS JOIN runs ON runs.project = json_extract(asked.value, '$[0]')
    AND runs.flow = json_extract(asked.value, '$[1]') AND runs.logical_key = json_extract(asked.value, '$[2]')

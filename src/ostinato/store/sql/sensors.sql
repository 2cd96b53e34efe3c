-- Statements on event sensors, their ticks, and messages that were received.

-- name: insert_sensor
-- Begin to keep a sensor; one that is known stays as it is. Primary key.
INSERT INTO sensors (
    project, name, is_paused, "cursor", number, ticked_us, succeeded_us, last_run_key, failures
) VALUES (?, ?, ?, ?, 0, 0, 0, '', 0) ON CONFLICT DO NOTHING

-- name: select_sensor
-- What is kept of a sensor; columns in the order of SensorState. Primary key.
SELECT
    project, name, is_paused, "cursor", number, ticked_us, succeeded_us, last_run_key, failures
FROM sensors WHERE project = ? AND name = ?

-- name: select_sensors
-- What is kept of all sensors of a project. Primary key.
SELECT
    project, name, is_paused, "cursor", number, ticked_us, succeeded_us, last_run_key, failures
FROM sensors WHERE project = ? ORDER BY name

-- name: update_sensor
-- Keep what a tick came to, unless another one has ended meanwhile. Primary key.
UPDATE sensors SET
    "cursor" = ?, number = number + 1, ticked_us = ?, succeeded_us = ?, last_run_key = ?,
    failures = ?
WHERE project = ? AND name = ? AND number = ?

-- name: pause_sensor
-- Pause or resume a sensor; resumed it has not failed. Primary key.
UPDATE sensors SET is_paused = ?, failures = 0, number = number + 1 WHERE project = ? AND name = ?

-- name: set_sensor_cursor
-- Have a sensor go on elsewhere. Primary key.
UPDATE sensors SET "cursor" = ?, failures = 0, number = number + 1 WHERE project = ? AND name = ?

-- name: move_sensor_cursor
-- A sensor has read on and found nothing, unless it was changed meanwhile. Primary key.
UPDATE sensors SET "cursor" = ? WHERE project = ? AND name = ? AND number = ?

-- name: repeat_sensor_tick
-- One more tick that skips for the same reason as the last one. Primary key.
UPDATE sensor_ticks SET ended_us = ?, times = times + 1
WHERE project = ? AND sensor = ? AND outcome = 'skipped' AND reason = ? AND output = ?
AND number = (SELECT max(number) FROM sensor_ticks WHERE project = ? AND sensor = ?)

-- name: insert_sensor_tick
-- Keep a tick; columns in the order of TickRow behind project and sensor.
INSERT INTO sensor_ticks (
    project, sensor, number, started_us, ended_us, times, outcome, reason, runs, known, run_ids,
    output
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: delete_sensor_ticks
-- Forget all ticks of a sensor but the newest. Primary key.
DELETE FROM sensor_ticks WHERE project = ? AND sensor = ? AND number <= (
    SELECT number FROM sensor_ticks WHERE project = ? AND sensor = ?
    ORDER BY number DESC LIMIT 1 OFFSET ?
)

-- name: select_sensor_ticks
-- Ticks of a sensor before a number, newest first; columns in the order of TickRow. Primary key.
SELECT number, started_us, ended_us, times, outcome, reason, runs, known, run_ids, output
FROM sensor_ticks WHERE project = ? AND sensor = ? AND number < ? ORDER BY number DESC LIMIT ?

-- name: insert_message
-- Keep a message until its runs are there; one that is known is kept once. received_messages_by_key.
INSERT INTO received_messages (project, source, message_id, received_us, body)
VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: select_messages
-- Messages of a source in the order of receipt; columns in the order of ReceivedMessage. received_messages_by_key.
SELECT id, project, source, message_id, received_us, body
FROM received_messages WHERE project = ? AND source = ? ORDER BY id LIMIT ?

-- name: delete_message
-- A message has started its runs. Primary key.
DELETE FROM received_messages WHERE id = ?

-- name: select_seen_files
-- Files of a source that have arrived and are still there. Primary key.
SELECT file FROM seen_files WHERE project = ? AND source = ?

-- name: insert_seen_file
-- A file has arrived. Primary key.
INSERT INTO seen_files (project, source, file) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: delete_seen_file
-- A file is gone. Primary key.
DELETE FROM seen_files WHERE project = ? AND source = ? AND file = ?

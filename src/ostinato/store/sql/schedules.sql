-- Statements on schedules and their ticks.

-- name: select_schedules
-- All of a project; columns in the order of ScheduleRow. Primary key.
SELECT name, schedule, is_paused, changed_by, since_us, last_tick_us, next_us, ticks
FROM schedules WHERE project = ? ORDER BY name

-- name: select_schedule
-- One of them. Primary key.
SELECT name, schedule, is_paused, changed_by, since_us, last_tick_us, next_us, ticks
FROM schedules WHERE project = ? AND name = ?

-- name: select_paused_schedules
-- The names of those that are paused. schedules_paused.
SELECT name FROM schedules WHERE project = ? AND is_paused = 1

-- name: upsert_schedule
-- How one stands; whether it is paused is not the scheduler's to say. Primary key.
INSERT INTO schedules (
    project, name, schedule, is_paused, changed_by, since_us, last_tick_us, next_us, ticks
) VALUES (?, ?, ?, 0, '', ?, ?, ?, ?)
ON CONFLICT (project, name) DO UPDATE
SET schedule = excluded.schedule, since_us = excluded.since_us,
    last_tick_us = excluded.last_tick_us, next_us = excluded.next_us, ticks = excluded.ticks

-- name: pause_schedule
-- Pause or resume one, also before a scheduler has seen it. Primary key.
INSERT INTO schedules (
    project, name, schedule, is_paused, changed_by, since_us, last_tick_us, next_us, ticks
) VALUES (?, ?, '', ?, ?, ?, 0, 0, 0)
ON CONFLICT (project, name) DO UPDATE
SET is_paused = excluded.is_paused, changed_by = excluded.changed_by,
    since_us = excluded.since_us
WHERE schedules.is_paused != excluded.is_paused

-- name: upsert_schedule_tick
-- A tick; it takes the place of the oldest. Primary key.
INSERT INTO schedule_ticks (
    project, name, slot, number, tick_us, at_us, outcome, run_id, reason
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (project, name, slot) DO UPDATE
SET number = excluded.number, tick_us = excluded.tick_us, at_us = excluded.at_us,
    outcome = excluded.outcome, run_id = excluded.run_id, reason = excluded.reason

-- name: select_schedule_ticks
-- The ticks of one schedule, newest first; columns of ScheduleTickRow. Primary key, then sorted.
SELECT name, number, tick_us, at_us, outcome, run_id, reason
FROM schedule_ticks WHERE project = ? AND name = ? ORDER BY number DESC LIMIT ?

-- What people call an index of a mapped task, by the task's own template.
ALTER TABLE task_runs ADD COLUMN map_name TEXT NOT NULL DEFAULT '';

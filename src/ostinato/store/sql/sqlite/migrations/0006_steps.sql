-- Steps of flows that are functions: task runs beneath the body, in the place of their call.

-- An encoded StepInfo; NULL for other task runs.
ALTER TABLE task_runs ADD COLUMN step BLOB;

-- What deferred task runs wait for, and what people answer them.

-- An encoded Deferral while it waits, the Resumption that its next attempt goes on with after.
ALTER TABLE task_runs ADD COLUMN wait BLOB;

-- Those that wait, of all runs: nothing else is deferred (4).
CREATE INDEX task_runs_waiting ON task_runs (run_id) WHERE state = 4;

-- Which task run a request is about, and what it brings as JSON; empty for the run itself.
ALTER TABLE requests ADD COLUMN task_id TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN payload BLOB NOT NULL DEFAULT x'';

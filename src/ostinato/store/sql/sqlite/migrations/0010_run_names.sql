-- What people call a run, by its flow's own template.
ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';

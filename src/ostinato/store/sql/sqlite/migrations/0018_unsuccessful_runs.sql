-- Runs of a flow that failed or were cancelled, among many that succeeded; a run enters it when it
-- ends so, and others cost nothing.
CREATE INDEX runs_unsuccessful ON runs (flow) WHERE state >= 5;

-- Runs of a flow in the order of the moments that they stand for: what was the run before?
CREATE INDEX runs_by_logical_date ON runs (flow, logical_date_us);

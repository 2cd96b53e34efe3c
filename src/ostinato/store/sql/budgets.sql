-- name: lock_budgets
-- Shut out other writers; the transaction does that already.
SELECT 0

-- name: select_shares
-- All shares of all budgets. Whole table, which is short.
SELECT budget, owner, granted, wanted, least, served_us, lost_us
FROM budget_shares ORDER BY budget, owner

-- name: upsert_share
-- Change what a coordinator may take of a budget. Primary key.
INSERT INTO budget_shares (budget, owner, granted, wanted, least, served_us, lost_us)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (budget, owner) DO UPDATE SET granted = excluded.granted, wanted = excluded.wanted,
    least = excluded.least, served_us = excluded.served_us, lost_us = excluded.lost_us

-- name: delete_share
-- Give a share back. Primary key.
DELETE FROM budget_shares WHERE budget = ? AND owner = ?

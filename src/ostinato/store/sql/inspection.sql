-- What is told of a store.

-- name: inspect_moments
-- When the oldest run was created, and the newest. Primary key.
SELECT
    coalesce((SELECT created_us FROM runs ORDER BY id LIMIT 1), 0),
    coalesce((SELECT created_us FROM runs ORDER BY id DESC LIMIT 1), 0)

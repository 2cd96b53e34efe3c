---
materialized: none
---
SELECT 1 / (count(*) = 2) FROM {{ ref("kept") }}

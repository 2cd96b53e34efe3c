---
materialized: incremental
unique_key: product
---
SELECT product, total FROM {{ ref("totals") }} WHERE total >= {{ params.least }}

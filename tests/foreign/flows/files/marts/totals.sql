---
materialized: view
---
SELECT product, sum(amount) AS total FROM {{ ref("orders") }} GROUP BY product

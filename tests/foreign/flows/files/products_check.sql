---
materialized: none
---
SELECT 1 / (count(*) = 2) FROM products WHERE total = 4

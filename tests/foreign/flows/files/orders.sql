SELECT 'tea' AS product, 3 AS amount, '{{ ds }}' AS day
UNION ALL
SELECT 'cake', 4, '{{ ds }}'
UNION ALL
SELECT 'tea', 1, '{{ ds }}'

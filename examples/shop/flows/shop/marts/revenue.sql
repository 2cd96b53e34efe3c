SELECT country, count(*) AS orders, sum(amount) AS revenue
FROM raw.orders
JOIN raw.customers USING (customer_id)
GROUP BY country

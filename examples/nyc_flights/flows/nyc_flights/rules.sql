---
materialized: none # its rows go to validate.py
---
-- Rules for the day's rows and the dimensions: how many rows break each one, and an example.
-- `error` stops the run before anything is built on the rows; `warning` is counted and reported.
with
    day_flights as (from flights where make_date(year, month, day) = date '{{ ds }}'),
    day_weather as (from weather where make_date(year, month, day) = date '{{ ds }}')

select 'error' as severity, 'flights: the day has flights' as rule, (count(*) = 0)::int as failures,
       '{{ ds }}' as example
from day_flights

union all
select 'error', 'flights: time_hour, origin, carrier and flight are given', count(*), min(concat_ws(' ', carrier, flight))
from day_flights where time_hour is null or origin is null or carrier is null or flight is null

union all
select 'error', 'flights: time_hour, origin, carrier and flight are unique', count(*), min(example)
from (
    select concat_ws(' ', time_hour, origin, carrier, flight) as example from day_flights
    group by time_hour, origin, carrier, flight having count(*) > 1
)

union all
select 'error', 'flights: the carrier is in airlines', count(*), min(carrier)
from day_flights anti join airlines using (carrier)

union all
select 'error', 'flights: the origin is in airports', count(*), min(origin)
from day_flights anti join airports on origin = faa

union all
select 'error', 'flights: the hour is 0 to 23, the minute 0 to 59', count(*), min(concat_ws(':', hour, minute))
from day_flights where not coalesce(hour between 0 and 23 and minute between 0 and 59, false)

union all
select 'error', 'flights: the distance is 1 to 6000 miles', count(*), min(distance)::varchar
from day_flights where not coalesce(distance between 1 and 6000, false)

union all
select 'error', 'flights: delays are -180 to 2880 minutes', count(*), min(concat_ws(' and ', dep_delay, arr_delay))
from day_flights where dep_delay not between -180 and 2880 or arr_delay not between -180 and 2880

union all
select 'error', 'weather: origin and time_hour are given', count(*), min(concat_ws(' ', origin, time_hour))
from day_weather where origin is null or time_hour is null

-- Not the local hour: it comes twice on the night when summer time ends.
union all
select 'error', 'weather: origin and time_hour are unique', count(*), min(example)
from (
    select concat_ws(' ', origin, time_hour) as example from day_weather
    group by origin, time_hour having count(*) > 1
)

union all
select 'error', 'weather: the hour is 0 to 23', count(*), min(hour)::varchar
from day_weather where not coalesce(hour between 0 and 23, false)

union all
select 'error', 'weather: the temperature is -40 to 130 F', count(*), min(temp)::varchar
from day_weather where temp not between -40 and 130

union all
select 'error', 'weather: the humidity is 0 to 100 percent', count(*), min(humid)::varchar
from day_weather where humid not between 0 and 100

union all
select 'error', 'planes: tailnum is given and unique', count(*) - count(distinct tailnum), mode(tailnum) from planes

union all
select 'error', 'airports: faa is given and unique', count(*) - count(distinct faa), mode(faa) from airports

union all
select 'error', 'airlines: carrier is given and unique', count(*) - count(distinct carrier), mode(carrier) from airlines

union all
select 'warning', 'planes missing from the register', count(distinct tailnum), min(tailnum)
from day_flights anti join planes using (tailnum) where tailnum is not null

union all
select 'warning', 'destinations missing from airports', count(distinct dest), min(dest)
from day_flights anti join airports on dest = faa

union all
select 'warning', 'flights without weather', count(*), min(concat_ws(' ', origin, time_hour))
from day_flights anti join day_weather using (origin, time_hour)

-- The source has 1,048 mph in Newark on 2013-02-12; transform.sql drops such readings.
union all
select 'warning', 'wind speeds over 150 mph', count(*), max(wind_speed)::varchar
from day_weather where wind_speed > 150

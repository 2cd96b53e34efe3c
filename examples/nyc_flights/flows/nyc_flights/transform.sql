---
dependencies: [validate]
---
-- The day's flights, cleaned, each with the weather of its hour at its origin.
delete from flights_clean where flight_date = date '{{ ds }}';

insert into flights_clean by name
with hourly_weather as (
    select origin, time_hour, temp, precip, visib,
           if(wind_speed <= 150, wind_speed, null) as wind_speed    -- more is a broken instrument
    from weather
)
select
    make_date(year, month, day)                            as flight_date,
    make_timestamp(year, month, day, hour, minute, 0)      as scheduled_departure,
    hour,
    carrier,
    airlines.name                                          as airline,
    flight,
    tailnum,
    origin,
    airports.name                                          as origin_name,
    dest,
    distance,
    air_time,
    case
        when dep_time is null then 'cancelled'
        when arr_delay is null then 'diverted'
        else 'flown'
    end                                                    as status,
    dep_delay,
    arr_delay,
    temp,
    wind_speed,
    precip,
    visib,
    -- What hinders most comes first.
    case
        when hourly_weather.origin is null then 'not observed'
        when precip > 0 and temp <= 34     then 'snow or ice'
        when precip > 0                    then 'rain'
        when visib < 5                     then 'low visibility'
        when wind_speed >= 20              then 'strong wind'
        else 'fair'
    end                                                    as weather
from flights
join airlines using (carrier)
join airports on airports.faa = origin
left join hourly_weather using (origin, time_hour)
where make_date(year, month, day) = date '{{ ds }}'
order by scheduled_departure, origin, carrier, flight;

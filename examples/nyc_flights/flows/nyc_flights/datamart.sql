---
dependencies: [transform]
---
-- The day's delays by carrier, airport, hour and weather, in four small marts.
-- The measures are written once: grouping sets make the rows of all four marts in one pass over the day.
-- Over several days add the sums and counts; a mean of the daily means would weigh all days alike.
create or replace temp table day_delays as
select
    flight_date, carrier, airline, origin, origin_name, hour, weather,
    case
        when grouping(carrier) = 0 then 'carrier'
        when grouping(origin) = 0  then 'airport'
        when grouping(hour) = 0    then 'hour'
        else 'weather'
    end                                                    as mart,
    count(*)                                               as flights,
    count(*) filter (status = 'cancelled')                 as cancelled,
    count(*) filter (status = 'diverted')                  as diverted,
    count(dep_delay)                                       as departed,
    count(arr_delay)                                       as arrived,
    count(*) filter (dep_delay >= 15)                      as departed_late,    -- 15 minutes, as the US DOT counts
    count(*) filter (arr_delay >= 15)                      as arrived_late,
    coalesce(sum(dep_delay), 0)::bigint                    as dep_delay_minutes,
    coalesce(sum(arr_delay), 0)::bigint                    as arr_delay_minutes,
    avg(dep_delay)                                         as mean_dep_delay,
    avg(arr_delay)                                         as mean_arr_delay
from flights_clean
where flight_date = date '{{ ds }}'
group by grouping sets (
    (flight_date, carrier, airline),
    (flight_date, origin, origin_name),
    (flight_date, hour),
    (flight_date, weather)
);

create or replace temp view day_by_carrier as
select * exclude (mart, origin, origin_name, hour, weather) from day_delays where mart = 'carrier' order by carrier;
create or replace temp view day_by_airport as
select * exclude (mart, carrier, airline, hour, weather) from day_delays where mart = 'airport' order by origin;
create or replace temp view day_by_hour as
select * exclude (mart, carrier, airline, origin, origin_name, weather) from day_delays where mart = 'hour' order by hour;
create or replace temp view day_by_weather as
select * exclude (mart, carrier, airline, origin, origin_name, hour) from day_delays where mart = 'weather' order by weather;

create table if not exists delays_by_carrier as from day_by_carrier limit 0;
create table if not exists delays_by_airport as from day_by_airport limit 0;
create table if not exists delays_by_hour    as from day_by_hour limit 0;
create table if not exists delays_by_weather as from day_by_weather limit 0;

delete from delays_by_carrier where flight_date = date '{{ ds }}';
delete from delays_by_airport where flight_date = date '{{ ds }}';
delete from delays_by_hour    where flight_date = date '{{ ds }}';
delete from delays_by_weather where flight_date = date '{{ ds }}';

insert into delays_by_carrier from day_by_carrier;
insert into delays_by_airport from day_by_airport;
insert into delays_by_hour    from day_by_hour;
insert into delays_by_weather from day_by_weather;

-- The warehouse: five tables as the source has them, and the cleaned flights. The marts are in datamart.sql.
-- Uniqueness is not declared but tested by rules.sql: DuckDB checks unique keys too early for
-- "delete the day, insert the day" in one transaction.

create table if not exists flights (
    year smallint, month smallint, day smallint,           -- local date of the scheduled departure
    dep_time smallint, sched_dep_time smallint, dep_delay smallint,   -- local times as HMM, delays in minutes
    arr_time smallint, sched_arr_time smallint, arr_delay smallint,
    carrier varchar, flight smallint, tailnum varchar,
    origin varchar, dest varchar,
    air_time smallint, distance smallint,                  -- minutes, miles
    hour smallint, minute smallint,                        -- of the scheduled departure, local
    time_hour timestamp                                    -- the same hour in UTC
);

create table if not exists weather (
    origin varchar,
    year smallint, month smallint, day smallint, hour smallint,       -- local
    temp double, dewp double, humid double,                -- Fahrenheit, Fahrenheit, percent
    wind_dir smallint, wind_speed double, wind_gust double,           -- degrees, mph, mph
    precip double, pressure double, visib double,          -- inches, millibars, miles
    time_hour timestamp                                    -- UTC
);

create table if not exists planes (
    tailnum varchar, year smallint, type varchar, manufacturer varchar, model varchar,
    engines smallint, seats smallint, speed smallint, engine varchar
);

create table if not exists airports (
    faa varchar, name varchar, lat double, lon double, alt integer, tz smallint, dst varchar, tzone varchar
);

create table if not exists airlines (carrier varchar, name varchar);

-- What was loaded last of each dimension, so that the same content is not loaded again.
create table if not exists dimension_versions (name varchar, digest varchar);

create table if not exists flights_clean (
    flight_date date,
    scheduled_departure timestamp,                         -- local
    hour smallint,
    carrier varchar, airline varchar, flight smallint, tailnum varchar,
    origin varchar, origin_name varchar, dest varchar,
    distance smallint, air_time smallint,
    status varchar,                                        -- flown, diverted or cancelled
    dep_delay smallint, arr_delay smallint,                -- minutes; negative is early
    temp double, wind_speed double, precip double, visib double,
    weather varchar                                        -- the hour at the origin, in one word
);

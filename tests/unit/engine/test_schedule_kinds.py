"""This module tests the kinds of schedules: rules, dates, intervals, several at once."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.timetable import check_schedule, data_interval, ticks_of
from ostinato.engine.timetable.zones import moment_of, us_of
from ostinato.errors import InvalidArgument
from ostinato.model.schedule import joined, parts_of

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # the parts are six at most


def following(schedule: str, after: datetime, number: int = 1, zone: str = "") -> list[datetime]:
    ticks, at_us, found = ticks_of(schedule, zone), us_of(after), []
    for _ in range(number):
        tick_us = ticks.next_us(at_us)
        if tick_us is None:
            break
        found.append(moment_of(tick_us))
        at_us = tick_us
    return found


def latest(schedule: str, at: datetime, zone: str = "") -> datetime | None:
    tick_us = ticks_of(schedule, zone).latest_us(us_of(at))
    return None if tick_us is None else moment_of(tick_us)


@pytest.mark.parametrize(
    "schedule",
    [
        "@daily",
        "0 6 * * MON-FRI",
        "CRON_TZ=Europe/Berlin 0 6 * * *",
        "every 300",
        "every 1.5 from 2025-01-01T00:00:00Z",
        "DTSTART;TZID=Europe/Berlin:20250101T060000 RRULE:FREQ=WEEKLY;BYDAY=MO",
        "FREQ=DAILY",
        "dates 2025-01-31T06:00:00Z 2025-02-28T06:00:00Z",
        "0 6 * * * | 30 18 * * SAT | every 3600",
        "timetable Workdays(country='DE | FR')",
    ],
)
def test_text_of_a_schedule_is_that_of_its_parts(schedule: str) -> None:
    assert joined(parts_of(schedule)) == schedule


def test_several_schedules_fire_once_where_they_meet() -> None:
    found = following("0 6 * * * | 0 18 * * SAT | 0 */6 * * SAT", utc(2025, 1, 3, 12), 6)

    assert found == [
        utc(2025, 1, 4, 0),
        utc(2025, 1, 4, 6),
        utc(2025, 1, 4, 12),
        utc(2025, 1, 4, 18),
        utc(2025, 1, 5, 6),
        utc(2025, 1, 6, 6),
    ]


def test_interval_hits_its_anchor() -> None:
    schedule = "every 86400 from 2025-01-01T06:30:00Z"

    assert following(schedule, utc(2025, 3, 1)) == [utc(2025, 3, 1, 6, 30)]
    assert latest(schedule, utc(2024, 12, 31, 7)) == utc(2024, 12, 31, 6, 30)


def test_interval_without_an_anchor_hits_the_start_of_its_flow() -> None:
    start_us = us_of(utc(2025, 1, 1, 6, 30))

    found = ticks_of("every 86400", "", start_us).next_us(us_of(utc(2025, 3, 1)))

    assert found == us_of(utc(2025, 3, 1, 6, 30))


def test_dates_fire_each_once() -> None:
    schedule = "dates 2025-02-28T06:00:00Z 2025-01-31T06:00:00+00:00 2025-01-31T07:00:00+01:00"

    assert following(schedule, utc(2025, 1, 1), 3) == [utc(2025, 1, 31, 6), utc(2025, 2, 28, 6)]
    assert latest(schedule, utc(2025, 1, 31, 5)) is None
    assert latest(schedule, utc(2025, 2, 1)) == utc(2025, 1, 31, 6)


def test_run_before_the_first_date_has_no_interval() -> None:
    at_us = us_of(utc(2025, 1, 1))

    assert data_interval("dates 2025-01-31T06:00:00Z", "", at_us) == (at_us, at_us)


def test_custom_timetable_has_no_interval_of_its_own() -> None:
    assert data_interval("timetable Workdays()", "", 7) == (7, 7)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("FREQ=DAILY;BYHOUR=6", [utc(2025, 1, 2, 6), utc(2025, 1, 3, 6)]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR", [utc(2025, 1, 31), utc(2025, 2, 28)]),
        (
            "DTSTART:20250101T060000Z RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE",
            [utc(2025, 1, 13, 6), utc(2025, 1, 15, 6)],
        ),
        ("DTSTART:20241231T000000 RRULE:FREQ=DAILY;COUNT=3", [utc(2025, 1, 2)]),
        ("DTSTART:20241231T000000 RRULE:FREQ=DAILY;UNTIL=20250102T000000Z", [utc(2025, 1, 2)]),
        (
            "DTSTART:20250101T000000 RRULE:FREQ=DAILY EXDATE:20250103T000000",
            [utc(2025, 1, 2), utc(2025, 1, 4)],
        ),
        ("RDATE:20250110T090000,20250111T090000", [utc(2025, 1, 10, 9), utc(2025, 1, 11, 9)]),
        ("FREQ=SECONDLY;INTERVAL=90", [utc(2025, 1, 1, 12, 1, 30), utc(2025, 1, 1, 12, 3)]),
    ],
)
def test_recurrence_rules(schedule: str, expected: list[datetime]) -> None:
    start = utc(2025, 1, 1, 12)

    assert following(schedule, start, 2) == expected
    assert latest(schedule, expected[-1]) == expected[-1]


def test_rule_is_meant_in_the_zone_that_it_names() -> None:
    schedule = "DTSTART;TZID=America/New_York:20250101T060000 RRULE:FREQ=DAILY"

    assert following(schedule, utc(2025, 7, 1), zone=BERLIN) == [utc(2025, 7, 1, 10)]


def test_end_of_a_rule_is_a_moment_of_its_zone() -> None:
    schedule = "DTSTART;TZID=Europe/Berlin:20250101T060000 RRULE:FREQ=DAILY;UNTIL=20250102T050000Z"

    assert following(schedule, utc(2025, 1, 1), 5) == [utc(2025, 1, 1, 5), utc(2025, 1, 2, 5)]


def test_rule_begins_with_the_start_of_its_flow() -> None:
    start_us = us_of(utc(2025, 1, 1, 6, 30))

    ticks = ticks_of("FREQ=DAILY;INTERVAL=3", "", start_us)

    assert ticks.next_us(start_us) == us_of(utc(2025, 1, 4, 6, 30))
    assert ticks.latest_us(start_us - 1) is None


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        # 02:30 does not exist: it is 03:30.
        ("DAILY;BYHOUR=2;BYMINUTE=30", [utc(2025, 3, 30, 1, 30), utc(2025, 3, 31, 0, 30)]),
        ("HOURLY", [utc(2025, 3, 30, 0), utc(2025, 3, 30, 1)]),
    ],
)
def test_rules_where_clocks_go_forward(frequency: str, expected: list[datetime]) -> None:
    schedule = f"DTSTART;TZID={BERLIN}:20250101T000000 RRULE:FREQ={frequency}"

    assert following(schedule, utc(2025, 3, 29, 23, 30), 2) == expected


def test_daily_rule_fires_once_and_hourly_ones_in_both_passings_where_clocks_go_back() -> None:
    start = f"DTSTART;TZID={BERLIN}:20250101T000000 RRULE:"
    midnight = utc(2025, 10, 25, 22)

    daily = following(f"{start}FREQ=DAILY;BYHOUR=2;BYMINUTE=30", midnight, 2)
    hourly = following(f"{start}FREQ=HOURLY", midnight, 4)

    assert daily == [utc(2025, 10, 26, 0, 30), utc(2025, 10, 27, 1, 30)]
    assert hourly == [midnight + timedelta(hours=hour) for hour in range(1, 5)]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("FREQ=DAYLY", "no recurrence rule"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is not above 0"),
        ("DTSTART:tomorrow RRULE:FREQ=DAILY", "does not match format"),
        ("FREQ=DAILY;COUNT=1000000", "COUNT is more than 100000"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("EXDATE:20250101T000000", "never fires"),
        ("dates 2025-02-30T00:00:00Z", "is no moment"),
        ("dates 2025-02-20T00:00:00", "is no moment"),
        ("every 300 from yesterday", "is no moment"),
        ("@daily | @once", "does not combine"),
        ("@daily |", "a part of it is empty"),
        ("CRON_TZ=Europe/Berln 0 6 * * *", "no time zone 'Europe/Berln'"),
    ],
)
def test_schedules_that_cannot_be_read(schedule: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        check_schedule(schedule)


RULES = (
    "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=MINUTELY;INTERVAL=45",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;BYHOUR=2,3",
    "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=1",
    "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU;BYHOUR=2;BYMINUTE=0,30",
)


@given(
    rule=st.sampled_from(RULES),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    minutes=st.integers(0, 2 * 365 * 24 * 60),
)
def test_next_and_latest_tick_of_a_rule_agree(rule: str, zone: str, minutes: int) -> None:
    ticks = ticks_of(f"DTSTART:20240101T000000 RRULE:{rule}", zone)
    at_us = us_of(datetime(2024, 2, 1, tzinfo=ZoneInfo(zone)) + timedelta(minutes=minutes))

    after_us = ticks.next_us(at_us)

    assert after_us is not None
    assert ticks.latest_us(after_us) == after_us
    before_us = ticks.latest_us(after_us - 1)
    assert before_us is None or (before_us <= at_us and ticks.next_us(before_us) == after_us)

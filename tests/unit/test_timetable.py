"""This module tests which data a moment of a schedule stands for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine.timetable import PRESETS, check_schedule, data_interval
from ostinato.errors import InvalidArgument

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # the parts are six at most


def interval(schedule: str, moment: datetime, zone: str = "UTC") -> tuple[datetime, datetime]:
    start, end = data_interval(schedule, zone, us(moment))
    return EPOCH + timedelta(microseconds=start), EPOCH + timedelta(microseconds=end)


def test_run_at_a_tick_covers_the_time_since_the_tick_before() -> None:
    assert interval("@daily", utc(2013, 1, 2)) == (utc(2013, 1, 1), utc(2013, 1, 2))


def test_run_between_ticks_has_the_interval_of_the_latest_tick() -> None:
    assert interval("@daily", utc(2013, 1, 2, 17, 3)) == (utc(2013, 1, 1), utc(2013, 1, 2))


def test_run_a_microsecond_before_a_tick_has_the_interval_of_the_tick_before() -> None:
    moment = utc(2013, 1, 2) - timedelta(microseconds=1)

    assert interval("@daily", moment) == (utc(2012, 12, 31), utc(2013, 1, 1))


def test_run_a_microsecond_after_a_tick_has_the_interval_of_that_tick() -> None:
    moment = utc(2013, 1, 2) + timedelta(microseconds=1)

    assert interval("@daily", moment) == (utc(2013, 1, 1), utc(2013, 1, 2))


@pytest.mark.parametrize(
    ("preset", "start", "end"),
    [
        ("@hourly", utc(2024, 2, 29, 11), utc(2024, 2, 29, 12)),
        ("@daily", utc(2024, 2, 28), utc(2024, 2, 29)),
        ("@midnight", utc(2024, 2, 28), utc(2024, 2, 29)),
        ("@weekly", utc(2024, 2, 18), utc(2024, 2, 25)),
        ("@monthly", utc(2024, 1, 1), utc(2024, 2, 1)),
        ("@quarterly", utc(2023, 10, 1), utc(2024, 1, 1)),
        ("@yearly", utc(2023, 1, 1), utc(2024, 1, 1)),
        ("@annually", utc(2023, 1, 1), utc(2024, 1, 1)),
    ],
)
def test_presets(preset: str, start: datetime, end: datetime) -> None:
    assert interval(preset, utc(2024, 2, 29, 12, 30)) == (start, end)


def test_day_of_a_zone_begins_at_its_own_midnight() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    day = datetime(2025, 7, 2, tzinfo=berlin)

    assert interval("@daily", day, "Europe/Berlin") == (day - timedelta(days=1), day)


def test_day_on_which_clocks_go_forward_has_23_hours() -> None:
    start, end = interval("@daily", utc(2025, 3, 30, 22), "Europe/Berlin")

    assert end - start == timedelta(hours=23)


def test_time_that_clocks_skip_fires_once_behind_the_gap() -> None:
    start, end = interval("30 2 * * *", utc(2025, 3, 30, 12), "Europe/Berlin")

    assert (start, end) == (utc(2025, 3, 29, 1, 30), utc(2025, 3, 30, 1, 0))


def test_time_that_clocks_repeat_fires_once_at_its_first_passing() -> None:
    second_passing = utc(2025, 10, 26, 1, 30)

    _, end = interval("30 2 * * *", second_passing, "Europe/Berlin")

    assert end == utc(2025, 10, 26, 0, 30)


def test_moment_in_the_repeated_hour_is_after_a_later_local_time_of_its_first_passing() -> None:
    half_past_two_again = utc(2025, 10, 26, 1, 30)

    _, end = interval("45 2 * * *", half_past_two_again, "Europe/Berlin")

    assert end == utc(2025, 10, 26, 0, 45)


def test_plain_interval_ends_at_the_logical_date() -> None:
    moment = utc(2025, 1, 1, 0, 7)

    assert interval("every 300", moment) == (moment - timedelta(minutes=5), moment)


@pytest.mark.parametrize("schedule", ["", "@once", "@continuous"])
def test_without_ticks_both_ends_are_the_logical_date(schedule: str) -> None:
    moment = utc(2025, 1, 1, 0, 7)

    assert interval(schedule, moment) == (moment, moment)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("@dayly", "presets are @hourly"),
        ("0 0 * *", "5 fields"),
        ("0 0 0 * * *", "5 fields"),
        ("61 0 * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("every day", "every <seconds>"),
        ("every 0", "every <seconds>"),
        ("every nan", "every <seconds>"),
    ],
)
def test_unreadable_schedule_is_refused(schedule: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        check_schedule(schedule)


def test_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'Europe/Berln'"):
        data_interval("@daily", "Europe/Berln", 0)


@given(
    schedule=st.sampled_from(
        [*PRESETS, "30 2 * * *", "*/15 * * * *", "0 */6 * * *", "0 1-3 * * MON", "5 2 31 * *"]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    minutes=st.integers(0, 3 * 365 * 24 * 60),
)
def test_no_tick_lies_between_the_ends_or_between_the_end_and_the_moment(
    schedule: str, zone: str, minutes: int
) -> None:
    moment = utc(2024, 1, 1) + timedelta(minutes=minutes)

    start, end = interval(schedule, moment, zone)

    assert start < end <= moment
    assert following(schedule, zone, start) == end
    assert following(schedule, zone, end) > moment


def following(schedule: str, zone: str, tick: datetime) -> datetime:
    expression = PRESETS.get(schedule, schedule)
    return next(CronSim(expression, tick.astimezone(ZoneInfo(zone)))).astimezone(UTC)

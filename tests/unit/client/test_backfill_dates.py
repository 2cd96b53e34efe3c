"""This module tests which dates a backfill has."""

from datetime import UTC, datetime

import pytest

from ostinato.client.backfill_dates import backfill_dates, parse_range_us
from ostinato.errors import UsageError
from ostinato.model.flow import FlowDefinition


def moments(
    schedule: str, first: str, last: str, *, zone: str = "UTC", every: str = ""
) -> list[str]:
    flow = FlowDefinition("etl", schedule=schedule)
    start_us, end_us = parse_range_us(first, last, zone)
    found = backfill_dates(flow, zone, start_us, end_us, every=every)
    return [
        datetime.fromtimestamp(each.date_us / 1e6, UTC).strftime("%m-%dT%H:%M") for each in found
    ]


def test_moments_of_the_schedule_both_ends_included() -> None:
    assert moments("@daily", "2025-01-30", "2025-02-01") == [
        "01-30T00:00",
        "01-31T00:00",
        "02-01T00:00",
    ]
    assert moments("0 6 * * *", "2025-01-30", "2025-01-31") == ["01-30T06:00", "01-31T06:00"]


def test_the_last_day_is_meant_whole_and_the_last_moment_itself() -> None:
    assert moments("@hourly", "2025-01-30T21:00", "2025-01-30") == [
        "01-30T21:00",
        "01-30T22:00",
        "01-30T23:00",
    ]
    assert moments("@hourly", "2025-01-30T21:00", "2025-01-30T22:00") == [
        "01-30T21:00",
        "01-30T22:00",
    ]


def test_days_are_those_of_the_zone() -> None:
    # Berlin changes its clocks on 30 March.
    found = moments("@daily", "2025-03-30", "2025-03-31", zone="Europe/Berlin")

    assert found == ["03-29T23:00", "03-30T22:00"]


def test_every_stands_for_the_schedule() -> None:
    assert moments("", "2025-01-01", "2025-02-28", every="month") == ["01-01T00:00", "02-01T00:00"]
    assert moments("@daily", "2025-01-01", "2025-01-01", every="0 */12 * * *") == [
        "01-01T00:00",
        "01-01T12:00",
    ]


def test_interval_ends_at_the_date() -> None:
    flow = FlowDefinition("etl", schedule="@daily")
    start_us, end_us = parse_range_us("2025-01-31", "2025-01-31", "")

    (date,) = backfill_dates(flow, "UTC", start_us, end_us)

    assert date.interval_end_us == date.date_us
    assert date.interval_end_us - date.interval_start_us == 24 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("schedule", "last", "every", "message"),
    [
        ("", "2025-01-31", "", "names no moments"),
        ("@once", "2025-01-31", "", "such as --every day"),
        ("@daily", "2025-01-31", "fortnight", "--every: 'fortnight' is no schedule"),
        ("@daily", "2024-12-31", "", "ends before it begins"),
        ("@daily", "tomorrow", "", "is no date"),
        ("@yearly", "2025-01-31", "", "the next one is 2026-01-01"),
        ("every 1", "2025-02-02", "", "more than 100,000 dates"),
    ],
)
def test_what_has_no_dates_is_refused(schedule: str, last: str, every: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        moments(schedule, "2025-01-02", last, every=every)

    assert message in str(caught.value)


def test_airflows_reading_names_the_begin_of_the_interval() -> None:
    flow = FlowDefinition("etl", schedule="@daily", schedule_reading="interval_start")
    start_us, end_us = parse_range_us("2025-01-31", "2025-01-31", "")

    (date,) = backfill_dates(flow, "UTC", start_us, end_us)

    assert date.date_us == date.interval_start_us == start_us
    assert date.interval_end_us == end_us


def test_dates_before_the_start_of_a_flow_are_left_out() -> None:
    start_us, end_us = parse_range_us("2025-01-30", "2025-02-01", "")
    last_us, _ = parse_range_us("2025-02-01", "2025-02-01", "")
    flow = FlowDefinition("etl", schedule="@daily", start_at_us=last_us)

    own = backfill_dates(flow, "UTC", start_us, end_us)
    every = backfill_dates(flow, "UTC", start_us, end_us, every="day")

    assert ([date.date_us for date in own], len(every)) == ([last_us], 3)


def test_schedule_that_has_ended_has_no_dates() -> None:
    start_us, end_us = parse_range_us("2025-01-30", "2025-02-01", "")
    flow = FlowDefinition("etl", schedule="@daily", end_at_us=start_us - 1)

    with pytest.raises(UsageError, match="there are none after it either"):
        backfill_dates(flow, "UTC", start_us, end_us)

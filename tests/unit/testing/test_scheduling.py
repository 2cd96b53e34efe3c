"""This module tests that a week of a schedule passes in no time."""

from datetime import UTC, datetime, timedelta

import pytest

from ostinato import dag, flow, get_current_context, task, testing
from ostinato.errors import InvalidArgument, UsageError
from ostinato.schedules import Timetable

MONDAY = datetime(2025, 3, 24)  # noqa: DTZ001 - in the flow's zone, as users write it


def test_moments_of_a_week_are_those_of_its_zone() -> None:
    @dag(schedule="30 2 * * *", timezone="Europe/Berlin")
    def nightly() -> None: ...

    found = testing.moments(nightly(), MONDAY, timedelta(days=8))

    assert [f"{each.at:%a %H:%M %z}" for each in found[-3:]] == [
        "Sat 02:30 +0100",
        "Sun 03:00 +0200",
        "Mon 02:30 +0200",
    ]
    assert found[1].data_interval_start == found[0].at


def test_flow_runs_at_each_moment_and_sees_its_dates_and_the_runs_before() -> None:
    @task(retries=1, retry_delay="5m")
    def note() -> str:
        context = get_current_context()
        if context.attempt == 1:
            raise ValueError("not yet")
        start, end = context.data_interval_start, context.data_interval_end
        return f"{context.logical_date:%d}: {start:%d} to {end:%d}"

    @dag(schedule="@daily", schedule_params={"region": "eu"}, schedule_reading="interval_start")
    def etl(region: str = "") -> None:
        note()

    runs = testing.run_schedule(etl(), MONDAY, timedelta(days=7))

    assert [run.result("note") for run in runs[:2]] == ["24: 24 to 25", "25: 25 to 26"]
    assert len(runs) == 7
    assert runs[0].starts_of("note") == [
        datetime(2025, 3, 25, tzinfo=UTC),
        datetime(2025, 3, 25, 0, 5, tzinfo=UTC),
    ]


def test_flow_that_is_a_function_runs_by_its_schedule() -> None:
    seen: list[int] = []

    @flow(schedule=timedelta(hours=6), jitter="1h")
    def report(rows: int = 1) -> None:
        seen.append(rows)

    testing.run_schedule(report, MONDAY, timedelta(days=1), params={"rows": 2})

    assert seen == [2, 2, 2, 2]


class EveryOtherDay(Timetable):
    def next(self, after: datetime) -> datetime:
        day = after.replace(hour=6, minute=0) + timedelta(days=1)
        return day if day.day % 2 else day + timedelta(days=1)


def test_timetable_of_a_user_is_asked() -> None:
    @dag(schedule=EveryOtherDay())
    def etl() -> None: ...

    found = testing.moments(etl(), MONDAY, timedelta(days=7))

    assert [each.at.day for each in found] == [25, 27, 29]
    assert [each.data_interval_start.day for each in found[1:]] == [25, 27]


@pytest.mark.slow
def test_schedules_that_cannot_be_looked_at() -> None:
    @dag(schedule=timedelta(milliseconds=1))
    def often() -> None: ...

    @dag(schedule="@once")
    def once() -> None: ...

    with pytest.raises(UsageError, match="more than 100000 times"):
        testing.moments(often(), MONDAY, timedelta(days=7))
    with pytest.raises(InvalidArgument, match="no moments of its own"):
        testing.moments(once(), MONDAY, timedelta(days=7))

"""This module tests sensors that wait for a moment."""

import time as seconds
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ostinato import (
    DAG,
    DateTimeSensor,
    DayOfWeekSensor,
    Defer,
    Sensor,
    TimeDeltaSensor,
    TimeSensor,
    WeekDay,
    testing,
)
from ostinato.authoring.operators.moment_sensors import MomentSensor
from ostinato.errors import InvalidArgument
from tests.unit.authoring.fakes import FakeContext

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
#: A Monday.
START = datetime(2025, 1, 6, 10, tzinfo=UTC)


def waiting(sensor_class: type[Sensor], *, date: str | None = None, **options: Any) -> Any:
    """Run one sensor from the start on; return its state and how long it took."""
    with DAG("flow", timezone="Europe/Amsterdam", schedule="@daily") as flow:
        sensor_class(task_id="wait", **options)
    run = testing.run(flow, start=START, date=date)
    assert run.order.count("wait") == (2 if run.duration else 1)
    return run.states["wait"], run.duration


@pytest.mark.parametrize(
    ("target", "hours"),
    [
        (time(11, 30), 0.5),
        (time(11), 0),
        (time(6), 0),
        (time(11, 30, tzinfo=UTC), 1.5),
    ],
)
def test_time_of_the_day_is_waited_for(target: time, hours: float) -> None:
    assert waiting(TimeSensor, target_time=target) == ("succeeded", timedelta(hours=hours))


def test_time_stays_on_the_day_on_which_the_sensor_started() -> None:
    sensor = TimeSensor(task_id="late", target_time=time(23, 59))
    context = FakeContext(now=START + timedelta(days=1), first_started_at=START, logical_date=START)

    sensor.execute(context)

    assert sensor.moment(context) == datetime(2025, 1, 6, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(("delta", "hours"), [("13h", 2), (timedelta(days=1), 13), (3600, 0)])
def test_time_after_the_interval_is_waited_for(delta: Any, hours: float) -> None:
    # The interval ended at midnight in Amsterdam, 11 hours ago.
    assert waiting(TimeDeltaSensor, delta=delta) == ("succeeded", timedelta(hours=hours))


@pytest.mark.parametrize(
    ("target", "hours"),
    [
        ("2025-01-06T11:15", 0.25),
        (datetime(2025, 1, 6, 12, tzinfo=UTC), 2),
        ("{{ data_interval_end.replace(hour=12).isoformat() }}", 1),
        ("2024-12-31", 0),
    ],
)
def test_moment_is_waited_for(target: Any, hours: float) -> None:
    assert waiting(DateTimeSensor, target_time=target) == ("succeeded", timedelta(hours=hours))


@pytest.mark.parametrize(
    ("options", "hours"),
    [
        ({"week_day": "monday"}, 0),
        ({"week_day": WeekDay.TUESDAY}, 13),
        ({"week_day": ["Sun", "Wed"]}, 13 + 24),
        ({"week_day": "sunday", "use_task_logical_date": True, "date": "2025-01-04"}, 0),
        ({"week_day": "tuesday", "use_task_logical_date": True, "date": "2025-01-01"}, 13),
    ],
)
def test_day_of_the_week_is_waited_for(options: Any, hours: float) -> None:
    assert waiting(DayOfWeekSensor, **options) == ("succeeded", timedelta(hours=hours))


def test_local_day_begins_at_local_midnight_where_clocks_change() -> None:
    start = datetime(2025, 3, 29, 12, tzinfo=AMSTERDAM)
    context = FakeContext(now=start, first_started_at=start, logical_date=start)

    monday = DayOfWeekSensor(task_id="a", week_day="mon").moment(context)

    assert monday.astimezone(UTC) == datetime(2025, 3, 30, 22, tzinfo=UTC)


def test_moment_beyond_the_timeout_is_not_waited_for() -> None:
    far = {"target_time": "2026-01-01", "timeout": "2h"}

    assert waiting(DateTimeSensor, **far) == ("failed", timedelta(hours=2))
    assert waiting(DateTimeSensor, **far, soft_fail=True) == ("skipped", timedelta(hours=2))


def test_sensor_may_wait_inside_of_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext(now=START, first_started_at=START, logical_date=START)
    slept: list[float] = []

    def sleep(duration: float) -> None:
        slept.append(duration)
        context.now += timedelta(seconds=duration)

    monkeypatch.setattr(seconds, "sleep", sleep)
    sensor = DateTimeSensor(task_id="a", target_time=START + timedelta(seconds=90), mode="poke")

    sensor.execute(context)

    assert slept == [90]


def test_sensor_that_says_no_moment_is_unfinished() -> None:
    with pytest.raises(NotImplementedError):
        MomentSensor(task_id="a").execute(FakeContext())
    with pytest.raises(Defer):
        TimeSensor(task_id="a", target_time=time(23)).execute(FakeContext())


@pytest.mark.parametrize(
    ("sensor_class", "options", "message"),
    [
        (TimeSensor, {"target_time": "6:30"}, "'a': target_time is '6:30'; write "),
        (TimeDeltaSensor, {"delta": "soon"}, "'a': delta: 'soon' is no duration"),
        (DateTimeSensor, {"target_time": "soon"}, r"'soon' is no moment \(such as 2025-01-31T"),
        (DateTimeSensor, {"target_time": 5}, "target_time is 5, neither a datetime nor text"),
        (DayOfWeekSensor, {"week_day": "day"}, "week_day: 'day' is no day of the week"),
    ],
)
def test_wrong_argument_is_told_with_its_line(
    sensor_class: Any, options: Any, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_moment_sensors\.py:\d+: .*{message}"):
        sensor_class(task_id="a", **options)

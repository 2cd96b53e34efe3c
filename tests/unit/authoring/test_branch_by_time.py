"""This module tests branches and passes that look at the clock."""

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ostinato import (
    DAG,
    BranchDateTimeOperator,
    BranchDayOfWeekOperator,
    EmptyOperator,
    LatestOnlyOperator,
    TaskGroup,
    WeekDay,
    testing,
)
from ostinato.errors import InvalidArgument, UnknownTask
from tests.unit.authoring.fakes import FakeContext

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NAIVE = datetime(2025, 1, 6, 9)  # noqa: DTZ001 - a bound without a zone is read in the flow's


def at(hour: int, minute: int = 0, *, day: int = 6) -> datetime:
    """A moment of the first full week of 2025, of which the 6th is a Monday."""
    return datetime(2025, 1, day, hour, minute, tzinfo=AMSTERDAM)


def window(lower: Any = None, upper: Any = None, **options: Any) -> BranchDateTimeOperator:
    return BranchDateTimeOperator(
        task_id="when",
        follow_task_ids_if_true="inside",
        follow_task_ids_if_false="outside",
        target_lower=lower,
        target_upper=upper,
        **options,
    )


def is_inside(operator: BranchDateTimeOperator, moment: datetime) -> bool:
    context = FakeContext(now=moment.astimezone(UTC), logical_date=at(0))
    return operator.execute(context) == ["inside"]


@pytest.mark.parametrize(
    ("lower", "upper", "moment", "expected"),
    [
        (time(8), time(10), at(9), True),
        (time(8), time(10), at(10), True),
        (time(8), time(10), at(10, 1), False),
        (time(8), None, at(7, 59), False),
        (None, time(8), at(7, 59), True),
        # Over midnight.
        (time(22), time(6), at(23), True),
        (time(22), time(6), at(3), True),
        (time(22), time(6), at(12), False),
        # Of days.
        (NAIVE, None, at(9), True),
        (NAIVE, NAIVE.replace(hour=23), at(9, day=7), False),
        (datetime(2025, 1, 6, 8, tzinfo=UTC), None, at(9), True),
        (datetime(2025, 1, 6, 8, 1, tzinfo=UTC), None, at(9), False),
        # In another zone than the flow's.
        (time(8, tzinfo=UTC), time(8, 30, tzinfo=UTC), at(9), True),
        (time(9, tzinfo=UTC), None, at(9), False),
    ],
)
def test_window_of_time_has_an_inside_and_an_outside(
    lower: Any, upper: Any, moment: datetime, expected: bool
) -> None:
    assert is_inside(window(lower, upper), moment) is expected


def test_bound_in_a_repeated_hour_means_its_moment() -> None:
    second = datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=AMSTERDAM)

    assert not is_inside(window(second), second.replace(fold=0, minute=45))
    assert is_inside(window(second), second.replace(minute=45))


def test_logical_date_may_decide_instead_of_the_clock() -> None:
    operator = window(time(8), time(10), use_task_logical_date=True)

    assert operator.execute(FakeContext(now=at(12), logical_date=at(9))) == ["inside"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'when': it needs target_lower, target_upper or both"),
        ({"lower": "8:00"}, "'when': target_lower is '8:00', neither a datetime nor a time"),
        ({"upper": 8}, "'when': target_upper is 8, neither a datetime nor a time"),
    ],
)
def test_window_that_is_none_is_told_with_its_line(options: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"test_branch_by_time\.py:\d+: {message}"):
        window(**options)


def days(*week_day: Any, **options: Any) -> BranchDayOfWeekOperator:
    return BranchDayOfWeekOperator(
        task_id="day",
        follow_task_ids_if_true=["a", "b"],
        follow_task_ids_if_false=[],
        week_day=week_day[0] if len(week_day) == 1 else week_day,
        **options,
    )


@pytest.mark.parametrize("named", ["monday", "Mon", WeekDay.MONDAY, {"Sunday", "MONDAY"}])
def test_day_of_the_week_chooses(named: Any) -> None:
    assert days(named).execute(FakeContext(now=at(9))) == ["a", "b"]
    assert days(named).execute(FakeContext(now=at(9, day=7))) == []
    assert days(named, use_task_logical_date=True).execute(
        FakeContext(now=at(9, day=7), logical_date=at(9))
    ) == ["a", "b"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("Mnday", r"'Mnday' is no day of the week \(did you mean 'monday'\?\)"),
        (1, "1 is no day of the week"),
        ([], "no day of the week is named"),
        (None, "None is no day of the week"),
    ],
)
def test_day_that_is_none_is_told_with_its_line(wrong: Any, message: str) -> None:
    with pytest.raises(
        InvalidArgument, match=rf"test_branch_by_time\.py:\d+: 'day': week_day: {message}"
    ):
        days(wrong)


def test_way_that_is_not_behind_the_branch_is_told_with_the_flow() -> None:
    with DAG("flow") as flow, TaskGroup("group"):
        branch = window(time(8))
        branch >> EmptyOperator(task_id="inside")
        EmptyOperator(task_id="outside")

    with pytest.raises(
        UnknownTask, match=r"'group.when' may choose 'group.outside', which is not directly behind"
    ):
        _ = flow.definition


def test_way_that_does_not_exist_is_told_with_the_flow() -> None:
    with DAG("flow") as flow:
        window(time(8)) >> [EmptyOperator(task_id="inside"), EmptyOperator(task_id="outsides")]

    with pytest.raises(UnknownTask, match=r"py:\d+: 'when' chose 'outside'.*mean 'outsides'"):
        _ = flow.definition


def test_ways_must_be_ids() -> None:
    with pytest.raises(InvalidArgument, match="follow_task_ids_if_false is 5, neither an id nor"):
        BranchDateTimeOperator(
            task_id="when",
            follow_task_ids_if_true="a",
            follow_task_ids_if_false=5,  # type: ignore[arg-type]  # what is tested
            target_lower=time(8),
        )


def test_way_may_be_a_group() -> None:
    with DAG("flow") as flow:
        branch = window(time(8), time(10))
        with TaskGroup("inside") as inside:
            EmptyOperator(task_id="one")
        branch >> [inside, EmptyOperator(task_id="outside")]

    run = testing.run(flow, start=datetime(2025, 1, 6, 9, tzinfo=UTC))

    assert run.states == {"when": "succeeded", "inside.one": "succeeded", "outside": "skipped"}


# Latest only


def newest(schedule: str | None) -> DAG:
    with DAG("flow", schedule=schedule) as flow:
        direct = EmptyOperator(task_id="direct")
        LatestOnlyOperator(task_id="latest") >> direct
        direct >> EmptyOperator(task_id="far", trigger_rule="all_done")
    return flow


@pytest.mark.parametrize(
    ("schedule", "date", "expected"),
    [
        ("@daily", "2025-01-09", "skipped"),
        ("@daily", "2025-01-10", "succeeded"),
        ("@daily", None, "succeeded"),
        ("@daily", "2025-02-01", "succeeded"),
        (None, "2020-01-01", "succeeded"),
        ("@once", "2020-01-01", "succeeded"),
        ("every 3600", "2025-01-10 10:59", "skipped"),
        ("every 3600", "2025-01-10 11:01", "succeeded"),
    ],
)
def test_only_the_newest_run_of_a_schedule_goes_on(
    schedule: str | None, date: str | None, expected: str
) -> None:
    run = testing.run(newest(schedule), date=date, start=datetime(2025, 1, 10, 12, tzinfo=UTC))

    assert run.states == {"latest": "succeeded", "direct": expected, "far": "succeeded"}


def test_run_that_somebody_asked_for_passes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))

    run = newest("@daily").run(date="2020-01-01", executor="inline")

    assert {view.task_id: view.state for view in run.task_runs}["direct"] == "succeeded"

"""This module tests how schedules are read."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.authoring.schedule_checks import cron_problem
from ostinato.authoring.schedules import PRESETS, schedule_text
from ostinato.engine.timetable import check_schedule
from ostinato.errors import InvalidArgument


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (None, ""),
        ("@daily", "@daily"),
        ("@once", "@once"),
        ("@continuous", "@continuous"),
        (timedelta(minutes=5), "every 300"),
        (timedelta(milliseconds=1500), "every 1.5"),
        ("every 60", "every 60"),
        (" 0  2 * * * ", "0 2 * * *"),
        ("*/5 0-6,22 1,15 jan-mar MON-FRI", "*/5 0-6,22 1,15 jan-mar MON-FRI"),
        ("0 0 L * *", "0 0 L * *"),
        ("0 0 * * 1#2", "0 0 * * 1#2"),
        ("0 0 * * FRI-MON", "0 0 * * FRI-MON"),
        ("5/15 * * * 7", "5/15 * * * 7"),
    ],
)
def test_schedule_is_kept_as_text(schedule: Any, text: str) -> None:
    assert schedule_text(schedule) == text


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("* * * *", "it has 4 fields instead of 5: minute hour day month weekday"),
        ("0 24 * * *", "hour 24 is not from 0 to 23"),
        ("0 0 0 * *", "day 0 is not from 1 to 31"),
        ("0 0 * 13 *", "month 13 is not from 1 to 12"),
        ("0 0 * * 8", "weekday 8 is not from 0 to 7"),
        ("0 0 * * MOM", "weekday 'MOM' is no number (did you mean 'MON'?)"),
        ("0 0 * x *", "month 'x' is no number"),
        ("*/0 * * * *", "the step of minute '*/0' is no number above 0"),
        ("9-5 * * * *", "minute '9-5' ends before it begins"),
        ("1- * * * *", "minute '1-' cannot be read"),
        ("*-5 * * * *", "minute '*-5' cannot be read"),
        ("0,,5 * * * *", "minute '' cannot be read"),
        ("daily", "it has 1 fields instead of 5"),
        ("@midnigt", "is unknown (did you mean '@midnight'?)"),
        ("@x", "presets are @once"),
        ("every day", "write 'every <seconds>'"),
        ("every -5", "schedule of -5 seconds never fires"),
        (timedelta(0), "schedule of 0 seconds never fires"),
        (5, "neither a cron expression, a preset nor a timedelta"),
    ],
)
def test_wrong_schedule_is_told_with_its_reason(schedule: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        schedule_text(schedule)

    assert reason in str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_those_of_the_timetable(preset: str) -> None:
    check_schedule(schedule_text(preset))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low - 1, high + 1)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(st.just("*"), st.integers(0, 40)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.lists(part, min_size=1, max_size=2).map(",".join)


@given(st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)))
def test_what_the_timetable_can_read_is_accepted_and_the_rest_refused(
    fields: tuple[str, ...],
) -> None:
    expression = " ".join(fields)

    try:
        check_schedule(expression)
    except InvalidArgument as error:
        is_read = "never fires" in str(error)
    else:
        is_read = True

    if is_read:
        assert cron_problem(expression) == ""

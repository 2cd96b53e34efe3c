"""This module tests how states, times and failures are written."""

from pathlib import Path

import pytest

from ostinato.cli import display
from ostinato.model.failure import Failure, FailureKind, StackFrame
from ostinato.model.state import RunState, TaskRunState


def test_every_state_has_a_look() -> None:
    for state in (*RunState, *TaskRunState):
        assert len(display.icon(state)) == 1
        assert display.colour(state)


def test_states_that_need_a_look_differ_in_more_than_colour() -> None:
    states = [state for state in TaskRunState if state is not TaskRunState.REMOVED]

    assert len({display.icon(state) for state in states}) == len(states)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 ms"),
        (-1, "0.0 ms"),
        (0.00994, "9.9 ms"),
        (0.00996, "10 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 m 00 s"),
        (3599, "59 m 59 s"),
        (3600, "1 h 00 m"),
        (90061, "25 h 01 m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 * 1024**3, "3.0 GiB"),
        (1024**4, "1.0 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert display.size(size) == text


def test_moments_that_have_not_come_are_empty() -> None:
    assert display.moment(0) == ""
    assert display.iso(0) is None
    assert display.between(0, 5) == ""
    assert display.between(5, 0) == ""


def test_moments_for_machines_are_in_utc() -> None:
    assert display.iso(1_500_000) == "1970-01-01T00:00:01.500000+00:00"


FAILURE = Failure(
    FailureKind.ERROR,
    "ValueError",
    "no\nmore",
    frames=(StackFrame("/a.py", 1, "outer", "inner()"), StackFrame("/b.py", 2, "inner", "raise")),
    cause=Failure(FailureKind.ERROR, "KeyError", ""),
    notes=("look here",),
)


def test_moment_on_another_day_has_a_date() -> None:
    day_us = 24 * 3600 * 1_000_000

    assert len(display.coming(3 * day_us, 3 * day_us)) == len("12:00:00")
    assert display.coming(5 * day_us, 3 * day_us) == display.moment(5 * day_us)


def test_failure_in_one_line_is_at_the_innermost_frame() -> None:
    assert display.error_line(FAILURE) == "/b.py:2: ValueError: no"
    assert display.error_line(Failure(FailureKind.LOST, "Lost", "gone")) == "Lost: gone"


def test_failure_in_lines() -> None:
    assert display.error_block(FAILURE) == [
        "ValueError: no",
        "more",
        "note: look here",
        "  /b.py:2 in inner",
        "      raise",
        "caused by",
        "  KeyError",
    ]


def test_cause_that_says_nothing_more_is_left_out() -> None:
    kind = FailureKind.ERROR
    last = Failure(kind, "OSError", "no route")
    between = Failure(kind, "httpx.ConnectError", "refused", cause=last)
    failure = Failure(kind, "ostinato.errors.ExecutionError", "GET /x: refused", cause=between)

    assert display.error_block(failure) == [
        "ExecutionError: GET /x: refused",
        "caused by",
        "  OSError: no route",
    ]


def test_all_frames_are_shown_when_asked_for() -> None:
    assert "  /a.py:1 in outer" in display.error_block(FAILURE, frames=0)


def test_files_are_written_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert display.short_file(str(tmp_path / "flows" / "etl.py")) == "flows/etl.py"
    assert display.short_file("/elsewhere/etl.py") == "/elsewhere/etl.py"


def test_columns_are_aligned() -> None:
    assert display.columns([["a", "bb", "c"], ["aaa", "b", ""]]) == ["a    bb  c", "aaa  b"]
    assert display.columns([]) == []

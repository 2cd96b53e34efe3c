"""``ostinato dev`` prints what people want to know, once, and no more than they can read."""

import sys
from collections.abc import Iterator

import pytest

from ostinato.cli.dev_view import MAX_LINES, MAX_PROBLEMS, DevView
from ostinato.coordinator.run_news import RunNews
from ostinato.executors.served_code import CodeChange
from ostinato.model.identity import RunId
from ostinato.model.manifest import DefinitionProblem
from ostinato.model.state import RunState
from ostinato.store.records import RunRow

NOON_US = 1_700_000_000_000_000


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def row(number: int = 1) -> RunRow:
    return RunRow(
        id=RunId(number),
        number=number,
        project="shop",
        flow="etl",
        manifest_version="v",
        params=b"{}",
        trigger="schedule",
        home="service",
        logical_key=None,
        logical_date_us=0,
        interval_start_us=0,
        interval_end_us=0,
        partition="",
        tags=(),
        target="",
        code="",
        state=RunState.QUEUED,
        reason="",
        created_us=0,
        started_us=0,
        ended_us=0,
        owner=0,
        generation=0,
    )


def shown(view: DevView, capsys: pytest.CaptureFixture[str], *news: RunNews) -> list[str]:
    """Return what is printed of runs once the view ends."""
    for each in news:
        view.tell(each)
    view.stop()
    view.serve()
    return capsys.readouterr().out.splitlines()


def test_runs_are_shown_as_they_start_go_on_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    end_us = NOON_US + 3_100_000
    lines = shown(
        DevView(),
        capsys,
        RunNews(row(), RunState.RUNNING, NOON_US),
        RunNews(row(), RunState.RUNNING, NOON_US, NOON_US - 1),
        RunNews(row(), RunState.SUCCEEDED, end_us, NOON_US),
        RunNews(row(2), RunState.FAILED, end_us, NOON_US, "task 'load' failed"),
        RunNews(row(3), RunState.CANCELLED, end_us, 0, "cancelled by ann"),
    )

    assert lines == [
        "22:13:20 ◐ etl#1 started (schedule)",
        "22:13:20 ◐ etl#1 goes on",
        "22:13:23 ✔ etl#1 succeeded in 3.1 s",
        "22:13:23 ✖ etl#2 failed in 3.1 s: task 'load' failed  (ostinato show etl#2)",
        "22:13:23 ⊗ etl#3 cancelled: cancelled by ann  (ostinato show etl#3)",
    ]


def test_of_very_many_runs_the_others_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    ended = [RunNews(row(n), RunState.SUCCEEDED, NOON_US, NOON_US) for n in range(MAX_LINES + 7)]

    lines = shown(DevView(), capsys, *ended)

    assert len(lines) == MAX_LINES + 1
    assert lines[-1].strip() == "… and 7 more that ended (ostinato runs)"


def problem(number: int) -> DefinitionProblem:
    return DefinitionProblem("load", "SyntaxError: invalid syntax", "flows/etl.py", number)


def test_a_problem_is_told_once_and_its_end_too(capsys: pytest.CaptureFixture[str]) -> None:
    view = DevView()
    broken = CodeChange("v2", kept=("etl",))
    view.change(broken, NOON_US, [problem(3)])
    view.change(broken, NOON_US, [problem(3)])
    view.change(CodeChange("v3", changed=("etl",)), NOON_US, [])

    assert capsys.readouterr().out.splitlines() == [
        "22:13:20 ↻ the code has changed: as before, being broken: etl",
        "error: flows/etl.py:3: SyntaxError: invalid syntax",
        "22:13:20 ↻ the code has changed: as before, being broken: etl",
        "22:13:20 ↻ the code has changed",
        "all files are sound again",
    ]


def test_of_very_many_problems_the_others_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    DevView().problems(map(problem, range(1, MAX_PROBLEMS + 3)))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == "… and 2 problems more (ostinato check)"


def test_of_very_many_flows_a_few_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"flow{number}" for number in range(8))

    DevView().change(CodeChange("v", added=names, removed=("old",)), NOON_US, [])

    assert capsys.readouterr().out == (
        "22:13:20 ↻ the code has changed: new flow0, flow1, flow2, flow3, flow4 and 3 more; "
        "gone old\n"
    )


def test_settings_that_cannot_be_read_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    DevView().change(CodeChange("", kept=("etl",)), NOON_US, [])

    assert capsys.readouterr().out.endswith("the code cannot be loaded; all stays as before\n")


def test_it_goes_on_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        writes = 0

        def write(self, _text: str) -> int:
            Closed.writes += 1
            raise BrokenPipeError

        def flush(self) -> None:
            return

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdout", Closed())
    view = DevView()

    view.ending()
    tried = Closed.writes

    view.ending()

    assert Closed.writes == tried > 0

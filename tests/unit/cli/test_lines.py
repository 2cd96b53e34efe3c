"""This module tests what is said of a run in plain lines."""

from pathlib import Path

import pytest

from ostinato.cli.progress.lines import COUNT_EVERY_US, MAX_FAILURES, Lines
from ostinato.cli.progress.tally import Tally
from ostinato.engine import events as ev
from ostinato.model.deferral import InputRequest
from ostinato.model.failure import Failure, FailureKind, StackFrame
from ostinato.model.flow import (
    Expansion,
    Factor,
    FlowDefinition,
    LiteralLength,
    TaskDefinition,
)
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.log import LogRecord
from ostinato.model.policy import Policy

FLOW = FlowDefinition(
    "etl",
    tasks=(
        TaskDefinition("load", policy=Policy(retries=2)),
        TaskDefinition("wide", expansion=Expansion((Factor("x", LiteralLength(1)),))),
    ),
)
ERROR = Failure(
    FailureKind.ERROR, "ValueError", "no\nsecond line", frames=(StackFrame("/flow.py", 12, "load"),)
)
SECOND_US = 1_000_000


class Said:
    """Feed lines with events, and keep what is said without the time of day."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tally = Tally(FLOW)
        self.view = Lines(FLOW, self.tally, lambda line: self.lines.append(line[9:]), name="etl#1")

    def take(self, *events: ev.Event) -> list[str]:
        for event in events:
            self.tally.apply(event)
            self.view.event(event)
        said, self.lines = self.lines, []
        return said


@pytest.fixture
def said() -> Said:
    return Said()


def failed(task: str, path: MapPath = (), failure: Failure = ERROR) -> ev.AttemptFailed:
    return ev.AttemptFailed(2, task, path, 1, failure)


def test_success_is_said_with_how_long_it_took(said: Said) -> None:
    ended = ev.AttemptSucceeded(
        3 * SECOND_US, "load", (), 1, started_us=SECOND_US, ended_us=3 * SECOND_US
    )

    assert said.take(ev.AttemptStarted(1, "load", (), 1), ended) == ["load succeeded in 2.0 s"]


def test_failure_is_said_with_the_users_line_and_its_attempt(said: Said) -> None:
    assert said.take(failed("load")) == [
        "load failed (attempt 1 of 3): /flow.py:12: ValueError: no"
    ]
    assert said.take(failed("load")) == [
        "load failed (attempt 2 of 3): /flow.py:12: ValueError: no"
    ]


def test_failure_of_a_step_is_said_with_its_file_as_the_user_writes_it(said: Said) -> None:
    summary = f"{Path.cwd() / 'flows' / 'etl.py'}:3: ValueError: no"

    ended = ev.StepEnded(2 * SECOND_US, "load", (1,), "failed", summary, SECOND_US)

    assert said.take(ended) == ["load[1] failed in 1.0 s: flows/etl.py:3: ValueError: no"]


def test_only_attempt_has_no_number(said: Said) -> None:
    assert said.take(failed("wide", (3,))) == ["wide[3] failed: /flow.py:12: ValueError: no"]


def test_long_delay_of_a_retry_is_said(said: Said) -> None:
    soon = ev.RetryScheduled(0, "load", (), SECOND_US // 10)
    late = ev.RetryScheduled(0, "load", (), 90 * SECOND_US)

    assert said.take(soon) == []
    assert said.take(late)[0].startswith("load is tried again at ")


def test_other_ends_are_said_with_their_reason(said: Said) -> None:
    assert said.take(ev.AttemptSkipped(1, "load", (), 1, "nothing new")) == [
        "load skipped: nothing new"
    ]
    assert said.take(ev.TaskRunEnded(1, "load", (), "upstream_failed")) == ["load upstream_failed"]
    assert said.take(ev.AttemptLost(1, "load", (), 1, "killed by signal 9")) == [
        "load lost its process: killed by signal 9"
    ]
    assert said.take(ev.AttemptDeferred(1, "load", (), 1, 9))[0].startswith("load waits until ")


def test_cancelled_attempt_is_said_by_its_end_alone(said: Said) -> None:
    cancelled = Failure(FailureKind.CANCELLED, "Cancelled", "")

    assert said.take(
        failed("load", failure=cancelled), ev.TaskRunEnded(3, "load", (), "cancelled")
    ) == ["load cancelled"]


def test_cancelling_is_said(said: Said) -> None:
    assert said.take(ev.RunStateChanged(1, "cancelling")) == ["cancelling: what runs is stopped"]
    assert said.take(ev.RunStateChanged(1, "running"), ev.RunStarted(0)) == []


def test_output_is_said_with_who_wrote_it(said: Said) -> None:
    said.view.log_line(TaskRunKey("load"), LogRecord(1, 1, "INFO", "stdout", "12 rows"))
    said.view.log_line(TaskRunKey("wide", (3,)), LogRecord(1, 1, "WARNING", "flow", "late"))
    said.view.log_line(TaskRunKey("load"), LogRecord(2, 1, "ERROR", "ostinato", "ValueError: no"))

    assert said.lines == ["load | 12 rows", "wide[3] | WARNING late"]


def wide(said: Said, width: int) -> None:
    said.take(ev.Expanded(0, "wide", (), (width,)))


def test_wide_task_is_counted_and_not_listed(said: Said) -> None:
    wide(said, 100)

    half = said.take(
        *(ev.AttemptStarted(1, "wide", (index,), 1) for index in range(60)),
        *(ev.AttemptSucceeded(2, "wide", (index,), 1) for index in range(50)),
    )
    said.view.refresh(SECOND_US)
    said.view.refresh(SECOND_US + COUNT_EVERY_US)
    counted, said.lines = said.lines, []
    said.view.refresh(2 * SECOND_US + COUNT_EVERY_US)

    assert half == []
    assert counted == ["wide: 50 of 100 done, 10 running"]
    assert said.lines == []


def test_end_of_a_wide_task_is_said_once(said: Said) -> None:
    wide(said, 30)

    end = said.take(
        ev.AttemptStarted(0, "wide", (0,), 1),
        failed("wide", (0,)),
        *(ev.AttemptSucceeded(3 * SECOND_US, "wide", (index,), 1) for index in range(1, 30)),
    )

    assert end == [
        "wide[0] failed: /flow.py:12: ValueError: no",
        "wide: 29 succeeded, 1 failed in 3.0 s",
    ]


def test_failures_of_a_wide_task_are_listed_up_to_a_number(said: Said) -> None:
    wide(said, 1000)

    lines = said.take(*(failed("wide", (index,)) for index in range(100)))

    assert len(lines) == MAX_FAILURES + 1
    assert lines[-1] == "wide: more failures are not listed"


def test_output_of_a_wide_task_is_left_to_its_log(said: Said) -> None:
    wide(said, 100)

    said.view.log_line(TaskRunKey("wide", (3,)), LogRecord(1, 1, "INFO", "stdout", "row"))

    assert said.lines == []


def test_question_is_said_with_how_to_answer_it(said: Said) -> None:
    request = InputRequest("Ready?", schema={"type": "boolean"})

    assert said.take(ev.PauseBegan(1, "@pause", (0,), request)) == [
        "@pause[0] waits for a person: Ready?",
        "  ostinato answer 'etl#1' '@pause[0]' --approve",
    ]
    assert said.take(ev.PauseEnded(2, "@pause", (0,), "ana")) == ["@pause[0] is answered by ana"]
    assert said.take(ev.PauseEnded(2, "@pause", (0,))) == []

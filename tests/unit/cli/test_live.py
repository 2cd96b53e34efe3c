"""This module tests the picture of a run."""

import io
import re

from rich.console import Console

from ostinato.cli.progress.live import LOG_LINES, MAX_FAILURES, LiveView
from ostinato.cli.progress.tally import Tally
from ostinato.engine import events as ev
from ostinato.model.deferral import InputRequest
from ostinato.model.failure import Failure, FailureKind, StackFrame
from ostinato.model.flow import (
    Expansion,
    Factor,
    FlowDefinition,
    GroupDefinition,
    LiteralLength,
    TaskDefinition,
)
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.log import LogRecord
from ostinato.model.step import BODY

SECOND_US = 1_000_000
FLOW = FlowDefinition(
    "etl",
    tasks=(
        TaskDefinition("extract"),
        TaskDefinition("load", expansion=Expansion((Factor("x", LiteralLength(1)),))),
        TaskDefinition("report.draw", group="report"),
        TaskDefinition("report.mail.send", group="report.mail"),
    ),
    groups=(GroupDefinition("report"), GroupDefinition("report.mail", parent="report")),
)
FAILURE = Failure(
    FailureKind.ERROR, "ValueError", "no", frames=(StackFrame("/flow.py", 12, "load", "raise"),)
)


class Screen:
    """A view whose picture is read as text."""

    def __init__(self, flow: FlowDefinition = FLOW) -> None:
        self.file = io.StringIO()
        console = Console(file=self.file, force_terminal=True, width=80, height=24)
        self.tally = Tally(flow)
        self.view = LiveView("etl#1", flow, self.tally, started_us=SECOND_US, console=console)
        self.take(ev.RunStarted(SECOND_US))

    def take(self, *events: ev.Event) -> None:
        for event in events:
            self.tally.apply(event)
            self.view.event(event)

    def lines(self, now_us: int = 3 * SECOND_US, height: int = 24) -> list[str]:
        text = self.view.picture(now_us, height).plain
        return [line.rstrip() for line in text.splitlines()]


def failed(task: str, path: MapPath = ()) -> ev.AttemptFailed:
    return ev.AttemptFailed(2 * SECOND_US, task, path, 1, FAILURE)


def test_tasks_stand_under_their_groups() -> None:
    assert Screen().lines() == [
        "◐ etl#1  running  2.0 s  0 of 3",
        "  · extract",
        "  · load",
        "  report/",
        "    · draw",
        "    mail/",
        "      · send",
    ]


def test_running_task_shows_how_long_it_has_run() -> None:
    screen = Screen()
    screen.take(ev.AttemptStarted(2 * SECOND_US, "extract", (), 1))

    assert screen.lines()[1] == "  ◐ extract   1.0 s"


def test_ended_task_keeps_its_time() -> None:
    screen = Screen()
    screen.take(
        ev.AttemptStarted(SECOND_US, "extract", (), 1),
        ev.AttemptSucceeded(2 * SECOND_US, "extract", (), 1),
        ev.TaskRunEnded(2 * SECOND_US, "report.draw", (), "upstream_failed"),
    )

    lines = screen.lines(now_us=99 * SECOND_US)
    assert lines[1] == "  ✔ extract   1.0 s"
    assert lines[4] == "    ⊘ draw    upstream_failed"


def test_mapped_task_has_a_bar() -> None:
    screen = Screen()
    screen.take(
        ev.Expanded(0, "load", (), (4,)),
        ev.AttemptStarted(2 * SECOND_US, "load", (0,), 1),
        ev.AttemptStarted(2 * SECOND_US, "load", (1,), 1),
        ev.AttemptSucceeded(2 * SECOND_US, "load", (0,), 1),
        failed("load", (1,)),
    )

    assert screen.lines()[2] == f"  ✖ load      {'━' * 16} 2/4  ✖ 1  1.0 s"


def test_retries_are_counted() -> None:
    screen = Screen()
    screen.take(
        ev.AttemptStarted(2 * SECOND_US, "extract", (), 1),
        failed("extract"),
        ev.RetryScheduled(2 * SECOND_US, "extract", (), 9 * SECOND_US),
    )

    assert screen.lines()[1] == "  ↻ extract   1.0 s  ↻ 1"


def test_failure_stays_in_sight_until_it_is_healed() -> None:
    screen = Screen()
    screen.take(failed("extract"))
    broken = screen.lines()[7:]
    screen.take(ev.AttemptSucceeded(3 * SECOND_US, "extract", (), 2))

    assert broken == ["✖ extract: ValueError: no", "    /flow.py:12 in load", "        raise"]
    assert screen.lines()[7:] == []


def test_of_many_failures_the_last_are_shown() -> None:
    screen = Screen()
    screen.take(*(failed("load", (index,)) for index in range(10)))

    lines = [line for line in screen.lines() if line.startswith("✖ load[")]
    assert len(lines) == MAX_FAILURES
    assert lines[-1].startswith("✖ load[9]")
    assert screen.lines()[-1] == "  … and 7 other failures"


def test_cancelled_attempts_are_no_failures() -> None:
    screen = Screen()
    cancelled = Failure(FailureKind.CANCELLED, "Cancelled", "")
    screen.take(
        ev.AttemptFailed(2, "extract", (), 1, cancelled), ev.RunStateChanged(2, "cancelling")
    )

    lines = screen.lines()
    assert lines[0].endswith("Ctrl-C again leaves at once")
    assert len(lines) == 7


def test_last_lines_of_output_are_shown() -> None:
    screen = Screen()
    for number in range(20):
        record = LogRecord(number, SECOND_US, "INFO", "stdout", f"line {number}")
        screen.view.log_line(TaskRunKey("extract"), record)
    own = LogRecord(21, SECOND_US, "ERROR", "ostinato", "ValueError: no")
    screen.view.log_line(TaskRunKey("extract"), own)

    shown = screen.lines()[7:]
    assert len(shown) == LOG_LINES
    assert shown[-1].endswith(" extract | line 19")


def test_of_many_tasks_the_active_ones_fill_the_screen() -> None:
    many = FlowDefinition("many", tasks=tuple(TaskDefinition(f"t{i}") for i in range(100)))
    screen = Screen(many)
    screen.take(
        *(ev.AttemptSucceeded(2, f"t{i}", (), 1) for i in range(50)),
        ev.AttemptStarted(2, "t77", (), 1),
        ev.AttemptStarted(2, "t99", (), 1),
    )

    lines = screen.lines(height=14)
    names = [found[1] for line in lines if (found := re.match(r"  . (t\d+)", line))]
    assert names == [*(f"t{i}" for i in range(43, 50)), "t77", "t99"]
    assert lines[-1] == "  … 91 more tasks"


def test_end_is_left_standing() -> None:
    screen = Screen()
    screen.take(ev.RunEnded(4 * SECOND_US, "failed"))
    screen.view.refresh(3 * SECOND_US)
    screen.view.close()

    assert "failed  3.0 s" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def test_question_stays_in_sight_until_it_is_answered() -> None:
    screen = Screen()
    screen.take(ev.RunStateChanged(SECOND_US, "paused"))
    screen.take(ev.PauseBegan(SECOND_US, "@pause", (0,), InputRequest("How many?")))

    assert screen.lines()[0] == "◷ etl#1  paused  2.0 s  0 of 3"
    assert screen.lines()[-2:] == ["◷ How many?", "  ostinato answer 'etl#1' '@pause[0]' VALUE"]

    screen.take(ev.PauseEnded(SECOND_US, "@pause", (0,), "ana"))

    assert "How many?" not in "".join(screen.lines())


def test_steps_appear_as_they_come_under_the_body() -> None:
    def ended(task: str, number: int, state: str = "succeeded", summary: str = "") -> ev.StepEnded:
        return ev.StepEnded(2 * SECOND_US, task, (number,), state, summary, SECOND_US)

    screen = Screen(FlowDefinition("etl", tasks=(TaskDefinition(BODY),)))
    screen.take(ev.AttemptStarted(SECOND_US, BODY, (), 1))
    screen.take(ended("extract", 0), ended("load", 1), ended("load", 2, "failed", "no"))
    screen.take(ended("report", 3, summary="cached from etl#1"))
    screen.take(ev.StepStarted(SECOND_US, "far", (4,), 1))

    assert screen.lines() == [
        "◐ etl#1  running  2.0 s  4 steps",
        "  ◐ @body  2.0 s",
        "    ✔ extract[0]  1.0 s",
        "    ✖ load  2  ✖ 1  last [2] 1.0 s",
        "    ✔ report[3]  cached  1.0 s",
        "    ◐ far[4]  2.0 s",
    ]
    # Where there is no room, those that came last are seen.
    screen.take(ended("mail", 5))
    assert screen.lines(height=7)[2:] == [
        "    ✖ load  2  ✖ 1  last [2] 1.0 s",
        "    ✔ report[3]  cached  1.0 s",
        "    ◐ far[4]  2.0 s",
        "    ✔ mail[5]  1.0 s",
        "    … 1 more tasks",
    ]

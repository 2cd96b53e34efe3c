"""Who asked for it is told of moments, once each, and nobody else of anything."""

from collections.abc import Iterable

from ostinato.engine import commands as cmd
from ostinato.engine import events as ev
from ostinato.engine.machine import THE_RUN
from ostinato.model.notice import Moment
from ostinato.model.policy import Policy
from tests.unit.engine.driving import SECOND, Driven, flow, task


def watching(run: Driven, *moments: Moment) -> Driven:
    of_run = frozenset(moment for moment in moments if moment.is_of_run)
    of_tasks = frozenset(moments) - of_run
    positions: Iterable[int] = range(len(run.plan.flow.tasks))
    run.machine.watched = {THE_RUN: of_run, **dict.fromkeys(positions, of_tasks)}
    return run


def told(run: Driven) -> list[tuple[str, str]]:
    return [
        (command.moment.value, command.task_run.task_id if command.task_run else "")
        for command in run.commands
        if isinstance(command, cmd.Notify)
    ]


def test_nobody_is_told_of_what_nobody_asked_for() -> None:
    run = Driven(flow(task("a", Policy(retries=1)), deadline_s=5))
    run.fire(run.timer("run_deadline"))
    run.fail("a")
    run.fail("a")

    assert told(run) == []


def test_each_moment_of_a_task_run_is_told_of() -> None:
    run = watching(Driven(flow(task("a", Policy(retries=1)), task("b"))), *Moment)
    run.fail("a")
    run.fail("a")
    run.begin("b")
    run.feed(ev.AttemptSkipped(run.now_us, "b", (), 1, "no rows"))

    assert told(run) == [
        ("start", "a"),
        ("retry", "a"),
        ("failure", "a"),
        ("start", "b"),
        ("skip", "b"),
        ("run_failure", ""),
    ]


def test_a_lost_attempt_is_retried_or_fails() -> None:
    asked = (Moment.RETRY, Moment.FAILURE)
    run = watching(Driven(flow(task("a", Policy(lost_attempts=1)))), *asked)
    run.begin("a")
    run.lose("a")
    run.begin("a")
    run.lose("a")

    assert told(run) == [("retry", "a"), ("failure", "a")]


def test_an_interrupted_attempt_is_no_retry() -> None:
    run = watching(Driven(flow(task("a"))), *Moment)
    run.begin("a")
    run.take_over()
    watching(run, *Moment)
    run.succeed("a")

    assert told(run) == [("start", "a"), ("success", "a"), ("run_success", "")]


def test_a_task_run_that_waits_starts_once() -> None:
    run = watching(Driven(flow(task("a"))), Moment.START)
    run.begin("a")
    run.defer("a")
    run.fire(run.timer("deferral"))
    run.begin("a")

    assert told(run) == [("start", "a")]


def test_what_could_not_run_is_no_failure_of_its_own() -> None:
    run = watching(Driven(flow(task("a"), task("b"), edges="a>b")), Moment.FAILURE)
    run.fail("a")

    assert told(run) == [("failure", "a")]


def test_a_cancelled_run_is_told_of_as_such() -> None:
    run = watching(Driven(flow(task("a"))), *Moment)
    run.cancel()

    assert told(run) == [("run_cancel", "")]


def test_a_late_run_is_recorded_as_late_and_goes_on() -> None:
    run = watching(Driven(flow(task("a"), deadline_s=5)), *Moment)
    timer = run.timer("run_deadline")
    commands = run.fire(timer)

    assert timer.at_us == 6 * SECOND
    assert commands == [
        cmd.Record(ev.DeadlineMissed(6 * SECOND, 5.0)),
        cmd.Notify(Moment.DEADLINE),
    ]
    run.succeed("a")
    assert run.outcome == "succeeded"


def test_the_deadline_of_an_earlier_generation_is_void() -> None:
    run = watching(Driven(flow(task("a"), deadline_s=5)), *Moment)
    timer = run.timer("run_deadline")
    run.fail("a")
    run.clear("a")

    assert run.fire(timer) == []
    assert run.timer("run_deadline").at_us == run.machine.started_us + 5 * SECOND


def test_a_deadline_after_the_end_is_void() -> None:
    run = watching(Driven(flow(task("a"), deadline_s=5)), *Moment)
    run.succeed("a")

    assert run.fire(run.timer("run_deadline")) == []

"""This module tests the state of steps that are attempts of their own."""

import pytest

from ostinato.engine import events as ev
from ostinato.engine.placed_step import StepMachine, Tried
from ostinato.errors import InternalError
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.policy import Policy
from ostinato.model.state import TaskRunState

FAILURE = Failure(FailureKind.ERROR, "ValueError", "no")
WHO = ("load", (3,))


def machine(**policy: object) -> StepMachine:
    policy_ = Policy(**policy)  # type: ignore[arg-type]  # each test gives what it is about
    return StepMachine(*WHO, policy_, generation=1, attempt=1000, at_us=5)


def start(step: StepMachine, at_us: int = 10) -> int:
    number = step.task_run.attempt + 1
    step.apply(ev.AttemptStarted(at_us, *WHO, number))
    return number


def fail(step: StepMachine, *, at_us: int = 20, may_retry: bool = True) -> Tried | None:
    number = step.task_run.attempt
    return step.apply(ev.AttemptFailed(at_us, *WHO, number, FAILURE, may_retry, None, 0.5))


def test_step_is_queued_when_it_is_asked_for() -> None:
    step = machine()

    task_run = step.task_run

    assert (task_run.state, task_run.queued_us) == (TaskRunState.QUEUED, 5)
    assert (task_run.attempt, task_run.generation) == (1000, 1)


def test_times_of_a_success_are_those_of_its_process() -> None:
    step = machine()
    number = start(step)

    step.apply(ev.AttemptSucceeded(30, *WHO, number, started_us=12, ended_us=25))

    assert step.task_run.state is TaskRunState.SUCCEEDED
    assert (step.task_run.started_us, step.task_run.ended_us) == (12, 25)


def test_skipped_step_has_ended() -> None:
    step = machine()
    number = start(step)

    step.apply(ev.AttemptSkipped(30, *WHO, number, "not today"))

    assert step.task_run.state is TaskRunState.SKIPPED


def test_failed_step_waits_for_its_delay_and_is_tried_again() -> None:
    step = machine(retries=1, retry_delays_s=(2.0,))
    number = start(step)

    tried = fail(step, at_us=20)

    assert tried == Tried(number, "failed")
    assert (step.task_run.state, step.task_run.due_us) == (TaskRunState.RETRYING, 2_000_020)
    step.apply(ev.TimerFired(2_000_020, "step retry", *WHO, number))
    assert (step.task_run.state, step.task_run.due_us) == (TaskRunState.QUEUED, 0)
    assert start(step) == number + 1
    assert fail(step) is None
    assert step.task_run.state is TaskRunState.FAILED


def test_step_without_a_delay_is_queued_again_at_once() -> None:
    step = machine(retries=1)
    start(step)

    fail(step)

    assert step.task_run.state is TaskRunState.QUEUED
    assert step.since == 1002


def test_timer_of_an_attempt_that_is_over_changes_nothing() -> None:
    step = machine(retries=1, retry_delays_s=(2.0,))
    number = start(step)
    fail(step)

    step.apply(ev.TimerFired(30, "step retry", *WHO, number - 1))

    assert step.task_run.state is TaskRunState.RETRYING


def test_step_is_not_tried_again_where_no_retry_helps() -> None:
    step = machine(retries=5)
    start(step)

    fail(step, may_retry=False)

    assert step.task_run.state is TaskRunState.FAILED


def test_lost_step_is_executed_again_and_keeps_what_it_called() -> None:
    step = machine(lost_attempts=1)
    number = start(step)

    tried = step.apply(ev.AttemptLost(20, *WHO, number, "killed"))

    assert tried == Tried(number, "lost")
    assert (step.task_run.state, step.since) == (TaskRunState.QUEUED, number)
    number = start(step)
    assert step.apply(ev.AttemptLost(30, *WHO, number, "killed")) is None
    assert (step.task_run.state, step.task_run.ended_us) == (TaskRunState.FAILED, 30)


def test_revoked_step_costs_no_attempt() -> None:
    step = machine(lost_attempts=0)
    number = start(step)

    step.apply(ev.AttemptRevoked(20, *WHO, number))

    assert (step.task_run.state, step.task_run.losses) == (TaskRunState.QUEUED, 0)


def test_step_is_cancelled_wherever_it_is() -> None:
    waiting, running = machine(), machine()
    start(running)

    for step in (waiting, running):
        step.apply(ev.CancelRequested(40, "somebody"))

    assert {waiting.task_run.state, running.task_run.state} == {TaskRunState.CANCELLED}


def test_step_that_ended_starts_no_more() -> None:
    step = machine()
    number = start(step)
    step.apply(ev.AttemptSucceeded(30, *WHO, number))

    with pytest.raises(InternalError, match=r"load\[3\] that is succeeded became running"):
        start(step)

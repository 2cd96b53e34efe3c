"""This module tells the engine of attempts that ended without a result."""

from collections.abc import Callable
from typing import assert_never

import msgspec

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine import events as ev
from ostinato.engine.machine import lost_failure
from ostinato.engine.task_run import TaskRun
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.state import TaskRunState
from ostinato.runtime import messages as msg


def successful(
    run: LiveRun,
    task_run: TaskRun,
    report: msg.Succeeded,
    now_us: int,
    *,
    is_timed: bool,
    source: str,
) -> ev.Input:
    """Return that a task run succeeded, and note in its run what its attempt left.

    Args:
        run: Its run.
        task_run: The task run.
        report: Of its attempt, which is the current one.
        now_us: The time.
        is_timed: Whether times of the report mean anything.
        source: Where its result came from, if it was computed earlier.
    """
    if report.inputs is not None:
        run.inputs[task_run] = report.inputs
    resumption = task_run.resumption
    if resumption is not None and resumption.by:
        run.reasons[task_run] = f"answered by {resumption.by}"
    return ev.AttemptSucceeded(
        now_us,
        task_run.task_id,
        task_run.path,
        task_run.attempt,
        report.length,
        report.chosen,
        report.stop,
        report.started_us if is_timed else 0,
        report.ended_us if is_timed else 0,
        source=source,
    )


def unsuccessful(
    run: LiveRun,
    task_run: TaskRun,
    attempt: int,
    report: msg.Failed | msg.Skipped | msg.Deferred | msg.Lost | msg.Revoked,
    *,
    now_us: int,
    is_timed: bool,
    chance: Callable[[], float],
) -> ev.Input:
    """Return what happened to a task run, and note in its run what its attempt left.

    Args:
        run: Its run.
        task_run: The task run.
        attempt: Number of the attempt.
        report: How it ended.
        now_us: The time.
        is_timed: Whether times of the report mean anything.
        chance: Draws a number from 0 to 1.
    """
    task_id, path = task_run.task_id, task_run.path
    match report:
        case msg.Lost():
            run.failures[task_run] = Failure(FailureKind.LOST, "ChildDied", report.reason)
            if report.has_started:
                return ev.AttemptLost(now_us, task_id, path, attempt, report.reason)
            return ev.AttemptRevoked(now_us, task_id, path, attempt)
        case msg.Revoked():
            return ev.AttemptRevoked(now_us, task_id, path, attempt)
        case _:
            pass
    times = (report.started_us, report.ended_us) if is_timed else (0, 0)
    match report:
        case msg.Skipped():
            run.reasons[task_run] = report.reason
            return ev.AttemptSkipped(now_us, task_id, path, attempt, report.reason, *times)
        case msg.Failed():
            run.failures[task_run] = report.failure
            if report.inputs is not None:
                run.inputs[task_run] = report.inputs
            return ev.AttemptFailed(
                now_us,
                task_id,
                path,
                attempt,
                report.failure,
                report.may_retry,
                report.retry_after_s,
                chance(),
                *times,
            )
        case msg.Deferred():
            if report.inputs is not None:
                run.inputs[task_run] = report.inputs
            return ev.AttemptDeferred(
                now_us, task_id, path, attempt, report.until_us, *times, report.deferral
            )
        case _:
            assert_never(report)


def explain_loss(run: LiveRun, task_run: TaskRun) -> None:
    """Say of a task run that was lost too often how often, and why the last time."""
    if task_run.losses and task_run.state is TaskRunState.FAILED:
        known = run.failures.get(task_run)
        if known is None or known.kind is FailureKind.LOST:
            lost = lost_failure(task_run.task_id, task_run.losses)
            message = f"{lost.message}: {known.message}" if known else lost.message
            run.failures[task_run] = msgspec.structs.replace(lost, message=message)

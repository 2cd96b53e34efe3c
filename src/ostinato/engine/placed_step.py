"""This module is the state of a step that is executed as attempts of its own, beneath a body."""

from typing import NamedTuple, assert_never

from ostinato.engine import events as ev
from ostinato.engine.retry import retry_delay_s
from ostinato.engine.task_run import TaskRun
from ostinato.engine.transitions import TASK_RUN_TRANSITIONS
from ostinato.errors import InternalError
from ostinato.model.identity import MapPath
from ostinato.model.policy import Policy
from ostinato.model.state import TaskRunState

#: Position of task runs that are no tasks of a plan.
NO_POSITION = -1

#: What changes a step.
StepEvent = (
    ev.AttemptStarted
    | ev.AttemptSucceeded
    | ev.AttemptSkipped
    | ev.AttemptFailed
    | ev.AttemptLost
    | ev.AttemptRevoked
    | ev.TimerFired
    | ev.CancelRequested
)


class Tried(NamedTuple):
    """An attempt that is followed by another one.

    Attributes:
        attempt: Its number.
        how: ``failed`` or ``lost``.
    """

    attempt: int
    how: str


class StepMachine:
    """One step, changed by events alone; it reads no clock and draws no chance.

    Args:
        task_id: Of its task.
        path: Its place among the calls of the flow.
        policy: What its attempts follow.
        generation: Of the body.
        attempt: Number of the last attempt before.
        at_us: Now.

    Attributes:
        task_run: Where it stands.
        since: The first attempt since its last failure.
    """

    def __init__(
        self,
        task_id: str,
        path: MapPath,
        policy: Policy,
        *,
        generation: int,
        attempt: int,
        at_us: int,
    ) -> None:
        self.task_run = TaskRun(NO_POSITION, task_id, path, 0, 0)
        self.task_run.generation = generation
        self.task_run.attempt = attempt
        self.since = attempt + 1
        self._policy = policy
        self._enqueue(at_us)

    def apply(self, event: StepEvent) -> Tried | None:
        """Change the step by an event, and return the attempt that will be followed by another.

        Afterwards its state tells what is to be done: ``queued``, ``retrying`` until ``due_us``,
        or one of the ends.
        """
        task_run = self.task_run
        match event:
            case ev.AttemptStarted():
                self._move(TaskRunState.RUNNING)
                task_run.attempt = event.attempt
                task_run.started_us = event.at_us
                task_run.first_started_us = task_run.first_started_us or event.at_us
                task_run.due_us = 0
            case ev.AttemptSucceeded():
                self._end(TaskRunState.SUCCEEDED, event.started_us, event.ended_us)
            case ev.AttemptSkipped():
                self._end(TaskRunState.SKIPPED, event.started_us, event.ended_us)
            case ev.AttemptFailed():
                return self._fail(event)
            case ev.AttemptLost():
                return self._lose(event)
            case ev.AttemptRevoked():
                self._enqueue(event.at_us)
            case ev.TimerFired():
                if task_run.state is TaskRunState.RETRYING and task_run.attempt == event.attempt:
                    self._enqueue(event.at_us)
            case ev.CancelRequested():
                self._end(TaskRunState.CANCELLED, 0, event.at_us)
            case _:
                assert_never(event)
        return None

    def _fail(self, event: ev.AttemptFailed) -> Tried | None:
        task_run = self.task_run
        task_run.failures += 1
        delay_s = retry_delay_s(self._policy, task_run.failures, event)
        if delay_s is None:
            self._end(TaskRunState.FAILED, event.started_us, event.ended_us)
            return None
        self.since = task_run.attempt + 1
        if delay_s > 0:
            self._move(TaskRunState.RETRYING)
            task_run.due_us = event.at_us + int(delay_s * 1e6)
        else:
            self._enqueue(event.at_us)
        return Tried(task_run.attempt, "failed")

    def _lose(self, event: ev.AttemptLost) -> Tried | None:
        task_run = self.task_run
        task_run.losses += 1
        if task_run.losses > self._policy.lost_attempts:
            self._end(TaskRunState.FAILED, 0, event.at_us)
            return None
        self._enqueue(event.at_us)
        return Tried(task_run.attempt, "lost")

    def _end(self, state: TaskRunState, started_us: int, ended_us: int) -> None:
        self._move(state)
        self.task_run.started_us = started_us or self.task_run.started_us
        self.task_run.ended_us = ended_us
        self.task_run.due_us = 0

    def _enqueue(self, at_us: int) -> None:
        self._move(TaskRunState.QUEUED)
        self.task_run.queued_us = at_us
        self.task_run.due_us = 0

    def _move(self, state: TaskRunState) -> None:
        task_run = self.task_run
        if state not in TASK_RUN_TRANSITIONS[task_run.state]:
            message = f"step {task_run.key} that is {task_run.state.label} became {state.label}"
            raise InternalError(message)
        task_run.state = state

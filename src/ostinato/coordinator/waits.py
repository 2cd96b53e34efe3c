"""This module knows which deferred task runs wait for a trigger or a person."""

import os
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UsageError
from ostinato.executors.trigger_host import Triggers
from ostinato.model.deferral import Deferral, InputRequest, Outcome, Resumption
from ostinato.model.state import TaskRunState
from ostinato.model.step import BODY
from ostinato.runtime import messages as msg
from ostinato.store.records import RunRow

#: Returns what a task run that waits for a person goes on with, or None; takes the name of its
#: task, or of the step, and what it waits for.
StandIn = Callable[[str, Deferral], Resumption | None]

#: Told of a question to people: the run, what asks, and the question.
OnQuestion = Callable[[RunRow, str, InputRequest], None]

#: What was waited for, and what it gave.
Ended = tuple[LiveRun, TaskRun, Resumption]


class Waits:
    """The task runs of a coordinator that wait for a trigger or a person.

    Triggers are started after the commit by which their task runs are deferred, and stopped
    after the one by which they are no longer.

    Args:
        triggers: Waits for conditions.
        answers: Stands in for people; None where they answer themselves.
        on_question: Told of what people are asked.
    """

    def __init__(
        self,
        triggers: Triggers,
        answers: StandIn | None,
        on_question: OnQuestion | None = None,
    ) -> None:
        self._on_question = on_question
        self._triggers = triggers
        self._answers = answers
        #: Deferred since the last poll; the commit between the two has made it durable.
        self._fresh: list[tuple[LiveRun, TaskRun]] = []
        self._of_token: dict[int, tuple[LiveRun, TaskRun]] = {}
        self._tokens: dict[TaskRun, int] = {}
        self._for_people: dict[TaskRun, LiveRun] = {}
        #: How many of those hold nothing, not even the process that drives them.
        self.held_nothing = 0

    def __bool__(self) -> bool:
        return bool(self._tokens or self._for_people or self._fresh)

    def get(self, token: int) -> tuple[LiveRun, TaskRun] | None:
        """Return on whose behalf a trigger waits."""
        return self._of_token.get(token)

    def begin(self, run: LiveRun, task_run: TaskRun) -> None:
        """Note a task run that is deferred by the next commit."""
        self._fresh.append((run, task_run))

    def resume(self, run: LiveRun) -> None:
        """Note what waits in a run that was taken over."""
        for task_run in run.machine.task_runs():
            if task_run.state is TaskRunState.DEFERRED and task_run.deferral is not None:
                self.begin(run, task_run)

    def forget_if_over(self, task_run: TaskRun) -> None:
        """Stop the trigger of a task run that waits no more."""
        if task_run.state is not TaskRunState.DEFERRED:
            self._forget(task_run)

    def poll(self, take_token: Callable[[], int]) -> Iterator[Ended]:
        """Start what was deferred, and yield whose wait is over.

        Args:
            take_token: Gives a number that names no attempt and no other trigger.
        """
        fresh, self._fresh = self._fresh, []
        for run, task_run in fresh:
            deferral = task_run.deferral
            if task_run.state is not TaskRunState.DEFERRED or deferral is None:
                continue
            if deferral.trigger is not None:
                self._forget(task_run)
                token = take_token()
                self._of_token[token] = (run, task_run)
                self._tokens[task_run] = token
                self._triggers.start(token, deferral.trigger)
            elif deferral.request is not None:
                self._for_people[task_run] = run
                self.held_nothing += deferral.holds_nothing
                found = None
                if self._on_question is not None:
                    self._on_question(run.row, str(task_run.key), deferral.request)
                if self._answers is not None:
                    found = self._answers(task_run.task_id, deferral)
                if found is not None:
                    yield run, task_run, found
        for report in self._triggers.poll():
            waiting = self._of_token.get(report.token)
            if waiting is not None:
                yield *waiting, _resumption(waiting[1], report)

    def has_work(self) -> bool:
        """Whether ``poll`` would do or return something without waiting."""
        return bool(self._fresh) or self._triggers.has_work()

    def next_check_s(self) -> float | None:
        """Return in how many seconds ``poll`` must be called even if nothing comes."""
        return self._triggers.next_check_s()

    def next_us(self) -> int | None:
        """Return the virtual moment at which a trigger goes on; None where time is real."""
        return self._triggers.next_us()

    def refuse_to_wait_for_ever(self) -> NoReturn:
        """Say for which person a run waits, where there is nobody who could answer.

        Raises:
            UsageError: Always.
        """
        task_run = next(iter(self._for_people))
        message = f"task {str(task_run.key)!r} waits for a person, and nobody answers"
        raise UsageError(message, hint=f"give answers={{{_name(task_run)!r}: …}}")

    def close(self) -> None:
        """Forget all triggers; what waits goes on waiting in the store."""
        self._triggers.close()

    def _forget(self, task_run: TaskRun) -> None:
        if self._for_people.pop(task_run, None) is not None and self.held_nothing:
            # What a task run was deferred for is forgotten by now.
            self.held_nothing = sum(
                waiting.deferral is not None and waiting.deferral.holds_nothing
                for waiting in self._for_people
            )
        token = self._tokens.pop(task_run, None)
        if token is not None:
            del self._of_token[token]
            self._triggers.stop(token)


def _name(task_run: TaskRun) -> str:
    """Return under which name an answer is given: a question of a flow has its title."""
    deferral = task_run.deferral
    if task_run.task_id == BODY and deferral is not None and deferral.request is not None:
        return deferral.request.title
    return task_run.task_id


def _resumption(task_run: TaskRun, report: msg.TriggerReport) -> Resumption:
    method = task_run.deferral.method if task_run.deferral is not None else ""
    if isinstance(report, msg.Broken):
        # As people write the user's file from where they are.
        error = report.failure.summary.removeprefix(os.path.join(os.getcwd(), ""))
        return Resumption(method, Outcome.ERROR, error=error)
    return Resumption(method, payload=msgspec.json.decode(report.payload))

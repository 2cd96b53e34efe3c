"""This module shows a run as plain lines, for pipes, files and continuous integration."""

from collections.abc import Callable

from ostinato.cli.display import clock, coming, duration, error_line, short_file
from ostinato.cli.progress.tally import Tally, TaskTally
from ostinato.client.answers import answer_command
from ostinato.engine import events as ev
from ostinato.model.deferral import InputRequest
from ostinato.model.failure import FailureKind
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import TaskRunKey
from ostinato.model.log import LogRecord
from ostinato.model.state import RunState, TaskRunState

#: Of a task that is mapped more widely, task runs are counted and not listed.
MAX_LISTED = 20

#: Failures of one task that are listed, however wide it is.
MAX_FAILURES = 20

#: Microseconds between two lines that say how far a wide task is.
COUNT_EVERY_US = 5_000_000

#: Source of the lines that the runtime itself adds to a log.
OWN_SOURCE = "ostinato"

#: A retry that comes sooner needs no line of its own.
_LONG_DELAY_US = 500_000


class Lines:
    """Say in a line each what happens; see ``View``.

    Args:
        flow: What runs.
        tally: Sums the run up; is told of each event first.
        write: Prints a line.
        name: Of the run, such as ``etl#17``.
    """

    def __init__(
        self, flow: FlowDefinition, tally: Tally, write: Callable[[str], None], *, name: str = ""
    ) -> None:
        self._name = name
        self._tries = {task.id: task.policy.retries + 1 for task in flow.tasks}
        self._tally = tally
        self._write = write
        self._started_us: dict[TaskRunKey, int] = {}
        self._failed: dict[str, int] = {}
        #: Wide tasks of which something happened since the last count, in that order.
        self._counting: dict[str, None] = {}
        self._counted_us: int | None = None

    def event(self, event: ev.Event) -> None:
        """Say what happened, if it is worth a line."""
        match event:
            case ev.AttemptStarted():
                self._started_us[TaskRunKey(event.task_id, event.path)] = event.at_us
            case ev.AttemptSucceeded():
                self._on_success(event)
            case ev.AttemptSkipped():
                self._on_end(event, "skipped", event.reason)
            case ev.AttemptFailed():
                self._on_failure(event)
            case ev.AttemptLost():
                key = TaskRunKey(event.task_id, event.path)
                self._say(event.at_us, f"{key} lost its process: {event.reason}")
            case ev.RetryScheduled():
                if event.due_us - event.at_us >= _LONG_DELAY_US:
                    key = TaskRunKey(event.task_id, event.path)
                    self._say(
                        event.at_us, f"{key} is tried again at {coming(event.due_us, event.at_us)}"
                    )
            case ev.AttemptDeferred():
                if not self._is_wide(event.task_id):
                    key = TaskRunKey(event.task_id, event.path)
                    what = event.deferral.what if event.deferral is not None else ""
                    parts = ["waits"]
                    parts += [f"for {what}"] if what else []
                    parts += (
                        [f"until {coming(event.until_us, event.at_us)}"] if event.until_us else []
                    )
                    self._say(event.at_us, f"{key} {' '.join(parts)}")
                    if event.deferral is not None and event.deferral.request is not None:
                        self._say_how(event.at_us, key, event.deferral.request)
            case ev.PauseBegan():
                key = TaskRunKey(event.task_id, event.path)
                until = f" until {coming(event.until_us, event.at_us)}" if event.until_us else ""
                text = f"{key} waits for a person: {event.request.title}{until}"
                self._say(event.at_us, text)
                self._say_how(event.at_us, key, event.request)
            case ev.PauseEnded() if event.by:
                key = TaskRunKey(event.task_id, event.path)
                self._say(event.at_us, f"{key} is answered by {event.by}")
            case ev.TaskRunEnded():
                self._on_end(event, event.state, event.reason)
            case ev.StepEnded():
                key = TaskRunKey(event.task_id, event.path)
                took = duration((event.at_us - event.started_us) / 1e6)
                why = f": {short_file(event.summary)}" if event.summary else ""
                self._say(event.at_us, f"{key} {event.state} in {took}{why}")
            case ev.RunStateChanged():
                if event.state == RunState.CANCELLING.label:
                    self._say(event.at_us, "cancelling: what runs is stopped")
            case ev.CodeChanged():
                self._say(event.at_us, "its code has changed: it goes on with that of today")
            case ev.DeadlineMissed():
                self._say(event.at_us, f"late: the deadline of {event.deadline_s:g} s has passed")
            case _:
                return

    def log_line(self, key: TaskRunKey, record: LogRecord) -> None:
        """Say what a task wrote."""
        # A failure is said by its event.
        if record.source != OWN_SOURCE and not self._is_wide(key.task_id):
            level = "" if record.level in ("INFO", "DEBUG", "") else f"{record.level} "
            self._say(record.at_us, f"{key} | {level}{record.message}")

    def refresh(self, now_us: int) -> None:
        """Say now and then how far wide tasks are."""
        if not self._counting:
            return
        if self._counted_us is None:
            self._counted_us = now_us
        elif now_us - self._counted_us >= COUNT_EVERY_US:
            for task_id in self._counting:
                self._say(now_us, _progress(task_id, self._tally.tasks[task_id]))
            self._counting.clear()
            self._counted_us = now_us

    def close(self) -> None:
        """Do nothing: every line was printed when it came."""

    def _on_success(self, event: ev.AttemptSucceeded) -> None:
        key = TaskRunKey(event.task_id, event.path)
        started_us = event.started_us or self._started_us.pop(key, event.at_us)
        ended_us = event.ended_us or event.at_us
        took = duration((ended_us - started_us) / 1e6)
        if not self._is_wide(event.task_id):
            source = f": cached from {event.source}" if event.source else ""
            self._say(event.at_us, f"{key} succeeded in {took}{source}")
        else:
            self._count(event.task_id, event.at_us)

    def _on_failure(self, event: ev.AttemptFailed) -> None:
        key = TaskRunKey(event.task_id, event.path)
        self._count(event.task_id, event.at_us)
        if event.failure.kind is FailureKind.CANCELLED:
            # The end that follows says so.
            return
        listed = self._failed[event.task_id] = self._failed.get(event.task_id, 0) + 1
        if self._is_wide(event.task_id) and listed > MAX_FAILURES:
            if listed == MAX_FAILURES + 1:
                self._say(event.at_us, f"{event.task_id}: more failures are not listed")
            return
        tries, number = self._tries.get(event.task_id, 1), self._tally.failures.get(key, 1)
        which = f" (attempt {number} of {tries})" if tries > 1 else ""
        self._say(event.at_us, f"{key} failed{which}: {error_line(event.failure)}")

    def _on_end(self, event: ev.AttemptSkipped | ev.TaskRunEnded, how: str, reason: str) -> None:
        self._count(event.task_id, event.at_us)
        if not self._is_wide(event.task_id):
            key = TaskRunKey(event.task_id, event.path)
            self._say(event.at_us, f"{key} {how}" + (f": {reason}" if reason else ""))

    def _count(self, task_id: str, at_us: int) -> None:
        if not self._is_wide(task_id):
            return
        task = self._tally.tasks[task_id]
        if task.is_settled:
            self._counting.pop(task_id, None)
            self._say(at_us, _progress(task_id, task))
        else:
            self._counting[task_id] = None

    def _is_wide(self, task_id: str) -> bool:
        task = self._tally.tasks.get(task_id)
        return task is not None and (task.total or 0) > MAX_LISTED

    def _say_how(self, at_us: int, key: TaskRunKey, request: InputRequest) -> None:
        self._say(at_us, f"  {answer_command(self._name, str(key), request)}")

    def _say(self, at_us: int, text: str) -> None:
        self._write(f"{clock(at_us)} {text}")


def _progress(task_id: str, task: TaskTally) -> str:
    """Return how far a wide task is, such as ``load: 3 of 9 done, 1 failed, 2 running``."""
    if task.is_settled:
        took = f" in {duration((task.ended_us - task.started_us) / 1e6)}" if task.ended_us else ""
        states = sorted(task.counts.items())
        return f"{task_id}: {', '.join(f'{n} {state.label}' for state, n in states)}{took}"
    parts = [f"{task.done} of {'?' if task.total is None else task.total} done"]
    seen = (TaskRunState.FAILED, TaskRunState.RETRYING, TaskRunState.RUNNING)
    parts.extend(f"{task.count(state)} {state.label}" for state in seen if task.count(state))
    return f"{task_id}: {', '.join(parts)}"

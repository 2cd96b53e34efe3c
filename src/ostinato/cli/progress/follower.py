"""This module follows a run in a thread and shows what it sees.

It reads the event log through the client, with its own connection, while the main thread
drives the run. It takes a tenth of the time at most: the longer a look lasts, the longer it
waits for the next one.
"""

import threading
import traceback
from math import prod
from typing import Protocol

import click
import msgspec

from ostinato.cli.progress.tally import Tally
from ostinato.client.protocol import AttemptLog, Client, RunLog
from ostinato.clock import SystemClock
from ostinato.engine import events as ev
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId, TaskRunKey, format_path, parse_path
from ostinato.model.log import LogRecord

#: Seconds between two looks.
PAUSE_S = 0.1

#: A pause is at least this many times as long as the look before it.
PAUSE_PER_LOOK = 10

#: Attempts whose logs are followed at a time; of more, nobody could read the lines.
MAX_FOLLOWED = 16

_PAGE = 1000
_lengths_decoder = msgspec.json.Decoder(tuple[int, ...])


class View(Protocol):
    """Show a run while it goes on."""

    def event(self, event: ev.Event) -> None:
        """Take an event, after the tally has."""
        ...

    def log_line(self, key: TaskRunKey, record: LogRecord) -> None:
        """Take a line that a task wrote."""
        ...

    def refresh(self, now_us: int) -> None:
        """Show what has come since the last time."""
        ...

    def close(self) -> None:
        """Show the end and free the terminal."""
        ...


class Follower:
    """Feed a view from the event log until told to stop.

    Args:
        client: Where the run is seen.
        run_id: The run.
        flow: Its definition.
        tally: Sums it up.
        view: Shows it.
        is_fresh: Whether nothing is stored of the run yet.
    """

    def __init__(
        self,
        client: Client,
        run_id: RunId,
        flow: FlowDefinition,
        *,
        tally: Tally,
        view: View,
        is_fresh: bool,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._tally = tally
        self._view = view
        self._clock = SystemClock()
        self._generations: dict[TaskRunKey, int] = {}
        self._cursor = "" if is_fresh else client.event_cursor()
        if not is_fresh:
            self._seed()
        self._mapped = {task.id for task in flow.tasks if task.expansion is not None or task.group}
        self._logs: dict[TaskRunKey, AttemptLog] = {}
        #: Of steps that were seen to begin.
        self._step_logs: dict[TaskRunKey, RunLog] = {}
        self._began_us = self._clock.now_us()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Show what is left and return; a second time does nothing."""
        self._stopping.set()
        self._thread.join()

    def _seed(self) -> None:
        views = list(self._client.task_runs(self._run_id))
        lengths = {
            (row.container_id, parse_path(row.path)): _product(_lengths_decoder.decode(row.lengths))
            for row in self._client.expansions(self._run_id)
        }
        self._tally.seed(views, lengths)
        self._generations = {
            TaskRunKey(view.task_id, parse_path(view.path)): view.generation for view in views
        }

    def _follow(self) -> None:
        try:
            pause_s = 0.0
            while not self._stopping.wait(pause_s):
                began_s = self._clock.monotonic_s()
                self._look()
                pause_s = max(PAUSE_S, PAUSE_PER_LOOK * (self._clock.monotonic_s() - began_s))
            self._look()
        except BrokenPipeError:
            # The reader, such as ``head``, has seen enough; the run goes on.
            return
        except Exception:  # noqa: BLE001 - what is shown must not touch the run, which goes on
            self._view.close()
            click.echo("warning: progress cannot be shown any more:", err=True)
            traceback.print_exc()
        else:
            self._view.close()

    def _look(self) -> None:
        page = self._client.events(after=self._cursor, run_id=self._run_id, limit=_PAGE)
        while page:
            self._cursor = page[-1].cursor
            for logged in page:
                if logged.event is not None:
                    self._take(logged.event)
            if len(page) < _PAGE:
                break
            page = self._client.events(after=self._cursor, run_id=self._run_id, limit=_PAGE)
        for key in list(self._logs):
            self._read_log(key)
        for key in self._step_logs:
            self._read_step_log(key)
        self._view.refresh(self._clock.now_us())

    def _take(self, event: ev.Event) -> None:
        if isinstance(event, ev.TaskRunsCleared):
            # Which task runs were downstream of these is known to the store.
            self._seed()
        elif isinstance(event, ev.AttemptStarted):
            self._follow_log(TaskRunKey(event.task_id, event.path), event.attempt)
        elif isinstance(event, ev.StepStarted):
            if len(self._step_logs) < MAX_FOLLOWED:
                self._step_log(TaskRunKey(event.task_id, event.path))
        elif isinstance(event, ev.StepEnded):
            key = TaskRunKey(event.task_id, event.path)
            self._read_step_log(key)
            self._step_logs.pop(key, None)
        elif isinstance(event, _ENDS):
            key = TaskRunKey(event.task_id, event.path)
            self._read_log(key)
            self._logs.pop(key, None)
        self._tally.apply(event)
        self._view.event(event)

    def _follow_log(self, key: TaskRunKey, attempt: int) -> None:
        if len(self._logs) < MAX_FOLLOWED or key.task_id not in self._mapped:
            self._logs[key] = self._client.attempt_log(
                self._run_id,
                key.task_id,
                key.path,
                generation=self._generations.get(key, 0),
                attempt=attempt,
            )

    def _step_log(self, key: TaskRunKey) -> RunLog:
        log = self._step_logs.get(key)
        if log is None:
            path = format_path(key.path)
            log = self._client.log(self._run_id, task_id=key.task_id, path=path)
            self._step_logs[key] = log
        return log

    def _read_step_log(self, key: TaskRunKey) -> None:
        for line in self._step_log(key).read():
            # What an earlier attempt of the flow left there was seen then.
            if line.record.at_us >= self._began_us:
                self._view.log_line(key, line.record)

    def _read_log(self, key: TaskRunKey) -> None:
        log = self._logs.get(key)
        if log is not None:
            for record in log.read():
                self._view.log_line(key, record)


_ENDS = (ev.AttemptSucceeded, ev.AttemptSkipped, ev.AttemptFailed, ev.AttemptLost)


def _product(lengths: tuple[int, ...]) -> int:
    # A cleared expansion has none.
    return prod(lengths) if lengths else 0

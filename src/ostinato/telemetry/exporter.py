"""This module sends spans and logs by OTLP over HTTP, in a thread of its own.

What a process commits is handed over as it is; all else happens beside the process's work. If
the receiver does not keep up, what comes is dropped: telling never holds up doing.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ostinato.errors import MissingPackage, StoreError
from ostinato.model.health import PartHealth
from ostinato.model.identity import RunId
from ostinato.model.log import LogRecord
from ostinato.store.records import Batch, RunRow
from ostinato.telemetry.receiver import Receiver
from ostinato.telemetry.spans import Changes, SpanFinder

if TYPE_CHECKING:
    from ostinato.telemetry.otlp import Otlp

logger = logging.getLogger(__name__)

#: Batches that may wait to be told of.
MAX_WAITING = 10_000

#: Returns the lines of the log of an attempt: of a run, task, path, generation, attempt.
ReadLog = Callable[[RunId, str, str, int, int], Iterable[LogRecord]]


class Telemetry:
    """Tell a receiver what this process has executed; a part of a service.

    Implements ``StoreObserver``.

    Args:
        receiver: Where to send to.
        project: Name of the project.
        read_log: Returns the lines of the log of an attempt.

    Raises:
        MissingPackage: OpenTelemetry is not installed.
    """

    #: Names it in logs and in health.
    name = "telemetry"

    def __init__(self, receiver: Receiver, project: str, *, read_log: ReadLog) -> None:
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp") is None:
            message = "telemetry.endpoint is set, but OpenTelemetry is not installed"
            raise MissingPackage(message, hint="pip install 'ostinato[otel]'")
        self._receiver = receiver
        self._finder = SpanFinder(project)
        self._project = project
        self._read_log = read_log
        self._waiting: SimpleQueue[Changes | Sequence[RunRow] | None] = SimpleQueue()
        self._lost = 0
        self._has_ended = False

    # What it is told

    def created(self, rows: Sequence[RunRow]) -> None:
        """Take note of runs that this process drives from the beginning."""
        owned = [row for row in rows if row.owner]
        if owned:
            self._waiting.put(owned)

    def claimed(self, rows: Sequence[RunRow]) -> None:
        """Take note of runs that this process has taken over."""
        if rows:
            self._waiting.put(rows)

    def committed(self, batch: Batch, took_s: float) -> None:
        """Take note of a batch that was written."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.put(Changes([*batch.events], [*batch.task_runs], [*batch.runs]))

    def failed(self, error: StoreError) -> None:
        """Nothing was executed."""

    # Its life

    def serve(self) -> None:
        """Send until it is told to end."""
        from ostinato.telemetry.otlp import Otlp

        otlp = Otlp(self._receiver, self._project)
        try:
            while (taken := self._waiting.get()) is not None:
                self._tell(otlp, taken)
                if self._lost:
                    logger.warning("the receiver of spans is too slow: batches were dropped")
                    self._lost = 0
        finally:
            self._has_ended = True
            otlp.close()

    def drain(self) -> None:
        """Send what has come so far, and end."""
        self._waiting.put(None)

    def stop(self) -> None:
        """Send what has come so far, and end."""
        self._waiting.put(None)

    def health(self) -> PartHealth:
        """Return how it is; it is never a reason to restart what works."""
        detail = "spans are dropped: the receiver is too slow" if self._lost else ""
        return PartHealth(detail=detail)

    def _tell(self, otlp: "Otlp", taken: Changes | Sequence[RunRow]) -> None:
        if not isinstance(taken, Changes):
            self._finder.note_runs(taken)
            return
        for span in self._finder.find(taken):
            otlp.send_span(span)
            if span.log_of is not None and self._receiver.has_logs:
                for record in self._read_log(*span.log_of):
                    otlp.send_line(span, record)

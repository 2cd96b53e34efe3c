"""This module is the interface of all clients: what people and programs may ask and want."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ostinato.client.answers import WaitingInput
from ostinato.client.views import AttemptView, NoticeView, TaskRunView, ValueView
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, RunId
from ostinato.model.log import LogRecord
from ostinato.model.state import TaskRunState
from ostinato.model.value import RETURN_VALUE
from ostinato.store.logs import LoggedLine
from ostinato.store.protocol import RunFilter
from ostinato.store.records import (
    ArtifactRow,
    CoordinatorRow,
    ExpansionRow,
    LoggedEvent,
    NewRun,
    RunRow,
)


class AttemptLog(Protocol):
    """The log of an attempt, as it grows."""

    def read(self) -> list[LogRecord]:
        """Return the lines that came since the last call."""
        ...


class RunLog(Protocol):
    """The log of a run, as it grows."""

    def read(self) -> list[LoggedLine]:
        """Return the lines that came since the last call, in the order of time."""
        ...


class Client(Protocol):
    """Ask for runs and what became of them, and want something of them.

    Raises:
        StoreError: Any method may raise one of its kinds.
    """

    def create_runs(self, runs: Sequence[NewRun]) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run."""
        ...

    def cancel(self, run_id: RunId, by: str) -> None:
        """Ask the process that drives a run to cancel it."""
        ...

    def inputs(self, run_id: RunId | None = None) -> list[WaitingInput]:
        """Return what waits for a person, of all runs or of one, oldest run first."""
        ...

    def artifacts(
        self, *, key: str = "", run_id: RunId | None = None, limit: int = 100
    ) -> list[ArtifactRow]:
        """Return what tasks published, newest first: of a key, of a run, or the newest of all."""
        ...

    def answer(self, run_id: RunId, task_id: str, path: str, answer: Any, by: str) -> None:
        """Answer a task run that waits for a person.

        Raises:
            AnswerError: It does not wait, or the answer does not fit what it asks.
        """
        ...

    def run(self, name: str) -> RunRow:
        """Return the run that a person names: an id, ``flow#17``, a flow, or ``last``.

        Raises:
            RunNotFound: There is none; says what there is.
        """
        ...

    def runs(
        self, which: RunFilter | None = None, *, cursor: str = "", limit: int = 50
    ) -> tuple[list[RunRow], str]:
        """Return runs, newest first, and the cursor of the next page ("" at the end)."""
        ...

    def owner(self, run: RunRow) -> CoordinatorRow | None:
        """Return who drives a run at this moment; None if nobody does."""
        ...

    def flow(self, run: RunRow) -> FlowDefinition | None:
        """Return the definition that a run is pinned to, None if it is no longer kept."""
        ...

    def counts(self, run_id: RunId) -> dict[str, dict[TaskRunState, int]]:
        """Return how many task runs of each task are in each state."""
        ...

    def expansions(self, run_id: RunId) -> list[ExpansionRow]:
        """Return the lengths of a run's mapped tasks and groups."""
        ...

    def task_runs(
        self,
        run_id: RunId,
        *,
        task_id: str = "",
        states: Sequence[TaskRunState] = (),
        limit: int = 0,
    ) -> Iterator[TaskRunView]:
        """Yield task runs in the order of task and index; ``limit`` of 0 for all."""
        ...

    def task_runs_page(
        self,
        run_id: RunId,
        *,
        task_id: str = "",
        states: Sequence[TaskRunState] = (),
        cursor: str = "",
        limit: int = 100,
    ) -> tuple[list[TaskRunView], str]:
        """Return task runs in the order of task and index, and the cursor of the next page."""
        ...

    def coordinators(self) -> list[CoordinatorRow]:
        """Return the processes that drive runs or fire schedules."""
        ...

    def attempts(self, run_id: RunId, task_id: str, path: str = "") -> list[AttemptView]:
        """Return earlier attempts of a task run, oldest first."""
        ...

    def notices(self, run_id: RunId) -> list[NoticeView]:
        """Return the callbacks and alerts of a run, in the order in which they were caused."""
        ...

    def values(
        self, run_id: RunId, task_id: str, *, path: str | None = None, key: str = RETURN_VALUE
    ) -> list[ValueView]:
        """Return the newest values of a task in the order of index; of one path if given."""
        ...

    def events(
        self,
        *,
        after: str = "",
        run_id: RunId | None = None,
        limit: int = 1000,
        of_runs: bool = False,
    ) -> list[LoggedEvent]:
        """Return events in the order of the log, from behind a cursor.

        Args:
            after: The cursor; empty for the beginning of the log.
            run_id: Of one run alone.
            limit: At most so many.
            of_runs: Only what happened to runs, and not to their task runs.
        """
        ...

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        ...

    def log(self, run_id: RunId, *, task_id: str = "", path: str = "*") -> RunLog:
        """Return the log of a run, or of one of its tasks, which can be read as it grows."""
        ...

    def attempt_log(
        self, run_id: RunId, task_id: str, path: MapPath, *, generation: int, attempt: int
    ) -> AttemptLog:
        """Return the log of one attempt, which can be read as it grows."""
        ...

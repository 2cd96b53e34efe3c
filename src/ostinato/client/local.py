"""This module is a client on a store of this machine."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from ostinato.client.answers import WaitingInput, check_answer
from ostinato.client.scheduler_role import role_of
from ostinato.client.views import AttemptView, NoticeView, TaskRunView, ValueView
from ostinato.errors import AnswerError, RunNotFound
from ostinato.model.deferral import Deferral, decode_wait
from ostinato.model.failure import Failure
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import MapPath, RunId
from ostinato.model.layout import log_path
from ostinato.model.log import LogRecord
from ostinato.model.manifest import decode_manifest
from ostinato.model.state import TaskRunState
from ostinato.model.step import decode_step
from ostinato.model.value import RETURN_VALUE, StoredValue, ValueFormat
from ostinato.store.logs import RunLog
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import (
    ArtifactRow,
    AttemptRow,
    Claimable,
    CoordinatorRow,
    ExpansionRow,
    LoggedEvent,
    NewRun,
    NoticeRow,
    RunRow,
    TaskRunRow,
)

if TYPE_CHECKING:
    from ostinato.client.backfills import Backfills
    from ostinato.client.schedules import Schedules
    from ostinato.client.sensors import Sensors

#: Larger JSON values are described like others: nobody reads them whole.
MAX_CONTENT_BYTES = 1024 * 1024

_PAGE = 1000
_MAX_READ_BYTES = 4 * 1024 * 1024
_log_decoder = msgspec.json.Decoder(LogRecord)
_failure_decoder = msgspec.msgpack.Decoder(Failure)


class LocalClient:
    """Ask a store, and the folders of values and logs beside it; see ``Client``.

    Args:
        store: Where runs are recorded.
        values_root: Folder of large values.
        logs_root: Folder of logs.
    """

    def __init__(self, store: Store, *, values_root: Path, logs_root: Path) -> None:
        self._store = store
        self._values_root = values_root
        self._logs_root = logs_root

    # A command mostly needs none of these.

    @cached_property
    def backfills(self) -> "Backfills":
        """Backfills over dates."""
        from ostinato.client.backfills import Backfills

        return Backfills(self._store.backfills, self._store.wake_schedulers)

    @cached_property
    def sensors(self) -> "Sensors":
        """How event sensors stand, and their ticks."""
        from ostinato.client.sensors import Sensors

        return Sensors(self._store)

    @cached_property
    def schedules(self) -> "Schedules":
        """How schedules stand, and their ticks."""
        from ostinato.client.schedules import Schedules

        return Schedules(self._store)

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run.

        Args:
            runs: What to create.
            at_us: Moment at which they count as created at the earliest.
            before_commit: Called when all is written that nobody sees yet; an error of it creates
                nothing. Nobody else creates runs meanwhile.
        """
        return self._store.create_runs(runs, at_us=at_us, before_commit=before_commit)

    def cancel(self, run_id: RunId, by: str) -> None:
        """Ask the process that drives a run to cancel it."""
        self._store.request(run_id, "cancel", by)
        # Of a run that nobody drives, whoever comes next is to know at once.
        self._store.wake_workers()

    def retry(
        self,
        run_id: RunId,
        by: str,
        *,
        tasks: Sequence[str] = (),
        only: Sequence[str] = (),
        is_failed_only: bool = False,
    ) -> None:
        """Ask a worker to execute parts of an ended run again; what failed if none is named.

        Args:
            run_id: Of a run of the service.
            by: Who asks.
            tasks: Tasks, task runs or selections, with all that is downstream.
            only: The same, without what is downstream.
            is_failed_only: Whether, of all that, only what failed is meant.
        """
        # As the coordinator's ``Choice`` is read.
        choice = (tuple(tasks), tuple(only), False, False, is_failed_only, ())
        self._store.request(run_id, "retry", by, payload=msgspec.json.encode(choice))
        self._store.wake_workers()

    def inputs(self, run_id: RunId | None = None) -> list[WaitingInput]:
        """Return what waits for a person, of all runs or of one, oldest run first."""
        found: list[WaitingInput] = []
        for row in self._store.waiting(run_id):
            wait = decode_wait(row.wait)
            if isinstance(wait, Deferral) and wait.request is not None:
                waits = (row.ended_us, row.due_us, wait.request, wait.holds_nothing)
                found.append(WaitingInput(RunId(row.run_id), row.task_id, row.path, *waits))
        return found

    def artifacts(
        self, *, key: str = "", run_id: RunId | None = None, limit: int = 100
    ) -> list[ArtifactRow]:
        """Return what tasks published, newest first: of a key, of a run, or the newest of all."""
        return self._store.artifacts(key=key, run_id=run_id, limit=limit)

    def answer(self, run_id: RunId, task_id: str, path: str, answer: Any, by: str) -> None:
        """Answer a task run that waits for a person.

        Raises:
            AnswerError: It does not wait, or the answer does not fit what it asks.
        """
        waiting = self.inputs(run_id)
        asked = next((one for one in waiting if (one.task_id, one.path) == (task_id, path)), None)
        if asked is None:
            name = f"{task_id}[{path}]" if path else task_id
            others = ", ".join(one.name for one in waiting[:3])
            message = f"{name!r} does not wait for an answer"
            raise AnswerError(message, hint=f"these do: {others}" if others else "nothing does")
        check_answer(asked.request, answer, asked.name)
        payload = msgspec.json.encode(answer)
        self._store.request(run_id, "answer", by, task_id=task_id, path=path, payload=payload)
        self._store.wake_workers()

    def run(self, name: str) -> RunRow:
        """Return the run that a person names.

        Raises:
            RunNotFound: There is none; says what there is.
        """
        found = self._store.find_run(name)
        if found is not None:
            return found
        newest, _ = self._store.runs(RunFilter(), limit=1)
        if not newest:
            raise RunNotFound("no run has been recorded here")
        known = f"{newest[0].flow}#{newest[0].number}"
        raise RunNotFound(f"there is no run {name!r}", hint=f"the newest is {known}")

    def find(self, run_id: int) -> RunRow | None:
        """Return a run, None if it is not in the store."""
        return self._store.run(RunId(run_id))

    def runs(
        self, which: RunFilter | None = None, *, cursor: str = "", limit: int = 50
    ) -> tuple[list[RunRow], str]:
        """Return runs, newest first, and the cursor of the next page ("" at the end)."""
        return self._store.runs(which or RunFilter(), cursor=cursor, limit=limit)

    def owner(self, run: RunRow) -> CoordinatorRow | None:
        """Return who drives a run at this moment; None if nobody does."""
        if not run.owner or run.state.is_terminal:
            return None
        owner = self._store.coordinator(run.owner)
        return owner if owner is not None and owner.is_alive else None

    def is_served_by(self, kind: str) -> bool:
        """Whether a coordinator of a kind lives, such as ``worker`` or ``scheduler``."""
        return any(each.kind == kind and each.is_alive for each in self._store.coordinators())

    def active_scheduler(self, project: str) -> CoordinatorRow | None:
        """Return the scheduler that fires schedules at this moment, None if none does."""
        holder = self._store.role_holder(role_of(project))
        return holder if holder is not None and holder.is_alive else None

    def flow(self, run: RunRow) -> FlowDefinition | None:
        """Return the definition that a run is pinned to, None if it is no longer kept."""
        data = self._store.load_manifest(run.manifest_version)
        return None if data is None else decode_manifest(data).flow(run.flow)

    def flow_at(self, name: str, version: str) -> FlowDefinition | None:
        """Return the definition of a flow at a version, None if it is not kept."""
        data = self._store.load_manifest(version)
        return None if data is None else decode_manifest(data).flow(name)

    def sources(self, run: RunRow) -> dict[str, str]:
        """Return the content hash of each file of the code that a run is pinned to."""
        data = self._store.load_manifest(run.manifest_version)
        return {} if data is None else decode_manifest(data).sources

    def counts(self, run_id: RunId) -> dict[str, dict[TaskRunState, int]]:
        """Return how many task runs of each task are in each state."""
        counts: dict[str, dict[TaskRunState, int]] = {}
        for task_id, state, number in self._store.task_run_counts(run_id):
            counts.setdefault(task_id, {})[TaskRunState(state)] = number
        return counts

    def expansions(self, run_id: RunId) -> list[ExpansionRow]:
        """Return the lengths of a run's mapped tasks and groups."""
        return self._store.expansions(run_id)

    def task_runs(
        self,
        run_id: RunId,
        *,
        task_id: str = "",
        states: Sequence[TaskRunState] = (),
        limit: int = 0,
    ) -> Iterator[TaskRunView]:
        """Yield task runs in the order of task and index; ``limit`` of 0 for all."""
        cursor, left = "", limit
        while True:
            page, cursor = self._store.task_runs(
                run_id,
                task_id=task_id,
                states=states,
                cursor=cursor,
                limit=min(left, _PAGE) if limit else _PAGE,
            )
            yield from map(_task_run, page)
            left -= len(page)
            if not cursor or (limit and left <= 0):
                return

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
        page, after = self._store.task_runs(
            run_id, task_id=task_id, states=states, cursor=cursor, limit=limit
        )
        return [_task_run(row) for row in page], after

    def claimable(self, project: str) -> list[Claimable]:
        """Return how many runs wait for a worker, by flow and version."""
        return self._store.claimable(project)

    def coordinators(self) -> list[CoordinatorRow]:
        """Return the processes that drive runs or fire schedules."""
        return self._store.coordinators()

    def attempts(self, run_id: RunId, task_id: str, path: str = "") -> list[AttemptView]:
        """Return earlier attempts of a task run, oldest first."""
        return [_attempt(row) for row in self._store.attempts(run_id, task_id, path)]

    def notices(self, run_id: RunId) -> list[NoticeView]:
        """Return the callbacks and alerts of a run, in the order in which they were caused."""
        return [notice_view(row) for row in self._store.notices(run_id)]

    def values(
        self, run_id: RunId, task_id: str, *, path: str | None = None, key: str = RETURN_VALUE
    ) -> list[ValueView]:
        """Return the newest values of a task in the order of index; of one path if given."""
        values = self._store.values(run_id, task_id, path=path, key=key)
        return [self._value(own_path, value) for own_path, value in values]

    def value_digests(self, run_id: RunId, task_id: str) -> dict[str, str]:
        """Return what tells a task's results from others, by path; large ones are read."""
        values = self._store.values(run_id, task_id)
        return {path: self._digest(value) for path, value in values}

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
        return self._store.events(after=after, run_id=run_id, limit=limit, of_runs=of_runs)

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        return self._store.event_cursor()

    def log(self, run_id: RunId, *, task_id: str = "", path: str = "*") -> RunLog:
        """Return the log of a run, or of one of its tasks, which can be read as it grows."""
        return RunLog(self._logs_root, run_id, task_id=task_id, path=path)

    def attempt_log(
        self, run_id: RunId, task_id: str, path: MapPath, *, generation: int, attempt: int
    ) -> "GrowingLog":
        """Return the log of one attempt, which can be read as it grows."""
        return GrowingLog(self._logs_root / log_path(run_id, task_id, path, generation, attempt))

    def _value(self, path: str, value: StoredValue) -> ValueView:
        return ValueView(
            path=path,
            key=value.key,
            format=value.format,
            size_bytes=value.size_bytes,
            type_name=value.type_name,
            preview=value.preview,
            location=value.location,
            content=self._content(value),
        )

    def _digest(self, value: StoredValue) -> str:
        if value.data is not None:
            found = hashlib.sha256(value.data).hexdigest()
        else:
            try:
                with open(self._values_root / value.location, "rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                # Cleared away: all that is known is its size.
                found = str(value.size_bytes)
        return f"{value.format}:{found}"

    def _content(self, value: StoredValue) -> object:
        if value.format is not ValueFormat.JSON or value.size_bytes > MAX_CONTENT_BYTES:
            return UNSET
        data = value.data
        if data is None:
            file = self._values_root / value.location
            if not file.is_file():
                # Cleared away; the description says where it was.
                return UNSET
            data = file.read_bytes()
        content: object = msgspec.json.decode(data)
        return content


class GrowingLog:
    """The log of one attempt; reads only what is new, and only complete lines.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[LogRecord]:
        """Return the lines that came since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._position)
                data = file.read(_MAX_READ_BYTES)
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._position += len(complete)
        return _log_decoder.decode_lines(complete)


def _task_run(row: TaskRunRow) -> TaskRunView:
    return TaskRunView(
        task_id=row.task_id,
        path=row.path,
        state=TaskRunState(row.state),
        attempt=row.attempt,
        failures=row.failures,
        generation=row.generation,
        queued_us=row.queued_us,
        started_us=row.started_us,
        ended_us=row.ended_us,
        due_us=row.due_us,
        failure=None if row.failure is None else _failure_decoder.decode(row.failure),
        inputs=row.inputs,
        map_name=row.map_name,
        reason=row.reason or _waits_for(row),
        answered_by=_answered_by(row),
    )


def _answered_by(row: TaskRunRow) -> str:
    return "" if row.step is None else decode_step(row.step).by


def _waits_for(row: TaskRunRow) -> str:
    wait = decode_wait(row.wait)
    return f"waits for {wait.what}" if isinstance(wait, Deferral) and wait.what else ""


def _attempt(row: AttemptRow) -> AttemptView:
    return AttemptView(
        attempt=row.attempt,
        generation=row.generation,
        state=row.state,
        started_us=row.started_us,
        ended_us=row.ended_us,
        failure=None if row.failure is None else _failure_decoder.decode(row.failure),
    )


def notice_view(row: NoticeRow) -> NoticeView:
    """Return a callback or an alert as people see it."""
    message = {} if row.message is None else msgspec.json.decode(row.message, type=dict[str, str])
    return NoticeView(
        id=row.id,
        task_id=row.task_id,
        path=row.path,
        attempt=row.attempt,
        moment=row.moment,
        recipient=row.recipient,
        rule=row.rule,
        state=row.state,
        tries=row.tries,
        created_us=row.created_us,
        due_us=row.due_us,
        ended_us=row.ended_us,
        failure=None if row.failure is None else _failure_decoder.decode(row.failure),
        title=message.get("title", ""),
        body=message.get("body", ""),
    )

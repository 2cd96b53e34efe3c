"""This module is what every store does in the same words: reading, claiming, owning."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ostinato.clock import Clock
from ostinato.errors import RunNotFound, UsageError
from ostinato.model.identity import RunId
from ostinato.model.notice import NoticeState
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.store import rows
from ostinato.store.backfills import BackfillStore
from ostinato.store.budgets import BudgetTables
from ostinato.store.cache import CacheTables
from ostinato.store.claims import Claims
from ostinato.store.cursors import read_key, read_position, write_key, write_position
from ostinato.store.database import Database
from ostinato.store.filters import (
    ALL,
    Query,
    named_run,
    previous_success,
    run_by_id,
    runs_before,
    runs_page,
    task_runs_page,
)
from ostinato.store.inspection import StoreInspection, inspect
from ostinato.store.integrity import find_problems
from ostinato.store.liveness import Liveness
from ostinato.store.ownership import Ownership
from ostinato.store.protocol import RunFilter
from ostinato.store.pruning import PruningTables
from ostinato.store.records import (
    ArtifactRow,
    AttemptRow,
    Batch,
    Claimable,
    CoordinatorLease,
    CoordinatorRow,
    ExpansionRow,
    LoggedEvent,
    NewRun,
    NoticeRow,
    RunRequest,
    RunRow,
    TaskRunRow,
)
from ostinato.store.schedules import ScheduleTables
from ostinato.store.sensors import SensorStore
from ostinato.store.served import ServedFlowTables
from ostinato.store.vault import VaultTables


class SqlStore(ABC):
    """Implements ``Store`` but for what a database does in its own way; see there.

    Args:
        database: Where the rows are.
        statements: By name, as the database says them.
        liveness: Knows which coordinators live.
        clock: Stamps rows and ids.
    """

    def __init__(
        self,
        database: Database,
        statements: Mapping[str, str],
        liveness: Liveness,
        clock: Clock,
    ) -> None:
        self.path = database.path
        self._clock = clock
        self._sql = statements
        self._database = database
        self._ownership = Ownership(database, statements, liveness, clock)
        self._claims = self._claims_of(database)
        #: Connections, variables and pools.
        self.vault = VaultTables(database, statements, clock)
        self.backfills = BackfillStore(database, statements, clock)
        self.sensors = SensorStore(database, statements, clock)
        self.cache = CacheTables(database, statements, self._ownership)
        self.schedules = ScheduleTables(database, statements, clock)
        self.pruning = PruningTables(database, statements)
        self.served = ServedFlowTables(database, statements, clock)
        #: What coordinators may take of the limits that they share.
        self.budgets = BudgetTables(
            database, statements, self._ownership, clock=clock, wake=self._wake_coordinators
        )

    def _claims_of(self, database: Database) -> Claims:
        return Claims(database, self._sql, self._ownership)

    @abstractmethod
    def close(self) -> None:
        """Give up coordinators, locks and connections; a second time does nothing."""

    @abstractmethod
    def new_id(self) -> int:
        """Make a 63-bit id that no other process makes."""

    @abstractmethod
    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        owner: CoordinatorLease | None = None,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run."""

    @abstractmethod
    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together."""

    @abstractmethod
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

    @abstractmethod
    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""

    @abstractmethod
    def wake_workers(self) -> None:
        """Tell workers of other processes that runs wait for them."""

    @abstractmethod
    def wake_schedulers(self) -> None:
        """Tell schedulers of other processes that something is to be looked at."""

    @abstractmethod
    def listen(self, callback: Callable[[], None]) -> None:
        """Have something called, in another thread, whenever others wake this process."""

    @abstractmethod
    def _wake_owner(self, owner: CoordinatorRow) -> None:
        """Tell a coordinator that something is asked of it."""

    def _wake_coordinators(self, ids: Iterable[int]) -> None:
        for owner in map(self.coordinator, ids):
            if owner is not None:
                self._wake_owner(owner)

    # Definitions

    def save_manifest(self, version: str, project: str, data: bytes) -> None:
        """Keep encoded definitions under their version; a known version changes nothing."""
        if self.load_manifest(version) is None:
            with self._database.writing() as connection:
                values = (version, project, data, self._clock.now_us())
                connection.execute(self._sql["insert_manifest"], values)

    def manifest_versions(self, project: str) -> list[tuple[str, int]]:
        """Return the versions of a project and when each was first kept, oldest first."""
        return self._database.read(self._sql["select_manifest_moments"], (project,))

    def manifests(self, project: str) -> Iterable[bytes]:
        """Yield the encoded definitions of all versions of a project."""
        for (data,) in self._database.read(self._sql["select_manifests"], (project,)):
            yield data

    def load_manifest(self, version: str) -> bytes | None:
        """Return the encoded definitions of a version."""
        found = self._database.read(self._sql["select_manifest"], (version,))
        return found[0][0] if found else None

    # Runs

    def run(self, run_id: RunId) -> RunRow | None:
        """Return a run."""
        return self._one_run(run_by_id(self._sql["select_runs"], run_id))

    def find_run(self, name: str) -> RunRow | None:
        """Return the run that a person names: an id, ``flow#17``, ``flow`` or ``last``."""
        return self._one_run(named_run(self._sql["select_runs"], name))

    def _one_run(self, query: Query) -> RunRow | None:
        found = self._database.read(*query)
        return rows.run_row(found[0]) if found else None

    def runs(
        self, which: RunFilter, *, cursor: str = "", limit: int = 50
    ) -> tuple[list[RunRow], str]:
        """Return runs, newest first, and the cursor of the next page ("" at the end)."""
        before_id = read_position(cursor)
        # One more than asked for tells whether there is a next page.
        query = runs_page(self._sql["select_runs"], which, before_id=before_id, limit=limit + 1)
        found = [rows.run_row(row) for row in self._database.read(*query)]
        page = found[:limit]
        return page, write_position(page[-1].id) if len(found) > limit else ""

    def previous_success(self, run: RunRow) -> RunRow | None:
        """Return the run of the same flow that succeeded with the next earlier logical date."""
        query = previous_success(self._sql["select_runs"], run.flow, run.logical_date_us)
        return self._one_run(query)

    def runs_before(self, run: RunRow, *, limit: int) -> list[RunRow]:
        """Return runs of the same flow with earlier logical dates, the latest first."""
        query = runs_before(self._sql["select_runs"], run.flow, run.logical_date_us, limit)
        return [rows.run_row(row) for row in self._database.read(*query)]

    def newest_run_with_value(self, flow: str, task_id: str, key: str, before: RunRow) -> RunId:
        """Return the newest run of a flow that has a task's value under a key, 0 if none has."""
        parameters = (flow, before.logical_date_us, before.id, task_id, key)
        found = self._database.read(self._sql["newest_run_with_value"], parameters)
        return RunId(found[0][0]) if found else RunId(0)

    # Task runs

    def task_runs(
        self,
        run_id: RunId,
        *,
        task_id: str = "",
        states: Sequence[TaskRunState] = (),
        cursor: str = "",
        limit: int = 1000,
    ) -> tuple[list[TaskRunRow], str]:
        """Return rows of a run in the order of task id and index, and the next cursor."""
        query = task_runs_page(
            self._sql["select_task_runs"],
            run_id,
            task_id=task_id,
            states=states,
            after=read_key(cursor),
            limit=limit + 1,
        )
        found = [TaskRunRow._make(row) for row in self._database.read(*query)]
        page = found[:limit]
        return page, write_key(page[-1].task_id, page[-1].path) if len(found) > limit else ""

    def waiting(self, run_id: RunId | None = None) -> list[TaskRunRow]:
        """Return deferred task runs, of all runs or of one."""
        found = self._database.read(self._sql["select_waiting"], (run_id or 0,))
        return [TaskRunRow._make(row) for row in found]

    def steps(
        self, run_id: RunId, *, cursor: str = "", limit: int = 1000
    ) -> tuple[list[tuple[TaskRunRow, StoredValue | None]], str]:
        """Return recorded steps of a run with their results, and the next cursor."""
        task_id, path = read_key(cursor) or ("", "")
        values = (run_id, task_id, rows.path_key(path), limit + 1)
        found = self._database.read(self._sql["select_steps"], values)
        width = len(TaskRunRow._fields)
        page = [
            (
                TaskRunRow._make(columns[:width]),
                rows.stored_value(columns[width:])[1] if columns[width] is not None else None,
            )
            for columns in found[:limit]
        ]
        last = page[-1][0] if len(found) > limit else None
        return page, write_key(last.task_id, last.path) if last is not None else ""

    def artifact(self, artifact_id: int) -> ArtifactRow | None:
        """Return what a task published."""
        found = self._database.read(self._sql["select_artifact"], (artifact_id,))
        return ArtifactRow._make(found[0]) if found else None

    def artifacts(
        self, *, key: str = "", run_id: RunId | None = None, limit: int = 100
    ) -> list[ArtifactRow]:
        """Return what tasks published, newest first: of a key, of a run, or the newest of all."""
        values: tuple[Any, ...]
        if key:
            query, values = "select_versions_of_artifact", (key, run_id or 0, limit)
        elif run_id is not None:
            query, values = "select_artifacts_of_run", (run_id, limit)
        else:
            query, values = "select_newest_artifacts", (limit,)
        return [ArtifactRow._make(row) for row in self._database.read(self._sql[query], values)]

    def all_task_runs(self, run_id: RunId) -> Iterable[TaskRunRow]:
        """Return every row of a run, for taking it over."""
        query = task_runs_page(self._sql["select_task_runs"], run_id, limit=ALL)
        return [TaskRunRow._make(row) for row in self._database.read(*query)]

    def task_run_counts(self, run_id: RunId) -> list[tuple[str, TaskRunState, int]]:
        """Return (task id, state, rows) of a run; task runs without a row are not counted."""
        found = self._database.read(self._sql["count_task_runs"], (run_id,))
        return [(task_id, TaskRunState(state), count) for task_id, state, count in found]

    def expansions(self, run_id: RunId) -> list[ExpansionRow]:
        """Return the lengths of a run's mapped tasks and groups."""
        found = self._database.read(self._sql["select_expansions"], (run_id,))
        return [ExpansionRow._make(row) for row in found]

    def attempts(self, run_id: RunId, task_id: str, path: str) -> list[AttemptRow]:
        """Return earlier attempts of a task run, oldest first."""
        found = self._database.read(self._sql["select_attempts"], (run_id, task_id, path))
        return [AttemptRow._make(row) for row in found]

    def values(
        self, run_id: RunId, task_id: str, *, path: str | None = None, key: str = RETURN_VALUE
    ) -> list[tuple[str, StoredValue]]:
        """Return (path, value) of a task's newest values, in the order of index."""
        if path is None:
            found = self._database.read(self._sql["select_values"], (run_id, task_id, key))
        else:
            name = (run_id, task_id, rows.path_key(path), key)
            found = self._database.read(self._sql["select_value"], name)
        return [rows.stored_value(row) for row in found]

    # Notices

    def notices(self, run_id: RunId) -> list[NoticeRow]:
        """Return the callbacks and alerts of a run, in the order in which they were caused."""
        found = self._database.read(self._sql["select_notices"], (run_id,))
        return [NoticeRow._make(row) for row in found]

    def newest_alert_us(self, topic: str) -> int:
        """Return when the newest alert on a topic was made that was not dropped; 0 for never."""
        found = self._database.read(self._sql["newest_alert"], (topic,))
        return int(found[0][0]) if found else 0

    def open_subflows(self, flow: str, number: int) -> list[RunRow]:
        """Return the runs that a run of a flow called and that have not ended, oldest first."""
        query = " ".join((self._sql["select_runs"], self._sql["among_open_subflows"]))
        # Tags say where they were called; "0" follows "/".
        tags = (f"from:{flow}#{number}/", f"from:{flow}#{number}0")
        return [rows.run_row(row) for row in self._database.read(query, tags)]

    def runs_with_callbacks(self, project: str) -> list[RunId]:
        """Return the runs of the service that have ended and whose callbacks nobody executes."""
        found = self._database.read(self._sql["select_left_callbacks"], (project,))
        living = self._ownership.living({owner for _, owner in found}) if found else set()
        return [RunId(run_id) for run_id, owner in found if owner not in living]

    def take_notices(
        self, lease: CoordinatorLease, *, run_id: RunId | None = None, due_us: int = 0
    ) -> list[NoticeRow]:
        """Make a coordinator the sender of pending notices whose sender is gone."""
        name, key = ("select_notices", run_id) if run_id else ("select_due_alerts", due_us)
        # Mostly there are none: nobody else is kept from writing then.
        if not _pending(self._database.read(self._sql[name], (key,))):
            return []
        with self._ownership.writing(lease) as connection:
            connection.execute(self._sql["take_notices_alone"])
            pending = _pending(connection.execute(self._sql[name], (key,)).fetchall())
            owners = {row.owner for row in pending}
            gone = owners - self._ownership.living(owners)
            taken = [row for row in pending if row.owner in gone]
            connection.executemany(self._sql["own_notice"], [(lease.id, row.id) for row in taken])
        return [row._replace(owner=lease.id) for row in taken]

    # Ownership

    def register_coordinator(
        self, *, wake_address: str = "", kind: str = "run", name: str = "", version: str = ""
    ) -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        return self._ownership.register(
            self.new_id(), wake_address, kind=kind, name=name, version=version
        )

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        return self._ownership.coordinator(coordinator_id)

    def coordinators(self) -> list[CoordinatorRow]:
        """Return all coordinators as others see them, oldest first."""
        return self._ownership.coordinators()

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Give up runs and identity of a coordinator of this process."""
        self._ownership.unregister(lease)

    def abandon_coordinator(self, lease: CoordinatorLease) -> None:
        """Let a coordinator go as if its process had been killed, for tests of recovery."""
        self._ownership.abandon(lease)

    def take_run(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody."""
        return self._ownership.take(run_id, lease)

    def repin_run(self, run_id: RunId, version: str, lease: CoordinatorLease) -> None:
        """Have a run that is executed again be of other definitions."""
        self._ownership.repin(run_id, version, lease)

    def release_run(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        self._ownership.release(run_id, lease)

    @property
    def has_dying(self) -> bool:
        """Whether the last ``reap`` saw some dead who had not been so for long enough."""
        return self._ownership.has_dying

    def reap(self, sure_after_s: float = 0.0) -> int:
        """Shut out dead coordinators and leave their service runs to others; return how many."""
        count = self._ownership.reap(sure_after_s)
        if count:
            self.wake_workers()
        return count

    def fence_until_s(self, lease: CoordinatorLease) -> float | None:
        """Return the monotonic moment until which a lease is surely valid; None for ever."""
        return self._ownership.fence_until_s(lease)

    def take_role(self, name: str, lease: CoordinatorLease) -> bool:
        """Make a coordinator the holder of a role, unless a living one has it."""
        return self._ownership.take_role(name, lease)

    def release_role(self, name: str, lease: CoordinatorLease) -> None:
        """Give a role up."""
        self._ownership.release_role(name, lease)

    def role_holder(self, name: str) -> CoordinatorRow | None:
        """Return who has a role and is alive."""
        return self._ownership.role_holder(name)

    def held_roles(self, prefix: str) -> dict[str, int]:
        """Return the roles with a prefix that living coordinators have, with their ids."""
        return self._ownership.held_roles(prefix)

    # Claims

    def claimable(self, project: str) -> list[Claimable]:
        """Return how many runs wait for a worker, by flow and definitions."""
        return self._claims.claimable(project)

    def claim_runs(
        self,
        lease: CoordinatorLease,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        max_active: Mapping[str, int],
    ) -> list[RunRow]:
        """Make a coordinator the owner of runs that wait for a worker."""
        return self._claims.claim(lease, project, pairs, limit=limit, max_active=max_active)

    # Requests

    def request(
        self,
        run_id: RunId,
        kind: str,
        by: str,
        *,
        task_id: str = "",
        path: str = "",
        payload: bytes = b"",
    ) -> RunRequest:
        """Ask something of a run's owner and wake it."""
        columns = (run_id, kind, by, task_id, path, payload)
        with self._database.writing() as connection:
            found = connection.execute(self._sql["select_owner"], (run_id,)).fetchone()
            if found is None:
                raise RunNotFound(f"there is no run {run_id}", hint="ostinato runs lists them")
            flow, number, state, owner_id = found
            if RunState(state).is_terminal and kind != "retry":
                label = RunState(state).label
                raise UsageError(f"run {flow}#{number} has ended: it is {label}")
            made = connection.execute(self._sql["insert_request"], columns).fetchone()
        owner = self.coordinator(owner_id) if owner_id else None
        if owner is not None:
            self._wake_owner(owner)
        return RunRequest(made[0], *columns)

    def has_requests(self, run_id: RunId) -> bool:
        """Whether something is asked of a run that nobody has answered yet."""
        return bool(self._database.read(self._sql["any_request"], (run_id,)))

    def requests_of_ended(self, project: str) -> list[RunRequest]:
        """Return what was asked of runs of the service that have ended."""
        found = self._database.read(self._sql["select_requests_of_ended"], (project,))
        return [RunRequest(*row) for row in found]

    def pending_requests(self, lease: CoordinatorLease) -> list[RunRequest]:
        """Return what was asked of the runs that a coordinator owns."""
        found = self._database.read(self._sql["select_requests"], (lease.id,))
        return [RunRequest(*row) for row in found]

    # Soundness

    def inspect(self) -> StoreInspection:
        """Return what the store is, and how much is in it."""
        return inspect(self._database, self._sql, self._clock)

    def check_integrity(self) -> list[str]:
        """Return what is unsound in the store; nothing when all is well."""
        return find_problems(self._database, self._sql)


def _pending(found: Iterable[Sequence[Any]]) -> list[NoticeRow]:
    notices = map(NoticeRow._make, found)
    return [notice for notice in notices if notice.state == NoticeState.PENDING]

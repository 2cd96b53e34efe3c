"""This module is the store on SQLite: one file, one machine, several processes."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from ostinato.clock import Clock, SystemClock
from ostinato.errors import RunNotFound, StoreError, UsageError
from ostinato.model.identity import RunId
from ostinato.model.notice import NoticeState
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.store import rows
from ostinato.store.cache import SqliteCache
from ostinato.store.cursors import read_key, read_position, write_key, write_position
from ostinato.store.database import IN_MEMORY, Database
from ostinato.store.filters import (
    Query,
    named_run,
    previous_success,
    run_by_id,
    runs_before,
    runs_page,
    task_runs_page,
)
from ostinato.store.ids import IdGenerator, lease_node
from ostinato.store.integrity import find_problems
from ostinato.store.locks import Locks
from ostinato.store.migrate import load_migrations, migrate
from ostinato.store.ownership import Ownership
from ostinato.store.protocol import RunFilter
from ostinato.store.records import (
    ArtifactRow,
    AttemptRow,
    Batch,
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
from ostinato.store.statements import load_statements
from ostinato.store.vault import SqliteVault
from ostinato.store.waking import wake

#: Seconds that a write waits for another process's transaction.
BUSY_TIMEOUT_S = 5.0

#: SQLite's name for each degree of durability.
_SYNCHRONOUS = {"fsync": "FULL", "relaxed": "NORMAL"}


def open_store(
    path: Path | str,
    *,
    durability: str = "fsync",
    clock: Clock | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> "SqliteStore":
    """Open a store, and make or migrate it where that is needed.

    Args:
        path: The file, or ``:memory:``.
        durability: ``fsync``: a commit survives a power failure; ``relaxed``: it survives a
            killed process.
        clock: Stamps rows and ids.
        busy_timeout_s: Seconds that a write waits for another process's transaction.

    Raises:
        StoreError: It cannot be opened; one of its kinds.
        UsageError: There is no such durability.
    """
    return SqliteStore(
        str(path),
        durability=durability,
        clock=clock or SystemClock(),
        busy_timeout_s=busy_timeout_s,
    )


class SqliteStore:
    """Implements ``Store``; see there for its methods.

    Args:
        path: The file, or ``:memory:``.
        durability: ``fsync`` or ``relaxed``.
        clock: Stamps rows and ids.
        busy_timeout_s: Seconds that a write waits for another process's transaction.
    """

    def __init__(self, path: str, *, durability: str, clock: Clock, busy_timeout_s: float) -> None:
        level = _SYNCHRONOUS.get(durability)
        if level is None:
            message = f"there is no durability {durability!r}"
            raise UsageError(message, hint=f"it is {' or '.join(_SYNCHRONOUS)}")
        self.path = path
        self._clock = clock
        self._sql = load_statements("sqlite")
        self._database = Database(path, busy_timeout_s=busy_timeout_s)
        try:
            migrate(self._database, load_migrations())
            self._database.writer.execute(f"PRAGMA synchronous = {level}")
        except BaseException:
            self._database.close()
            raise
        self._locks = Locks(None if path == IN_MEMORY else Path(path).parent)
        self._ownership = Ownership(self._database, self._sql, self._locks, clock)
        self._ids: IdGenerator | None = None
        #: Connections, variables and pools.
        self.vault = SqliteVault(self._database, self._sql, clock)
        self.cache = SqliteCache(self._database, self._sql, self._ownership)

    def close(self) -> None:
        """Give up coordinators, locks and connections; a second time does nothing."""
        with self._database.lock:
            if self._database.is_closed:
                return
            # What cannot be written remains for others to tidy: the locks are gone.
            with suppress(StoreError):
                self._ownership.close()
            self._locks.close()
            self._database.close()

    def new_id(self) -> int:
        """Make a 63-bit id that no other process makes."""
        return self._id_generator().next()

    def _id_generator(self) -> IdGenerator:
        """Return what makes ids; the node is taken when the first one is asked for."""
        with self._database.lock:
            self._database.check_open()
            if self._ids is None:
                node = lease_node(self._locks, self.path)
                newest_run = self._database.read(self._sql["newest_run"])
                newest_coordinator = self._database.read(self._sql["newest_coordinator"])
                after = max((id_ for id_, *_ in (*newest_run, *newest_coordinator)), default=0)
                self._ids = IdGenerator(node, self._clock, after=after)
            return self._ids

    # Definitions

    def save_manifest(self, version: str, project: str, data: bytes) -> None:
        """Keep encoded definitions under their version; a known version changes nothing."""
        if self.load_manifest(version) is None:
            with self._database.writing() as connection:
                connection.execute(self._sql["insert_manifest"], (version, project, data))

    def manifests(self, project: str) -> Iterable[bytes]:
        """Yield the encoded definitions of all versions of a project."""
        for (data,) in self._database.read(self._sql["select_manifests"], (project,)):
            yield data

    def load_manifest(self, version: str) -> bytes | None:
        """Return the encoded definitions of a version."""
        found = self._database.read(self._sql["select_manifest"], (version,))
        return found[0][0] if found else None

    # Runs

    def create_runs(
        self, runs: Sequence[NewRun], *, owner: CoordinatorLease | None = None
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run."""
        ids = self._id_generator()
        with self._database.writing() as connection:
            if owner is not None:
                self._ownership.check(connection, owner)
            owner_id = owner.id if owner is not None else 0
            return [
                self._first_run(connection, new) or self._create(connection, new, ids, owner_id)
                for new in runs
            ]

    def _first_run(self, connection: Connection, new: NewRun) -> RunRow | None:
        if new.logical_key is None:
            return None
        key = (new.project, new.flow, new.logical_key)
        found = connection.execute(self._sql["select_run_by_key"], key).fetchone()
        if found is None:
            return None
        query = run_by_id(self._sql["select_runs"], found[0])
        return rows.run_row(connection.execute(*query).fetchone())

    def _create(
        self, connection: Connection, new: NewRun, ids: IdGenerator, owner_id: int
    ) -> RunRow:
        number = connection.execute(self._sql["next_run_number"], (new.flow,)).fetchone()[0]
        newest = connection.execute(self._sql["newest_run"]).fetchone() or (0, 0)
        # Invariant: a run that is created later has a larger id and no earlier moment, also
        # when the clock jumps back: pages and ranges of time rest on it.
        row = rows.created_run(
            new,
            id=ids.next(after=newest[0]),
            number=number,
            created_us=max(self._clock.now_us(), newest[1]),
            owner=owner_id,
        )
        connection.execute(self._sql["insert_run"], rows.run_parameters(row))
        connection.executemany(self._sql["insert_tag"], [(row.id, tag) for tag in row.tags])
        connection.executemany(self._sql["insert_param"], rows.scalar_parameters(row))
        return row

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
        query = task_runs_page(self._sql["select_task_runs"], run_id, limit=-1)
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

    def take_notices(
        self, lease: CoordinatorLease, *, run_id: RunId | None = None, due_us: int = 0
    ) -> list[NoticeRow]:
        """Make a coordinator the sender of pending notices whose sender is gone."""
        name, key = ("select_notices", run_id) if run_id else ("select_due_alerts", due_us)
        # Mostly there are none: nobody else is kept from writing then.
        if not _pending(self._database.read(self._sql[name], (key,))):
            return []
        with self._database.writing() as connection:
            self._ownership.check(connection, lease)
            pending = _pending(connection.execute(self._sql[name], (key,)).fetchall())
            owners = {row.owner for row in pending}
            gone = {owner for owner in owners if not self._ownership.is_alive(owner)}
            taken = [row for row in pending if row.owner in gone]
            connection.executemany(self._sql["own_notice"], [(lease.id, row.id) for row in taken])
        return [row._replace(owner=lease.id) for row in taken]

    # The event log

    def events(
        self, *, after: str = "", run_id: RunId | None = None, limit: int = 1000
    ) -> list[LoggedEvent]:
        """Return events in the order of the log, from behind a cursor."""
        position = read_position(after)
        if run_id is None:
            found = self._database.read(self._sql["select_events"], (position, limit))
        else:
            found = self._database.read(self._sql["select_run_events"], (run_id, position, limit))
        return [rows.logged_event(row) for row in found]

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        return write_position(self._database.read(self._sql["newest_event"])[0][0])

    # Ownership

    def register_coordinator(self, *, wake_address: str = "") -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        return self._ownership.register(self.new_id(), wake_address)

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        return self._ownership.coordinator(coordinator_id)

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Give up runs and identity of a coordinator of this process."""
        self._ownership.unregister(lease)

    def abandon_coordinator(self, lease: CoordinatorLease) -> None:
        """Let a coordinator go as if its process had been killed, for tests of recovery."""
        self._ownership.abandon(lease)

    def take_run(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody."""
        return self._ownership.take(run_id, lease)

    def release_run(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        self._ownership.release(run_id, lease)

    # Writing

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together."""
        # Hot path: every change of every task run. It stays within a third of a bare loop of
        # the same statements; what Python adds is making the parameters.
        sql = self._sql
        with self._database.writing() as connection:
            self._ownership.check(connection, lease)
            if batch.task_runs:
                parameters = rows.task_run_parameters(batch.task_runs)
                connection.executemany(sql["upsert_task_run"], parameters)
            if batch.events:
                connection.executemany(sql["insert_event"], rows.event_parameters(batch.events))
            if batch.values:
                values = map(rows.value_parameters, batch.values)
                connection.executemany(sql["upsert_value"], values)
            if batch.attempts:
                # After the values: the same batch may hold what such an attempt stored.
                connection.executemany(sql["upsert_attempt"], batch.attempts)
                void = map(rows.void_values_parameters, batch.attempts)
                connection.executemany(sql["delete_values"], void)
            if batch.notices:
                connection.executemany(sql["upsert_notice"], batch.notices)
            if batch.artifacts:
                connection.executemany(sql["upsert_artifact"], batch.artifacts)
            if batch.cached:
                connection.executemany(sql["upsert_cache_entry"], batch.cached)
                keys = [(row.key,) for row in batch.cached]
                connection.executemany(sql["delete_cache_claim"], keys)
            if batch.expansions:
                connection.executemany(sql["upsert_expansion"], batch.expansions)
            if batch.runs:
                connection.executemany(sql["update_run"], batch.runs)
                ended = [(row.run_id,) for row in batch.runs if row.state >= RunState.SUCCEEDED]
                connection.executemany(sql["delete_requests"], ended)
            if batch.handled:
                connection.executemany(sql["delete_request"], [(id_,) for id_ in batch.handled])

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
            if RunState(state).is_terminal:
                label = RunState(state).label
                raise UsageError(f"run {flow}#{number} has ended: it is {label}")
            made = connection.execute(self._sql["insert_request"], columns).fetchone()
        owner = self.coordinator(owner_id) if owner_id else None
        if owner is not None and owner.wake_address:
            wake(owner.wake_address)
        return RunRequest(made[0], *columns)

    def has_requests(self, run_id: RunId) -> bool:
        """Whether something is asked of a run that nobody has answered yet."""
        return bool(self._database.read(self._sql["any_request"], (run_id,)))

    def pending_requests(self, lease: CoordinatorLease) -> list[RunRequest]:
        """Return what was asked of the runs that a coordinator owns."""
        found = self._database.read(self._sql["select_requests"], (lease.id,))
        return [RunRequest(*row) for row in found]

    # Soundness

    def check_integrity(self) -> list[str]:
        """Return what is unsound in the store; nothing when all is well."""
        return find_problems(self._database, self._sql)


def _pending(found: Iterable[Sequence[Any]]) -> list[NoticeRow]:
    notices = map(NoticeRow._make, found)
    return [notice for notice in notices if notice.state == NoticeState.PENDING]

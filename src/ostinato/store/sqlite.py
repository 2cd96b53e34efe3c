"""This module is the store on SQLite: one file, one machine, several processes."""

import os
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ostinato.clock import Clock, SystemClock
from ostinato.engine.events import decode_event, encode_event
from ostinato.errors import InternalError, OwnershipLost, RunNotFound, RunOwned, StoreFull
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.value import StoredValue, ValueFormat
from ostinato.store.faults import mapped_faults
from ostinato.store.filters import run_conditions, task_run_conditions
from ostinato.store.ids import NODE_BITS, IdGenerator
from ostinato.store.migrate import migrate
from ostinato.store.ownership import LockFile, is_locked, process_start, remove_socket, wake
from ostinato.store.protocol import RunFilter
from ostinato.store.records import (
    AttemptRow,
    Batch,
    CoordinatorLease,
    CoordinatorRow,
    ExpansionRow,
    LoggedEvent,
    NewRun,
    RunRequest,
    RunRow,
    TaskRunRow,
)
from ostinato.store.statements import load_statements

#: Seconds that a write waits for another process's transaction.
BUSY_TIMEOUT_S = 5.0

#: Path of a store that lies in memory and ends with its process.
IN_MEMORY = ":memory:"

_json = msgspec.json.Encoder()


def open_store(
    path: Path | str, *, durability: str = "fsync", clock: Clock | None = None
) -> "SqliteStore":
    """Open a store, and make or migrate it where that is needed.

    Args:
        path: The file, or ``:memory:``.
        durability: ``fsync``: a commit survives a power failure; ``relaxed``: it survives a
            killed process.
        clock: Stamps rows and ids.

    Raises:
        StoreError: It cannot be opened; one of its kinds.
    """
    return SqliteStore(str(path), durability=durability, clock=clock or SystemClock())


class SqliteStore:
    """Implements ``Store``; see there for its methods.

    One connection writes, under a lock; each thread reads through a connection of its own, so
    that readers never wait for the writer. A store in memory has one connection for both.
    """

    def __init__(self, path: str, *, durability: str, clock: Clock) -> None:
        self.path = path
        self._is_file = path != IN_MEMORY
        self._clock = clock
        self._sql = load_statements("sqlite")
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._locks: dict[int, LockFile] = {}
        self._ids: IdGenerator | None = None
        self._node: tuple[int, int, str] | None = None
        with mapped_faults(path):
            if self._is_file:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                self._prepare(durability)
            except BaseException:
                self._writer.close()
                raise

    def _prepare(self, durability: str) -> None:
        if self._is_file:
            mode = self._writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise InternalError(f"the store {self.path} does not take WAL mode, but {mode}")
        level = "FULL" if durability == "fsync" else "NORMAL"
        self._writer.execute(f"PRAGMA synchronous = {level}")
        migrate(self._writer, self.path)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        # Temporary structures of queries stay in memory: no second file to write.
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def close(self) -> None:
        """Give up coordinators, locks and connections."""
        with self._lock:
            for lease_id in list(self._locks):
                self._locks.pop(lease_id).release()
            if self._node is not None:
                with self._writing() as connection:
                    connection.execute(self._sql["delete_node"], self._node)
                self._node = self._ids = None
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            self._writer.close()

    # Connections

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the writer in a transaction; an error writes nothing."""
        with self._lock, mapped_faults(self.path):
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with mapped_faults(self.path):
            if not self._is_file:
                with self._lock:
                    return self._writer.execute(sql, values).fetchall()
            reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
            if reader is None:
                reader = self._local.reader = self._connect()
                reader.execute("PRAGMA query_only = ON")
                with self._lock:
                    self._readers.append(reader)
            return reader.execute(sql, values).fetchall()

    # Ids

    def new_id(self) -> int:
        """Make a 63-bit id that no other process makes."""
        with self._lock:
            if self._ids is None:
                self._ids = IdGenerator(self._lease_node(), self._clock)
            return self._ids.next()

    def _lease_node(self) -> int:
        """Take a node that nobody has, or whose process is gone."""
        if not self._is_file:
            return 0
        me = (os.getpid(), process_start(os.getpid()))
        with self._writing() as connection:
            taken = {
                node
                for node, pid, start in connection.execute(self._sql["select_nodes"])
                if process_start(pid) == start
            }
            free = next((node for node in range(1 << NODE_BITS) if node not in taken), None)
            if free is None:
                message = f"the store {self.path} is used by {1 << NODE_BITS} processes at once"
                raise StoreFull(message, hint="end some of them")
            connection.execute(self._sql["upsert_node"], (free, *me))
        self._node = (free, *me)
        return free

    # Definitions

    def save_manifest(self, version: str, project: str, data: bytes) -> None:
        """Keep encoded definitions under their version; a known version changes nothing."""
        if self.load_manifest(version) is None:
            with self._writing() as connection:
                connection.execute(self._sql["insert_manifest"], (version, project, data))

    def load_manifest(self, version: str) -> bytes | None:
        """Return the encoded definitions of a version."""
        rows = self._read(self._sql["select_manifest"], (version,))
        return rows[0][0] if rows else None

    # Runs

    def create_runs(
        self, runs: Sequence[NewRun], *, owner: CoordinatorLease | None = None
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run."""
        ids = [self.new_id() for _ in runs]
        with self._writing() as connection:
            for position, new in enumerate(runs):
                first = self._find_first(connection, new)
                if first is not None:
                    ids[position] = first
                else:
                    self._insert_run(connection, ids[position], new, owner)
        return [self._must_find(RunId(run_id)) for run_id in ids]

    def _find_first(self, connection: sqlite3.Connection, new: NewRun) -> int | None:
        if new.logical_key is None:
            return None
        key = (new.project, new.flow, new.logical_key)
        found = connection.execute(self._sql["select_run_by_key"], key).fetchone()
        return found[0] if found else None

    def _insert_run(
        self,
        connection: sqlite3.Connection,
        run_id: int,
        new: NewRun,
        owner: CoordinatorLease | None,
    ) -> None:
        number = connection.execute(self._sql["next_run_number"], (new.flow,)).fetchone()[0]
        values = (
            run_id,
            number,
            new.project,
            new.flow,
            new.manifest_version,
            new.params,
            new.trigger,
            new.home,
            new.logical_key,
            new.logical_date_us,
            new.interval_start_us,
            new.interval_end_us,
            new.partition,
            _json.encode(new.tags).decode(),
            new.target,
            new.code,
            self._clock.now_us(),
            owner.id if owner is not None else 0,
        )
        connection.execute(self._sql["insert_run"], values)
        connection.executemany(self._sql["insert_tag"], [(run_id, tag) for tag in new.tags])
        params = msgspec.json.decode(new.params)
        scalars = [
            (run_id, name, _json.encode(value).decode())
            for name, value in params.items()
            if value is None or isinstance(value, str | int | float | bool)
        ]
        connection.executemany(self._sql["insert_param"], scalars)

    def run(self, run_id: RunId) -> RunRow | None:
        """Return a run."""
        rows = self._read(f"{self._sql['select_runs']} WHERE id = ?", (run_id,))
        return _run_row(rows[0]) if rows else None

    def _must_find(self, run_id: RunId) -> RunRow:
        row = self.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id}", hint="ostinato runs lists them")
        return row

    def find_run(self, name: str) -> RunRow | None:
        """Return the run that a person names: an id, ``flow#17``, ``flow`` or ``last``."""
        flow, hash_, number = name.rpartition("#")
        condition: tuple[str, tuple[object, ...]]
        if name == "last":
            condition = ("ORDER BY id DESC LIMIT 1", ())
        elif hash_ and number.isdecimal():
            condition = ("WHERE flow = ? AND number = ?", (flow, int(number)))
        elif name.isdecimal() and len(name) <= 19:
            condition = ("WHERE id = ?", (int(name),))
        else:
            condition = ("WHERE flow = ? ORDER BY id DESC LIMIT 1", (name,))
        rows = self._read(f"{self._sql['select_runs']} {condition[0]}", condition[1])
        return _run_row(rows[0]) if rows else None

    def runs(
        self, which: RunFilter, *, cursor: str = "", limit: int = 50
    ) -> tuple[list[RunRow], str]:
        """Return runs, newest first, and the cursor of the next page ("" at the end)."""
        condition, values = run_conditions(which, int(cursor) if cursor else None)
        sql = f"{self._sql['select_runs']}{condition} ORDER BY id DESC LIMIT ?"
        rows = [_run_row(row) for row in self._read(sql, (*values, limit))]
        return rows, str(rows[-1].id) if len(rows) == limit else ""

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
        after = _read_cursor(cursor)
        condition, values = task_run_conditions(run_id, task_id=task_id, states=states, after=after)
        sql = f"{self._sql['select_task_runs']}{condition} ORDER BY task_id, path_key LIMIT ?"
        rows = [TaskRunRow(*row) for row in self._read(sql, (*values, limit))]
        return rows, _cursor(rows[-1]) if len(rows) == limit else ""

    def all_task_runs(self, run_id: RunId) -> Iterable[TaskRunRow]:
        """Return every row of a run, for taking it over."""
        sql = f"{self._sql['select_task_runs']} WHERE run_id = ? ORDER BY task_id, path_key"
        return [TaskRunRow(*row) for row in self._read(sql, (run_id,))]

    def task_run_counts(self, run_id: RunId) -> list[tuple[str, TaskRunState, int]]:
        """Return (task id, state, rows) of a run; task runs without a row are not counted."""
        rows = self._read(self._sql["count_task_runs"], (run_id,))
        return [(task_id, TaskRunState(state), count) for task_id, state, count in rows]

    def expansions(self, run_id: RunId) -> list[ExpansionRow]:
        """Return the lengths of a run's mapped tasks and groups."""
        return [ExpansionRow(*row) for row in self._read(self._sql["select_expansions"], (run_id,))]

    def attempts(self, run_id: RunId, task_id: str, path: str) -> list[AttemptRow]:
        """Return earlier attempts of a task run, oldest first."""
        rows = self._read(self._sql["select_attempts"], (run_id, task_id, path))
        return [AttemptRow(*row) for row in rows]

    def values(
        self, run_id: RunId, task_id: str, *, path: str | None = None, key: str = "return_value"
    ) -> list[tuple[str, StoredValue]]:
        """Return (path, value) of a task's newest values, in the order of index."""
        if path is None:
            rows = self._read(self._sql["select_values"], (run_id, task_id, key))
        else:
            name = (run_id, task_id, key, path_key(path))
            rows = self._read(self._sql["select_value"], name)
        return [
            (where, StoredValue(key, ValueFormat(form), *rest)) for where, key, form, *rest in rows
        ]

    # The event log

    def events(
        self, *, after: str = "", run_id: RunId | None = None, limit: int = 1000
    ) -> list[LoggedEvent]:
        """Return events in the order of the log, from behind a cursor."""
        position = int(after) if after else 0
        if run_id is None:
            rows = self._read(self._sql["select_events"], (position, limit))
        else:
            rows = self._read(self._sql["select_run_events"], (run_id, position, limit))
        return [_logged(*row) for row in rows]

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        return str(self._read(self._sql["newest_event"])[0][0])

    # Ownership

    def register_coordinator(self, *, wake_address: str = "") -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        coordinator_id = self.new_id()
        if self._is_file:
            self._locks[coordinator_id] = LockFile(self._lock_path(coordinator_id))
        values = (
            coordinator_id,
            os.getpid(),
            socket.gethostname(),
            self._clock.now_us(),
            wake_address,
        )
        with self._writing() as connection:
            self._forget_the_dead(connection)
            connection.execute(self._sql["insert_coordinator"], values)
        return CoordinatorLease(coordinator_id, 1)

    def _forget_the_dead(self, connection: sqlite3.Connection) -> None:
        """Drop coordinators that are gone and own nothing: nobody asks for them again."""
        rows = connection.execute(self._sql["select_coordinators"]).fetchall()
        for coordinator_id, wake_address in rows:
            if self._is_alive(coordinator_id):
                continue
            remove_socket(wake_address)
            if connection.execute(self._sql["owns_runs"], (coordinator_id,)).fetchone() is None:
                connection.execute(self._sql["delete_coordinator"], (coordinator_id,))
                self._lock_path(coordinator_id).unlink(missing_ok=True)

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        rows = self._read(self._sql["select_coordinator"], (coordinator_id,))
        if not rows:
            return None
        row_id, epoch, pid, host, started_us, address = rows[0]
        is_alive = self._is_alive(coordinator_id)
        return CoordinatorRow(row_id, epoch, pid, host, started_us, address, is_alive)

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Give up runs and identity of a coordinator of this process."""
        with self._writing() as connection:
            connection.execute(self._sql["release_all_runs"], (lease.id,))
            connection.execute(self._sql["delete_coordinator"], (lease.id,))
        lock = self._locks.pop(lease.id, None)
        if lock is not None:
            lock.release()

    def take_run(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody."""
        with self._writing() as connection:
            self._check_epoch(connection, lease)
            rows = connection.execute(
                f"{self._sql['select_runs']} WHERE id = ?", (run_id,)
            ).fetchall()
            if not rows:
                raise RunNotFound(f"there is no run {run_id}", hint="ostinato runs lists them")
            row = _run_row(rows[0])
            if row.owner not in (0, lease.id):
                if self._is_alive(row.owner):
                    raise self._owned(connection, row)
                connection.execute(self._sql["raise_epoch"], (row.owner,))
            connection.execute(self._sql["set_owner"], (lease.id, run_id))
        return self._must_find(run_id)

    def _owned(self, connection: sqlite3.Connection, row: RunRow) -> RunOwned:
        found = connection.execute(self._sql["select_coordinator"], (row.owner,)).fetchone()
        who = f"process {found[2]} on {found[3]}" if found else "another process"
        name = f"{row.flow}#{row.number}"
        return RunOwned(
            f"run {name} is driven by {who}",
            hint=f"wait for it, or ostinato cancel '{name}'",
        )

    def release_run(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        with self._writing() as connection:
            connection.execute(self._sql["release_run"], (run_id, lease.id))

    def _is_alive(self, coordinator_id: int) -> bool:
        if coordinator_id in self._locks or not self._is_file:
            return True
        return is_locked(self._lock_path(coordinator_id))

    def _lock_path(self, coordinator_id: int) -> Path:
        return Path(self.path).parent / "coordinators" / f"{coordinator_id}.lock"

    def _check_epoch(self, connection: sqlite3.Connection, lease: CoordinatorLease) -> None:
        found = connection.execute(self._sql["select_epoch"], (lease.id,)).fetchone()
        if found is None or found[0] != lease.epoch:
            raise OwnershipLost(
                "another coordinator has taken over the runs of this one",
                hint="this process stops; nothing that was committed is lost",
            )

    # Writing

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together."""
        sql = self._sql
        with self._writing() as connection:
            self._check_epoch(connection, lease)
            if batch.task_runs:
                rows = [
                    (row[0], row[1], path_key(row[2]) if row[2] else b"", *row[2:])
                    for row in batch.task_runs
                ]
                connection.executemany(sql["upsert_task_run"], rows)
            if batch.events:
                encoded = [(*row[:4], encode_event(row[4])) for row in batch.events]
                connection.executemany(sql["insert_event"], encoded)
            if batch.attempts:
                connection.executemany(sql["upsert_attempt"], batch.attempts)
                void = [(row.run_id, row.task_id, path_key(row.path)) for row in batch.attempts]
                connection.executemany(sql["delete_values"], void)
            if batch.values:
                connection.executemany(sql["upsert_value"], map(_value_parameters, batch.values))
            if batch.expansions:
                connection.executemany(sql["upsert_expansion"], batch.expansions)
            if batch.runs:
                connection.executemany(sql["update_run"], batch.runs)
            if batch.handled:
                connection.executemany(sql["delete_request"], [(each,) for each in batch.handled])

    # Requests

    def request(self, run_id: RunId, kind: str, by: str) -> RunRequest:
        """Ask something of a run's owner and wake it."""
        row = self._must_find(run_id)
        with self._writing() as connection:
            cursor = connection.execute(self._sql["insert_request"], (run_id, kind, by))
            request_id = cursor.lastrowid or 0
        owner = self.coordinator(row.owner) if row.owner else None
        if owner is not None and owner.wake_address:
            wake(owner.wake_address)
        return RunRequest(request_id, run_id, kind, by)

    def pending_requests(self, lease: CoordinatorLease) -> list[RunRequest]:
        """Return what was asked of the runs that a coordinator owns."""
        return [RunRequest(*row) for row in self._read(self._sql["select_requests"], (lease.id,))]

    # Soundness

    def check_integrity(self) -> list[str]:
        """Return what is unsound in the store; nothing when all is well."""
        found = [row[0] for row in self._read("PRAGMA integrity_check") if row[0] != "ok"]
        for problem, sql in _INVARIANTS.items():
            found.extend(f"{problem}: {row[0]}" for row in self._read(sql))
        return found


#: What must return no row, by what is wrong where one comes.
_INVARIANTS = {
    "a task run belongs to no run": (
        "SELECT DISTINCT run_id FROM task_runs WHERE run_id NOT IN (SELECT id FROM runs)"
    ),
    "an event belongs to no run": (
        "SELECT DISTINCT run_id FROM events WHERE run_id NOT IN (SELECT id FROM runs)"
    ),
    "a value belongs to no task run": (
        "SELECT v.run_id FROM task_values v LEFT JOIN task_runs t USING (run_id, task_id, path_key)"
        " WHERE t.run_id IS NULL"
    ),
    "a run has ended with a live task run": (
        f"SELECT DISTINCT r.id FROM runs r JOIN task_runs t ON t.run_id = r.id"
        f" WHERE r.state >= {RunState.SUCCEEDED} AND t.state < {TaskRunState.SUCCEEDED}"
    ),
    "a run points to no definitions": (
        "SELECT id FROM runs WHERE manifest_version NOT IN (SELECT version FROM manifests)"
    ),
}


def path_key(path: str) -> bytes:
    """Return a map path so that it sorts by index: four bytes for each.

    >>> path_key("2") < path_key("10") < path_key("10.0")
    True
    """
    if not path:
        return b""
    return b"".join(int(part).to_bytes(4, "big") for part in path.split("."))


def _cursor(row: TaskRunRow) -> str:
    return _json.encode([row.task_id, row.path]).decode()


def _read_cursor(cursor: str) -> tuple[str, bytes] | None:
    if not cursor:
        return None
    task_id, path = msgspec.json.decode(cursor)
    return task_id, path_key(path)


def _value_parameters(row: Any) -> tuple[object, ...]:
    run_id, task_id, path, generation, attempt, value = row
    return (
        run_id,
        task_id,
        value.key,
        path_key(path),
        path,
        generation,
        attempt,
        value.format,
        value.size_bytes,
        value.data,
        value.location,
        value.type_name,
        value.preview,
    )


def _run_row(row: Sequence[Any]) -> RunRow:
    values = list(row)
    values[13] = tuple(msgspec.json.decode(values[13]))
    values[16] = RunState(values[16])
    return RunRow(*values)


def _logged(
    position: int, run_id: int, task_id: str, path: str, at_us: int, raw: bytes
) -> LoggedEvent:
    try:
        event = decode_event(raw)
    except msgspec.DecodeError:
        # Of a newer version: kept raw, so that nothing of the log is lost.
        event = None
    return LoggedEvent(str(position), RunId(run_id), task_id, path, at_us, event, raw)

"""This module is the store on SQLite: one file, one machine, several processes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError, UsageError
from ostinato.model.identity import RunId
from ostinato.model.state import RunState
from ostinato.store import rows
from ostinato.store.creation import Creation
from ostinato.store.cursors import read_position, write_position
from ostinato.store.ids import IdGenerator, lease_node
from ostinato.store.liveness import FileLiveness
from ostinato.store.locks import Locks
from ostinato.store.migrate import load_migrations, migrate
from ostinato.store.records import (
    SERVICE,
    Batch,
    CoordinatorLease,
    CoordinatorRow,
    LoggedEvent,
    NewRun,
    RunRow,
)
from ostinato.store.sql_store import SqlStore
from ostinato.store.sqlite_database import IN_MEMORY, SqliteDatabase
from ostinato.store.statements import load_statements
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


class SqliteStore(SqlStore):
    """Implements ``Store``; see there for its methods.

    Args:
        path: The file, or ``:memory:``.
        durability: ``fsync`` or ``relaxed``.
        clock: Stamps rows and ids.
        busy_timeout_s: Seconds that a write waits for another process's transaction.
    """

    _database: SqliteDatabase

    def __init__(self, path: str, *, durability: str, clock: Clock, busy_timeout_s: float) -> None:
        level = _SYNCHRONOUS.get(durability)
        if level is None:
            message = f"there is no durability {durability!r}"
            raise UsageError(message, hint=f"it is {' or '.join(_SYNCHRONOUS)}")
        sql = load_statements("sqlite")
        database = SqliteDatabase(path, busy_timeout_s=busy_timeout_s)
        try:
            migrate(database, load_migrations())
            database.writer.execute(f"PRAGMA synchronous = {level}")
        except BaseException:
            database.close()
            raise
        self._locks = Locks(None if path == IN_MEMORY else Path(path).parent)
        self._liveness = FileLiveness(database, sql, self._locks)
        self._ids: IdGenerator | None = None
        super().__init__(database, sql, self._liveness, clock)

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

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        owner: CoordinatorLease | None = None,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        """Create runs in one commit; one with a known logical key returns the first run."""
        owner_id = owner.id if owner is not None else 0
        creation = Creation(self._sql, self._id_generator(), self._clock, owner_id, at_us)
        with self._database.writing() as connection:
            if owner is not None:
                self._liveness.check(connection, owner)
            asked, made = creation.rows(connection, runs)
            connection.executemany(self._sql["insert_run"], map(rows.run_parameters, made))
            tags = [(row.id, tag) for row in made for tag in row.tags]
            connection.executemany(self._sql["insert_tag"], tags)
            params = [each for row in made for each in rows.scalar_parameters(row)]
            connection.executemany(self._sql["insert_param"], params)
            if before_commit is not None:
                before_commit()
        if owner is None and any(row.home == SERVICE for row in made):
            self.wake_workers()
        return asked

    # The event log

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
        position = read_position(after)
        if run_id is None:
            statement = "select_events_of_runs" if of_runs else "select_events"
            found = self._database.read(self._sql[statement], (position, limit))
        else:
            found = self._database.read(self._sql["select_run_events"], (run_id, position, limit))
        return [rows.logged_event(row) for row in found]

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event."""
        return write_position(self._database.read(self._sql["newest_event"])[0][0])

    # Writing

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together."""
        # Hot path: every change of every task run. It stays within a third of a bare loop of
        # the same statements; what Python adds is making the parameters.
        sql = self._sql
        with self._database.writing() as connection:
            self._liveness.check(connection, lease)
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

    # Waking

    def wake_workers(self) -> None:
        """Tell workers of other processes that runs wait for them."""
        self._wake_all("worker")

    def wake_schedulers(self) -> None:
        """Tell schedulers of other processes that something is to be looked at."""
        self._wake_all("scheduler")

    def _wake_all(self, kind: str) -> None:
        for (address,) in self._database.read(self._sql["select_wake_addresses"], (kind,)):
            wake(address)

    def _wake_owner(self, owner: CoordinatorRow) -> None:
        if owner.wake_address:
            wake(owner.wake_address)

    def listen(self, callback: Callable[[], None]) -> None:
        """Do nothing: who is to be woken has a socket."""
        del callback

"""This module is the store on PostgreSQL: one database, any number of machines."""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

import psycopg

from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError, UsageError
from ostinato.model.identity import RunId
from ostinato.store import rows
from ostinato.store.claims import Claims
from ostinato.store.creation import Creation
from ostinato.store.cursors import read_pair, write_position
from ostinato.store.database import Database
from ostinato.store.ids import IdGenerator
from ostinato.store.postgres.batches import write_batch, write_runs
from ostinato.store.postgres.claims import PostgresClaims
from ostinato.store.postgres.connection import Connector, PostgresConnection
from ostinato.store.postgres.database import PostgresDatabase
from ostinato.store.postgres.keeper import DAYS_AHEAD, Keeper
from ostinato.store.postgres.liveness import SessionLiveness
from ostinato.store.postgres.migrate import load_migrations, migrate
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
from ostinato.store.statements import load_statements
from ostinato.store.waking import wake

#: Seconds that a statement waits for a lock of another process.
BUSY_TIMEOUT_S = 5.0

#: Seconds that a lease is valid after a beat: what a coordinator started ends by then.
LEASE_S = 8.0

#: Kinds of coordinators that write and read large values.
_WITH_VALUES = ("run", "worker")

_DURABILITIES = ("fsync", "relaxed")


def open_postgres(
    url: str,
    *,
    durability: str = "fsync",
    clock: Clock | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    lease_s: float = LEASE_S,
    is_storage_shared: bool = True,
) -> "PostgresStore":
    """Open a store, and make or migrate it where that is needed.

    Args:
        url: Of the database, such as ``postgresql://ann@db/shop``.
        durability: ``fsync``: a commit survives a power failure; ``relaxed``: the last
            fraction of a second may be lost when the server dies.
        clock: Stamps rows and ids.
        busy_timeout_s: Seconds that a statement waits for a lock of another process.
        lease_s: Seconds that a coordinator's lease is valid after a beat; the same for all
            that use the store.
        is_storage_shared: Whether large values and logs are seen by all machines; where not,
            coordinators of one machine alone are registered.

    Raises:
        StoreError: It cannot be opened; one of its kinds.
        UsageError: There is no such durability, or the URL cannot be read.
    """
    if durability not in _DURABILITIES:
        message = f"there is no durability {durability!r}"
        raise UsageError(message, hint=f"it is {' or '.join(_DURABILITIES)}")
    connector = Connector(url, durability=durability, busy_timeout_s=busy_timeout_s)
    migrate(connector, load_migrations())
    return PostgresStore(
        connector,
        clock=clock or SystemClock(),
        lease_s=lease_s,
        is_storage_shared=is_storage_shared,
    )


class PostgresStore(SqlStore):
    """Implements ``Store``; see there for its methods.

    Args:
        connector: Makes connections to a database that has our tables.
        clock: Stamps rows and ids.
        lease_s: Seconds that a coordinator's lease is valid after a beat.
        is_storage_shared: Whether large values and logs are seen by all machines.
    """

    _database: PostgresDatabase

    def __init__(
        self, connector: Connector, *, clock: Clock, lease_s: float, is_storage_shared: bool
    ) -> None:
        self._is_storage_shared = is_storage_shared
        sql = load_statements("postgres")
        database = PostgresDatabase(connector)
        # Leases are measured by the machine's own clock, also where rows are stamped by another.
        self._keeper = Keeper(connector, sql, SystemClock(), lease_s)
        self._liveness = SessionLiveness(
            database,
            sql,
            connector=connector,
            keeper=self._keeper,
            clock=SystemClock(),
            lease_s=lease_s,
        )
        self._ids: IdGenerator | None = None
        self._ids_generation = 0
        self._ids_lock = threading.Lock()
        super().__init__(database, sql, self._liveness, clock)

    def _claims_of(self, database: Database) -> Claims:
        return PostgresClaims(database, self._sql, self._ownership)

    def close(self) -> None:
        """Give up coordinators, locks and connections; a second time does nothing."""
        if self._database.is_closed:
            return
        # What cannot be written remains for others to tidy: the sessions end.
        with suppress(StoreError):
            self._ownership.close()
        self._keeper.close()
        self._liveness.close()
        self._database.close()

    def new_id(self) -> int:
        """Make a 63-bit id that no other process makes."""
        return self._id_generator().next()

    def _id_generator(self) -> IdGenerator:
        """Return what makes ids; a node is taken whenever the connection that holds it is new."""
        with self._ids_lock:
            self._database.check_open()
            if self._ids is None or self._ids_generation != self._keeper.generation:
                node = self._keeper.hold_node()
                self._ids_generation = self._keeper.generation
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
        with self._creating(owner) as connection:
            connection.execute(self._sql["create_alone"])
            asked, made = creation.rows(connection, runs)
            write_runs(connection, self._sql, made)
            if owner is None and any(row.home == SERVICE for row in made):
                connection.execute(self._sql["wake_others"])
            if before_commit is not None:
                # Others create nothing meanwhile: should this process be stopped now, they wait
                # for no longer than this.
                connection.execute(self._sql["limit_idleness"])
                before_commit()
        return asked

    def _creating(
        self, owner: CoordinatorLease | None
    ) -> AbstractContextManager[PostgresConnection]:
        return self._database.writing() if owner is None else self._liveness.writing(owner)

    def register_coordinator(
        self, *, wake_address: str = "", kind: str = "run", name: str = "", version: str = ""
    ) -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        if kind in _WITH_VALUES and not self._is_storage_shared:
            self._refuse_other_machines()
        with self._database.writing() as connection:
            connection.execute(self._sql["make_event_partitions"], (DAYS_AHEAD,))
        return super().register_coordinator(
            wake_address=wake_address, kind=kind, name=name, version=version
        )

    def _refuse_other_machines(self) -> None:
        """Refuse to work where the values of others are not to be seen.

        Raises:
            StoreError: A living coordinator works on another machine.
        """
        here = socket.gethostname()
        for row in self.coordinators():
            if row.is_alive and row.kind in _WITH_VALUES and row.host != here:
                raise StoreError(
                    f"the store {self.path} is used by process {row.pid} on {row.host}, and "
                    "large values and logs are kept on each machine for itself",
                    hint="put storage.values and storage.logs on a disk that all machines have, "
                    "and say so: storage.shared: true",
                )

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
        position = read_pair(after)
        if run_id is None:
            statement = "select_events_of_runs" if of_runs else "select_events"
            found = self._database.read(self._sql[statement], (*position, limit))
        else:
            found = self._database.read(self._sql["select_run_events"], (run_id, *position, limit))
        return [rows.logged_event(row) for row in found]

    def event_cursor(self) -> str:
        """Return the cursor behind the newest event that can be read."""
        # Its own first position is larger: nothing of that transaction has been read.
        return write_position(self._database.read(self._sql["newest_event"])[0][0], 0)

    # Writing

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch in one transaction, state and events together."""
        # The session holds the coordinator's lock: nothing is checked. All statements are sent
        # before the first answer is waited for.
        with self._liveness.session(lease) as connection:
            raw = connection.raw
            try:
                with raw.pipeline():
                    connection.execute("BEGIN")
                    write_batch(connection, self._sql, batch)
                    connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise

    # Waking

    def wake_workers(self) -> None:
        """Tell workers of other processes that runs wait for them."""
        self._database.read(self._sql["wake_others"])

    def wake_schedulers(self) -> None:
        """Tell schedulers of other processes that something is to be looked at."""
        self._database.read(self._sql["wake_others"])

    def _wake_owner(self, owner: CoordinatorRow) -> None:
        if owner.wake_address:
            # At once, where it is on this machine; elsewhere there is nothing at its path.
            wake(owner.wake_address)
        self._database.read(self._sql["wake_others"])

    def listen(self, callback: Callable[[], None]) -> None:
        """Have something called, in another thread, whenever others wake this process."""
        self._keeper.listen(callback)

"""This module decides which coordinator may commit for a run."""

import os
import socket
import sqlite3
from collections.abc import Mapping

from msgspec.structs import replace

from ostinato.clock import Clock
from ostinato.errors import InternalError, OwnershipLost, RunNotFound, RunOwned
from ostinato.model.identity import RunId
from ostinato.store.database import Database
from ostinato.store.filters import run_by_id
from ostinato.store.locks import Locks
from ostinato.store.records import CoordinatorLease, CoordinatorRow, RunRow
from ostinato.store.rows import run_row
from ostinato.store.waking import remove_socket


class Ownership:
    """Coordinators with their epochs and locks, and the runs that they own.

    A coordinator lives while its lock is held. One that is dead is shut out by a higher epoch
    before its run is handed on, so that it can never commit again should it come back.

    Args:
        database: Of the store.
        statements: Its statements by name.
        locks: Held for coordinators of this store object.
        clock: Stamps their rows.
    """

    def __init__(
        self, database: Database, statements: Mapping[str, str], locks: Locks, clock: Clock
    ) -> None:
        self._database = database
        self._sql = statements
        self._locks = locks
        self._clock = clock
        self._own: list[CoordinatorLease] = []

    def register(self, coordinator_id: int, wake_address: str) -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        row = (
            coordinator_id,
            os.getpid(),
            socket.gethostname(),
            self._clock.now_us(),
            wake_address,
        )
        name = _lock_name(coordinator_id)
        is_locked = False
        try:
            with self._database.writing() as connection:
                # Inside the transaction nobody else takes a lock or tidies.
                is_locked = self._locks.acquire(name)
                if not is_locked:
                    raise InternalError(f"the id {coordinator_id} was given to two coordinators")
                connection.execute(self._sql["insert_coordinator"], row)
                self._tidy(connection)
        except BaseException:
            if is_locked:
                self._locks.release(name)
            raise
        lease = CoordinatorLease(coordinator_id, 1)
        self._own.append(lease)
        return lease

    def unregister(self, lease: CoordinatorLease) -> None:
        """Give up runs and identity of a coordinator of this process."""
        with self._database.writing() as connection:
            connection.execute(self._sql["release_all_runs"], (lease.id,))
            connection.execute(self._sql["delete_coordinator"], (lease.id,))
        self.abandon(lease)

    def abandon(self, lease: CoordinatorLease) -> None:
        """Let a coordinator go as if its process had been killed: its runs stay its own."""
        self._locks.release(_lock_name(lease.id))
        if lease in self._own:
            self._own.remove(lease)

    def close(self) -> None:
        """Unregister every coordinator of this process."""
        for lease in list(self._own):
            self.unregister(lease)

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        rows = self._database.read(self._sql["select_coordinator"], (coordinator_id,))
        if not rows:
            return None
        columns: tuple[int, int, int, str, int, str] = rows[0]
        return CoordinatorRow(*columns, self.is_alive(coordinator_id))

    def take(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody."""
        query = run_by_id(self._sql["select_runs"], run_id)
        with self._database.writing() as connection:
            self.check(connection, lease)
            found = connection.execute(*query).fetchone()
            if found is None:
                raise RunNotFound(f"there is no run {run_id}", hint="ostinato runs lists them")
            row = run_row(found)
            if row.owner not in (0, lease.id):
                if self.is_alive(row.owner):
                    raise self._owned(connection, row)
                connection.execute(self._sql["raise_epoch"], (row.owner,))
            connection.execute(self._sql["set_owner"], (lease.id, run_id))
        return replace(row, owner=lease.id)

    def release(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        with self._database.writing() as connection:
            connection.execute(self._sql["release_run"], (run_id, lease.id))

    def check(self, connection: sqlite3.Connection, lease: CoordinatorLease) -> None:
        """Refuse a lease that is not the newest, inside the transaction that it is to write.

        Raises:
            OwnershipLost: Another coordinator took over, or this one has signed off.
        """
        found = connection.execute(self._sql["select_epoch"], (lease.id,)).fetchone()
        if found is None or found[0] != lease.epoch:
            raise OwnershipLost(
                "another coordinator has taken over the runs of this one",
                hint="this one stops; nothing that was committed is lost",
            )

    def _owned(self, connection: sqlite3.Connection, row: RunRow) -> RunOwned:
        found = connection.execute(self._sql["select_coordinator"], (row.owner,)).fetchone()
        who = f"process {found[2]} on {found[3]}" if found else "another process"
        name = f"{row.flow}#{row.number}"
        message = f"run {name} is driven by {who}"
        return RunOwned(message, hint=f"wait for it, or ostinato cancel '{name}'")

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Drop what dead coordinators left; a row stays while it says who drove a live run."""
        for row in connection.execute(self._sql["select_coordinators"]).fetchall():
            coordinator_id, wake_address, has_runs = row
            if self.is_alive(coordinator_id):
                continue
            if wake_address:
                remove_socket(wake_address)
            if not has_runs:
                connection.execute(self._sql["delete_coordinator"], (coordinator_id,))
        self._locks.sweep(_lock_name("*"))

    def is_alive(self, coordinator_id: int) -> bool:
        """Whether a coordinator holds its lock at this moment."""
        return self._locks.is_held(_lock_name(coordinator_id))


def _lock_name(coordinator_id: int | str) -> str:
    return f"coordinators/{coordinator_id}.lock"

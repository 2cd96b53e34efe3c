"""This module decides which coordinator may commit for a run."""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from ostinato.clock import Clock
from ostinato.errors import RunNotFound, RunOwned
from ostinato.model.identity import RunId
from ostinato.store.database import Connection, Database
from ostinato.store.filters import run_by_id
from ostinato.store.liveness import Liveness, this_machine
from ostinato.store.records import CoordinatorLease, CoordinatorRow, RunRow
from ostinato.store.rows import run_row
from ostinato.store.waking import remove_socket

#: Transactions that fence the dead run one at a time.
_ALONE = "coordinators"


class Ownership:
    """Coordinators with their epochs and identities, their roles, and the runs that they own.

    One that is dead is shut out by a higher epoch before its run is handed on, so that it can
    never commit again should it come back.

    Args:
        database: Of the store.
        statements: Its statements by name.
        liveness: Knows who lives.
        clock: Stamps their rows.
    """

    def __init__(
        self, database: Database, statements: Mapping[str, str], liveness: Liveness, clock: Clock
    ) -> None:
        self._database = database
        self._sql = statements
        self._liveness = liveness
        self._clock = clock
        self._own: list[CoordinatorLease] = []
        #: Monotonic moments at which coordinators were first seen dead that may have children.
        self._dead_since_s: dict[int, float] = {}

    def register(
        self,
        coordinator_id: int,
        wake_address: str,
        *,
        kind: str = "run",
        name: str = "",
        version: str = "",
    ) -> CoordinatorLease:
        """Register a coordinator of this process and lock its identity for life."""
        row = (
            coordinator_id,
            os.getpid(),
            socket.gethostname(),
            self._clock.now_us(),
            wake_address,
            kind,
            name,
            version,
            this_machine(),
        )
        with self._liveness.registering(coordinator_id) as connection:
            self._tidy(connection)
            connection.execute(self._sql["insert_coordinator"], row)
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
        self._liveness.drop(lease.id)
        if lease in self._own:
            self._own.remove(lease)

    def close(self) -> None:
        """Unregister every coordinator of this process."""
        for lease in list(self._own):
            self.unregister(lease)

    def coordinator(self, coordinator_id: int) -> CoordinatorRow | None:
        """Return a coordinator as others see it."""
        rows = self._database.read(self._sql["select_coordinator"], (coordinator_id,))
        return self._seen(rows)[0] if rows else None

    def coordinators(self) -> list[CoordinatorRow]:
        """Return all coordinators as others see them, oldest first."""
        return self._seen(self._database.read(self._sql["select_all_coordinators"]))

    def _seen(self, found: Sequence[Sequence[Any]]) -> list[CoordinatorRow]:
        living = self._liveness.heard_of([columns[0] for columns in found])
        return [CoordinatorRow(*(*columns, columns[0] in living)) for columns in found]

    def take(self, run_id: RunId, lease: CoordinatorLease) -> RunRow:
        """Make a coordinator the owner of a run whose owner is gone or nobody."""
        query = run_by_id(self._sql["select_runs"], run_id)
        lock = self._sql["lock_run"]
        found = self._database.read(self._sql["select_run_owner"], (run_id,))
        if found and found[0][0] not in (0, lease.id):
            # Before the transaction: it may take as long as a lease.
            self._liveness.watch(found[0][0])
        with self.writing(lease) as connection:
            connection.execute(lock, (run_id,))
            found = connection.execute(*query).fetchone()
            if found is None:
                raise RunNotFound(f"there is no run {run_id}", hint="ostinato runs lists them")
            row = run_row(found)
            if row.owner not in (0, lease.id):
                if self.is_alive(row.owner):
                    raise self._owned(connection, row)
                self._liveness.shut_out(row.owner)
                connection.execute(self._sql["raise_epoch"], (row.owner,))
            connection.execute(self._sql["set_owner"], (lease.id, run_id))
        return replace(row, owner=lease.id)

    def repin(self, run_id: RunId, version: str, lease: CoordinatorLease) -> None:
        """Have a run be of other definitions."""
        with self.writing(lease) as connection:
            connection.execute(self._sql["repin_run"], (version, run_id, lease.id))

    def release(self, run_id: RunId, lease: CoordinatorLease) -> None:
        """Leave a run without an owner."""
        with self._database.writing() as connection:
            connection.execute(self._sql["release_run"], (run_id, lease.id))

    @property
    def has_dying(self) -> bool:
        """Whether the last ``reap`` saw some dead who had not been so for long enough."""
        return bool(self._dead_since_s)

    def reap(self, sure_after_s: float = 0.0) -> int:
        """Shut out dead coordinators and leave their service runs to others; return how many."""
        found = self._left_behind(self._database.read(self._sql["select_coordinators"]))
        now_s = self._clock.monotonic_s()
        since_s = {row[0]: self._dead_since_s.get(row[0], now_s) for row in found}
        sure = {id_ for id_, at_s in since_s.items() if now_s - at_s >= sure_after_s}
        self._dead_since_s = {id_: at_s for id_, at_s in since_s.items() if id_ not in sure}
        if not sure:
            return 0
        with self._database.writing(_ALONE) as connection:
            rows = connection.execute(self._sql["select_coordinators"]).fetchall()
            dead = [row for row in self._left_behind(rows) if row[0] in sure]
            for coordinator_id, wake_address, has_runs, has_service_runs in dead:
                self._liveness.shut_out(coordinator_id)
                connection.execute(self._sql["raise_epoch"], (coordinator_id,))
                if has_service_runs:
                    connection.execute(self._sql["release_service_runs"], (coordinator_id,))
                _forget_socket(wake_address)
                if not has_runs:
                    connection.execute(self._sql["delete_coordinator"], (coordinator_id,))
        return len(dead)

    def _left_behind(
        self, rows: Sequence[tuple[int, str, int, int]]
    ) -> list[tuple[int, str, int, int]]:
        """Return the dead of whom something is to be handed on, or nothing to be kept.

        One that drove local runs stays, to say who did.
        """
        living = self._liveness.living([row[0] for row in rows])
        return [row for row in rows if row[0] not in living and (row[3] or not row[2])]

    def take_role(self, name: str, lease: CoordinatorLease) -> bool:
        """Make a coordinator the holder of a role, unless a living one has it."""
        found = self._database.read(self._sql["select_role"], (name,))
        holder = found[0][0] if found else 0
        if holder == lease.id:
            return True
        if holder and self.is_alive(holder):
            return False
        with self.writing(lease) as connection:
            values = (name, lease.id, self._clock.now_us(), holder)
            taken = connection.execute(self._sql["upsert_role"], values).fetchone()
        return taken is not None

    def release_role(self, name: str, lease: CoordinatorLease) -> None:
        """Give a role up."""
        with self._database.writing() as connection:
            connection.execute(self._sql["delete_role"], (name, lease.id))

    def role_holder(self, name: str) -> CoordinatorRow | None:
        """Return who has a role and is alive."""
        found = self._database.read(self._sql["select_role"], (name,))
        holder = self.coordinator(found[0][0]) if found else None
        return holder if holder is not None and holder.is_alive else None

    def held_roles(self, prefix: str) -> dict[str, int]:
        """Return the roles with a prefix that living coordinators have, with their ids."""
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self._database.read(self._sql["select_roles"], (prefix, after))
        living = self.living({holder for _, holder in found}) if found else set()
        return {name: holder for name, holder in found if holder in living}

    def writing(self, lease: CoordinatorLease) -> AbstractContextManager[Connection]:
        """Return a transaction that writes only while the lease is the newest.

        Raises:
            OwnershipLost: Another coordinator took over, or this one has signed off.
        """
        return self._liveness.writing(lease)

    def fence_until_s(self, lease: CoordinatorLease) -> float | None:
        """Return the monotonic moment until which a lease is surely valid; None for ever."""
        return self._liveness.fence_until_s(lease.id)

    def living(self, coordinator_ids: Iterable[int]) -> set[int]:
        """Return the coordinators that may still act at this moment."""
        return self._liveness.living(list(coordinator_ids))

    def is_alive(self, coordinator_id: int) -> bool:
        """Whether a coordinator may still act at this moment."""
        return bool(self._liveness.living([coordinator_id]))

    def _owned(self, connection: Connection, row: RunRow) -> RunOwned:
        found = connection.execute(self._sql["select_coordinator"], (row.owner,)).fetchone()
        who = f"process {found[2]} on {found[3]}" if found else "another process"
        name = f"{row.flow}#{row.number}"
        message = f"run {name} is driven by {who}"
        return RunOwned(message, hint=f"wait for it, or ostinato cancel '{name}'")

    def _tidy(self, connection: Connection) -> None:
        """Drop what dead coordinators left; a row stays while it says who drove a live run."""
        rows = connection.execute(self._sql["select_coordinators"]).fetchall()
        living = self._liveness.living([row[0] for row in rows])
        for coordinator_id, wake_address, has_runs, _ in rows:
            if coordinator_id in living:
                continue
            _forget_socket(wake_address)
            if not has_runs:
                # It may only stand still: whoever is no longer listed must not come back.
                self._liveness.shut_out(coordinator_id)
                connection.execute(self._sql["delete_coordinator"], (coordinator_id,))
        self._liveness.sweep()


def _forget_socket(wake_address: str) -> None:
    if wake_address:
        remove_socket(wake_address)

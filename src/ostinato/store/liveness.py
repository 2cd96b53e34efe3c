"""This module is how coordinators are known to live, whichever store has them."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from ostinato.errors import InternalError, OwnershipLost
from ostinato.store.database import Connection, Database
from ostinato.store.locks import Locks
from ostinato.store.records import CoordinatorLease


class Liveness(Protocol):
    """Hold the identities of this process's coordinators, and see those of others."""

    def registering(self, coordinator_id: int, /) -> AbstractContextManager[Connection]:
        """Hold an identity for life; the transaction is the one that registers it.

        An error in it lets the identity go.
        """
        ...

    def drop(self, coordinator_id: int, /) -> None:
        """Let an identity of this process go, as if its process had been killed."""
        ...

    def living(self, coordinator_ids: Sequence[int], /) -> set[int]:
        """Return those that may still act: they, or what they have started."""
        ...

    def heard_of(self, coordinator_ids: Sequence[int], /) -> set[int]:
        """Return those that seem to live, for people to see: nothing is taken from others."""
        ...

    def watch(self, coordinator_id: int, /) -> None:
        """Wait until it is sure whether an identity lives, where that is in doubt."""
        ...

    def shut_out(self, coordinator_id: int, /) -> None:
        """See that a dead identity can never write again, before its runs are handed on."""
        ...

    def writing(self, lease: CoordinatorLease, /) -> AbstractContextManager[Connection]:
        """Return a transaction that writes only while the lease is the newest.

        Raises:
            OwnershipLost: It is not.
        """
        ...

    def fence_until_s(self, coordinator_id: int, /) -> float | None:
        """Return the monotonic moment until which an identity is surely valid; None for ever."""
        ...

    def sweep(self) -> None:
        """Remove what identities that are gone have left."""
        ...


class FileLiveness:
    """Identities are locked files, which the kernel lets go with their process.

    Args:
        database: Of the store.
        statements: Its statements by name.
        locks: Of this store object.
    """

    def __init__(self, database: Database, statements: Mapping[str, str], locks: Locks) -> None:
        self._database = database
        self._sql = statements
        self._locks = locks

    @contextmanager
    def registering(self, coordinator_id: int) -> Iterator[Connection]:
        """Hold an identity for life; the transaction is the one that registers it."""
        name = _lock_name(coordinator_id)
        is_locked = False
        try:
            with self._database.writing() as connection:
                # Inside the transaction nobody else takes a lock or tidies.
                is_locked = self._locks.acquire(name)
                if not is_locked:
                    raise InternalError(f"the id {coordinator_id} was given to two coordinators")
                yield connection
        except BaseException:
            if is_locked:
                self._locks.release(name)
            raise

    def drop(self, coordinator_id: int) -> None:
        """Let an identity of this process go, as if its process had been killed."""
        self._locks.release(_lock_name(coordinator_id))

    def living(self, coordinator_ids: Sequence[int]) -> set[int]:
        """Return those whose locks are held."""
        return {id_ for id_ in coordinator_ids if self._locks.is_held(_lock_name(id_))}

    def heard_of(self, coordinator_ids: Sequence[int]) -> set[int]:
        """Return those whose locks are held."""
        return self.living(coordinator_ids)

    def watch(self, coordinator_id: int) -> None:
        """Do nothing: a lock is held, or it is not."""

    def shut_out(self, coordinator_id: int) -> None:
        """Do nothing: each transaction checks its epoch."""

    @contextmanager
    def writing(self, lease: CoordinatorLease) -> Iterator[Connection]:
        """Return a transaction that writes only while the lease is the newest."""
        with self._database.writing() as connection:
            self.check(connection, lease)
            yield connection

    def check(self, connection: Connection, lease: CoordinatorLease) -> None:
        """Refuse a lease that is not the newest, inside the transaction that it is to write.

        Raises:
            OwnershipLost: Another coordinator took over, or this one has signed off.
        """
        found = connection.execute(self._sql["select_epoch"], (lease.id,)).fetchone()
        if found is None or found[0] != lease.epoch:
            raise ownership_lost()

    def fence_until_s(self, coordinator_id: int) -> float | None:
        """Return None: the file stays locked for as long as the process lives."""
        del coordinator_id
        return None

    def sweep(self) -> None:
        """Remove the files of identities that are gone."""
        self._locks.sweep(_lock_name("*"))


def ownership_lost() -> OwnershipLost:
    """Return the error of a coordinator that may no longer commit."""
    return OwnershipLost(
        "another coordinator has taken over the runs of this one",
        hint="this one stops; nothing that was committed is lost",
    )


@cache
def this_machine() -> str:
    """Return where pids of this process mean something: the boot and its namespace of processes.

    Containers of a machine may share its name, and not its processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # pragma: no cover - systems without /proc
        return socket.gethostname()


def _lock_name(coordinator_id: int | str) -> str:
    return f"coordinators/{coordinator_id}.lock"

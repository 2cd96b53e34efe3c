"""This module is how coordinators on PostgreSQL are known to live: locks of sessions, and beats."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psycopg

from ostinato.clock import Clock
from ostinato.errors import InternalError, OwnershipLost, StoreError, StoreLocked
from ostinato.store.liveness import ownership_lost, this_machine
from ostinato.store.postgres.connection import Connector, PostgresConnection
from ostinato.store.postgres.database import PostgresDatabase
from ostinato.store.postgres.faults import fault
from ostinato.store.postgres.keeper import Keeper
from ostinato.store.records import CoordinatorLease

#: Share of a lease that others wait after it has surely ended.
GRACE = 0.25

#: Leases of silence after which a session that is still there is ended.
TAKEOVER = 1.875

#: Leases for which silence must last in the eyes of who looks: the server's clock, which dates
#: the beats, may have jumped. After one, what the coordinator started has ended in any case.
SURE = 1.0

#: Looks in the time of a lease, where somebody waits to be sure.
LOOKS_PER_LEASE = 10

#: Coordinators whose last beats are remembered.
REMEMBERED_BEATS = 10_000

#: Milliseconds that a session may take to end.
END_TIMEOUT_MS = 5_000


class _Session:
    """The connection that commits for one coordinator, and holds its lock."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection = connection
        #: It has no other one: a lease is not taken up again.
        self.epoch = 1
        #: Held by whoever writes.
        self.lock = threading.RLock()


class _Signs(NamedTuple):
    """What tells whether a coordinator lives; columns in the order of ``select_signs``."""

    id: int
    pid: int
    machine: str
    heartbeat_us: int
    silent_us: int
    backend: int | None


class SessionLiveness:
    """Identities are advisory locks of the sessions that commit for them.

    If a session ends, so does the right to commit: nothing is checked in a commit. A dead
    session says nothing of what its coordinator started, which ends when its lease does: so
    others wait for the beats to grow old, unless they see that its process is gone.

    Args:
        database: Of the store.
        statements: Its statements by name.
        connector: Makes sessions.
        keeper: Says that they live.
        clock: Whose monotonic time leases are measured in.
        lease_s: Seconds that a lease is valid after a beat.
    """

    def __init__(
        self,
        database: PostgresDatabase,
        statements: Mapping[str, str],
        *,
        connector: Connector,
        keeper: Keeper,
        clock: Clock,
        lease_s: float,
    ) -> None:
        self._database = database
        self._sql = statements
        self._connector = connector
        self._keeper = keeper
        self._clock = clock
        self._lease_s = lease_s
        self._sessions: dict[int, _Session] = {}
        #: Their last beats, and when this process saw the first of each.
        self._beats: dict[int, tuple[int, float]] = {}

    @contextmanager
    def registering(self, coordinator_id: int) -> Iterator[PostgresConnection]:
        """Hold an identity for life; the transaction is the one that registers it."""
        connection = self._connector.connect()
        began_s = self._clock.monotonic_s()
        try:
            _refuse_shared(connection, self._connector)
            [[is_locked]] = connection.execute(
                self._sql["try_identity"], (coordinator_id,)
            ).fetchall()
            if not is_locked:
                raise InternalError(f"the id {coordinator_id} was given to two coordinators")
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except psycopg.Error as error:
            connection.close()
            raise fault(error, self._database.path) from error
        except BaseException:
            connection.close()
            raise
        self._sessions[coordinator_id] = _Session(connection)
        self._keeper.keep(coordinator_id, began_s + self._lease_s)

    def drop(self, coordinator_id: int) -> None:
        """Let an identity of this process go: nothing that it started runs any more."""
        self._keeper.forget(coordinator_id)
        session = self._sessions.pop(coordinator_id, None)
        if session is None:
            return
        with session.lock:
            session.connection.close()
        # Others see its age where this cannot be said.
        with suppress(StoreError), self._database.writing() as connection:
            connection.execute(self._sql["say_gone"], (coordinator_id,))

    def living(self, coordinator_ids: Sequence[int]) -> set[int]:
        """Return those that may still act: they, or what they have started."""
        if not coordinator_ids:
            return set()
        found = self._database.read(self._sql["select_signs"], (list(coordinator_ids),))
        return {row[0] for row in found if self._is_alive(_Signs._make(row))}

    def watch(self, coordinator_id: int) -> None:
        """Wait until it is sure whether a coordinator that is silent is dead."""
        pause = threading.Event()
        while True:
            found = self._database.read(self._sql["select_signs"], ([coordinator_id],))
            if not found:
                return
            signs = _Signs._make(found[0])
            is_silent = signs.silent_us / 1e6 > self._patience_s(signs)
            if not is_silent or not self._is_alive(signs):
                return
            pause.wait(self._lease_s / LOOKS_PER_LEASE)

    def _patience_s(self, signs: _Signs) -> float:
        return self._lease_s * (TAKEOVER if signs.backend is not None else 1 + GRACE)

    def heard_of(self, coordinator_ids: Sequence[int]) -> set[int]:
        """Return those that seem to live, by the clock of the server."""
        if not coordinator_ids:
            return set()
        found = map(
            _Signs._make, self._database.read(self._sql["select_signs"], (list(coordinator_ids),))
        )
        return {
            signs.id
            for signs in found
            if signs.silent_us / 1e6 <= self._patience_s(signs) and self._is_alive(signs)
        }

    def _is_alive(self, signs: _Signs) -> bool:
        patience_s = self._patience_s(signs)
        if signs.backend is None:
            if not signs.heartbeat_us:
                return False
            if signs.machine == this_machine() and not _is_running(signs.pid):
                return False
        unheard_s = self._unheard_s(signs)
        is_silent = signs.silent_us / 1e6 > patience_s and unheard_s >= self._lease_s * SURE
        # Also where the server's clock went back, and dates a beat in the future.
        return not is_silent and unheard_s <= patience_s

    def _unheard_s(self, signs: _Signs) -> float:
        """Return for how long this process has seen no other beat of a coordinator."""
        now_s = self._clock.monotonic_s()
        beat_us, since_s = self._beats.get(signs.id, (-1, now_s))
        if beat_us == signs.heartbeat_us:
            return now_s - since_s
        if len(self._beats) >= REMEMBERED_BEATS:
            self._beats.clear()
        self._beats[signs.id] = (signs.heartbeat_us, now_s)
        return 0.0

    def shut_out(self, coordinator_id: int) -> None:
        """End the session of a coordinator that is dead but for its connection.

        Raises:
            StoreLocked: It does not end.
        """
        backend = self._backend(coordinator_id)
        if backend is None:
            return
        self._database.read(self._sql["end_session"], (backend, END_TIMEOUT_MS))
        if self._backend(coordinator_id) is not None:
            message = f"a session of the store {self._database.path} does not end"
            raise StoreLocked(message, hint="try again")

    def _backend(self, coordinator_id: int) -> int | None:
        found = self._database.read(self._sql["select_signs"], ([coordinator_id],))
        backend: int | None = found[0][-1] if found else None
        return backend

    @contextmanager
    def writing(self, lease: CoordinatorLease) -> Iterator[PostgresConnection]:
        """Return a transaction that writes only while the lease is the newest."""
        with self.session(lease) as connection:
            connection.execute("BEGIN")
            try:
                found = connection.execute(self._sql["select_epoch"], (lease.id,)).fetchone()
                if found is None or found[0] != lease.epoch:
                    raise ownership_lost()
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def session(self, lease: CoordinatorLease) -> Iterator[PostgresConnection]:
        """Return the connection of a coordinator, which has the right to commit while it lives.

        Raises:
            OwnershipLost: It is gone.
            StoreError: One of its kinds; the session goes on.
        """
        session = self._sessions.get(lease.id)
        self._database.check_open()
        if session is None or session.epoch != lease.epoch:
            raise ownership_lost()
        with session.lock:
            connection = session.connection
            try:
                yield connection
            except psycopg.Error as error:
                if connection.is_lost:
                    raise self._lost(lease) from error
                raise fault(error, self._database.path) from error

    def fence_until_s(self, coordinator_id: int) -> float | None:
        """Return the monotonic moment until which an identity is surely valid."""
        return self._keeper.valid_until_s(coordinator_id)

    def sweep(self) -> None:
        """Do nothing: sessions leave nothing behind."""

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.connection.close()
        self._sessions.clear()

    def _lost(self, lease: CoordinatorLease) -> OwnershipLost:
        self._keeper.forget(lease.id)
        return OwnershipLost(
            f"the connection to the store {self._database.path} was lost, and with it the right "
            "to commit",
            hint="see that PostgreSQL runs; nothing that was committed is lost",
        )


def _is_running(pid: int) -> bool:
    """Whether a process of this machine runs; a pid that came again is told by its silence."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refuse_shared(connection: PostgresConnection, connector: Connector) -> None:
    """Refuse a pooler that hands a session to others between two transactions.

    Raises:
        StoreError: There is one.
    """
    ask = "SELECT pg_backend_pid()"
    [[backend]] = connection.execute(ask).fetchall()
    if backend == connection.raw.info.backend_pid:
        return
    # A pooler makes up the number that it tells; one that shares sessions gives this one away.
    other = connector.connect()
    try:
        if other.execute(ask).fetchall() == [(backend,)]:
            raise StoreError(
                f"the store {connector.path} is behind a pooler that shares sessions",
                hint="set pool_mode = session in pgbouncer, or name the server itself",
            )
    finally:
        other.close()

"""This module says for a process that its coordinators live, and hears when others wake it."""

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import psycopg

from ostinato.clock import Clock
from ostinato.errors import StoreError, StoreFull
from ostinato.store.ids import NODE_BITS
from ostinato.store.postgres.connection import Connector, PostgresConnection
from ostinato.store.postgres.database import LOCK_CLASS
from ostinato.store.postgres.faults import fault

logger = logging.getLogger(__name__)

#: What is sent to wake others; without content, so that the server sends one of many.
CHANNEL = "ostinato"

#: Beats in the time that a lease lasts: three may be lost.
BEATS_PER_LEASE = 4

#: Seconds between two looks whether the log has partitions for the days to come.
PARTITIONS_EVERY_S = 3_600.0

#: Days ahead for which there are some.
DAYS_AHEAD = 3

#: Seconds that the end of the thread is waited for.
CLOSE_TIMEOUT_S = 5.0

#: Seconds between two attempts to reach a server that is away.
RETRY_S = 0.5


class Keeper:
    """A connection, and a thread where one is needed, for what lasts as long as the process.

    Args:
        connector: Makes the connection.
        statements: By name.
        clock: Whose monotonic time leases are measured in.
        lease_s: Seconds that a lease is valid after a beat.
    """

    # Invariant: a lease's moment is that before a beat was sent that found its lock held, and
    # ``lease_s``: whoever waits that long after the last beat that it sees comes later.
    def __init__(
        self, connector: Connector, statements: Mapping[str, str], clock: Clock, lease_s: float
    ) -> None:
        self._connector = connector
        self._sql = statements
        self._clock = clock
        self._lease_s = lease_s
        self._connection: PostgresConnection | None = None
        #: Held by whoever uses the connection.
        self._lock = threading.Lock()
        self._valid_until_s: dict[int, float] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = -1, -1
        self._is_closed = False
        self._is_listening = False
        #: Why the store could not be told anything, empty if it can be.
        self._trouble = ""
        self._partitions_at_s = clock.monotonic_s() + PARTITIONS_EVERY_S
        #: Grows with each connection: what was locked on an earlier one is no longer.
        self.generation = 0

    def close(self) -> None:
        """End the thread and the connection."""
        self._is_closed = True
        self._wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            # It may wait for a server that answers nobody; it ends with the process then.
            thread.join(CLOSE_TIMEOUT_S)
            if thread.is_alive():
                return
        with self._lock:
            self._disconnect()
        for file in (self._wake_read, self._wake_write):
            if file >= 0:
                os.close(file)
        self._wake_read, self._wake_write = -1, -1

    def hold_node(self) -> int:
        """Take a node that nobody alive has, until the connection ends.

        Raises:
            StoreFull: As many processes use the store as there are nodes.
        """
        try:
            with self._lock:
                connection = self._connected()
                for _ in range(1 << NODE_BITS):
                    # Each is asked for in turn: one that was let go is not taken soon again.
                    [[node]] = connection.execute(self._sql["next_node"]).fetchall()
                    values = (LOCK_CLASS, node)
                    if connection.execute(self._sql["try_lock"], values).fetchall() == [(True,)]:
                        return int(node)
        except psycopg.Error as error:
            raise fault(error, self._connector.path) from error
        message = f"the store {self._connector.path} is used by {1 << NODE_BITS} processes at once"
        raise StoreFull(message, hint="end some of them")

    def keep(self, coordinator_id: int, valid_until_s: float) -> None:
        """Begin to say that a coordinator lives."""
        self._valid_until_s[coordinator_id] = valid_until_s
        self._start()

    def forget(self, coordinator_id: int) -> None:
        """Say no longer that a coordinator lives."""
        self._valid_until_s.pop(coordinator_id, None)

    def valid_until_s(self, coordinator_id: int) -> float:
        """Return the monotonic moment until which a lease is surely valid; 0 for a lost one."""
        return self._valid_until_s.get(coordinator_id, 0.0)

    def listen(self, callback: Callable[[], None]) -> None:
        """Have something called whenever others wake this process."""
        self._callbacks.append(callback)
        self._start()
        self._wake()

    def _start(self) -> None:
        if self._thread is None:
            self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._thread = threading.Thread(target=self._run, name="store-keeper", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        if self._wake_write >= 0:
            with suppress(OSError):
                os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        beat_s = self._lease_s / BEATS_PER_LEASE
        next_s = self._clock.monotonic_s() + beat_s
        while not self._is_closed:
            try:
                with self._lock:
                    connection = self._connected()
                    self._listen(connection)
                    if self._clock.monotonic_s() >= next_s:
                        next_s = self._clock.monotonic_s() + beat_s
                        self._beat(connection)
                    heard = _take_notifications(connection)
            except (psycopg.Error, StoreError) as error:
                self._note_trouble(str(error))
                with self._lock:
                    self._disconnect()
                self._wait(None, min(RETRY_S, beat_s))
                continue
            self._note_trouble("")
            if heard:
                self._call()
            left_s = max(0.0, next_s - self._clock.monotonic_s())
            self._wait(connection, left_s)

    def _note_trouble(self, trouble: str) -> None:
        """Say once that the store is away, and that it is there again."""
        if trouble and not self._trouble:
            logger.warning("the store cannot be told that this process lives: %s", trouble)
        elif self._trouble and not trouble:
            logger.info("the store can be told again that this process lives")
        self._trouble = trouble

    def _wait(self, connection: PostgresConnection | None, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if connection is not None:
            try:
                poll.register(connection.raw.fileno(), select.POLLIN)
            except psycopg.Error:
                return
        poll.poll(timeout_s * 1000)
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _connected(self) -> PostgresConnection:
        connection = self._connection
        if connection is None or connection.is_lost:
            self._disconnect()
            connection = self._connection = self._connector.connect()
            self.generation += 1
        return connection

    def _disconnect(self) -> None:
        self._is_listening = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self, connection: PostgresConnection) -> None:
        if self._callbacks and not self._is_listening:
            connection.execute(f"LISTEN {CHANNEL}")
            self._is_listening = True
            # What was said before is not heard: look once.
            self._call()

    def _beat(self, connection: PostgresConnection) -> None:
        """Say that the coordinators live whose locks are held, and drop those that lost theirs."""
        kept = list(self._valid_until_s)
        if not kept:
            return
        sent_s = self._clock.monotonic_s()
        found = connection.execute(self._sql["beat"], (kept,)).fetchall()
        held = {id_ for (id_,) in found}
        for id_ in kept:
            # One that was forgotten meanwhile stays so.
            if id_ in self._valid_until_s:
                self._valid_until_s[id_] = sent_s + self._lease_s if id_ in held else 0.0

        if sent_s >= self._partitions_at_s:
            self._partitions_at_s = sent_s + PARTITIONS_EVERY_S
            # Who writes for long keeps this waiting, and it must not keep the beats waiting.
            with suppress(psycopg.errors.LockNotAvailable), connection.raw.transaction():
                connection.raw.execute("SET LOCAL lock_timeout TO '500ms'")
                connection.execute(self._sql["make_event_partitions"], (DAYS_AHEAD,))

    def _call(self) -> None:
        for callback in list(self._callbacks):
            callback()


def _take_notifications(connection: PostgresConnection) -> bool:
    """Return whether anything was heard since the last time; waits for nothing."""
    pgconn = connection.raw.pgconn
    pgconn.consume_input()
    heard = False
    while pgconn.notifies() is not None:
        heard = True
    return heard

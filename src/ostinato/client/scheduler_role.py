"""This module lets one of several schedulers of a project be the one that fires."""

import logging
import select
import threading
from collections.abc import Callable

from ostinato.client.wake import WakeSocket
from ostinato.clock import Clock, SystemClock
from ostinato.errors import OwnershipLost, StoreError
from ostinato.store.protocol import Store
from ostinato.store.records import CoordinatorLease
from ostinato.store.waking import wake

logger = logging.getLogger(__name__)

#: Seconds for which it is not asked again who has the role.
KNOWN_S = 1.0


def role_of(project: str) -> str:
    """Return the name of the role of a project's active scheduler."""
    return f"scheduler:{project}"


class SchedulerRole:
    """A scheduler among others: known in the store, woken by others, active or standing by.

    Args:
        store: Where roles are kept.
        project: Whose scheduler it is.
        version: Release of Ostinato that it runs.
        clock: The time.
    """

    def __init__(
        self, store: Store, project: str, *, version: str = "", clock: Clock | None = None
    ) -> None:
        self._store = store
        self._role = role_of(project)
        self._version = version
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self._socket = WakeSocket()
        self._lease = self._register()
        self._is_held = False
        self._asked_s = float("-inf")
        self._is_closed = False
        self._listener = threading.Thread(target=self._listen, name="scheduler-wake", daemon=True)
        self._listener.start()
        store.listen(self._tell)

    def subscribe(self, tell: Callable[[], None]) -> None:
        """Have a function called, in another thread, when others want something looked at."""
        self._told.append(tell)

    def is_active(self) -> bool:
        """Whether this scheduler is the one that fires; safe in all threads.

        It is asked of the store once a second; so it takes over a second after the one before
        it has ended, or is known to be dead.

        Raises:
            StoreError: The store does not tell.
        """
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._asked_s < KNOWN_S and not self._is_fenced(now_s):
                return self._is_held
            was_held, self._is_held = self._is_held, False
            try:
                self._is_held = self._store.take_role(self._role, self._lease)
            except OwnershipLost:
                # Taken for dead, such as after a long suspension.
                self._lease = self._register()
                self._is_held = self._store.take_role(self._role, self._lease)
            self._asked_s = now_s
            if self._is_held != was_held:
                logger.info("%s", "fires schedules" if self._is_held else "stands by")
            return self._is_held

    def close(self) -> None:
        """Give the role up, so that another one takes it at once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._store.release_role(self._role, self._lease)
            self._store.unregister_coordinator(self._lease)
            self._store.wake_schedulers()
        except StoreError as error:
            logger.warning("the role of scheduler was not given up: %s", error)
        wake(self._socket.address)
        self._listener.join()
        self._socket.close()

    def _register(self) -> CoordinatorLease:
        return self._store.register_coordinator(
            wake_address=self._socket.address, kind="scheduler", version=self._version
        )

    def _is_fenced(self, now_s: float) -> bool:
        until_s = self._store.fence_until_s(self._lease)
        return until_s is not None and until_s <= now_s

    def _listen(self) -> None:
        while not self._is_closed:
            readable, _, _ = select.select([self._socket.socket], [], [], KNOWN_S)
            if readable and not self._is_closed:
                self._socket.socket.recv(64)
                self._asked_s = float("-inf")
                self._tell()

    def _tell(self) -> None:
        for tell in self._told:
            tell()

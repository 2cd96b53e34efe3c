"""This module takes what other processes ask of the runs of a coordinator."""

from collections.abc import Callable, Mapping

from ostinato.clock import Clock
from ostinato.coordinator.bell import Bell
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease, RunRequest

#: Seconds between two looks for requests of other processes; they also wake the loop.
POLL_S = 2.0


class Requests:
    """Look for requests, and hand each to what takes its kind.

    Args:
        store: Where they lie.
        lease: Of the coordinator.
        bell: Rung by those who ask.
        clock: Tells when to look though nobody rang.
        handlers: By kind.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        bell: Bell,
        *,
        clock: Clock,
        handlers: Mapping[str, Callable[[RunRequest], None]],
    ) -> None:
        self._store = store
        self._lease = lease
        self._bell = bell
        self._clock = clock
        self._handlers = handlers
        self._next_look_s = 0.0

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self._bell.was_woken or self._clock.monotonic_s() >= self._next_look_s

    def take(self, batch: Batch) -> None:
        """Take what was asked; the commit to come says that it is done."""
        self._bell.was_woken = False
        self._next_look_s = self._clock.monotonic_s() + POLL_S
        for request in self._store.pending_requests(self._lease):
            handler = self._handlers.get(request.kind)
            if handler is not None:
                handler(request)
            batch.handled.append(request.id)

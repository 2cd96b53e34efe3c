"""This module lets one of several equal steps compute, and gives its result to the others."""

from collections.abc import Callable
from typing import Any

import msgspec

from ostinato.clock import Clock
from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.model.value import StoredValue
from ostinato.store.protocol import Store
from ostinato.store.records import CoordinatorLease

_decode_value = msgspec.msgpack.Decoder(StoredValue).decode


class CachedResults:
    """Answer the calls of steps whose results are kept for others.

    Args:
        store: Where they are kept.
        lease: Of the coordinator.
        clock: Says what has expired.
    """

    def __init__(self, store: Store, lease: CoordinatorLease, clock: Clock) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        #: Attempts that have claimed a key.
        self._claiming: set[int] = set()
        self.answers: dict[str, Callable[..., Any]] = {
            "cached": self._find,
            "cache_release": self._release,
        }

    def _find(
        self, _: LiveRun, __: TaskRun, *, key: str, token: int, is_refreshed: bool
    ) -> dict[str, Any]:
        cache = self._store.cache
        for is_claimed in (False, True):
            if not is_refreshed:
                row = cache.find(key, self._clock.now_us())
                if row is not None:
                    if is_claimed:
                        # It came between the first look and the claim.
                        cache.release(self._lease, token, key)
                    value = None if row.value is None else _decode_value(row.value)
                    return {"source": row.source, "value": value}
            if not is_claimed and not cache.claim(key, self._lease, token):
                return {"is_claimed": False}
            self._claiming.add(token)
        return {"is_claimed": True}

    def _release(self, _: LiveRun, __: TaskRun, *, key: str, token: int) -> None:
        self._store.cache.release(self._lease, token, key)

    def attempt_ended(self, token: int) -> None:
        """Give up what an attempt claimed and did not compute."""
        if token in self._claiming:
            self._claiming.discard(token)
            self._store.cache.release(self._lease, token)

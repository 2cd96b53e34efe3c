"""This module lets one of several equal steps compute, and gives its result to the others."""

from collections.abc import Callable
from typing import Any

import msgspec

from ostinato.clock import Clock
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.registry import Registry
from ostinato.engine.task_run import TaskRun
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime.messages import Succeeded
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CacheRow, CoordinatorLease

_encode_value = msgspec.msgpack.Encoder().encode
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

    def register(self, registry: Registry) -> None:
        """Answer calls of a coordinator, and be told of attempts that end."""
        registry.calls |= self.answers
        registry.attempt_ended.append(self.attempt_ended)

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
                return {"is_claimed": False, "is_own": cache.is_claimed_by(key, self._lease)}
            self._claiming.add(token)
        return {"is_claimed": True}

    def _release(self, _: LiveRun, __: TaskRun, *, key: str, token: int) -> None:
        self._store.cache.release(self._lease, token, key)

    def note(self, run: LiveRun, task_run: TaskRun, report: Succeeded, batch: Batch) -> str:
        """Keep a task's result for other runs, or note where it came from, which is returned."""
        caching = report.caching
        assert caching is not None
        if caching.source:
            run.reasons[task_run] = f"cached from {caching.source}"
        if caching.key:
            found = [value for value in report.values if value.key == RETURN_VALUE]
            ended_us = report.ended_us or self._clock.now_us()
            expires_us = ended_us + round(caching.expires_s * 1e6) if caching.expires_s else 0
            source = f"{run.row.flow}#{run.row.number} {task_run.key}"
            value = _encode_value(found[0]) if found else None
            batch.cached.append(CacheRow(caching.key, source, ended_us, expires_us, value))
        return caching.source

    def attempt_ended(self, token: int) -> None:
        """Give up what an attempt claimed and did not compute."""
        if token in self._claiming:
            self._claiming.discard(token)
            self._store.cache.release(self._lease, token)

"""This module tells somebody what goes through a store; where nobody looks, nothing is added."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease, NewRun, RunRow


class StoreObserver(Protocol):
    """Is told what goes through a store, in the thread that asks it; it must be quick."""

    def created(self, rows: Sequence[RunRow]) -> None:
        """Take note of runs that were created, or found by their keys."""
        ...

    def claimed(self, rows: Sequence[RunRow]) -> None:
        """Take note of runs that a coordinator of this process has taken over."""
        ...

    def committed(self, batch: Batch, took_s: float) -> None:
        """Take note of a batch that was written."""
        ...

    def failed(self, error: StoreError) -> None:
        """Take note of a write that failed."""
        ...


def observed(store: Store, observer: StoreObserver, clock: Clock | None = None) -> Store:
    """Return a store that tells an observer what is written.

    Args:
        store: Does the work.
        observer: Is told.
        clock: Measures how long a commit takes.
    """
    # It has what the protocol lists: its own methods, and the rest by ``__getattr__``.
    return cast(Store, _ObservedStore(store, observer, clock or SystemClock()))


class _ObservedStore:
    def __init__(self, store: Store, observer: StoreObserver, clock: Clock) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        # What is not measured is asked of the store itself, at its price.
        found = getattr(self._store, name)
        setattr(self, name, found)
        return found

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        owner: CoordinatorLease | None = None,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        try:
            rows = self._store.create_runs(
                runs, owner=owner, at_us=at_us, before_commit=before_commit
            )
        except StoreError as error:
            self._observer.failed(error)
            raise
        self._observer.created(rows)
        return rows

    def claim_runs(
        self,
        lease: CoordinatorLease,
        project: str,
        pairs: Sequence[tuple[str, str]],
        *,
        limit: int,
        max_active: Mapping[str, int],
    ) -> list[RunRow]:
        try:
            rows = self._store.claim_runs(lease, project, pairs, limit=limit, max_active=max_active)
        except StoreError as error:
            self._observer.failed(error)
            raise
        self._observer.claimed(rows)
        return rows

    def take_run(self, run_id: int, lease: CoordinatorLease) -> RunRow:
        row = self._store.take_run(cast(Any, run_id), lease)
        self._observer.claimed([row])
        return row

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        began_s = self._clock.monotonic_s()
        try:
            self._store.commit(batch, lease)
        except StoreError as error:
            self._observer.failed(error)
            raise
        self._observer.committed(batch, self._clock.monotonic_s() - began_s)

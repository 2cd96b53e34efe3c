"""This module opens every store that the contract holds for, and has others act on it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostinato.clock import VirtualClock
from ostinato.model.identity import RunId
from ostinato.store.postgres.store import open_postgres
from ostinato.store.protocol import Store
from ostinato.store.records import (
    AttemptRow,
    Batch,
    CoordinatorLease,
    EventRow,
    ExpansionRow,
    NoticeRow,
    RunRow,
    RunUpdate,
    TaskRunRow,
    ValueRow,
)
from ostinato.store.sql_store import SqlStore
from ostinato.store.sqlite import open_store
from tests.contract.samples import VERSION, new_run

START_US = 1_750_000_000_000_000
NO_RUN = RunId(123)

Row = TaskRunRow | EventRow | AttemptRow | ValueRow | ExpansionRow | RunUpdate | NoticeRow | int


class JumpingClock(VirtualClock):
    """A clock that somebody sets."""

    def jump_to(self, at_us: int) -> None:
        """Show a moment, be it an earlier one."""
        self._now_us = at_us


class House:
    """A store as one process opens it, and what others do to it.

    Args:
        open_again: Opens the same store as another process would.
        clock: Of the store.
    """

    def __init__(self, open_again: Callable[[], SqlStore], clock: JumpingClock) -> None:
        self._open_again = open_again
        self._opened: list[SqlStore] = []
        self.clock = clock
        self.store: Store = self.other()
        self.store.save_manifest(VERSION, "shop", b"definitions")
        self.lease = self.store.register_coordinator()

    def other(self) -> SqlStore:
        """Open the store once more."""
        self._opened.append(self._open_again())
        return self._opened[-1]

    def kill(self, lease: CoordinatorLease) -> None:
        """End a coordinator as the death of its process does."""
        for store in self._opened:
            store.abandon_coordinator(lease)

    def close(self) -> None:
        """Close what was opened."""
        for store in self._opened:
            store.close()

    def run(self, flow: str = "etl", *, owner: CoordinatorLease | None = None) -> RunRow:
        """Create a run; the house's coordinator owns it if nobody else is named."""
        lease = owner or self.lease
        # A lease is that of one process, which has a store of its own.
        store = next(each for each in self._opened if each.fence_until_s(lease) != 0.0)
        return store.create_runs([new_run(flow)], owner=lease)[0]

    def owner_of(self, run_id: RunId) -> int:
        """Return the id of a run's owner."""
        run = self.store.run(run_id)
        assert run is not None
        return run.owner

    def commit(self, *rows: Row) -> None:
        """Commit rows in one batch."""
        self.store.commit(batch_of(*rows), self.lease)


def batch_of(*rows: Row) -> Batch:
    """Collect rows, each in its list; a number is the id of a request that is answered."""
    batch = Batch()
    for row in rows:
        match row:
            case TaskRunRow():
                batch.task_runs.append(row)
            case EventRow():
                batch.events.append(row)
            case AttemptRow():
                batch.attempts.append(row)
            case ValueRow():
                batch.values.append(row)
            case ExpansionRow():
                batch.expansions.append(row)
            case RunUpdate():
                batch.runs.append(row)
            case NoticeRow():
                batch.notices.append(row)
            case int():
                batch.handled.append(row)
    return batch


def in_threads(*actions: Callable[[], None]) -> None:
    """Do things at once; the first error is raised here."""
    errors: list[BaseException] = []

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(params=["sqlite file", "sqlite memory", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    clock = JumpingClock(START_US)
    if request.param == "sqlite file":
        path = tmp_path / "store.db"
        made = House(lambda: open_store(path, durability="relaxed", clock=clock), clock)
    elif request.param == "sqlite memory":
        shared = open_store(":memory:", clock=clock)
        made = House(lambda: shared, clock)
    else:
        uri = request.getfixturevalue("postgres_store_uri")
        made = House(lambda: open_postgres(uri, clock=clock), clock)
    yield made
    made.close()

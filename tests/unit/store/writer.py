"""This module is a process beside the tests: it does to a store what lines on its input say.

    python -m tests.unit.store.writer STORE

Each line is a command with arguments; each is answered by one line of JSON. ``commits`` and
``tail`` answer many times.
"""

import json
import sys
from typing import Any

from ostinato.errors import OstinatoError
from ostinato.model.identity import RunId
from ostinato.store.postgres.store import open_postgres
from ostinato.store.records import CoordinatorLease
from ostinato.store.sql_store import SqlStore
from ostinato.store.sqlite import open_store
from tests.contract.samples import VERSION, new_run, step

#: Of coordinators on PostgreSQL: short, so that tests need not wait for long.
LEASE_S = 0.8


class Writer:
    """A process with a store, a coordinator and a run of its own.

    Args:
        store: The store.
    """

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.lease = CoordinatorLease(0, 0)
        self.run = RunId(0)

    def register(self) -> object:
        """Register a coordinator that owns a new run."""
        self.store.save_manifest(VERSION, "shop", b"")
        self.lease = self.store.register_coordinator()
        self.run = self.store.create_runs([new_run()], owner=self.lease)[0].id
        return [self.lease.id, self.run]

    def register_idle(self) -> object:
        """Register a coordinator that owns nothing."""
        self.store.save_manifest(VERSION, "shop", b"")
        self.lease = self.store.register_coordinator()
        return self.lease.id

    def commit(self, number: str) -> object:
        """Commit a step."""
        self.store.commit(step(self.run, int(number)), self.lease)
        return int(number)

    def commits(self, count: str, width: str) -> object:
        """Commit batches of so many steps and tell each."""
        for number in range(int(count)):
            batch = step(self.run, number * int(width))
            for index in range(1, int(width)):
                more = step(self.run, number * int(width) + index)
                batch.task_runs += more.task_runs
                batch.events += more.events
                batch.values += more.values
            self.store.commit(batch, self.lease)
            tell(number)
        return "done"

    def take(self, run_id: str) -> object:
        """Take a run over."""
        return self.store.take_run(RunId(int(run_id)), self.lease).owner

    def abandon(self) -> object:
        """Go on without the lock."""
        self.store.abandon_coordinator(self.lease)
        return "abandoned"

    def close(self) -> object:
        """Close the store."""
        self.store.close()
        return "closed"


def tell(what: object) -> None:
    """Answer with a line."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Do what the input says until it ends."""
    place, durability = sys.argv[1:]
    store: SqlStore
    if place.startswith("postgresql://"):
        store = open_postgres(place, durability=durability, lease_s=LEASE_S)
    else:
        store = open_store(place, durability=durability)
    writer = Writer(store)
    tell("open")
    for line in sys.stdin:
        name, *arguments = line.split()
        action: Any = getattr(writer, name)
        try:
            tell(action(*arguments))
        except OstinatoError as error:
            tell([type(error).__name__, str(error)])


if __name__ == "__main__":
    main()

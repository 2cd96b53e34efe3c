"""This module runs real workers in threads, on a store and code of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ostinato.client.new_runs import SERVICE, run_to_create
from ostinato.clock import SystemClock
from ostinato.coordinator.worker import Worker
from ostinato.errors import StoreError, StoreFull
from ostinato.executors.served_code import ServedCode
from ostinato.model.state import RunState
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target
from ostinato.store.postgres.store import open_postgres
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease, RunRow
from ostinato.store.sqlite import BUSY_TIMEOUT_S, SqliteStore, open_store

#: Seconds after which what is waited for will not come.
PATIENCE_S = 20.0


class Works:
    """A project with its code, a store, and workers.

    Args:
        code: Of the project, loaded.
        store: Where runs are recorded.
    """

    def __init__(self, root: Path, code: ServedCode, store: Store) -> None:
        self.project: Project = find_project(Target(path=root))
        self.code = code
        self.store = store

    def ask(
        self, flow: str, *, count: int = 1, version: str = "", **params: object
    ) -> list[RunRow]:
        """Ask for runs of a flow as it is in force, or pinned to a version."""
        in_force = self.code.flows[flow]
        new = run_to_create(
            in_force.definition,
            version or in_force.version,
            params,
            project=self.project,
            date_us=0,
            home=SERVICE,
        )
        return self.store.create_runs([new] * count)

    @contextmanager
    def worker(self, store: Store | None = None, **options: object) -> Iterator[Worker]:
        """Give a worker that serves in a thread; it is stopped in the end."""
        worker = Worker(self.project, store or self.store, self.code, **options)  # type: ignore[arg-type]  # options of tests
        thread = threading.Thread(target=worker.serve)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def state(self, row: RunRow) -> RunState:
        """Return the state of a run."""
        return self.run(row).state

    def run(self, row: RunRow) -> RunRow:
        """Return a run as it is."""
        found = self.store.run(row.id)
        assert found is not None
        return found

    def ended(self, row: RunRow) -> RunRow:
        """Return a run once it has ended."""
        until_s = time.monotonic() + PATIENCE_S
        while not (found := self.run(row)).state.is_terminal:
            assert time.monotonic() < until_s, f"{found.flow}#{found.number} {found.state.label}"
            time.sleep(0.01)
        return found

    def events(self, row: RunRow) -> list[object]:
        """Return the events of a run."""
        return [each.event for each in self.store.events(run_id=row.id)]


def until(holds: Callable[[], bool]) -> None:
    """Return once something holds."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, "it did not come about"
        time.sleep(0.005)


def shut_out(works: Works, coordinator_id: int) -> None:
    """Take the right to commit from a coordinator, as whoever takes over does."""
    ownership = works.store._ownership  # type: ignore[attr-defined]  # nobody else is so rough
    with works.store._database.writing() as connection:  # type: ignore[attr-defined]  # as above
        connection.execute("UPDATE coordinators SET epoch = epoch + 1")
    ownership._liveness.shut_out(coordinator_id)


def keep(store: Store, project: str, code: ServedCode) -> None:
    """Keep the definitions that are in force."""
    for served in code.manifests:
        store.save_manifest(served.version, project, served.data)


@contextmanager
def opened_works(root: Path, code: ServedCode, uri: str = "") -> Iterator[Works]:
    """Give a project whose code is loaded, with a store: its own file, or on PostgreSQL."""
    project = find_project(Target(path=root))
    project.data_dir.mkdir(exist_ok=True)
    store: Store = (
        open_postgres(uri) if uri else open_store(project.store_path, durability="relaxed")
    )
    code.subscribe(lambda _: keep(store, project.name, code))
    code.load()
    try:
        yield Works(root, code, store)
    finally:
        store.close()


def values_of(works: Works, row: RunRow, task_id: str) -> list[object]:
    """Return the results of a task."""
    return [
        None if value.data is None else msgspec.json.decode(value.data)
        for _, value in works.store.values(row.id, task_id)
    ]


class FullStore(SqliteStore):
    """A store that has no room, or is out of reach, while it is told so."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path),
            durability="relaxed",
            clock=SystemClock(),
            busy_timeout_s=BUSY_TIMEOUT_S,
        )
        self.is_full = self.is_lost = False

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Commit unless told otherwise."""
        if self.is_full:
            raise StoreFull("the store has no room left")
        if self.is_lost:
            raise StoreError("the store cannot be reached")
        super().commit(batch, lease)

    def register_coordinator(self, **options: str) -> CoordinatorLease:
        """Register unless told otherwise."""
        if self.is_lost:
            raise StoreError("the store cannot be reached")
        return super().register_coordinator(**options)

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Sign off unless told otherwise."""
        if self.is_lost:
            raise StoreError("the store cannot be reached")
        super().unregister_coordinator(lease)

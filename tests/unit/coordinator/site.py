"""This module runs flows in this process on a store that fails when it is told to."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ostinato.authoring.ports import BuiltFlow
from ostinato.clock import SystemClock
from ostinato.coordinator.here import Runner
from ostinato.coordinator.pinned import pinned_flow
from ostinato.coordinator.run_handle import Run
from ostinato.engine import events as ev
from ostinato.errors import StoreFull
from ostinato.model.identity import RunId
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.selection import narrow, select_tasks
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.runtime.values import decode_value
from ostinato.store.records import Batch, CoordinatorLease
from ostinato.store.sqlite import BUSY_TIMEOUT_S, SqliteStore


class FillingStore(SqliteStore):
    """A store whose disk is full after some commits."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path),
            durability="relaxed",
            clock=SystemClock(),
            busy_timeout_s=BUSY_TIMEOUT_S,
        )
        #: Commits that there is room for, None without end.
        self.room: int | None = None

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Commit while there is room."""
        if self.room is not None:
            if not self.room:
                raise StoreFull("the store has no room left")
            self.room -= 1
        super().commit(batch, lease)


class Site:
    """A project with one flow, whose runs can be interrupted and gone on with.

    Args:
        folder: Of the project.
        flow: Its flow.
        settings: Of the project.
    """

    def __init__(self, folder: Path, flow: BuiltFlow, **settings: Any) -> None:
        self.flow = flow
        self.project = Project(
            name="site",
            root=folder,
            settings=Settings(executor="inline", **settings),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder / "values",
            logs_root=folder / "logs",
            is_implicit=True,
        )
        self.store = FillingStore(self.project.store_path)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def runner(self) -> Runner:
        """Return what owns runs, as a process of its own would."""
        return Runner(
            self.project,
            self.store,
            None,
            flows={self.flow.name: self.flow},
            inline_for=("process", "thread"),
        )

    def create(
        self, runner: Runner, *, select: str = "", params: Mapping[str, Any] | None = None
    ) -> RunId:
        """Create a run; return its id."""
        definition = self.flow.definition
        if select:
            definition = narrow(definition, select_tasks(definition, select))
        data = encode_manifest(Manifest(self.project.name, (definition,)))
        version = version_of(data)
        self.store.save_manifest(version, self.project.name, data)
        return runner.create(definition, version, params=params or {}).id

    def run(self, *, room: int | None = None, select: str = "") -> Run:
        """Run the flow to its end, or until there is no room for a commit.

        Args:
            room: Commits until the disk is full, None for a disk that never is.
            select: Which tasks to run; all if empty.
        """
        with closing(self.runner()) as runner:
            run_id = self.create(runner, select=select)
            self._drive(runner, room)
        return self.handle(run_id)

    def resume(self, run: Run, *, room: int | None = None) -> Run:
        """Go on with a run that was interrupted."""
        row = self.store.run(RunId(int(run.id)))
        assert row is not None
        with closing(self.runner()) as runner:
            runner.resume(row.id, pinned_flow(self.store, row))
            self._drive(runner, room)
        return run

    def retry(self, run: Run) -> Run:
        """Run what failed again."""
        row = self.store.run(RunId(int(run.id)))
        assert row is not None
        with closing(self.runner()) as runner:
            runner.retry(row.id, pinned_flow(self.store, row))
            runner.drive()
        return run

    def _drive(self, runner: Runner, room: int | None) -> None:
        self.store.room = room
        try:
            runner.drive()
        except StoreFull:
            if room is None:
                raise
        finally:
            self.store.room = None

    def handle(self, run_id: RunId) -> Run:
        """Return a run as Python code sees it."""
        root = str(self.project.values_root)
        return Run(self.store, run_id, lambda value: decode_value(value, root))

    def events(self, run: Run) -> list[ev.Event]:
        """Return what was recorded of a run, in order."""
        logged = self.store.events(run_id=RunId(int(run.id)), limit=100_000)
        return [each.event for each in logged if each.event is not None]

"""Several coordinators on one store in memory, under virtual time."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG
from ostinato.clock import VirtualClock
from ostinato.coordinator.here import Runner
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.state import TaskRunState
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.store.records import RunRow
from ostinato.store.sqlite import open_store

DAY_US = 86_400_000_000


class House:
    """Coordinators on one store in memory."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.clock = VirtualClock(int(datetime(2025, 1, 9, tzinfo=UTC).timestamp() * 1e6))
        self.store = open_store(":memory:", clock=self.clock)
        closing.callback(self.store.close)
        self._closing = closing
        self._project = Project(
            name="testing",
            root=folder,
            settings=Settings(executor="inline"),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder,
            logs_root=folder / "logs",
            is_implicit=True,
        )

    def runner(self, flow: DAG) -> Runner:
        runner = Runner(
            self._project,
            self.store,
            None,
            executor="inline",
            clock=self.clock,
            flows={flow.name: flow},
            inline_for=("process", "thread"),
        )
        return self._closing.enter_context(runner)

    def create(self, runner: Runner, flow: DAG, day: int, **params: Any) -> RunRow:
        data = encode_manifest(Manifest(project="testing", flows=(flow.definition,)))
        self.store.save_manifest(version_of(data), "testing", data)
        values = {each.name: each.default for each in flow.definition.parameters} | params
        return runner.create(flow.definition, version_of(data), params=values, date_us=day * DAY_US)

    def order(self, kind: str) -> list[int]:
        """Return whose events of a kind were recorded, in order."""
        events = self.store.events(limit=1000)
        return [event.run_id for event in events if type(event.event).__name__ == kind]

    def states(self, row: RunRow) -> dict[str, str]:
        rows = self.store.all_task_runs(row.id)
        return {each.task_id: TaskRunState(each.state).label for each in rows}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as closing:
        yield House(tmp_path, closing)

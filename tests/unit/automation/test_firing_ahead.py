"""This module tests that many schedules of one moment are written ahead of it and seen at it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostinato.automation.scheduler import AHEAD_FROM, Scheduler
from ostinato.client.local import LocalClient
from ostinato.model.flow import FlowDefinition
from ostinato.model.schedule import moment_text
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import NewRun, RunRow
from ostinato.store.sqlite import open_store
from tests.unit.automation.test_scheduler import Served

pytestmark = pytest.mark.slow

COUNT = AHEAD_FROM + 50

#: Seconds until the moment, and after which what is waited for will not come.
AHEAD_S, PATIENCE_S = 3, 20.0


class Watched(LocalClient):
    """A client that tells when runs were written and are not yet committed."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store, values_root=folder, logs_root=folder)
        self.meanwhile: Callable[[], None] = lambda: None
        #: How many runs each commit was to make, and whether it was written ahead.
        self.asked: list[tuple[int, bool]] = []

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        self.asked.append((len(runs), before_commit is not None))

        def wait() -> None:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()
            assert before_commit is not None
            before_commit()

        return super().create_runs(runs, at_us=at_us, before_commit=wait if before_commit else None)


class House:
    """Many flows that fire at one moment, once, and their scheduler."""

    def __init__(self, folder: Path) -> None:
        (folder / "ostinato.yaml").write_text("name: shop\n")
        self.project: Project = find_project(Target(path=folder))
        self.store = open_store(folder / "store.db", durability="relaxed")
        self.others = open_store(folder / "store.db", durability="relaxed")
        self.client = Watched(self.store, folder)
        self.moment_us = (int(time.time()) + AHEAD_S) * 1_000_000
        text = f"every 3600 from {moment_text(self.moment_us)}"
        self.flows = {
            f"flow_{n}": Served(FlowDefinition(f"flow_{n}", schedule=text)) for n in range(COUNT)
        }
        self.scheduler = Scheduler(self.client, self.project, flows=lambda: self.flows)
        # As on a machine that is slow: it begins a second before the moment.
        self.scheduler._run_s = 0.01

    @contextmanager
    def firing(self) -> Iterator[None]:
        thread = threading.Thread(target=self.scheduler.serve)
        thread.start()
        try:
            yield
        finally:
            self.scheduler.stop()
            thread.join(PATIENCE_S)

    def runs(self) -> list[RunRow]:
        return self.others.runs(RunFilter(), limit=1000)[0]

    def wait_for(self, count: int) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while len(self.runs()) < count:
            assert time.monotonic() < until_s, f"{len(self.runs())} runs, {self.client.asked}"
            time.sleep(0.02)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.store.close()
    house.others.close()


def test_runs_of_one_moment_are_written_before_it_and_seen_at_it(house: House) -> None:
    seen: list[tuple[bool, int]] = []
    house.client.meanwhile = lambda: seen.append(
        (time.time() * 1e6 < house.moment_us, len(house.runs()))
    )

    with house.firing():
        house.wait_for(COUNT)

    assert seen == [(True, 0)]
    assert house.client.asked == [(COUNT, True)]
    assert min(run.created_us for run in house.runs()) >= house.moment_us


def test_flow_that_is_taken_away_at_the_last_moment_does_not_fire(house: House) -> None:
    def take_away() -> None:
        del house.flows["flow_7"]
        house.scheduler.wake()

    house.client.meanwhile = take_away

    with house.firing():
        house.wait_for(COUNT - 1)

    assert house.client.asked[0] == (COUNT, True)
    assert "flow_7" not in {run.flow for run in house.runs()}
    assert len(house.runs()) == COUNT - 1


def test_scheduler_that_is_stopped_before_the_moment_fires_nothing(house: House) -> None:
    stopped = threading.Event()

    def stop() -> None:
        house.scheduler.stop()
        stopped.set()

    house.client.meanwhile = stop

    with house.firing():
        assert stopped.wait(PATIENCE_S)

    assert house.runs() == []
    assert house.client.schedules.ticks("shop", "flow_7") == []

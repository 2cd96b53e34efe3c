"""This module measures how late runs are asked for when many schedules fire at one moment."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from benchmarks.result import Figure
from ostinato.automation.scheduler import Scheduler
from ostinato.client.local import LocalClient
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, encode_manifest
from ostinato.model.schedule import moment_text
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.store.postgres.store import open_postgres
from ostinato.store.protocol import Store
from ostinato.store.records import NewRun, RunRow
from ostinato.store.sqlite import open_store
from tests.postgres_server import postgres_server

SCHEDULES = 10_000

#: Seconds between the start of the scheduler and the moment, which is enough to fill in the runs.
AHEAD_S = 12.0

#: Ticks at which it is measured.
TICKS = 3

EVERY_S = 15

#: The same two where there are few schedules, which are filled in at once.
FEW, FEW_AHEAD_S, FEW_EVERY_S = 1_000, 2.0, 2


class Served(NamedTuple):
    """A flow in force."""

    definition: FlowDefinition
    version: str


class WatchedClient(LocalClient):
    """A client that notes when runs were recorded.

    Args:
        store: Where runs are recorded.
        folder: Of values and logs.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store, values_root=folder, logs_root=folder)
        self.lateness_s: dict[int, list[float]] = {}

    def create_runs(
        self,
        runs: Sequence[NewRun],
        *,
        at_us: int = 0,
        before_commit: Callable[[], None] | None = None,
    ) -> list[RunRow]:
        """Create runs, and note how late they are once that is durable."""
        rows = super().create_runs(runs, at_us=at_us, before_commit=before_commit)
        now_s = time.time()
        for row in rows:
            late_s = now_s - row.logical_date_us / 1e6
            self.lateness_s.setdefault(row.logical_date_us, []).append(late_s)
        return rows


def schedules(scale: float) -> Iterator[Figure]:
    """Fire 10,000 schedules at one moment, on both stores."""
    count = max(int(SCHEDULES * scale), 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(open_store(folder / "store.db")) as store:
            yield from _measure(count, store, folder, "SQLite")
    with (
        postgres_server({"fsync": "on", "synchronous_commit": "on"}) as server,
        tempfile.TemporaryDirectory() as name,
        closing(open_postgres(server.new_database())) as store,
    ):
        yield from _measure(count, store, Path(name), "PostgreSQL")


def _measure(count: int, store: Store, folder: Path, name: str) -> Iterator[Figure]:
    project = Project(
        name="bench",
        root=folder,
        settings=Settings(),
        data_dir=folder,
        store_path=folder / "store.db",
        values_root=folder,
        logs_root=folder,
        is_implicit=False,
    )
    ahead_s, every_s = (FEW_AHEAD_S, FEW_EVERY_S) if count < FEW else (AHEAD_S, EVERY_S)
    anchor_us = int(time.time() + ahead_s) * 1_000_000
    text = f"every {every_s} from {moment_text(anchor_us)}"
    definitions = tuple(FlowDefinition(f"flow_{each}", schedule=text) for each in range(count))
    store.save_manifest("v1", "bench", encode_manifest(Manifest("bench", definitions)))
    flows = {flow.name: Served(flow, "v1") for flow in definitions}
    client = WatchedClient(store, folder)
    scheduler = Scheduler(client, project, flows=lambda: flows)
    thread = threading.Thread(target=scheduler.serve)
    thread.start()
    last_us = anchor_us + (TICKS - 1) * every_s * 1_000_000
    while len(client.lateness_s.get(last_us, ())) < count:
        time.sleep(0.2)
    scheduler.stop()
    thread.join()
    measured = [client.lateness_s[anchor_us + n * every_s * 1_000_000] for n in range(TICKS)]
    p99 = statistics.median(statistics.quantiles(each, n=100)[98] for each in measured)
    half = statistics.median(statistics.median(each) for each in measured)
    work = f"{count:,} schedules at one moment, {name}"
    yield Figure(f"{work}: lateness, p99", p99 * 1000, "ms", 100)
    yield Figure(f"{work}: lateness, median", half * 1000, "ms", 100)

"""This module measures a store with a million runs: what lists take, and what writing costs."""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.large_stores import (
    APART_MS,
    START_MS,
    VERSION,
    Site,
    postgres_site,
    run_id,
    sqlite_site,
)
from benchmarks.result import Figure
from ostinato.engine import events as ev
from ostinato.model.identity import RunId
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import Batch, CoordinatorLease, EventRow, NewRun, RunUpdate, TaskRunRow

#: Runs of the large store, at full scale.
RUNS = 1_000_000

#: Where the large SQLite file is kept from one time to the next, if anywhere.
FOLDER = "OSTINATO_BENCH_LARGE"

#: How often each list is asked for.
ASKED = 100

#: Rounds in which both stores are written to, in turns: what else the machine does hits both.
ROUNDS = 200

#: Runs in one claim, and task runs in one commit.
CLAIMED, COMMITTED = 50, 50

List = Callable[[Store, random.Random], object]


def large(scale: float) -> Iterator[Figure]:
    """Measure both stores."""
    runs = max(int(RUNS * scale), 1_000)
    for site in _sites(runs):
        with site as opened:
            yield from _lists(opened, runs, asked=max(int(ASKED * scale), 3))
            yield from _costs(opened, rounds=max(int(ROUNDS * scale), 3))


def _sites(runs: int) -> Iterator[Any]:
    yield _sqlite(runs)
    yield postgres_site(runs)


@contextmanager
def _sqlite(runs: int) -> Iterator[Site]:
    kept = os.environ.get(FOLDER)
    with tempfile.TemporaryDirectory() as folder, sqlite_site(Path(kept or folder), runs) as site:
        yield site


def _lists(site: Site, runs: int, *, asked: int) -> Iterator[Figure]:
    """Measure each list, from a random place in it where it has pages."""
    slowest: dict[str, float] = {}
    chance = random.Random(1)
    for name, ask in _asked(runs).items():
        took = []
        for _ in range(asked):
            before_s = time.perf_counter()
            ask(site.large, chance)
            took.append(time.perf_counter() - before_s)
        slowest[name] = statistics.quantiles(took, n=20)[-1]
    for name, seconds in sorted(slowest.items(), key=lambda pair: -pair[1]):
        work = f"{site.kind}, {runs:,} runs: {name}, 95th percentile"
        yield Figure(work, seconds * 1e3, "ms", 50)


def _asked(runs: int) -> dict[str, List]:
    def cursor(chance: random.Random) -> str:
        return str(run_id(chance.randrange(runs // 10, runs)))

    def flow(chance: random.Random) -> str:
        return f"flow_{chance.randrange(100)}"

    def day(chance: random.Random) -> dict[str, Any]:
        start_us = (START_MS + chance.randrange(runs) * APART_MS) * 1000
        return {"created_from_us": start_us, "created_to_us": start_us + 86_400_000_000}

    def page(store: Store, cursor: str = "", **which: Any) -> object:
        return store.runs(RunFilter(**which), cursor=cursor, limit=50)

    def some_run(chance: random.Random) -> RunId:
        return RunId(run_id(chance.randrange(runs)))

    failed, rare = (RunState.FAILED,), (RunState.CANCELLED,)
    live = (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING)
    return {
        "newest runs": lambda store, _: page(store),
        "runs from a page on": lambda store, c: page(store, cursor(c)),
        "runs of a flow": lambda store, c: page(store, cursor(c), flow=flow(c)),
        "runs in a state": lambda store, c: page(store, cursor(c), states=failed),
        "live runs": lambda store, _: page(store, states=live),
        "failed runs of a flow": lambda store, c: page(store, flow=flow(c), states=failed),
        "cancelled runs of a flow": lambda store, c: page(store, flow=flow(c), states=rare),
        "failed runs of the largest flow": lambda store, _: page(
            store, flow="flow_0", states=failed
        ),
        "failed runs by trigger": lambda store, _: page(store, trigger="manual", states=failed),
        "runs by trigger": lambda store, c: page(store, cursor(c), trigger="manual"),
        "runs with a tag": lambda store, c: page(store, cursor(c), tag="team_7"),
        "runs with a rare tag": lambda store, c: page(store, tag="rare"),
        "runs with a parameter": lambda store, c: page(
            store, params=(("day", f'"d{c.randrange(1000)}"'),)
        ),
        "runs of a day": lambda store, c: page(store, **day(c)),
        "runs of a flow and day": lambda store, c: page(store, flow=flow(c), **day(c)),
        "failed runs of a day": lambda store, c: page(store, states=failed, **day(c)),
        "a run by its number": lambda store, c: store.find_run(f"flow_0#{c.randrange(runs)}"),
        "the newest run of a flow": lambda store, c: store.find_run(flow(c)),
        "task runs of a run": lambda store, c: store.task_runs(some_run(c)),
        "events of a run": lambda store, c: store.events(run_id=some_run(c)),
        "newest events": lambda store, _: store.events(after=store.event_cursor()),
        "artifacts": lambda store, _: store.artifacts(),
        "inputs": lambda store, _: store.waiting(),
        "what can be claimed": lambda store, _: store.claimable("shop"),
        "coordinators": lambda store, _: store.coordinators(),
        "backfills": lambda store, _: store.backfills.page("shop"),
    }


def _costs(site: Site, *, rounds: int) -> Iterator[Figure]:
    """Measure what it costs to create, claim and commit, against an empty store."""
    writers = empty, large = _Writer(site.empty), _Writer(site.large)
    for number in range(rounds):
        # Who writes second finds the disk as the first has left it.
        for writer in writers if number % 2 else reversed(writers):
            writer.round()
    for name in ("create", "claim", "commit"):
        bare = statistics.median(empty.took_s[name]) * 1e3
        pairs = zip(large.took_s[name], empty.took_s[name], strict=True)
        yield Figure(
            f"{site.kind}: {name} {CLAIMED}, against an empty store",
            # Of the two writes of one round: a disk has better and worse seconds.
            statistics.median(took_s / bare_s for took_s, bare_s in pairs),
            "x",
            1.2,
            limit=1.0,
            limit_name=f"empty, {bare:.2f} ms",
        )


class _Writer:
    """Write to a store as the service does, and keep how long it takes.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lease: CoordinatorLease = store.register_coordinator(kind="worker")
        self._round = 0
        self.took_s: dict[str, list[float]] = {"create": [], "claim": [], "commit": []}

    def round(self) -> None:
        """Create, claim and commit once."""
        self._round += 1
        new = [
            NewRun(
                "shop",
                "flow_0",
                VERSION,
                home="service",
                logical_key=f"api:{self._round}:{number}",
                tags=("team_1",),
                params=b'{"day":"d1"}',
            )
            for number in range(CLAIMED)
        ]
        self._take("create", lambda: self._store.create_runs(new))
        claimed = self._take(
            "claim",
            lambda: self._store.claim_runs(
                self._lease, "shop", [("flow_0", VERSION)], limit=CLAIMED, max_active={}
            ),
        )
        assert len(claimed) == CLAIMED
        batch = Batch()
        for run in claimed:
            self._fill(batch, run.id)
        self._take("commit", lambda: self._store.commit(batch, self._lease))

    def _take(self, name: str, action: Callable[[], Any]) -> Any:
        before_s = time.perf_counter()
        answer = action()
        self.took_s[name].append(time.perf_counter() - before_s)
        return answer

    def _fill(self, batch: Batch, run: RunId) -> None:
        row = TaskRunRow(
            run, "load", "", int(TaskRunState.SUCCEEDED), 1, 0, 0, 0, 1, 1, 1, 2, 0, None, None, 0,
            None, None, "",
        )  # fmt: skip
        batch.task_runs.append(row)
        batch.events.append(EventRow(run, "load", "", 1, ev.AttemptStarted(1, "load", (), 1)))
        batch.runs.append(RunUpdate(int(RunState.SUCCEEDED), "", 1, 2, 0, run))

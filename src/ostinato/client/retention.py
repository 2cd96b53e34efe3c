"""This module decides what is old, and deletes it a little at a time."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from ostinato.authoring.quantities import seconds_of
from ostinato.clock import Clock
from ostinato.model.backfill import DateState
from ostinato.model.identity import RunId
from ostinato.project.discovery import Project
from ostinato.project.settings import RetentionSettings
from ostinato.runtime.kept_files import FILES
from ostinato.store.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS
from ostinato.store.protocol import Store
from ostinato.store.pruning import OldRun

#: Runs, and rows of what belongs to them, that are deleted in one commit: some milliseconds.
RUNS_AT_A_TIME = 20
ROWS_AT_A_TIME = 1_000

#: Seconds after which definitions that nothing names are deleted: somebody may be about to.
UNUSED_S = 24 * 3600.0

_PAGE = 500


class Step(NamedTuple):
    """Some of what was deleted, or would be."""

    what: str
    number: int


class Policy(Struct, frozen=True):
    """How long what is kept; 0 for ever.

    Attributes:
        runs_s: Seconds since the end of a run.
        runs_per_flow: How many runs of each flow.
        events_s, logs_s, values_s: The same as of runs, of what belongs to them.
    """

    runs_s: float = 0.0
    runs_per_flow: int = 0
    events_s: float = 0.0
    logs_s: float = 0.0
    values_s: float = 0.0


def policy_of(settings: RetentionSettings) -> Policy:
    """Return what the settings say of how long what is kept."""

    def seconds(text: str) -> float:
        return seconds_of(text) if text else 0.0

    return Policy(
        runs_s=seconds(settings.runs),
        runs_per_flow=settings.runs_per_flow,
        events_s=seconds(settings.events),
        logs_s=seconds(settings.logs),
        values_s=seconds(settings.values),
    )


class Retention:
    """Delete what a policy does not keep.

    Always kept are runs that have not ended, the newest run of a flow (which has its number),
    its newest run that succeeded, and those of live backfills. Values that are cached stay until
    they expire.

    Args:
        store: Where runs are.
        project: Whose runs, and where their files are.
        policy: What is kept.
        clock: The time.
    """

    def __init__(self, store: Store, project: Project, policy: Policy, clock: Clock) -> None:
        self._store = store
        self._tables = store.pruning
        self._project = project
        self._policy = policy
        self._clock = clock
        #: Files of values that are kept for other runs; looked up once they matter. A run that
        #: has ended gets no new ones.
        self._cached: set[str] | None = None

    def prune(self) -> Iterator[Step]:
        """Delete what is old; each step has been committed when it is yielded."""
        self._cached = None
        yield from self._finish()
        kept = _Kept(self._store, self._project)
        for batch in self._old_runs(kept):
            gone = self._tables.delete_runs(batch)
            if gone:
                yield Step("runs", len(gone))
            yield from self._finish()
        yield from self._prune_events()
        yield from self._prune_backfills()
        for what, root, age_s in self._folders():
            for folder in self._old_folders(root, age_s):
                self._remove(folder)
                yield Step(what, 1)
        yield from self._prune_results()
        unused, newest_run = self._unused_manifests()
        if unused:
            self._tables.delete_manifests(unused, newest_run)
            yield Step("definitions", len(unused))

    def plan(self) -> Counter[str]:
        """Return what would be deleted, as counts by name; runs by flow too."""
        counts: Counter[str] = Counter()
        for batch in self._old_runs(_Kept(self._store, self._project)):
            for run in batch:
                counts["runs"] += 1
                counts[f"runs of {run.flow}"] += 1
        for what, root, age_s in self._folders():
            counts[what] += sum(1 for _ in self._old_folders(root, age_s))
        if self._policy.events_s:
            counts["events"] += self._tables.count_events(self._before_us(self._policy.events_s))
        counts["definitions"] += len(self._unused_manifests()[0])
        return +counts

    # Runs

    def _old_runs(self, kept: "_Kept") -> Iterator[list[OldRun]]:
        """Yield batches of runs that are too old, or too many of their flow."""
        seen: set[int] = set()
        if self._policy.runs_s:
            yield from self._by_age(kept, seen)
        if self._policy.runs_per_flow:
            for flow in self._tables.flows():
                yield from self._by_count(flow, kept, seen)

    def _by_age(self, kept: "_Kept", seen: set[int]) -> Iterator[list[OldRun]]:
        before_us, after_id = self._before_us(self._policy.runs_s), 0
        while True:
            page = self._tables.old_runs(
                self._project.name, before_us, after_id=after_id, limit=_PAGE
            )
            for batch in _batches(run for run in page if run.id not in kept.of(run.flow)):
                seen.update(run.id for run in batch)
                yield batch
            if len(page) < _PAGE:
                return
            after_id = page[-1].id

    def _by_count(self, flow: str, kept: "_Kept", seen: set[int]) -> Iterator[list[OldRun]]:
        last_id, after_id = self._tables.run_at_rank(flow, self._policy.runs_per_flow), 0
        while last_id:
            page = self._tables.surplus_runs(
                self._project.name, flow, last_id, after_id=after_id, limit=_PAGE
            )
            unkept = (run for run in page if run.id not in kept.of(flow) and run.id not in seen)
            yield from _batches(unkept)
            if len(page) < _PAGE:
                return
            after_id = page[-1].id

    def _finish(self) -> Iterator[Step]:
        """Delete what belongs to runs that are gone: rows first, then files."""
        while run_ids := self._tables.half_deleted(limit=RUNS_AT_A_TIME):
            count, emptied = self._tables.delete_parts(run_ids, limit=ROWS_AT_A_TIME)
            for run_id in emptied:
                for root in (*(folder[1] for folder in self._folders()), self._files_root):
                    self._remove(root / str(run_id))
            if emptied:
                self._tables.forget(emptied)
            yield Step("rows", count)

    # What belongs to runs

    def _prune_events(self) -> Iterator[Step]:
        before_us = self._before_us(self._policy.events_s)
        while self._policy.events_s:
            count = self._tables.delete_events(before_us, limit=ROWS_AT_A_TIME)
            if count:
                yield Step("events", count)
            if count < ROWS_AT_A_TIME:
                return

    def _prune_backfills(self) -> Iterator[Step]:
        before_us = self._before_us(self._policy.runs_s)
        while self._policy.runs_s:
            count = self._tables.delete_backfills(
                self._project.name, before_us, limit=ROWS_AT_A_TIME
            )
            if count:
                yield Step("rows of backfills", count)
            if count < ROWS_AT_A_TIME:
                return

    def _prune_results(self) -> Iterator[Step]:
        while True:
            count = self._tables.delete_expired(self._clock.now_us(), limit=ROWS_AT_A_TIME)
            if count:
                yield Step("cached results", count)
            if count < ROWS_AT_A_TIME:
                return

    @property
    def _files_root(self) -> Path:
        return self._project.data_dir / FILES

    def _folders(self) -> tuple[tuple[str, Path, float], ...]:
        """Return what is kept in a folder of each run: its name, the root, seconds."""
        logs = ("logs of runs", self._project.logs_root, self._policy.logs_s)
        return logs, ("values of runs", self._project.values_root, self._policy.values_s)

    def _old_folders(self, root: Path, age_s: float) -> Iterator[Path]:
        """Yield the folders of runs that ended too long ago; others are left alone."""
        if not age_s or not root.is_dir():
            return
        before_us = self._before_us(age_s)
        # An id tells when it was made: most folders are passed over without a look at the store.
        newest_id = max(before_us // 1000 - EPOCH_MS, 0) << (NODE_BITS + COUNTER_BITS)
        names = [entry.name for entry in os.scandir(root) if entry.name.isdecimal()]
        for name in sorted(names, key=int):
            if int(name) > newest_id:
                return
            run = self._store.run(RunId(int(name)))
            # What belongs to no run of this store may belong to another one.
            if run is not None and run.state.is_terminal and run.ended_us < before_us:
                yield root / name

    def _remove(self, folder: Path) -> None:
        """Remove a folder, but for values that are kept for other runs."""
        if not folder.is_dir():
            return
        if self._cached is None:
            self._cached = self._tables.cached_locations(self._clock.now_us())
        within = f"{folder.name}/"
        kept = [place for place in self._cached if place.startswith(within)]
        if not kept or folder.parent != self._project.values_root:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for path in folder.rglob("*"):
            place = path.relative_to(folder.parent).as_posix()
            if path.is_file() and place not in kept:
                path.unlink(missing_ok=True)

    def _unused_manifests(self) -> tuple[list[str], int]:
        return self._tables.unused_manifests(self._project.name, self._before_us(UNUSED_S))

    def _before_us(self, age_s: float) -> int:
        return self._clock.now_us() - round(age_s * 1_000_000)


class _Kept:
    """Know which runs stay whatever their age."""

    def __init__(self, store: Store, project: Project) -> None:
        self._tables = store.pruning
        self._by_flow: dict[str, set[int]] = {}
        self._of_backfills = {
            date.run_id
            for row in store.backfills.live(project.name)
            for date in store.backfills.dates(row.id, state=DateState.ACTIVE, limit=row.max_active)
        }

    def of(self, flow: str) -> set[int]:
        """Return the runs of a flow that stay."""
        if flow not in self._by_flow:
            newest = self._tables.run_at_rank(flow, 0)
            self._by_flow[flow] = {newest, self._tables.newest_success(flow)}
            self._by_flow[flow] |= self._of_backfills
        return self._by_flow[flow]


def _batches(runs: Iterable[OldRun]) -> Iterator[list[OldRun]]:
    batch: list[OldRun] = []
    for run in runs:
        batch.append(run)
        if len(batch) == RUNS_AT_A_TIME:
            yield batch
            batch = []
    if batch:
        yield batch

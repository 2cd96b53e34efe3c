"""What a process writes is counted by real runs on a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.engine import events as ev
from ostinato.errors import OwnershipLost
from ostinato.model.measure import Measure, Sample, Spread
from ostinato.model.state import RunState, TaskRunState
from ostinato.store.measures import StoreMeasures
from ostinato.store.observed import observed
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease, EventRow, NewRun, RunUpdate, TaskRunRow
from ostinato.store.sqlite import open_store


@pytest.fixture
def measures() -> StoreMeasures:
    return StoreMeasures()


@pytest.fixture
def store(tmp_path: Path, measures: StoreMeasures) -> Iterator[Store]:
    store = open_store(tmp_path / "store.db")
    store.save_manifest("v1", "shop", b"definitions")
    yield observed(store, measures)
    store.close()


def values(measures: StoreMeasures, name: str) -> dict[tuple[str, ...], float]:
    found: Measure = next(each for each in measures.measures() if each.name == name)
    return {
        tuple(value for _, value in sample.labels): sample.value
        for sample in found.samples
        if isinstance(sample, Sample)
    }


def spread(measures: StoreMeasures, name: str) -> tuple[int, float]:
    (found,) = next(each for each in measures.measures() if each.name == name).samples
    assert isinstance(found, Spread)
    return sum(found.counts), found.total


def drive(store: Store, lease: CoordinatorLease) -> None:
    """Claim a run, begin it a second after it was asked for, and end it."""
    (row,) = store.create_runs([NewRun("shop", "etl", "v1", home="service", trigger="api")])
    store.claim_runs(lease, "shop", [("etl", "v1")], limit=10, max_active={})
    begun_us = row.created_us + 1_000_000
    batch = Batch()
    batch.runs.append(RunUpdate(RunState.RUNNING, "", begun_us, 0, 0, row.id))
    batch.events.append(EventRow(row.id, "", "", begun_us, ev.RunStarted(begun_us)))
    store.commit(batch, lease)
    batch.clear()
    task_run = (row.id, "load", "", TaskRunState.FAILED, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    batch.task_runs.append(TaskRunRow(*task_run, None, None, 0, None, None, ""))
    batch.runs.append(RunUpdate(RunState.FAILED, "", begun_us, begun_us, 0, row.id))
    store.commit(batch, lease)


def test_runs_and_task_runs_are_counted_by_flow_and_state(
    store: Store, measures: StoreMeasures
) -> None:
    drive(store, store.register_coordinator())

    assert values(measures, "runs_created") == {("etl", "api"): 1}
    assert values(measures, "runs_ended") == {("etl", "failed"): 1}
    assert values(measures, "task_runs_ended") == {("etl", "failed"): 1}


def test_delays_and_commits_are_spread(store: Store, measures: StoreMeasures) -> None:
    drive(store, store.register_coordinator())

    assert spread(measures, "queue_delay_seconds") == (1, 1.0)
    assert spread(measures, "commit_rows") == (2, 4.0)
    assert spread(measures, "commit_seconds")[0] == 2


def test_delay_of_a_schedule_counts_from_its_moment(store: Store, measures: StoreMeasures) -> None:
    (row,) = store.create_runs(
        [NewRun("shop", "etl", "v1", trigger="schedule", logical_date_us=1, interval_end_us=2)]
    )

    assert spread(measures, "schedule_delay_seconds") == (1, (row.created_us - 2) / 1e6)


def test_writes_that_are_refused_are_counted(store: Store, measures: StoreMeasures) -> None:
    batch = Batch()
    batch.handled.append(1)

    with pytest.raises(OwnershipLost):
        store.commit(batch, CoordinatorLease(17, 0))

    assert values(measures, "store_errors") == {("ownership-lost",): 1}


def test_observed_store_is_a_store_in_all_else(store: Store) -> None:
    store.served.replace("shop", {"etl": "v1"})

    assert [row.flow for row in store.served.all("shop")] == ["etl"]
    assert store.find_run("last") is None

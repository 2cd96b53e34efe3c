"""Tests of workers: they claim runs of the service, and drive them by the code of each run."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.clock import VirtualClock
from ostinato.coordinator.claims import READ_AT_ONCE
from ostinato.coordinator.patience import Patience
from ostinato.coordinator.versions import Serving
from ostinato.engine import events as ev
from ostinato.model.health import PartHealth
from ostinato.model.state import RunState
from ostinato.store.records import RunRow
from tests.unit.coordinator.workers import (
    PATIENCE_S,
    FullStore,
    Works,
    opened_works,
    shut_out,
    until,
    values_of,
)
from tests.unit.executors.projects import served, write_flow, write_project

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgres"])
def uri(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return ""
    found: str = request.getfixturevalue("postgres_store_uri")
    return found


@pytest.fixture
def works(tmp_path: Path, uri: str) -> Iterator[Works]:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code, opened_works(tmp_path, code, uri) as opened:
        yield opened


def test_runs_that_wait_are_claimed_and_end(works: Works) -> None:
    rows = works.ask("etl", count=3)

    with works.worker():
        ended = [works.ended(row) for row in rows]

    assert [row.state for row in ended] == [RunState.SUCCEEDED] * 3
    assert values_of(works, rows[0], "work") == [1]


def test_runs_that_are_asked_for_later_are_claimed_at_once(works: Works) -> None:
    with works.worker():
        first = works.ended(works.ask("etl")[0])
        second = works.ended(works.ask("etl")[0])

    assert first.state is second.state is RunState.SUCCEEDED


def test_a_drained_worker_ends_and_leaves_what_waits(works: Works) -> None:
    with works.worker() as worker:
        works.ended(works.ask("etl")[0])
        worker.drain()
    row = works.ask("etl")[0]

    assert works.run(row).owner == 0
    assert works.store.coordinators() == []


def test_only_runs_of_chosen_flows_are_taken(works: Works, tmp_path: Path) -> None:
    write_flow(tmp_path, "other", 2)
    works.code.load()
    row, other = works.ask("etl")[0], works.ask("other")[0]

    with works.worker(flows=("other",)):
        works.ended(other)

    assert works.state(row) is RunState.QUEUED


def test_a_run_goes_on_by_newer_code_of_the_same_shape(works: Works, tmp_path: Path) -> None:
    row = works.ask("etl")[0]
    write_flow(tmp_path, "etl", 2)
    works.code.load()

    with works.worker():
        ended = works.ended(row)

    assert ended.state is RunState.SUCCEEDED
    assert values_of(works, row, "work") == [2]
    version = works.code.flows["etl"].version
    assert [each.version for each in works.events(row) if isinstance(each, ev.CodeChanged)] == [
        version
    ]


def test_a_run_whose_code_is_gone_fails_and_says_so(works: Works, tmp_path: Path) -> None:
    row = works.ask("etl")[0]
    file = write_flow(tmp_path, "etl", 2)
    file.write_text(file.read_text().replace("work", "labour"))
    works.code.load()

    with works.worker():
        ended = works.ended(row)

    assert ended.state is RunState.FAILED
    assert ended.reason == (
        "code_unavailable: its code is gone, and that of today differs: task 'work' is gone"
    )


def test_a_run_of_a_flow_whose_file_is_broken_waits_until_it_is_mended(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code, opened_works(tmp_path, code) as works:
        row = works.ask("etl")[0]
    (tmp_path / "flows" / "etl.py").write_text("def broken(:\n")
    with served(tmp_path) as code, opened_works(tmp_path, code) as works, works.worker():
        write_flow(tmp_path, "etl", 2)
        works.code.load()

        assert works.ended(row).state is RunState.SUCCEEDED


def newer_version(works: Works, root: Path) -> str:
    """Keep the definitions of code that nobody has loaded, and return their version."""
    with served(root) as newer:
        write_flow(root, "etl", 2)
        newer.load()
        manifest = newer.manifests[-1]
    works.store.save_manifest(manifest.version, "shop", manifest.data)
    return manifest.version


def test_a_run_of_newer_code_is_left_to_those_who_are_about_to_have_it(
    works: Works, tmp_path: Path
) -> None:
    with works.worker():
        works.ended(works.ask("etl")[0])
        row = works.ask("etl", version=newer_version(works, tmp_path))[0]
        works.ended(works.ask("etl")[0])

    assert works.state(row) is RunState.QUEUED


def test_a_run_of_code_that_was_taken_back_goes_on_by_that_of_today(
    works: Works, tmp_path: Path
) -> None:
    row = works.ask("etl", version=newer_version(works, tmp_path))[0]

    with works.worker():
        assert works.ended(row).state is RunState.SUCCEEDED

    assert values_of(works, row, "work") == [1]


def test_runs_that_many_versions_have_left_are_all_taken(works: Works) -> None:
    [manifest] = works.code.manifests
    rows: list[RunRow] = []
    for number in range(2 * READ_AT_ONCE + 1):
        works.store.save_manifest(f"older-{number}", "shop", manifest.data)
        rows += works.ask("etl", version=f"older-{number}")

    with works.worker():
        ended = [works.ended(row) for row in rows]

    assert {row.state for row in ended} == {RunState.SUCCEEDED}


def test_a_run_is_left_to_the_worker_that_has_its_code(works: Works, tmp_path: Path) -> None:
    version = newer_version(works, tmp_path)
    lease = works.store.register_coordinator(kind="worker")
    works.store.take_role(f"code:shop:{version}", lease)
    row = works.ask("etl", version=version)[0]

    with works.worker():
        works.ended(works.ask("etl")[0])
        was = works.state(row)
        works.store.unregister_coordinator(lease)
        works.store.wake_workers()
        works.ended(row)

    assert was is RunState.QUEUED


def test_a_run_of_a_flow_that_is_no_longer_there_fails(works: Works, tmp_path: Path) -> None:
    row = works.ask("etl")[0]
    write_flow(tmp_path, "other", 1)
    (tmp_path / "flows" / "etl.py").unlink()
    works.code.load()

    with works.worker():
        ended = works.ended(row)

    reason = "code_unavailable: its code is gone: there is no flow 'etl' any more"
    assert ended.reason == reason


def test_code_that_nothing_needs_any_more_is_let_go(slow: Works) -> None:
    row = slow.ask("slow")[0]
    with slow.worker():
        until(lambda: ledger(slow) == ["first", "waits"])
        old = slow.code.flows["slow"]
        file = slow.project.root / "flows" / "flows.py"
        file.write_text(file.read_text().replace("return 2 * number", "return 3 * number"))
        slow.code.load()
        new = slow.ended(slow.ask("outer")[0])
        is_kept = slow.code.hold(old.version) is not None
        slow.code.release(old.version)
        go(slow)
        slow.ended(row)
        slow.store.wake_workers()
        until(lambda: not old.host.pid)

    assert is_kept
    assert new.state is RunState.SUCCEEDED
    assert not [each for each in slow.events(row) if isinstance(each, ev.CodeChanged)]


FLOWS = """
import os
import time
from pathlib import Path

from ostinato import dag, flow, task

HERE = Path(__file__).parent


def note(line):
    descriptor = os.open(HERE / "ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\\n".encode())
    os.close(descriptor)


@task
def first():
    note("first")


@task
def waits():
    note("waits")
    while not (HERE / "go").exists():
        time.sleep(0.005)


@task
def last():
    note("last")


@dag
def slow():
    first() >> waits() >> last()


@dag(max_active_runs=1)
def alone():
    first() >> waits()


@task
def doubled(number):
    return 2 * number


@flow
def inner(number: int = 2):
    return doubled(number)


@flow
def outer():
    return inner(3)


@flow
def starts():
    started = inner.start(number=4)
    return started.wait().result()


slow()
alone()
"""


@pytest.fixture
def slow(tmp_path: Path, uri: str) -> Iterator[Works]:
    write_project(tmp_path)
    (tmp_path / "flows" / "flows.py").write_text(FLOWS)
    with served(tmp_path) as code, opened_works(tmp_path, code, uri) as opened:
        yield opened


def ledger(works: Works) -> list[str]:
    file = works.project.root / "flows" / "ledger.txt"
    return file.read_text().split() if file.exists() else []


def go(works: Works) -> None:
    (works.project.root / "flows" / "go").touch()


def test_a_drained_worker_finishes_attempts_and_leaves_the_rest_to_others(slow: Works) -> None:
    row = slow.ask("slow")[0]
    with slow.worker() as worker:
        until(lambda: ledger(slow) == ["first", "waits"])
        worker.drain()
        go(slow)
        until(lambda: not slow.store.coordinators())
    assert ledger(slow) == ["first", "waits"]

    with slow.worker():
        assert slow.ended(row).state is RunState.SUCCEEDED

    assert ledger(slow) == ["first", "waits", "last"]


def test_a_stopped_worker_leaves_its_runs_to_others(slow: Works) -> None:
    row = slow.ask("slow")[0]
    with slow.worker():
        until(lambda: ledger(slow) == ["first", "waits"])
    go(slow)

    with slow.worker():
        assert slow.ended(row).state is RunState.SUCCEEDED

    assert ledger(slow) == ["first", "waits", "waits", "last"]


def test_a_run_is_cancelled_at_the_request_of_others(slow: Works) -> None:
    row = slow.ask("slow")[0]
    with slow.worker():
        until(lambda: ledger(slow) == ["first", "waits"])

        slow.store.request(row.id, "cancel", "somebody")

        assert slow.ended(row).reason == "cancelled by somebody"


def test_no_more_runs_of_a_flow_are_under_way_than_may_be(slow: Works) -> None:
    rows = slow.ask("alone", count=3)
    with slow.worker(), slow.worker():
        until(lambda: ledger(slow) == ["first", "waits"])
        states = sorted(slow.state(row).label for row in rows)
        go(slow)
        for row in rows:
            slow.ended(row)

    assert states == ["queued", "queued", "running"]


@pytest.mark.parametrize("name", ["outer", "starts"])
def test_flows_run_other_flows(slow: Works, name: str) -> None:
    row = slow.ask(name)[0]

    with slow.worker(max_children=1):
        ended = slow.ended(row)

    assert (ended.state, ended.reason) == (RunState.SUCCEEDED, "")


def test_a_coordinator_that_was_shut_out_changes_nothing_and_registers_anew(slow: Works) -> None:
    row = slow.ask("slow")[0]
    with slow.worker() as worker:
        until(lambda: ledger(slow) == ["first", "waits"])
        owner = slow.store.coordinators()[0]
        shut_out(slow, owner.id)
        go(slow)

        assert slow.ended(row).state is RunState.SUCCEEDED
        assert [each.id for each in slow.store.coordinators() if each.is_alive] != [owner.id]
        assert worker.health().is_ready

    assert ledger(slow).count("last") == 1


@pytest.mark.parametrize("uri", [""])
def test_nothing_is_lost_when_the_store_is_full_for_a_while(slow: Works) -> None:
    store = FullStore(slow.project.store_path)
    row = slow.ask("slow")[0]
    with slow.worker(store=store) as worker:
        until(lambda: ledger(slow) == ["first", "waits"])
        store.is_full = True
        go(slow)
        until(lambda: bool(worker.health().detail))
        health = worker.health()
        store.is_full = False

        assert slow.ended(row).state is RunState.SUCCEEDED
        until(lambda: worker.health() == PartHealth())

    assert health == PartHealth(is_ready=False, detail="the store has no room left")
    assert ledger(slow) == ["first", "waits", "last"]
    store.close()


@pytest.mark.parametrize("uri", [""])
def test_a_worker_that_loses_its_store_begins_anew(slow: Works) -> None:
    store = FullStore(slow.project.store_path)
    row = slow.ask("slow")[0]
    with slow.worker(store=store) as worker:
        until(lambda: ledger(slow) == ["first", "waits"])
        store.is_lost = True
        go(slow)
        until(lambda: "cannot be reached" in worker.health().detail)
        store.is_lost = False

        assert slow.ended(row).state is RunState.SUCCEEDED

    assert ledger(slow) == ["first", "waits", "waits", "last"]
    store.close()


def test_a_store_that_is_slow_is_asked_for_no_more(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock(0)
    patience = Patience(clock, threading.Event())

    patience.note(10.0)
    was_willing = patience.is_willing
    clock.advance_to(6_000_000)

    assert (was_willing, patience.is_willing) == (False, True)
    assert patience.trouble == "the store is slow: a commit takes 3.0 s"
    for _ in range(10):
        patience.note(0.0)
    assert patience.trouble == ""
    assert "the store is fast enough again" in caplog.text


def test_what_failed_is_run_again_by_the_code_in_force(works: Works, tmp_path: Path) -> None:
    file = write_flow(tmp_path, "etl", 1)
    whole = file.read_text()
    file.write_text(whole.replace("return 1", "raise OSError('broken')"))
    works.code.load()
    row = works.ask("etl")[0]
    with works.worker():
        failed = works.ended(row)
        file.write_text(whole)
        works.code.load()

        works.store.request(row.id, "retry", "somebody", payload=b"[]")
        works.store.wake_workers()
        until(lambda: works.state(row) is RunState.SUCCEEDED)

    assert failed.state is RunState.FAILED
    assert works.run(row).manifest_version == works.code.flows["etl"].version
    assert values_of(works, row, "work") == [1]


def test_what_cannot_be_run_again_is_told_and_left(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    row = works.ask("etl")[0]
    with works.worker():
        works.ended(row)
        works.store.request(row.id, "retry", "somebody", payload=b"[]")
        works.store.wake_workers()
        until(lambda: not works.store.has_requests(row.id))

    assert "etl#1 is not run again: nothing of run etl#1 failed" in caplog.text
    assert (works.run(row).owner, works.state(row)) == (0, RunState.SUCCEEDED)


def test_a_run_whose_definitions_are_gone_fails(works: Works) -> None:
    row = works.ask("etl", version="gone")[0]

    with works.worker():
        ended = works.ended(row)

    assert ended.reason == "code_unavailable: its definitions are no longer kept"


def test_a_run_whose_code_goes_while_it_is_claimed_is_left_to_the_next_look(works: Works) -> None:
    [row] = works.ask("etl")
    definition = works.code.flows["etl"].definition
    with works.worker(flows=["another"]) as worker:
        until(lambda: worker.health().is_ready)
        tenure = worker._tenure
        assert tenure is not None
        works.store.take_run(row.id, tenure._lease)
        is_done = threading.Event()

        def take() -> None:
            tenure.take(row, Serving(definition, "a version that has just gone", is_changed=False))
            is_done.set()

        tenure._coordinator.ask(take)

        assert is_done.wait(PATIENCE_S)
        assert works.run(row).owner == 0
    with works.worker():
        assert works.ended(row).state is RunState.SUCCEEDED


def test_callbacks_wait_while_the_host_of_their_code_is_started_again(works: Works) -> None:
    host = works.code.flows["etl"].host
    found: list[object] = []
    host.close()
    with works.worker() as worker:
        until(lambda: worker.health().is_ready)
        tenure = worker._tenure
        assert tenure is not None

        tenure._coordinator.ask(lambda: found.append(tenure._executor_for(None)))
        until(lambda: len(found) == 1)
        host.restart()
        host.loaded()
        tenure._coordinator.ask(lambda: found.append(tenure._executor_for(None)))
        until(lambda: len(found) == 2)

        assert found[0] is None
        assert found[1] is not None
        assert worker._tenure is tenure

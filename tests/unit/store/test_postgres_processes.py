"""This module tests processes that use one PostgreSQL store, stand still, are killed, cut off."""

import os
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest

from ostinato.errors import OwnershipLost, RunOwned, StoreError
from ostinato.model.identity import RunId
from ostinato.store.postgres.store import PostgresStore, open_postgres
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from tests.contract.samples import VERSION, new_run, step
from tests.postgres_server import PostgresServer, postgres_server
from tests.unit.store.test_processes import Process, steps_of
from tests.unit.store.writer import LEASE_S

pytestmark = pytest.mark.survival

Start = Callable[[], Process]


@pytest.fixture
def start(postgres_store_uri: str) -> Iterator[Start]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(postgres_store_uri))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def store(postgres_store_uri: str) -> Iterator[PostgresStore]:
    store = open_postgres(postgres_store_uri, lease_s=LEASE_S)
    yield store
    store.close()


def session_of(uri: str, coordinator_id: int) -> int:
    """Return the server's process that holds the lock of a coordinator."""
    with psycopg.connect(uri) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            " AND (classid::bigint << 32) | objid::bigint = %s",
            (coordinator_id,),
        ).fetchone()
    assert found is not None
    pid: int = found[0]
    return pid


def end_session(uri: str, coordinator_id: int) -> None:
    """End the session of a coordinator, as a network or a server does."""
    with psycopg.connect(uri, autocommit=True) as connection:
        pid = session_of(uri, coordinator_id)
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def take_when_free(store: PostgresStore, run_id: RunId) -> RunRow:
    """Take a run as soon as its owner counts as dead."""
    lease = store.register_coordinator()
    while True:
        try:
            return store.take_run(run_id, lease)
        except RunOwned:
            continue


def test_two_processes_write_one_store_and_nothing_is_lost(
    start: Start, store: PostgresStore
) -> None:
    writers = [start(), start()]
    runs = [writer.ask("register")[1] for writer in writers]
    for writer in writers:
        writer.tell("commits 50 3")

    for writer in writers:
        assert [writer.answer() for _ in range(51)] == [*range(50), "done"]

    for run_id in runs:
        assert steps_of(store, run_id) == (list(range(150)),) * 3
    assert store.check_integrity() == []


def test_run_of_a_killed_process_of_this_machine_is_taken_at_once(
    start: Start, store: PostgresStore
) -> None:
    victim = start()
    coordinator_id, run_id = victim.ask("register")
    victim.tell("commits 100000 7")
    victim.answer()
    victim.kill()
    lease = store.register_coordinator()

    taken = store.take_run(run_id, lease)

    seen = store.coordinator(coordinator_id)
    assert seen is not None
    assert not seen.is_alive
    assert taken.owner == lease.id
    task_runs, events, values = steps_of(store, run_id)
    assert task_runs == events == values == list(range(len(task_runs)))
    assert len(task_runs) % 7 == 0


@pytest.mark.slow
def test_process_that_stands_still_for_too_long_is_cut_off_and_changes_nothing(
    start: Start, store: PostgresStore
) -> None:
    owner = start()
    _, run_id = owner.ask("register")
    owner.ask("commit 0")
    owner.signal(signal.SIGSTOP)

    take_when_free(store, run_id)
    owner.signal(signal.SIGCONT)
    name, _ = owner.ask("commit 1")

    assert name == "OwnershipLost"
    assert steps_of(store, run_id) == ([0], [0], [0])


@pytest.mark.slow
def test_idle_process_that_stood_still_for_too_long_owns_nothing_more(
    start: Start, store: PostgresStore
) -> None:
    idle = start()
    coordinator_id = idle.ask("register_idle")
    idle.signal(signal.SIGSTOP)
    (run,) = store.create_runs([new_run()])
    while store.coordinator(coordinator_id) is not None:
        store.unregister_coordinator(store.register_coordinator())

    idle.signal(signal.SIGCONT)
    name, _ = idle.ask(f"take {run.id}")

    assert name == "OwnershipLost"
    found = store.run(run.id)
    assert found is not None
    assert found.owner == 0


@pytest.mark.slow
def test_run_of_a_machine_that_is_gone_is_taken_by_who_sees_it_for_the_first_time(
    start: Start, store: PostgresStore, postgres_store_uri: str
) -> None:
    owner = start()
    coordinator_id, run_id = owner.ask("register")
    owner.kill()
    with psycopg.connect(postgres_store_uri, autocommit=True) as connection:
        # Elsewhere its pid says nothing.
        connection.execute(
            "UPDATE ostinato.coordinators SET machine = 'elsewhere',"
            " heartbeat_us = heartbeat_us - 3600000000"
        )
    lease = store.register_coordinator()

    seen = store.coordinator(coordinator_id)
    taken = store.take_run(run_id, lease)

    assert seen is not None
    assert not seen.is_alive
    assert taken.owner == lease.id


@pytest.mark.slow
@pytest.mark.parametrize("jump_us", [3_600_000_000, -3_600_000_000])
def test_clock_of_the_server_that_jumps_ends_nobody_and_keeps_no_dead_one_alive(
    start: Start, store: PostgresStore, postgres_store_uri: str, jump_us: int
) -> None:
    owner = start()
    coordinator_id, run_id = owner.ask("register")
    owner.signal(signal.SIGSTOP)
    with psycopg.connect(postgres_store_uri, autocommit=True) as connection:
        # What a jump looks like until the next beat.
        connection.execute(
            "UPDATE ostinato.coordinators SET heartbeat_us = heartbeat_us - %s", (jump_us,)
        )

    assert store._ownership.is_alive(coordinator_id)
    assert take_when_free(store, run_id).id == run_id


def test_process_that_stands_still_for_a_moment_goes_on(start: Start, store: PostgresStore) -> None:
    owner = start()
    _, run_id = owner.ask("register")
    owner.signal(signal.SIGSTOP)
    lease = store.register_coordinator()

    with pytest.raises(RunOwned, match=rf"driven by process {owner.pid} on "):
        store.take_run(run_id, lease)

    owner.signal(signal.SIGCONT)
    assert owner.ask("commit 1") == 1


@pytest.mark.slow
def test_who_is_cut_off_may_not_commit_and_others_wait_for_what_it_started(
    start: Start, store: PostgresStore, postgres_store_uri: str
) -> None:
    owner = start()
    coordinator_id, run_id = owner.ask("register")
    end_session(postgres_store_uri, coordinator_id)
    lease = store.register_coordinator()

    with pytest.raises(RunOwned):
        store.take_run(run_id, lease)
    name, message = owner.ask("commit 1")

    assert name == "OwnershipLost"
    assert "connection to the store" in message
    assert take_when_free(store, run_id).id == run_id
    assert steps_of(store, run_id) == ([], [], [])


def test_who_has_ended_what_it_started_gives_its_runs_up_at_once(
    start: Start, store: PostgresStore, postgres_store_uri: str
) -> None:
    owner = start()
    coordinator_id, run_id = owner.ask("register")
    end_session(postgres_store_uri, coordinator_id)
    lease = store.register_coordinator()

    owner.ask("abandon")

    assert store.take_run(run_id, lease).owner == lease.id


@pytest.mark.slow
def test_lease_is_valid_for_as_long_as_the_server_hears_of_it(
    store: PostgresStore, postgres_store_uri: str
) -> None:
    lease = store.register_coordinator()
    first = store.fence_until_s(lease)
    assert first is not None
    while (later := store.fence_until_s(lease)) == first:
        continue
    assert later is not None
    assert later > first

    end_session(postgres_store_uri, lease.id)

    while store.fence_until_s(lease) != 0.0:
        continue
    store.save_manifest(VERSION, "shop", b"")
    with pytest.raises(OwnershipLost):
        store.create_runs([new_run()], owner=lease)


def test_fork_that_lets_go_of_its_copies_ends_no_connection(store: PostgresStore) -> None:
    store.save_manifest(VERSION, "shop", b"")
    lease = store.register_coordinator()
    run = store.create_runs([new_run()], owner=lease)[0]
    pid = os.fork()
    if pid == 0:
        for session in store._liveness._sessions.values():
            session.connection.close()
        store._database.close()
        os._exit(0)
    os.waitpid(pid, 0)

    store.commit(step(run.id, 1), lease)

    assert steps_of(store, run.id) == ([1], [1], [1])


@pytest.mark.slow
def test_server_that_is_started_anew_costs_leases_and_nothing_else() -> None:
    with postgres_server() as server:
        store = open_postgres(server.uri, lease_s=LEASE_S)
        store.save_manifest(VERSION, "shop", b"")
        lease = store.register_coordinator(kind="worker")
        run = store.create_runs([new_run()], owner=lease)[0]
        store.commit(step(run.id, 0), lease)
        restart(server, store)

        with pytest.raises(OwnershipLost):
            store.commit(step(run.id, 1), lease)
        store.abandon_coordinator(lease)
        other = store.register_coordinator(kind="worker")
        store.take_run(run.id, other)
        store.commit(step(run.id, 1), other)

        assert steps_of(store, run.id) == ([0, 1],) * 3
        assert store.new_id() > other.id
        store.close()


def restart(server: PostgresServer, store: PostgresStore) -> None:
    """Stop a server at once and start it again; in between nothing can be asked."""
    server.stop()
    with pytest.raises(StoreError, match=r"cannot be reached|ended the connection"):
        store.runs(RunFilter())
    server.start()

"""This module tests what only the store on PostgreSQL has."""

import re
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace
from psycopg import connect

from ostinato.model.state import RunState
from ostinato.store.postgres.store import PostgresStore, open_postgres
from ostinato.store.records import ArtifactRow, Batch
from tests.contract.conftest import batch_of, in_threads
from tests.contract.samples import VERSION, new_run, notice, update


@pytest.mark.slow
def test_several_coordinators_make_the_partitions_of_a_new_day_at_once(
    postgres_store_uri: str,
) -> None:
    stores = [open_postgres(postgres_store_uri) for _ in range(6)]
    leases: list[object] = []
    with connect(postgres_store_uri, autocommit=True) as admin:
        for _ in range(10):
            made = admin.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = "
                "'ostinato.events'::regclass AND inhrelid != 'ostinato.events_other'::regclass"
            ).fetchall()
            for (name,) in made:
                admin.execute(f"DROP TABLE {name}".encode())

            in_threads(
                *(
                    lambda store=store: leases.append(store.register_coordinator())
                    for store in stores
                )
            )

            assert len(leases) % len(stores) == 0
    for store in stores:
        store.close()


@pytest.mark.slow
def test_run_that_another_worker_has_ended_meanwhile_is_not_claimed(
    postgres_store_uri: str,
) -> None:
    with (
        closing(open_postgres(postgres_store_uri)) as store,
        closing(open_postgres(postgres_store_uri)) as other,
    ):
        store.save_manifest(VERSION, "shop", b"definitions")
        lease, others = store.register_coordinator(), other.register_coordinator()
        (run,) = store.create_runs([replace(new_run("etl"), home="service")])
        claims, pairs = store._claims, [("etl", VERSION)]
        look = claims._waiting

        def look_slowly(*arguments: Any, **options: Any) -> Any:
            found = look(*arguments, **options)
            other.claim_runs(others, "shop", pairs, limit=1, max_active={})
            other.commit(batch_of(update(run.id, RunState.SUCCEEDED, ended_us=20)), others)
            return found

        claims._waiting = look_slowly  # type: ignore[method-assign]  # another worker is quicker

        assert store.claim_runs(lease, "shop", pairs, limit=1, max_active={}) == []
        assert store.check_integrity() == []


@pytest.mark.slow
def test_what_several_coordinators_ask_for_at_once_is_given_once(postgres_store_uri: str) -> None:
    with (
        closing(open_postgres(postgres_store_uri)) as one,
        closing(open_postgres(postgres_store_uri)) as two,
    ):
        one.save_manifest(VERSION, "shop", b"definitions")
        gone = one.register_coordinator()
        (run,) = one.create_runs([new_run("etl")], owner=gone)
        one.commit(
            batch_of(*(notice(run.id, number, owner=gone.id) for number in range(200))), gone
        )
        one.abandon_coordinator(gone)
        leases = {store: store.register_coordinator() for store in (one, two)}
        taken: list[int] = []

        def take(store: PostgresStore) -> None:
            taken.extend(row.id for row in store.take_notices(leases[store], run_id=run.id))

        def publish(store: PostgresStore) -> None:
            for number in range(30):
                batch = Batch()
                own = leases[store].id + number + 1
                row = ArtifactRow(own, run.id, "load", "", "text", "table", 0, "", b"{}", 1, 1)
                batch.artifacts.append(row)
                store.commit(batch, leases[store])

        in_threads(*(lambda store=store: take(store) for store in leases))
        in_threads(*(lambda store=store: publish(store) for store in leases))

        assert sorted(taken) == list(range(200))
        versions = [row.version for row in one.artifacts(key="table", limit=100)]
        assert versions == list(range(60, 0, -1))


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "analyzed"])
def test_what_is_asked_all_the_time_reads_nothing_that_has_ended(
    postgres_store_uri: str, is_known: bool
) -> None:
    with closing(open_postgres(postgres_store_uri)) as store:
        store.save_manifest(VERSION, "shop", b"definitions")
        lease = store.register_coordinator()
        new = [replace(new_run("etl", logical_key=f"api:{i}"), home="service") for i in range(500)]
        runs = store.create_runs(new, owner=lease)
        store.commit(batch_of(*(update(run.id, RunState.SUCCEEDED) for run in runs)), lease)
        columns = store._sql["select_runs"].removeprefix("SELECT")
        known = " ".join((store._sql["select_runs"], store._sql["among_known_runs"]))
        asked: dict[str, tuple[str, Any]] = {
            "runs_pkey": (f"{store._sql['own_claimed']} {columns}", (lease.id, [runs[0].id])),
            "runs_by_key": (known, ('[["shop", "etl", "api:1"]]',)),
            "requests_pkey": (store._sql["select_requests_of_ended"], ("shop",)),
        }

        with store._database.writing() as connection:
            if is_known:
                connection.execute("ANALYZE runs")
            for index, (statement, values) in asked.items():
                plan = connection.execute(f"EXPLAIN {statement}", values).fetchall()
                text = "\n".join(line for (line,) in plan)

                assert f"using {index} on" in text
                assert not re.search("Seq Scan|Bitmap|runs_live|runs_ended", text), text

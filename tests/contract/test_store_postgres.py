"""This module tests what only the store on PostgreSQL has."""

import pytest
from psycopg import connect

from ostinato.store.postgres.store import open_postgres
from tests.contract.conftest import in_threads


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
                "'ostinato.events'::regclass"
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

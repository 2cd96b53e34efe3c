"""This module tests what the contract of stores cannot: registration that goes wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.errors import InternalError, StoreFull
from ostinato.store.sqlite import SqliteStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "store.db")
    yield store
    store.close()


def lock_files(store: SqliteStore) -> list[Path]:
    return list((Path(store.path).parent / "coordinators").glob("*"))


def test_registration_that_is_not_written_holds_no_lock(store: SqliteStore) -> None:
    store.new_id()
    writer = store._database.writer
    # No room for another page: the transaction fails after the lock was taken.
    writer.execute(f"PRAGMA max_page_count = {writer.execute('PRAGMA page_count').fetchone()[0]}")

    with pytest.raises(StoreFull):
        store.register_coordinator(wake_address="x" * 20_000)

    assert lock_files(store) == []


def test_id_that_is_given_twice_is_a_broken_invariant_and_harms_nobody(store: SqliteStore) -> None:
    lease = store.register_coordinator()

    with pytest.raises(InternalError, match="given to two coordinators"):
        store._ownership.register(lease.id, "")

    row = store.coordinator(lease.id)
    assert row is not None
    assert row.is_alive


def test_store_that_can_not_be_written_at_its_end_still_lets_its_locks_go(tmp_path: Path) -> None:
    store, other = open_store(tmp_path / "store.db"), open_store(tmp_path / "store.db")
    lease = store.register_coordinator()
    store._database.writer.execute("PRAGMA query_only = ON")

    store.close()

    row = other.coordinator(lease.id)
    assert row is not None
    assert not row.is_alive
    other.close()

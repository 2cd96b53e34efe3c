"""This module holds every store to its contract: artifacts, and results kept for other runs."""

from ostinato.model.identity import RunId
from ostinato.store.records import ArtifactRow, Batch, CacheRow
from tests.contract.conftest import House

NOTES = ArtifactRow(1, 7, "load", "0", "markdown", "notes", 0, "Why", b'{"markdown":"x"}', 5, 5)
RESULT = CacheRow("key", "etl#1 load[0]", 5, 100, b"value")


def test_artifacts_of_a_key_are_numbered_and_replaced_by_id(house: House) -> None:
    store = house.store
    lease = store.register_coordinator()
    batch = Batch()
    batch.artifacts += [NOTES, NOTES._replace(id=2, run_id=8), NOTES._replace(id=3, key="")]
    store.commit(batch, lease)
    batch.clear()
    batch.artifacts.append(NOTES._replace(data=b"{}", created_us=6, updated_us=6))
    store.commit(batch, lease)

    other = house.other()
    assert other.artifact(1) == NOTES._replace(version=1, data=b"{}", updated_us=6)
    assert [row.version for row in other.artifacts(key="notes")] == [2, 1]
    assert [row.id for row in other.artifacts(key="notes", run_id=RunId(7))] == [1]
    assert [row.id for row in other.artifacts(run_id=RunId(8))] == [2]
    assert [row.id for row in other.artifacts()] == [3, 2]
    assert [row.id for row in other.artifacts(limit=1)] == [3]
    assert other.artifact(9) is None


def test_result_is_kept_until_it_expires_and_ends_the_claim(house: House) -> None:
    store = house.store
    lease = store.register_coordinator()
    assert store.cache.claim("key", lease, 1)
    assert not house.other().cache.claim("key", lease, 2)
    batch = Batch()
    batch.cached.append(RESULT)
    store.commit(batch, lease)

    other = house.other()
    assert other.cache.find("key", 99) == RESULT
    assert other.cache.find("key", 100) is None
    assert other.cache.find("none", 0) is None
    assert other.cache.claim("key", lease, 2)


def test_claims_of_an_attempt_are_given_up_together_or_one_by_one(house: House) -> None:
    cache = house.store.cache
    lease = house.store.register_coordinator()
    assert all(cache.claim(key, lease, 1) for key in ("a", "b", "c"))

    cache.release(lease, 2)
    assert not cache.claim("a", lease, 2)
    cache.release(lease, 1, "a")
    assert cache.claim("a", lease, 2)
    assert not cache.claim("b", lease, 2)
    cache.release(lease, 1)
    assert cache.claim("b", lease, 2)

"""This module keeps results for other runs, and who is computing one."""

from collections.abc import Mapping

from ostinato.store.database import Database
from ostinato.store.ownership import Ownership
from ostinato.store.records import CacheRow, CoordinatorLease


class CacheTables:
    """Implements ``CacheStore``; see there for its methods.

    Args:
        database: Of the store.
        sql: Statements by name.
        ownership: Knows which coordinators are alive.
    """

    def __init__(self, database: Database, sql: Mapping[str, str], ownership: Ownership) -> None:
        self._database = database
        self._sql = sql
        self._ownership = ownership

    def find(self, key: str, now_us: int) -> CacheRow | None:
        """Return what is kept under a key, unless it has expired."""
        found = self._database.read(self._sql["select_cache_entry"], (key, now_us))
        return CacheRow._make(found[0]) if found else None

    def is_claimed_by(self, key: str, lease: CoordinatorLease) -> bool:
        """Whether an attempt of a coordinator computes a key."""
        found = self._database.read(self._sql["select_cache_claim"], (key,))
        return bool(found) and found[0][:2] == (lease.id, lease.epoch)

    def claim(self, key: str, lease: CoordinatorLease, token: int) -> bool:
        """Make an attempt the one that computes a key, unless a living one does."""
        found = self._database.read(self._sql["select_cache_claim"], (key,))
        before = (0, 0, 0)
        if found:
            before = found[0]
            owner = self._ownership.coordinator(before[0])
            if owner is not None and owner.is_alive and owner.epoch == before[1]:
                return False
        with self._database.writing() as connection:
            values = (key, lease.id, lease.epoch, token, *before)
            made = connection.execute(self._sql["upsert_cache_claim"], values).fetchone()
        return made is not None

    def release(self, lease: CoordinatorLease, token: int, key: str = "") -> None:
        """Give up what an attempt claimed: one key, or all."""
        with self._database.writing() as connection:
            connection.execute(
                self._sql["delete_cache_claims"], (lease.id, lease.epoch, token, key)
            )

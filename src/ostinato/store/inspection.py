"""This module tells what a store is, and how much is in it."""

from collections.abc import Mapping

from msgspec import Struct

from ostinato.store.database import Database


class StoreInspection(Struct, frozen=True):
    """What a store is.

    Attributes:
        kind: The database and its version, such as ``SQLite 3.40.1``.
        place: Path, or URL without its password.
        schema: Version of the tables.
        size_bytes: In all.
        free_bytes: Of these, what is used again before more is taken.
        counts: How much there is of what; of large tables about as much.
        oldest_us, newest_us: When the oldest and the newest run were created; 0 for none.
    """

    kind: str
    place: str
    schema: int
    size_bytes: int
    free_bytes: int
    counts: dict[str, int]
    oldest_us: int
    newest_us: int


def inspect(database: Database, sql: Mapping[str, str]) -> StoreInspection:
    """Return what a store is.

    Args:
        database: Of the store.
        sql: Statements by name.
    """
    size_bytes, free_bytes = database.read(sql["inspect_size"])[0]
    oldest_us, newest_us = database.read(sql["inspect_moments"])[0]
    return StoreInspection(
        kind=database.read(sql["inspect_kind"])[0][0],
        place=database.path,
        schema=database.read(sql["inspect_schema"])[0][0],
        size_bytes=size_bytes,
        free_bytes=free_bytes,
        counts={name: int(count) for name, count in database.read(sql["inspect_counts"])},
        oldest_us=oldest_us,
        newest_us=newest_us,
    )

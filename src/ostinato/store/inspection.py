"""This module tells what a store is, and how much is in it."""

from collections.abc import Mapping

from msgspec import Struct

from ostinato.clock import Clock
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
        answers_in_s: Seconds for a question and its answer.
        ahead_s: By how much the clock of its server is ahead of this machine's; None where
            there is no server.
    """

    kind: str
    place: str
    schema: int
    size_bytes: int
    free_bytes: int
    counts: dict[str, int]
    oldest_us: int
    newest_us: int
    answers_in_s: float
    ahead_s: float | None


def inspect(database: Database, sql: Mapping[str, str], clock: Clock) -> StoreInspection:
    """Return what a store is.

    Args:
        database: Of the store.
        sql: Statements by name.
        clock: Of this machine.
    """
    # The first question may wait for a connection.
    database.read(sql["inspect_clock"])
    before_us = clock.now_us()
    server_us = database.read(sql["inspect_clock"])[0][0]
    after_us = clock.now_us()
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
        answers_in_s=(after_us - before_us) / 1e6,
        ahead_s=None if server_us is None else (server_us - (before_us + after_us) / 2) / 1e6,
    )

"""This module writes batches to PostgreSQL, a column an array."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ostinato.model.state import RunState
from ostinato.store import rows
from ostinato.store.postgres.arrays import bytea_array, int8_array, text_array
from ostinato.store.postgres.connection import PostgresConnection
from ostinato.store.records import Batch, RunRow

#: Runs that are inserted by one statement.
RUNS_AT_ONCE = 1_000

_Encode = Callable[[Any], bytes]

#: How each column of a statement is written: ``i`` a number, ``t`` a text, ``b`` bytes.
_ENCODERS: dict[str, _Encode] = {"i": int8_array, "t": text_array, "b": bytea_array}


def _columns(kinds: str) -> tuple[_Encode, ...]:
    return tuple(_ENCODERS[kind] for kind in kinds)


_TASK_RUNS = _columns("itbtiiiiiiiiiiitibttbbt")
_EVENTS = _columns("ittib")
_VALUES = _columns("itbttiitibttt")
_RUNS = _columns("iitttbtttiiittttitiiiiiti")
_TAGS = _columns("it")
_PARAMS = _columns("itt")


def write_runs(
    connection: PostgresConnection, sql: Mapping[str, str], made: Sequence[RunRow]
) -> None:
    """Insert runs with what they are found by.

    Args:
        connection: In a transaction.
        sql: Statements by name.
        made: The runs.
    """
    if not made:
        return
    # The server inserts some while the next ones are encoded here.
    with connection.raw.pipeline():
        for start in range(0, len(made), RUNS_AT_ONCE):
            some = made[start : start + RUNS_AT_ONCE]
            _write(connection, sql["write_runs"], _RUNS, map(rows.run_parameters, some))
        _write_what_finds(connection, sql, made)


def _write_what_finds(
    connection: PostgresConnection, sql: Mapping[str, str], made: Sequence[RunRow]
) -> None:
    tags = [(row.id, tag) for row in made for tag in row.tags]
    if tags:
        _write(connection, sql["write_tags"], _TAGS, tags)
    params = [each for row in made for each in rows.scalar_parameters(row)]
    if params:
        _write(connection, sql["write_params"], _PARAMS, params)


def write_batch(connection: PostgresConnection, sql: Mapping[str, str], batch: Batch) -> None:
    """Write a batch, state and events together.

    Args:
        connection: In a transaction.
        sql: Statements by name.
        batch: What is written.
    """
    # Hot path: every change of every task run, in one statement for each table.
    if batch.task_runs:
        parameters = rows.task_run_parameters(batch.task_runs)
        newest = {row[:3]: row for row in parameters}
        # A statement must not write a row twice; what came last holds.
        _write(connection, sql["write_task_runs"], _TASK_RUNS, newest.values())
    if batch.events:
        _write(connection, sql["write_events"], _EVENTS, rows.event_parameters(batch.events))
    if batch.values:
        values = {row[:4]: row for row in map(rows.value_parameters, batch.values)}
        _write(connection, sql["write_values"], _VALUES, values.values())
    if batch.attempts:
        # After the values: the same batch may hold what such an attempt stored.
        connection.executemany(sql["upsert_attempt"], batch.attempts)
        void = map(rows.void_values_parameters, batch.attempts)
        connection.executemany(sql["delete_values"], void)
    if batch.notices:
        connection.executemany(sql["upsert_notice"], batch.notices)
    if batch.artifacts:
        connection.execute(sql["publish_alone"])
        connection.executemany(sql["upsert_artifact"], batch.artifacts)
    if batch.cached:
        connection.executemany(sql["upsert_cache_entry"], batch.cached)
        connection.executemany(sql["delete_cache_claim"], [(row.key,) for row in batch.cached])
    if batch.expansions:
        connection.executemany(sql["upsert_expansion"], batch.expansions)
    if batch.runs:
        connection.executemany(sql["update_run"], batch.runs)
        ended = [(row.run_id,) for row in batch.runs if row.state >= RunState.SUCCEEDED]
        if ended:
            connection.executemany(sql["delete_requests"], ended)
    if batch.handled:
        connection.executemany(sql["delete_request"], [(id_,) for id_ in batch.handled])


def _write(
    connection: PostgresConnection,
    statement: str,
    encoders: Sequence[_Encode],
    parameters: Iterable[Sequence[object]],
) -> None:
    columns = zip(*parameters, strict=True)
    connection.execute(
        statement, [encode(column) for encode, column in zip(encoders, columns, strict=True)]
    )

"""This module fills stores with many runs, by statements of their databases: minutes, not hours."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from msgspec import Struct

from ostinato.engine import events as ev
from ostinato.store.ids import COUNTER_BITS, EPOCH_MS, NODE_BITS
from ostinato.store.postgres.store import open_postgres
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, EventRow, NewRun
from ostinato.store.sqlite import open_store
from tests.postgres_server import PostgresServer, postgres_server

#: Moment of the first run in milliseconds, and how far runs are apart: 115 days in all.
START_MS = 1_780_000_000_000
APART_MS = 10_000

#: Half of the runs are of flow_0, the others of so many.
FLOWS = 100
EVENTS_PER_RUN = 20
VERSION = "v1"

#: What a server for production would be given, of a machine with some memory.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
}

_SHIFT = 1 << (NODE_BITS + COUNTER_BITS)

_RUNS = """
INSERT INTO runs (
    id, number, project, flow, manifest_version, params, "trigger", home, logical_key,
    logical_date_us, interval_start_us, interval_end_us, partition, tags, target, code,
    state, reason, created_us, started_us, ended_us, owner, generation, name, priority
)
SELECT
    ({start_ms} - {epoch_ms} + i * {apart_ms}) * {shift}, i + 1, 'shop',
    'flow_' || CASE WHEN i % 2 = 0 THEN 0 ELSE i / 2 % {others} + 1 END, '{version}',
    {params}, CASE WHEN i % 10 = 0 THEN 'manual' ELSE 'schedule' END, 'service',
    'schedule:' || i, ({start_ms} + i * {apart_ms}) * 1000, 0, 0, '',
    '["team_' || (i % 20) || '"' || CASE WHEN i % 100000 = 9 THEN ',"rare"' ELSE '' END || ']',
    '', '', CASE WHEN i % 1000 = 7 THEN 5 WHEN i % 10000 = 10 THEN 6 ELSE 4 END, '',
    ({start_ms} + i * {apart_ms}) * 1000, ({start_ms} + i * {apart_ms}) * 1000 + 5000,
    ({start_ms} + i * {apart_ms}) * 1000 + 1000000, 0, 0, '', 0
{numbers}
"""

_NUMBERS = "INSERT INTO flow_numbers SELECT flow, max(number) FROM runs GROUP BY flow"

_TAGS = """
INSERT INTO run_tags (run_id, tag)
SELECT ({start_ms} - {epoch_ms} + i * {apart_ms}) * {shift}, 'team_' || (i % 20) {numbers}
"""

_RARE_TAGS = """
INSERT INTO run_tags (run_id, tag)
SELECT ({start_ms} - {epoch_ms} + i * {apart_ms}) * {shift}, 'rare' {numbers} {where}
"""

_PARAMS = """
INSERT INTO run_params (run_id, name, value)
SELECT ({start_ms} - {epoch_ms} + i * {apart_ms}) * {shift}, 'day', '"d' || (i % 1000) || '"'
{numbers}
"""

_TASK_RUNS = """
INSERT INTO task_runs (
    run_id, task_id, path_key, path, state, attempt, generation, failures, losses, queued_us,
    first_started_us, started_us, ended_us, due_us, length, chosen, stop, failure, inputs, reason,
    wait, step, map_name
)
SELECT
    ({start_ms} - {epoch_ms} + i / 2 * {apart_ms}) * {shift},
    CASE WHEN i % 2 = 0 THEN 'extract' ELSE 'load' END, {empty}, '', 5, 1, 0, 0, 0,
    ({start_ms} + i / 2 * {apart_ms}) * 1000, ({start_ms} + i / 2 * {apart_ms}) * 1000 + 5000,
    ({start_ms} + i / 2 * {apart_ms}) * 1000 + 5000,
    ({start_ms} + i / 2 * {apart_ms}) * 1000 + 900000, 0, NULL, NULL, 0, NULL, NULL, '',
    NULL, NULL, ''
{numbers}
"""

_EVENTS = """
INSERT INTO events (run_id, task_id, path, at_us, payload)
SELECT
    ({start_ms} - {epoch_ms} + i / {per_run} * {apart_ms}) * {shift},
    CASE WHEN i % 2 = 0 THEN 'extract' ELSE 'load' END, '',
    ({start_ms} + i / {per_run} * {apart_ms}) * 1000 + i % {per_run} * 50000, {payload}
{numbers}
"""


class Site(Struct, frozen=True):
    """An empty store and a large one of the same kind.

    Attributes:
        kind: ``SQLite`` or ``PostgreSQL``.
        empty: Has no runs.
        large: Has many.
    """

    kind: str
    empty: Store
    large: Store


def run_id(index: int) -> int:
    """Return the id of the n-th run of a large store, from 0."""
    return (START_MS - EPOCH_MS + index * APART_MS) * _SHIFT


@contextmanager
def sqlite_site(folder: Path, runs: int) -> Iterator[Site]:
    """Open an empty SQLite file and one with so many runs."""
    large = folder / "large" / "store.db"
    if not large.exists():
        payload = _prepare(open_store(large))
        with closing(sqlite3.connect(large, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -1000000")
            connection.execute("DELETE FROM events")
            connection.execute("DELETE FROM runs")
            connection.execute("DELETE FROM flow_numbers")
            connection.execute("BEGIN")
            for statement in _statements("sqlite", runs, payload):
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (
        closing(open_store(folder / "empty" / "store.db")) as empty,
        closing(open_store(large)) as store,
    ):
        empty.save_manifest(VERSION, "shop", b"definitions")
        yield Site("SQLite", empty, store)


@contextmanager
def postgres_site(runs: int) -> Iterator[Site]:
    """Start a PostgreSQL server with an empty database and one with so many runs."""
    with postgres_server(SETTINGS) as server:
        uri = _fill_postgres(server, runs)
        with (
            closing(open_postgres(server.new_database())) as empty,
            closing(open_postgres(uri)) as store,
        ):
            empty.save_manifest(VERSION, "shop", b"definitions")
            yield Site("PostgreSQL", empty, store)


def _fill_postgres(server: PostgresServer, runs: int) -> str:
    uri = server.new_database()
    payload = _prepare(open_postgres(uri))
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("SET search_path TO ostinato")
        connection.execute("SET synchronous_commit TO off")
        connection.execute("TRUNCATE events, runs, flow_numbers")
        for statement in _statements("postgres", runs, payload):
            connection.execute(statement.encode())
        # As the server does by itself in time.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return uri


def _prepare(store: Store) -> bytes:
    """Make the tables, and return an event as it is stored."""
    with closing(store):
        store.save_manifest(VERSION, "shop", b"definitions")
        lease = store.register_coordinator()
        run = store.create_runs([NewRun("shop", "flow_0", VERSION)], owner=lease)[0]
        batch = Batch()
        event = ev.AttemptStarted(START_MS * 1000, "extract", (), 1)
        batch.events.append(EventRow(run.id, "extract", "", 1, event))
        store.commit(batch, lease)
        return store.events(run_id=run.id)[0].raw


def _statements(dialect: str, runs: int, payload: bytes) -> Iterator[str]:
    def numbers(count: int) -> str:
        if dialect == "postgres":
            return f"FROM generate_series(0::bigint, {count - 1}) AS numbers (i)"
        return (
            "FROM (WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers"
            f" WHERE i < {count - 1}) SELECT i FROM numbers)"
        )

    is_postgres = dialect == "postgres"
    text = """'{"day":"d' || (i % 1000) || '"}'"""
    words = {
        "start_ms": START_MS,
        "epoch_ms": EPOCH_MS,
        "apart_ms": APART_MS,
        "shift": _SHIFT,
        "others": FLOWS - 1,
        "version": VERSION,
        "per_run": EVENTS_PER_RUN,
        "params": f"convert_to({text}, 'UTF8')" if is_postgres else f"CAST({text} AS BLOB)",
        "empty": "''::bytea" if is_postgres else "x''",
        "payload": f"'\\x{payload.hex()}'::bytea" if is_postgres else f"x'{payload.hex()}'",
    }
    for template, count in (
        (_RUNS, runs),
        (_TAGS, runs),
        (_PARAMS, runs),
        (_TASK_RUNS, 2 * runs),
        (_EVENTS, EVENTS_PER_RUN * runs),
    ):
        yield template.format(numbers=numbers(count), **words)
    rare = "WHERE i % 100000 = 9"
    yield _RARE_TAGS.format(numbers=numbers(runs), where=rare, **words)
    yield _NUMBERS

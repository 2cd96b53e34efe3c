"""This module tests what is said where PostgreSQL cannot be used, and that nothing breaks by it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ostinato.errors import (
    MissingPackage,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnreachable,
    StoreVersionError,
    UsageError,
)
from ostinato.store.postgres import faults
from ostinato.store.postgres.migrate import load_migrations
from ostinato.store.postgres.store import PostgresStore, open_postgres
from ostinato.store.protocol import RunFilter
from tests.contract.conftest import batch_of
from tests.contract.samples import VERSION, new_run, started
from tests.postgres_server import PostgresServer


@pytest.fixture
def store(postgres_store_uri: str) -> Iterator[PostgresStore]:
    store = open_postgres(postgres_store_uri)
    yield store
    store.close()


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database without a store."""
    uri = postgres.new_database()
    yield uri
    postgres.drop_database(uri)


def execute(uri: str, *statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


# Opening


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (("/postgres?", "/nowhere?"), StoreError, "has no such database.*createdb"),
        (("postgres@", "nobody@"), StoreError, "refuses the user or the password"),
        (("?host=/tmp", "?host=/tmp/nowhere"), StoreUnreachable, "cannot be reached"),
    ],
)
def test_url_that_leads_nowhere_is_said_in_a_line(
    postgres: PostgresServer, change: tuple[str, str], kind: type[StoreError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        open_postgres(postgres.uri.replace(*change))

    assert "\n" not in str(caught.value)


def test_password_is_said_nowhere() -> None:
    with pytest.raises(StoreUnreachable) as caught:
        open_postgres("postgresql://ann:secret@127.0.0.1:1/shop?sslpassword=other")

    assert "postgresql://ann@127.0.0.1:1/shop" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "other" not in str(caught.value)


def test_url_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UsageError, match="URL cannot be read"):
        open_postgres("postgresql://ann@db/shop?colour=red")


def test_unknown_durability_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(UsageError, match="no durability 'perhaps'"):
        open_postgres(postgres.uri, durability="perhaps")


def test_server_without_free_connections_says_so(postgres: PostgresServer, empty: str) -> None:
    name = empty.partition("?")[0].rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    execute(postgres.uri, "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")

    with pytest.raises(StoreUnreachable, match="takes no more connections"):
        open_postgres(empty.replace("postgres@", "plain@"))


def test_database_that_takes_no_writes_is_read_only(store: PostgresStore) -> None:
    connection = store._database._connector.connect()
    connection.execute("SET default_transaction_read_only TO on")
    store._database._idle[:] = [connection]

    with pytest.raises(StoreReadOnly, match="takes no writes"):
        store.save_manifest(VERSION, "shop", b"")

    assert store.runs(RunFilter()) == ([], "")


def test_user_without_rights_is_told_which(postgres: PostgresServer, empty: str) -> None:
    execute(postgres.uri, "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")

    with pytest.raises(StoreReadOnly, match="may not be written by this user"):
        open_postgres(empty.replace("postgres@", "guest@"))


# Migrations


def test_database_gets_a_schema_of_its_own_beside_others(empty: str) -> None:
    execute(empty, "CREATE TABLE runs (theirs INT)", "INSERT INTO runs VALUES (1)")

    open_postgres(empty).close()
    open_postgres(empty).close()

    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT * FROM public.runs").fetchall() == [(1,)]
        found = connection.execute("SELECT version FROM ostinato.schema_version").fetchall()
    assert found == [(max(load_migrations()),)]


def test_store_of_a_newer_version_is_refused(empty: str) -> None:
    open_postgres(empty).close()
    execute(empty, "UPDATE ostinato.schema_version SET version = 999")

    with pytest.raises(StoreVersionError, match=r"has schema 999.*use the newer version"):
        open_postgres(empty)


def test_schema_of_another_program_is_refused(empty: str) -> None:
    execute(empty, "CREATE SCHEMA ostinato", "CREATE TABLE ostinato.theirs (x INT)")

    with pytest.raises(StoreCorrupt, match="of another program"):
        open_postgres(empty)


def test_migration_that_fails_leaves_the_version_before_it(empty: str) -> None:
    from ostinato.store.postgres.connection import Connector
    from ostinato.store.postgres.migrate import migrate

    connector = Connector(empty, durability="fsync", busy_timeout_s=5.0)
    scripts = {1: "CREATE TABLE a (x INT);", 2: "CREATE TABLE b (x INT); CREATE TABLE a (x INT);"}

    with pytest.raises(StoreError, match="already exists"):
        migrate(connector, scripts)

    connection = connector.connect()
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
    connection.close()
    migrate(connector, {**scripts, 2: "CREATE TABLE b (x INT);"})


def test_log_has_partitions_for_the_days_to_come(store: PostgresStore) -> None:
    store.register_coordinator()

    found = store._database.read(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
    )

    assert found[0][0] >= 5


# In use


def test_event_of_a_late_commit_is_read_after_it_and_before_what_came_later(
    store: PostgresStore, postgres_store_uri: str
) -> None:
    store.save_manifest(VERSION, "shop", b"")
    lease = store.register_coordinator()
    run = store.create_runs([new_run()], owner=lease)[0]
    late = psycopg.connect(f"{postgres_store_uri}&options=-csearch_path%3Dostinato")
    late.execute(
        "INSERT INTO events (run_id, task_id, path, at_us, payload) VALUES (1, 'late', '', 0, '')"
    )

    store.commit(batch_of(started(run.id, "early")), lease)
    before = store.events()
    cursor = store.event_cursor()
    late.commit()
    after = store.events()

    assert before == []
    assert [event.task_id for event in after] == ["late", "early"]
    assert [event.task_id for event in store.events(after=cursor)] == ["late", "early"]
    late.close()


def test_refused_row_leaves_the_lease_and_its_session_alone(store: PostgresStore) -> None:
    store.save_manifest(VERSION, "shop", b"")
    lease = store.register_coordinator()
    run = store.create_runs([new_run()], owner=lease)[0]
    broken = started(run.id)._replace(at_us=1 << 70)

    for _ in range(2):
        with pytest.raises(Exception):  # noqa: B017, PT011 - how it is refused does not matter
            store.commit(batch_of(started(run.id), broken), lease)
    store.commit(batch_of(started(run.id)), lease)

    assert len(store.events()) == 1


def test_second_machine_is_refused_where_each_keeps_its_own_values(postgres_store_uri: str) -> None:
    one = open_postgres(postgres_store_uri, is_storage_shared=False)
    lease = one.register_coordinator(kind="worker")
    execute(
        postgres_store_uri, "UPDATE ostinato.coordinators SET host = 'elsewhere', machine = 'x'"
    )

    with pytest.raises(StoreError, match=r"on elsewhere.*storage.shared: true"):
        one.register_coordinator(kind="worker")

    one.register_coordinator(kind="scheduler")
    assert one.coordinator(lease.id) is not None
    one.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.DiskFull("x"), StoreFull),
        (psycopg.errors.IoError("x"), StoreFull),
        (psycopg.errors.DeadlockDetected("x"), StoreLocked),
        (psycopg.errors.LockNotAvailable("x"), StoreLocked),
        (psycopg.errors.AdminShutdown("x"), StoreUnreachable),
        (psycopg.errors.TooManyConnections("x"), StoreUnreachable),
        (psycopg.errors.UndefinedTable("x"), StoreCorrupt),
        (psycopg.OperationalError("the connection is closed"), StoreUnreachable),
        (psycopg.errors.DivisionByZero("x"), StoreError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_error_of_the_server_is_one_of_ours(error: psycopg.Error, kind: type[StoreError]) -> None:
    assert type(faults.fault(error, "postgresql://db/shop")) is kind


def test_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from ostinato.store.opening import open_store_of

    class Project:
        store_url = "postgresql://db/shop"

    monkeypatch.setitem(sys.modules, "ostinato.store.postgres.store", None)
    Project.settings = None  # type: ignore[attr-defined]  # it is not looked at

    with pytest.raises(MissingPackage, match=r"pip install 'ostinato\[postgres\]'"):
        open_store_of(Project())  # type: ignore[arg-type]  # as above


# A pooler


@pytest.fixture
def pooler(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database behind pgbouncer in a mode."""
    with tempfile.TemporaryDirectory(prefix="pgb-", dir="/tmp") as folder:
        place = Path(folder)
        server = postgres.uri.partition("host=")[2]
        (place / "users.txt").write_text('"postgres" ""\n')
        (place / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server} user=postgres\n[pgbouncer]\nlisten_addr =\n"
            f"unix_socket_dir = {place}\nauth_type = any\npool_mode = {request.param}\n"
            f"auth_file = {place}/users.txt\nlogfile = {place}/log\n"
            f"ignore_startup_parameters = extra_float_digits,options\n"
        )
        as_user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        for path in (place, *place.iterdir()):
            if as_user:
                shutil.chown(path, "postgres", "postgres")
        process = subprocess.Popen(
            ["pgbouncer", "pgbouncer.ini"],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user,  # type: ignore[call-overload]  # user and group
        )
        while not (place / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (place / "log").read_text()
        yield f"host={place}&port=6432"
        process.terminate()
        process.wait()


@pytest.mark.system("pgbouncer")
@pytest.mark.parametrize(
    ("pooler", "is_refused"),
    [("transaction", True), ("session", False)],
    indirect=["pooler"],
)
def test_pooler_may_not_share_sessions(
    pooler: str, postgres_store_uri: str, *, is_refused: bool
) -> None:
    store = open_postgres(f"{postgres_store_uri.partition('?')[0]}?{pooler}")
    try:
        if is_refused:
            with pytest.raises(StoreError, match=r"pooler that shares sessions.*pool_mode"):
                store.register_coordinator()
        else:
            assert store.coordinator(store.register_coordinator().id) is not None
    finally:
        store.close()

"""This module brings a PostgreSQL database to the schema of this version."""

from collections.abc import Mapping
from importlib.resources import files

import psycopg

from ostinato.errors import StoreCorrupt, StoreVersionError
from ostinato.store.postgres.connection import SCHEMA, Connector, PostgresConnection
from ostinato.store.postgres.database import LOCK_CLASS
from ostinato.store.postgres.faults import fault


def load_migrations() -> dict[int, str]:
    """Return the scripts by the version of the schema that each leads to."""
    folder = files("ostinato.store") / "sql" / "postgres" / "migrations"
    return {
        int(file.name.partition("_")[0]): file.read_text()
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def migrate(connector: Connector, migrations: Mapping[int, str]) -> None:
    """Run the migrations that a store has not had, each in a transaction of its own.

    Args:
        connector: Makes connections to the store.
        migrations: From ``load_migrations``.

    Raises:
        StoreVersionError: A newer version made the store.
        StoreCorrupt: Our schema holds something else.
    """
    connection = connector.connect()
    try:
        newest = max(migrations)
        if _version(connection, connector.path, newest) == newest:
            return
        # Whoever comes second waits here, however long the first one takes.
        connection.raw.execute("SET lock_timeout TO 0")
        connection.raw.execute(f"SELECT pg_advisory_lock({LOCK_CLASS + 1}, 0)")
        connection.raw.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.raw.execute(
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_version (version BIGINT NOT NULL)"
        )
        version = _version(connection, connector.path, newest)
        for number in sorted(migrations):
            if number > version:
                _run(connection, number, migrations[number])
    except psycopg.Error as error:
        raise fault(error, connector.path) from error
    finally:
        connection.close()


def _version(connection: PostgresConnection, path: str, newest: int) -> int:
    """Return the version of the schema, 0 without one; refuses what is not ours."""
    ask = "SELECT to_regclass(?), EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = ?)"
    found = connection.execute(ask, (f"{SCHEMA}.schema_version", SCHEMA)).fetchone()
    table, has_tables = found or (None, False)
    if table is None:
        if has_tables:
            message = f"the store {path} has a schema {SCHEMA!r} of another program"
            raise StoreCorrupt(message, hint="name another database in the store's URL")
        return 0
    version: int = connection.execute(
        f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.schema_version"
    ).fetchall()[0][0]
    if version > newest:
        message = (
            f"the store {path} has schema {version}, but this version of Ostinato knows none "
            f"above {newest}"
        )
        hint = "use the newer version that made it, or name another database"
        raise StoreVersionError(message, hint=hint)
    return version


def _run(connection: PostgresConnection, number: int, script: str) -> None:
    with connection.raw.transaction():
        # Several statements at once go without parameters alone.
        result = connection.raw.pgconn.exec_(script.encode())
        if result.error_message:
            raise psycopg.errors.lookup(_state(result))(result.error_message.decode())
        connection.raw.execute(f"DELETE FROM {SCHEMA}.schema_version")
        connection.raw.execute(f"INSERT INTO {SCHEMA}.schema_version VALUES ({number})")


def _state(result: "psycopg.pq.abc.PGresult") -> str:
    return (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"XX000").decode()

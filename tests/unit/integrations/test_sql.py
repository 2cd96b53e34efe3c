"""Hooks for databases speak to real ones."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from ostinato.authoring.hooks import SqlHook, hook_for
from ostinato.errors import ExecutionError, UsageError
from ostinato.model.connection import Connection

KINDS = ["sqlite", "duckdb", "postgres", "dbapi"]
SCRIPT = "CREATE TABLE t (n INTEGER, s TEXT); INSERT INTO t VALUES (1, 'a;b'), (2, 'c');"


@pytest.fixture(params=KINDS)
def hook(request: pytest.FixtureRequest, tmp_path: Path) -> SqlHook:
    match request.param:
        case "postgres":
            uri = request.getfixturevalue("postgres_uri")
        case "dbapi":
            extra = {"driver": "sqlite3", "arguments": {"database": str(tmp_path / "other.db")}}
            return sql_hook(Connection(conn_type="dbapi", extra=extra))
        case kind:
            uri = f"{kind}:///{tmp_path}/shop.db"
    made = sql_hook(Connection.from_uri(uri, "shop"))
    made.run("DROP TABLE IF EXISTS t")
    return made


def sql_hook(connection: Connection) -> SqlHook:
    made = hook_for(connection)
    assert isinstance(made, SqlHook)
    return made


def test_script_is_executed_and_queries_return_rows(hook: SqlHook) -> None:
    changed = hook.run(SCRIPT)

    assert changed == 2
    assert hook.get_records("SELECT n, s FROM t ORDER BY n") == [(1, "a;b"), (2, "c")]
    assert hook.get_first("SELECT s FROM t WHERE n = 2") == ("c",)
    assert hook.get_first("SELECT s FROM t WHERE n = 3") is None
    assert hook.query("SELECT n, s FROM t WHERE n = 1") == (("n", "s"), [(1, "a;b")])


def test_parameters_are_the_drivers(hook: SqlHook) -> None:
    hook.run(SCRIPT)
    mark = "%s" if hook.connection.conn_type == "postgres" else "?"

    assert hook.get_first(f"SELECT s FROM t WHERE n = {mark}", [2]) == ("c",)


def test_nothing_is_kept_of_a_script_that_fails(hook: SqlHook) -> None:
    hook.run("CREATE TABLE t (n INTEGER)")

    with pytest.raises(Exception, match="nowhere"):
        hook.run(["INSERT INTO t VALUES (1)", "INSERT INTO nowhere VALUES (2)"])

    assert hook.get_records("SELECT * FROM t") == []


def test_query_becomes_a_data_frame(hook: SqlHook) -> None:
    hook.run(SCRIPT)

    frame = hook.get_df("SELECT n, s FROM t ORDER BY n")

    expected = pd.DataFrame({"n": [1, 2], "s": ["a;b", "c"]})
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)


# What a with does to a connection of any other driver is that driver's own.
@pytest.mark.parametrize("hook", ["sqlite", "duckdb", "postgres"], indirect=True)
def test_open_connection_commits_and_closes_after_a_with(hook: SqlHook) -> None:
    with hook.open() as connection:
        connection.cursor().execute("CREATE TABLE t (n INTEGER)")

    assert hook.get_records("SELECT * FROM t") == []
    with pytest.raises(Exception, match=r"closed|Closed"):
        connection.cursor().execute("SELECT 1")


def test_test_tells_what_was_found(hook: SqlHook) -> None:
    assert hook.test()


def test_empty_script_is_an_error(hook: SqlHook) -> None:
    with pytest.raises(UsageError, match="no statement"):
        hook.run(" -- nothing")


def test_bodies_of_triggers_stay_whole_in_sqlite(tmp_path: Path) -> None:
    hook = sql_hook(Connection.from_uri(f"sqlite:///{tmp_path}/a.db"))

    hook.run(
        SCRIPT + "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE n = 1;"
        " DELETE FROM t WHERE n = 2; END; INSERT INTO t VALUES (3, 'd')"
    )

    assert hook.get_records("SELECT n FROM t") == [(3,)]


def test_missing_file_or_folder_of_sqlite_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        hook_for(Connection.from_uri(f"sqlite:///{tmp_path}/a.db")).test()
    with pytest.raises(UsageError, match="there is no folder"):
        sql_hook(Connection.from_uri(f"sqlite:///{tmp_path}/no/a.db")).open()
    with pytest.raises(UsageError, match="names no file"):
        sql_hook(Connection.from_uri("sqlite://")).open()


def test_options_of_sqlite_and_duckdb_are_handed_on(tmp_path: Path) -> None:
    sql_hook(Connection.from_uri(f"duckdb:///{tmp_path}/d.db")).run("CREATE TABLE t (n INT)")
    sql_hook(Connection.from_uri(f"sqlite:///{tmp_path}/s.db")).run("CREATE TABLE t (n INT)")
    duckdb = sql_hook(Connection.from_uri(f"duckdb:///{tmp_path}/d.db?read_only=true&threads=1"))
    sqlite = sql_hook(
        Connection(conn_type="sqlite", schema=f"file:{tmp_path}/s.db?mode=ro", extra={"uri": True})
    )

    assert duckdb.get_first("SELECT current_setting('threads')") == (1,)
    with pytest.raises(Exception, match="read-only"):
        duckdb.run("DROP TABLE t")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite.run("DROP TABLE t")


def test_database_that_nobody_serves_is_an_error(tmp_path: Path) -> None:
    hook = hook_for(Connection.from_uri(f"postgres://ann@/shop?host={tmp_path}"))

    with pytest.raises(ExecutionError, match="cannot be opened: ") as caught:
        hook.test()
    assert "\n" not in str(caught.value)


def test_driver_that_is_not_named_or_not_installed_is_said() -> None:
    with pytest.raises(UsageError, match="names no driver"):
        hook_for(Connection.from_uri("dbapi://host")).test()
    with pytest.raises(ImportError, match="pip install 'no_such_driver'"):
        hook_for(Connection.from_uri("dbapi://host?driver=no_such_driver")).test()

"""This module tests data frames and files that become tables, on real databases."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from ostinato import SeedOperator
from ostinato.authoring.hooks import SqlHook, hook_for
from ostinato.authoring.table_loading import (
    is_frame,
    load_file,
    load_frame,
    rows_of_csv,
)
from ostinato.errors import ExecutionError, InvalidArgument
from ostinato.model.connection import Connection
from tests.unit.authoring.fakes import FakeContext, execute


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "dbapi-postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SqlHook:
    kind: str = request.param
    if kind.endswith("postgres"):
        uri = request.getfixturevalue("postgres_uri")
        connection = Connection.from_uri(uri, "shop")
        if kind == "dbapi-postgres":
            extra = {"driver": "psycopg", "arguments": {"conninfo": uri}}
            connection = Connection("shop", "dbapi", extra=extra)
    else:
        connection = Connection.from_uri(f"{kind}:///{tmp_path}/shop.db", "shop")
    hook = hook_for(connection)
    assert isinstance(hook, SqlHook)
    if kind.endswith("postgres"):
        hook.run("DROP SCHEMA IF EXISTS raw CASCADE")
        hook.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return hook


def rows(database: SqlHook, table: str = "t") -> list[tuple[Any, ...]]:
    return database.get_records(f"SELECT * FROM {table} ORDER BY 1")


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_frame_takes_the_place_of_the_table(database: SqlHook, library: str) -> None:
    database.run("CREATE TABLE t (old INTEGER)")
    frame: Any = pd.DataFrame({"id": [1, 2], "name": ["ann", None], "share": [0.5, None]})
    if library == "pyarrow":
        frame = pa.Table.from_pandas(frame)

    made = load_frame(database, "t", frame)

    assert made == {"table": "t", "rows": 2}
    assert rows(database) == [(1, "ann", 0.5), (2, None, None)]


def test_types_of_a_frame_are_those_of_the_table(database: SqlHook) -> None:
    frame = pd.DataFrame(
        {
            "moment": pd.to_datetime(["2024-01-02 03:04:05"]),
            "truth": [True],
            "price": [Decimal("1.50")],
        }
    )

    load_frame(database, "t", frame)

    (found,) = rows(database)
    if database.dialect.name == "sqlite":
        assert found == ("2024-01-02 03:04:05", 1, 1.5)
    else:
        assert found == (datetime.fromisoformat("2024-01-02 03:04:05"), True, Decimal("1.50"))


def test_empty_frame_keeps_its_columns(database: SqlHook) -> None:
    load_frame(database, "t", pd.DataFrame({"id": pd.Series([], dtype="int64")}))

    assert rows(database) == []
    assert database.query("SELECT * FROM t").columns == ("id",)


def test_seed_takes_the_place_of_the_table(database: SqlHook, tmp_path: Path) -> None:
    path = tmp_path / "countries.csv"
    path.write_text("code,people,since\nde,84,1990-10-03\nfr,,1958-10-04\n")
    seed = SeedOperator("countries", path=path, conn_id="shop", table="raw.countries")
    context = FakeContext(connections={"shop": database.connection})

    execute(seed, context=context)
    made = execute(seed, context=context)

    assert made["rows"] == 2
    found = rows(database, made["table"])
    if database.dialect.name == "sqlite":
        assert found == [("de", 84, "1990-10-03"), ("fr", None, "1958-10-04")]
    else:
        assert found == [("de", 84, date(1990, 10, 3)), ("fr", None, date(1958, 10, 4))]


def test_parquet_file_takes_the_place_of_the_table(database: SqlHook, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"id": [1, 2], "name": ["a", None]}), path)

    load_file(database, "t", path)

    assert rows(database) == [(1, "a"), (2, None)]


def test_columns_of_a_csv_file_have_the_type_of_all_their_values(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeffn,f,b,d,m,zip,mixed,none,text,feb\n"
        '1,1.5,true,2024-01-01,2024-01-01 10:00,007,1,,"a,""b""",2024-02-30\n'
        "\n"
        "-2,2,FALSE,2024-01-02,2024-01-01T11:00:00,1,x,,c,2024-02-01\n",
        encoding="utf-8",
    )

    found = rows_of_csv(path)

    assert found.types == (int, float, bool, date, datetime, str, str, str, str, str)
    assert found.columns[0] == "n"
    assert found.rows[0] == (
        1,
        1.5,
        True,
        date(2024, 1, 1),
        datetime.fromisoformat("2024-01-01 10:00"),
        "007",
        "1",
        None,
        'a,"b"',
        "2024-02-30",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no line with the names of the columns"),
        ("a,b\n1,2\n3\n", "a.csv:3: there is 1 value, and 2 columns"),
    ],
)
def test_file_that_is_no_table_is_told(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)

    with pytest.raises(ExecutionError, match=problem):
        rows_of_csv(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n1,2\n3\n", "a.csv:3: there is 1 value, and 2 columns"),
        ("a,b\n1,2\n\n3,4,5\n", "a.csv:4: there are 3 values, and 2 columns"),
    ],
)
def test_row_of_another_length_is_told_and_changes_nothing(
    database: SqlHook, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,name\n1,a\n")
    load_file(database, "t", path)
    path.write_text(text)

    with pytest.raises(ExecutionError) as caught:
        load_file(database, "t", path)

    assert str(caught.value) == f"{tmp_path}/{problem}"
    assert rows(database) == [(1, "a")]


def test_values_may_be_parted_by_something_else_where_the_database_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n5;x\n6;y\n")
    hook = hook_for(Connection.from_uri(f"duckdb:///{tmp_path}/shop.db", "shop"))
    assert isinstance(hook, SqlHook)

    load_file(hook, "t", path)

    assert hook.get_records("SELECT * FROM t ORDER BY 1") == [(5, "x"), (6, "y")]


def test_missing_file_is_told(database: SqlHook, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"there is no file .*gone\.csv"):
        load_file(database, "t", tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": "a.txt"}, "path is 'a.txt', neither .csv nor .parquet"),
        ({"path": 3}, "path is 3, no path"),
        ({"path": "a.csv", "table": "a b.c.d"}, "is no name of a table"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        SeedOperator("seed", conn_id="shop", **options)


def test_frames_are_told_from_other_values() -> None:
    assert is_frame(pd.DataFrame())
    assert is_frame(pa.table({}))
    assert not is_frame([1])
    assert not is_frame(pd.Series([1]))

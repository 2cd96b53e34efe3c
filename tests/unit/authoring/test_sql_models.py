"""This module tests tables and views that are made of queries, on real databases."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, SqlModelOperator, testing
from ostinato.authoring.hooks import SqlHook, hook_for
from ostinato.authoring.materializations import Materialized, Target, materialize
from ostinato.authoring.query_templates import QueryNames
from ostinato.authoring.sql_dialects import Relation
from ostinato.errors import (
    ColumnsChanged,
    ExecutionError,
    InvalidArgument,
    KeyNotUnique,
    Place,
    QueryError,
    TemplateError,
    UsageError,
)
from ostinato.model.connection import Connection
from tests.unit.authoring.fakes import FakeContext, execute

SCHEMAS = ("marts", "raw")


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "dbapi-sqlite", "dbapi-postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> SqlHook:
    kind: str = request.param
    if kind.endswith("postgres"):
        uri = request.getfixturevalue("postgres_uri")
        connection = Connection.from_uri(uri, "shop")
        if kind.startswith("dbapi"):
            arguments = {"conninfo": uri}
            extra = {"driver": "psycopg", "arguments": arguments}
            connection = Connection("shop", "dbapi", extra=extra)
    elif kind == "dbapi-sqlite":
        extra = {"driver": "sqlite3", "arguments": {"database": str(tmp_path / "shop.db")}}
        connection = Connection("shop", "dbapi", extra=extra)
    else:
        connection = Connection.from_uri(f"{kind}:///{tmp_path}/shop.db", "shop")
    hook = hook_for(connection)
    assert isinstance(hook, SqlHook)
    if kind.endswith("postgres"):
        clear(hook)
    return hook


def clear(postgres: SqlHook) -> None:
    """Drop what other tests have left on the server that they share."""
    for schema in SCHEMAS:
        postgres.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    postgres.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def make(database: SqlHook, sql: str, task_id: str = "sales", **options: Any) -> Any:
    params = options.pop("params", {})
    names = {"refs": {}, "sources": {}, "renames": {}, "place": Place("")}
    said = {name: options.pop(name) for name in names if name in options}
    if said:
        options["query_names"] = QueryNames(**(names | said))
    operator = SqlModelOperator(task_id, sql=sql, conn_id="shop", **options)
    context = FakeContext(params=params, connections={"shop": database.connection})
    return execute(operator, context=context)


def rows(database: SqlHook, table: str = "sales") -> list[tuple[Any, ...]]:
    return sorted(database.get_records(f"SELECT * FROM {table}"))


def values(*pairs: tuple[int, str]) -> str:
    return "\nUNION ALL ".join(f"SELECT {number} AS id, '{name}' AS name" for number, name in pairs)


def keyed(database: SqlHook, *pairs: tuple[int, str], **options: Any) -> Any:
    options = {"unique_key": "id"} | options
    return make(database, values(*pairs), materialized="incremental", **options)


def by_partition(database: SqlHook, sql: str, **options: Any) -> Any:
    return make(database, sql, materialized="incremental", partition="name", **options)


def names_of_tables(database: SqlHook) -> list[str]:
    if database.dialect.name == "sqlite":
        sql = "SELECT name FROM sqlite_master"
    else:
        sql = (
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema IN ('public', 'main', 'marts')"
        )
    return sorted(row[0] for row in database.get_records(sql))


# Tables


def test_query_becomes_a_table(database: SqlHook) -> None:
    made = make(database, values((1, "a"), (2, "b")))

    assert rows(database) == [(1, "a"), (2, "b")]
    assert made == {
        "table": "sales",
        "materialized": "table",
        "rows": 2,
        "is_incremental": False,
    }


def test_table_replaces_the_one_before_whatever_its_columns(database: SqlHook) -> None:
    make(database, values((1, "a")))

    make(database, "SELECT 5 AS other;")

    assert rows(database) == [(5,)]
    assert names_of_tables(database) == ["sales"]


def test_query_may_read_the_table_that_it_replaces(database: SqlHook) -> None:
    make(database, values((1, "a")))

    made = make(database, "SELECT id + 1 AS id, name FROM {{ this }} UNION ALL SELECT 9, 'z'")

    assert made["rows"] == 2
    assert rows(database) == [(2, "a"), (9, "z")]


def test_table_replaces_a_view_and_a_view_a_table(database: SqlHook) -> None:
    make(database, values((1, "a")), materialized="view")
    make(database, values((2, "b")))
    assert rows(database) == [(2, "b")]

    made = make(database, values((3, "c")), materialized="view")

    assert rows(database) == [(3, "c")]
    assert made["rows"] is None


def test_failing_query_leaves_what_was_there(database: SqlHook) -> None:
    make(database, values((1, "a")))

    with pytest.raises(QueryError, match="nowhere"):
        make(database, "SELECT * FROM nowhere")

    assert rows(database) == [(1, "a")]
    assert names_of_tables(database) == ["sales"]


def test_views_that_read_a_replaced_table_stay(database: SqlHook) -> None:
    make(database, values((1, "a")))
    make(database, "SELECT name FROM sales", task_id="names", materialized="view")

    make(database, values((2, "b"), (3, "c")))

    assert rows(database, "names") == [("b",), ("c",)]


def test_table_stands_in_its_schema_where_there_are_any(database: SqlHook) -> None:
    made = make(database, values((1, "a")), table="marts.sales")

    has_schemas = database.dialect.has_schemas
    assert made["table"] == ("marts.sales" if has_schemas else "sales")
    assert rows(database, made["table"]) == [(1, "a")]
    made = make(database, "SELECT count(*) AS n FROM {{ ref('marts.sales') }}", "n", refs={
        "marts.sales": "marts.sales"})  # fmt: skip
    assert rows(database, "n") == [(1,)]


def test_names_are_quoted(database: SqlHook) -> None:
    make(database, values((1, "a")), table='"order lines; DROP"')

    assert rows(database, '"order lines; DROP"') == [(1, "a")]
    make(database, values((1, "a")), table='"order lines; DROP"')


def test_long_names_are_built_aside_under_a_name_of_their_own(database: SqlHook) -> None:
    first, second = "x" * 58 + "1", "x" * 58 + "2"

    for name in (first, second, first):
        make(database, values((1, "a")), table=name)

    assert names_of_tables(database) == [first, second]


def test_statements_before_the_query_are_executed_first(database: SqlHook) -> None:
    make(
        database,
        f"CREATE TEMPORARY TABLE mine AS {values((1, 'a'))};\n-- then\nSELECT * FROM mine;",
    )

    assert rows(database) == [(1, "a")]


def test_names_of_tables_are_replaced_by_those_of_the_database(database: SqlHook) -> None:
    make(database, values((1, "a")), task_id="orders", table="raw.orders")

    make(
        database,
        "SELECT o.id, orders.name\nFROM orders AS o JOIN Orders ON orders.id = o.id",
        renames={"orders": "raw.orders"},
    )

    assert rows(database) == [(1, "a")]


# Views


def test_view_follows_what_it_reads(database: SqlHook) -> None:
    make(database, values((1, "a")), task_id="orders")
    make(database, "SELECT name FROM orders", materialized="view")

    database.run("INSERT INTO orders VALUES (2, 'b')")

    assert rows(database) == [("a",), ("b",)]


def test_view_replaces_the_one_before_whatever_its_columns(database: SqlHook) -> None:
    make(database, "SELECT 1 AS a, 2 AS b", materialized="view")

    make(database, "SELECT 3 AS c", materialized="view")

    assert rows(database) == [(3,)]


# Incremental tables


def test_first_run_makes_an_incremental_table(database: SqlHook) -> None:
    made = keyed(database, (1, "a"), (2, "b"))

    assert rows(database) == [(1, "a"), (2, "b")]
    assert made["is_incremental"] is False


def test_rows_replace_those_with_the_same_key(database: SqlHook) -> None:
    keyed(database, (1, "a"), (2, "b"))

    made = keyed(database, (2, "B"), (3, "c"))

    assert rows(database) == [(1, "a"), (2, "B"), (3, "c")]
    assert (made["rows"], made["is_incremental"]) == (2, True)


def test_repeated_attempt_of_an_incremental_table_changes_nothing(database: SqlHook) -> None:
    keyed(database, (1, "a"))
    keyed(database, (2, "b"))

    keyed(database, (2, "b"))

    assert rows(database) == [(1, "a"), (2, "b")]


def test_key_may_be_several_columns(database: SqlHook) -> None:
    both = {"unique_key": ["id", "NAME"]}
    keyed(database, (1, "a"), (1, "b"), **both)

    keyed(database, (1, "b"), (2, "b"), **both)

    assert rows(database) == [(1, "a"), (1, "b"), (2, "b")]


def test_rows_with_one_key_are_refused(database: SqlHook) -> None:
    with pytest.raises(KeyNotUnique, match="2 rows of the query have id = 1, which is to be"):
        keyed(database, (1, "a"), (1, "b"))
    assert names_of_tables(database) == []

    keyed(database, (1, "a"))
    with pytest.raises(KeyNotUnique, match="2 rows of the query have id = 2"):
        keyed(database, (2, "a"), (2, "b"))
    assert rows(database) == [(1, "a")]


def test_rows_without_a_key_are_refused(database: SqlHook) -> None:
    sql = f"SELECT id, CASE WHEN id = 1 THEN name END AS name FROM ({values((1, 'a'), (2, 'b'))}) t"

    with pytest.raises(KeyNotUnique, match="1 row of the query has no name, which is the uniq"):
        make(database, sql, materialized="incremental", unique_key="name")


def test_key_must_be_a_column(database: SqlHook) -> None:
    with pytest.raises(ExecutionError, match="unique_key is names, and the query gives id, name"):
        keyed(database, (1, "a"), unique_key="names")


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT 1 AS id", "name is gone"),
        ("SELECT 1 AS id, 'a' AS name, 2 AS n, 3 AS m", "n, m are new"),
        ("SELECT 1 AS id, 'a' AS title", "title is new, name is gone"),
    ],
)
def test_changed_columns_are_an_error_until_a_full_refresh(
    database: SqlHook, sql: str, what: str
) -> None:
    keyed(database, (1, "a"))
    options: dict[str, Any] = {"materialized": "incremental", "unique_key": "id"}

    with pytest.raises(ColumnsChanged, match=f"of the table sales: {what}.*full refresh"):
        make(database, sql, **options)

    assert rows(database) == [(1, "a")]
    make(database, sql, full_refresh="true", **options)
    assert len(rows(database)[0]) == sql.count(" AS ")


def test_columns_may_come_in_another_order(database: SqlHook) -> None:
    keyed(database, (1, "a"))

    make(database, "SELECT 'b' AS name, 2 AS id", materialized="incremental", unique_key="id")

    assert rows(database) == [(1, "a"), (2, "b")]


def test_full_refresh_is_a_parameter_of_the_run(database: SqlHook) -> None:
    keyed(database, (1, "a"))

    made = keyed(database, (2, "b"), params={"full_refresh": True})

    assert rows(database) == [(2, "b")]
    assert made["is_incremental"] is False


def test_query_knows_whether_it_adds(database: SqlHook) -> None:
    sql = "SELECT {% if is_incremental() %}1 + (SELECT max(id) FROM {{ this }}){% else %}1{% endif %} AS id"  # noqa: E501 - a template
    options: dict[str, Any] = {"materialized": "incremental", "unique_key": "id"}

    for _ in range(3):
        make(database, sql, **options)

    assert rows(database) == [(1,), (2,), (3,)]
    make(database, sql, full_refresh=True, **options)
    assert rows(database) == [(1,)]


def test_rows_replace_those_of_their_partitions(database: SqlHook) -> None:
    by_partition(database, values((1, "mon"), (2, "mon"), (3, "tue")))

    by_partition(database, values((4, "tue"), (5, "wed"), (6, "wed")))
    made = by_partition(database, values((4, "tue"), (5, "wed"), (6, "wed")))

    assert rows(database) == [(1, "mon"), (2, "mon"), (4, "tue"), (5, "wed"), (6, "wed")]
    assert made["rows"] == 3


def test_partition_may_be_without_a_value(database: SqlHook) -> None:
    sql = "SELECT 1 AS id, NULLIF('a', 'a') AS name"
    by_partition(database, sql)

    by_partition(database, sql)

    assert database.get_records("SELECT * FROM sales") == [(1, None)]


def test_partition_of_a_run_is_replaced_even_by_nothing(database: SqlHook) -> None:
    by_partition(database, values((1, "mon")), partition_value="mon")
    by_partition(database, values((2, "tue")), partition_value="tue")

    empty = f"SELECT * FROM ({values((1, 'mon'))}) t WHERE 1 = 0"
    by_partition(database, empty, partition_value="tue")

    assert rows(database) == [(1, "mon")]


def test_rows_of_another_partition_are_refused(database: SqlHook) -> None:
    with pytest.raises(KeyNotUnique, match="1 row of the query has another name than tue"):
        by_partition(database, values((1, "mon"), (2, "tue")), partition_value="tue")


# Nothing


def test_nothing_is_made_of_what_is_only_executed(database: SqlHook) -> None:
    found = make(database, f"CREATE TABLE t AS {values((1, 'a'))}; SELECT * FROM t",
                 materialized="none")  # fmt: skip

    assert [tuple(row) for row in found] == [(1, "a")]
    assert names_of_tables(database) == ["t"]


# Errors


@pytest.mark.parametrize("materialized", ["table", "none"])
def test_error_of_the_database_names_its_place(database: SqlHook, materialized: str) -> None:
    sql = "SELECT\n  1 AS id,\n  {{ 12300 + 45 }} AS n,\n  missing_one\nFROM\n  (SELECT 1 AS x) t"

    with pytest.raises(QueryError) as raised:
        make(database, sql, materialized=materialized, place=Place("marts/sales.sql", 11))

    assert str(raised.value).startswith("marts/sales.sql:14:3: ")
    assert "missing_one" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_error_in_an_earlier_statement_names_its_place(database: SqlHook) -> None:
    with pytest.raises(QueryError) as raised:
        make(database, "SELECT 1;\n\nSELECT *\nFROM nowhere_at_all;\nSELECT 1 AS id",
             place=Place("sales.sql", 3))  # fmt: skip

    assert str(raised.value).startswith("sales.sql:6:6: ")


def test_template_that_cannot_be_rendered_names_its_place(database: SqlHook) -> None:
    with pytest.raises(TemplateError, match=r"^sales.sql:5: .*'order'.*mean 'orders'"):
        make(database, "SELECT 1\nFROM\n{{ ref('order') }}", refs={"orders": "orders"},
             place=Place("sales.sql", 3))  # fmt: skip


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"materialized": "tabel"}, "materialized is 'tabel'.*did you mean 'table'"),
        ({"materialized": "incremental"}, "needs a unique_key or a partition"),
        ({"unique_key": "id"}, "unique_key is for incremental tables, and this is 'table'"),
        (
            {"materialized": "incremental", "unique_key": "id", "partition": "day"},
            "by unique_key or by partition, not by both",
        ),
        ({"partition_value": "x"}, "partition_value has no partition"),
        ({"table": "a.b.c.d"}, "'a.b.c.d' is no name of a table"),
        ({"materialized": "incremental", "unique_key": [""]}, "unique_key holds ''"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        SqlModelOperator("sales", sql="SELECT 1", conn_id="shop", **options)


def test_empty_query_is_refused(database: SqlHook) -> None:
    with pytest.raises(UsageError, match="'sales': there is no statement to execute"):
        make(database, "-- nothing\n")


# Databases of which nothing else is known


class UnknownDatabase(SqlHook):
    """One whose driver tells nothing, and which understands what nearly all do."""

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self.open() as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def open(self) -> Any:
        return hook_for(self.connection).open()  # type: ignore[attr-defined]  # it speaks SQL


def test_database_of_which_nothing_is_known_can_do_it_all(tmp_path: Path) -> None:
    database = UnknownDatabase(Connection.from_uri(f"duckdb:///{tmp_path}/a.db"))
    made = [
        Target(Relation("t0", "s"), Materialized.TABLE),
        Target(Relation("t1", "s"), Materialized.VIEW),
        Target(Relation("t2", "s"), Materialized.INCREMENTAL, unique_key=("id",)),
        Target(Relation("t3", "s"), Materialized.INCREMENTAL, partition="name"),
    ]

    for target in made:
        for pairs in ([(1, "a")], [(1, "a")], [(1, "b"), (2, "b")]):
            with database.transaction() as cursor:
                database.dialect.prepare(cursor, target.relation)
                existing = database.dialect.kind_of(cursor, target.relation)
                materialize(database.dialect, cursor, target, values(*pairs), existing)

    replaced = [(1, "b"), (2, "b")]
    found = [rows(database, str(target.relation)) for target in made]
    assert found == [replaced, replaced, replaced, [(1, "a"), *replaced]]


# PostgreSQL alone


@pytest.fixture
def on_postgres(request: pytest.FixtureRequest) -> SqlHook:
    hook = hook_for(Connection.from_uri(request.getfixturevalue("postgres_uri"), "shop"))
    assert isinstance(hook, SqlHook)
    clear(hook)
    return hook


def test_views_in_the_way_of_other_columns_are_named(on_postgres: SqlHook) -> None:
    make(on_postgres, values((1, "a")))
    make(on_postgres, "SELECT name FROM sales", task_id="names", materialized="view")

    with pytest.raises(ColumnsChanged, match=r"sales changes its.*the view names reads it"):
        make(on_postgres, "SELECT 1 AS id")
    assert rows(on_postgres) == [(1, "a")]

    make(on_postgres, "SELECT 1 AS id", full_refresh=True)
    assert names_of_tables(on_postgres) == ["sales"]


@pytest.mark.slow
def test_readers_see_a_whole_table_while_it_is_replaced(on_postgres: SqlHook) -> None:
    sql = "SELECT n FROM generate_series(1, 1000) n"
    make(on_postgres, sql)
    seen: set[int] = set()
    done = threading.Event()

    def read() -> None:
        with on_postgres.open() as connection:
            connection.autocommit = True  # type: ignore[attr-defined]  # psycopg's
            while not done.is_set():
                seen.add(connection.cursor().execute("SELECT count(*) FROM sales").fetchone()[0])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        make(on_postgres, sql)
    done.set()
    reader.join()

    assert seen == {1000}


# Several processes


def _make_in_child(uri: str, number: int) -> None:
    hook = hook_for(Connection.from_uri(uri, "shop"))
    assert isinstance(hook, SqlHook)
    for _ in range(3):
        make(hook, f"SELECT {number} AS id", task_id=f"t{number}", table=f"marts.t{number}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "postgres"])
def test_children_that_write_to_one_database_wait_for_each_other(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri = f"{kind}:///{tmp_path}/shop.db"
    if kind == "postgres":
        uri = request.getfixturevalue("postgres_uri")
        server = hook_for(Connection.from_uri(uri))
        assert isinstance(server, SqlHook)
        clear(server)
    children = [
        multiprocessing.get_context("spawn").Process(target=_make_in_child, args=(uri, number))
        for number in range(3)
    ]

    for child in children:
        child.start()
    for child in children:
        child.join()

    assert [child.exitcode for child in children] == [0, 0, 0]


def _be_killed(uri: str, options: dict[str, Any], begun: Any) -> None:
    """Make a table, and stop for ever once its query was executed and before it is committed."""
    from ostinato.authoring import sql_dialects

    whole = sql_dialects.SqlDialect.execute_with

    def execute_and_wait(self: Any, cursor: Any, head: str, query: str) -> None:
        whole(self, cursor, head, query)
        begun.set()
        threading.Event().wait(60)

    sql_dialects.SqlDialect.execute_with = execute_and_wait  # type: ignore[method-assign]  # in a child
    hook = hook_for(Connection.from_uri(uri, "shop"))
    assert isinstance(hook, SqlHook)
    make(hook, values((1, "new"), (2, "new")), **options)


@pytest.mark.slow
@pytest.mark.survival
@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "postgres"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"materialized": "view"},
        {"materialized": "incremental", "unique_key": "id"},
        {"materialized": "incremental", "partition": "id"},
    ],
    ids=["table", "view", "by-key", "by-partition"],
)
def test_killed_attempt_leaves_what_was_there(
    kind: str, options: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    uri = f"{kind}:///{tmp_path}/shop.db"
    if kind == "postgres":
        uri = request.getfixturevalue("postgres_uri")
    database = hook_for(Connection.from_uri(uri, "shop"))
    assert isinstance(database, SqlHook)
    if kind == "postgres":
        clear(database)
    make(database, values((1, "old")), **options)
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    child = spawn.Process(target=_be_killed, args=(uri, options, begun))

    child.start()
    assert begun.wait(60)
    child.kill()
    child.join()

    assert rows(database) == [(1, "old")]
    assert names_of_tables(database) == ["sales"]
    make(database, values((1, "new"), (2, "new")), **options)
    assert rows(database) == [(1, "new"), (2, "new")]


def test_waiting_for_a_file_ends(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "shop.db"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    hook = hook_for(Connection("shop", "duckdb", schema=str(path), extra={"lock_timeout": 0}))

    with pytest.raises(ExecutionError, match=f"has been open in process {holder.pid}"):
        hook.test()

    holder.communicate(b"\n")


# Flows


def test_tasks_of_a_flow_name_each_others_tables(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shop.db"
    (tmp_path / "total.sql").write_text("SELECT sum(n) AS n\nFROM {{ ref('orders') }}\n")
    with DAG("flow", template_searchpath=[str(tmp_path)]) as flow:
        orders = SqlModelOperator("orders", conn_id=uri, sql="SELECT '{{ ds }}' AS day, 3 AS n")
        total = SqlModelOperator("total", conn_id=uri, sql="total.sql", materialized="view")
        orders >> total

    with testing.run(flow) as run:
        assert run.state == "succeeded"
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("SELECT n FROM total").fetchall() == [(3,)]
    connection.close()


def test_query_of_python_names_any_source_and_its_own_table(tmp_path: Path) -> None:
    hook = hook_for(Connection.from_uri(f"duckdb:///{tmp_path}/shop.db"))
    assert isinstance(hook, SqlHook)
    make(hook, values((1, "a")), table="raw.orders")
    sql = (
        "SELECT '{{ this.schema }}/{{ this.name }}/{{ this.identifier }}/{{ this.table }}' AS own, "
        "o.* FROM {{ source('raw', 'orders') }} o {{ config(materialized='view') }}"
    )

    make(hook, sql, table="marts.own")

    assert rows(hook, "marts.own") == [("marts/own/own/own", 1, "a")]

"""This module tests the operator and the sensor for SQL against real databases."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, Defer, Fail, SQLExecuteQueryOperator, SqlOperator, SqlSensor, testing
from ostinato.authoring.hooks import SqlHook
from ostinato.errors import ExecutionError, InvalidArgument, UsageError
from ostinato.model.connection import Connection
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute

TABLE = "CREATE TABLE orders (id INTEGER, name TEXT)"
ROWS = "INSERT INTO orders VALUES (1, 'a;b'), (2, 'c')"
PLACEHOLDERS = {"sqlite": "?", "duckdb": "?", "postgres": "%s"}


@pytest.fixture(params=PLACEHOLDERS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def context(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> FakeContext:
    """Of a project with a database ``shop``."""
    if kind == "postgres":
        uri = request.getfixturevalue("postgres_uri")
    else:
        uri = f"{kind}:///{tmp_path}/shop.db"
    context = FakeContext(connections={"shop": Connection.from_uri(uri, "shop")})
    hook = context.hook("shop")
    assert isinstance(hook, SqlHook)
    hook.run("DROP TABLE IF EXISTS orders")
    return context


def run_sql(context: FakeContext, sql: Any, parameters: Any = None, **options: Any) -> Any:
    operator = SqlOperator(task_id="sql", conn_id="shop", sql=sql, parameters=parameters, **options)
    return execute(operator, context=context)


def test_rows_of_the_last_statement_are_the_result(context: FakeContext) -> None:
    assert run_sql(context, f"{TABLE}; {ROWS}; SELECT * FROM orders ORDER BY id") == [
        (1, "a;b"),
        (2, "c"),
    ]
    assert run_sql(context, [ROWS, "SELECT count(*) FROM orders"]) == [(4,)]
    assert run_sql(context, "DROP TABLE orders") in (None, [])


def test_all_statements_may_have_a_result(context: FakeContext) -> None:
    found = run_sql(context, f"{TABLE}; {ROWS}; SELECT 1; SELECT 2", return_last=False)

    assert found[2:] == [[(1,)], [(2,)]]


def test_parameters_are_the_drivers(context: FakeContext, kind: str) -> None:
    run_sql(context, f"{TABLE}; {ROWS}")
    query = f"SELECT name FROM orders WHERE id = {PLACEHOLDERS[kind]}"

    assert run_sql(context, query, [2]) == [("c",)]
    assert run_sql(context, query, (1,)) == [("a;b",)]


def test_nothing_is_kept_of_statements_of_which_one_fails(context: FakeContext) -> None:
    with pytest.raises(Exception, match="nowhere"):
        run_sql(context, f"{TABLE}; {ROWS}; SELECT * FROM nowhere")

    run_sql(context, TABLE)
    assert run_sql(context, "SELECT count(*) FROM orders") == [(0,)]


def test_each_statement_may_be_committed_by_itself(context: FakeContext) -> None:
    with pytest.raises(Exception, match="nowhere"):
        run_sql(context, [TABLE, ROWS, "SELECT * FROM nowhere"], autocommit=True)

    assert run_sql(context, "SELECT count(*) FROM orders") == [(2,)]


def test_statement_that_no_transaction_takes_is_executed_with_autocommit(
    context: FakeContext,
) -> None:
    assert run_sql(context, "VACUUM", autocommit=True) in (None, [])


def test_handler_makes_the_result(context: FakeContext) -> None:
    run_sql(context, f"{TABLE}; {ROWS}")

    def names(cursor: Any) -> list[str]:
        return [column[0] for column in cursor.description]

    assert run_sql(context, "SELECT id, name FROM orders", handler=names) == ["id", "name"]
    assert run_sql(context, "SELECT id FROM orders", handler=None) is None


def test_text_may_be_one_statement(context: FakeContext, kind: str) -> None:
    if kind == "sqlite":
        with pytest.raises(Exception, match="one statement at a time"):
            run_sql(context, "SELECT 1; SELECT 2", split_statements=False)
    assert run_sql(context, "SELECT ';'", split_statements=False) == [(";",)]


def test_connection_must_speak_sql() -> None:
    context = FakeContext(connections={"shop": Connection("shop", "http", host="localhost")})

    with pytest.raises(UsageError, match="'shop' has the type 'http', which speaks no SQL"):
        run_sql(context, "SELECT 1")


def test_flow_passes_rows_from_files_of_templates(tmp_path: Path) -> None:
    (tmp_path / "make.sql").write_text(f"{TABLE};\n{ROWS};")
    (tmp_path / "count.sql").write_text(
        "SELECT '{{ ds }}', count(*) FROM {{ params.table }} WHERE id <= {{ ti.pull('top')[0][0] }}"
    )
    uri = f"duckdb:///{tmp_path}/shop.duckdb"
    with DAG("flow", params={"table": "orders"}, template_searchpath=[str(tmp_path)]) as flow:
        make = SqlOperator(task_id="make", conn_id=uri, sql="make.sql")
        top = SQLExecuteQueryOperator(task_id="top", conn_id=uri, sql="SELECT max(id) FROM orders")
        make >> top >> SqlOperator(task_id="count", conn_id=uri, sql="count.sql")

    run = testing.run(flow, date="2025-01-31").raise_for_state()

    assert run.result("count") == [("2025-01-31", 2)]


def test_statement_may_be_a_result() -> None:
    with DAG("flow"):
        operator = SqlOperator(task_id="source", conn_id="sqlite:///:memory:", sql="SELECT 5")
        other = SqlOperator(task_id="a", conn_id="sqlite:///:memory:", sql=operator.output)

    assert execute(other, FakeResolver({"source": "SELECT 6"})) == [(6,)]
    with pytest.raises(InvalidArgument, match="sql is 5, neither text nor a list of texts"):
        execute(other, FakeResolver({"source": 5}))


# The sensor


def sensing(sql: str = "SELECT 1", **options: Any) -> Any:
    operator = SqlSensor(task_id="wait", conn_id="sqlite:///:memory:", sql=sql, **options)
    return execute(operator)


def test_first_cell_decides() -> None:
    assert sensing("SELECT 5, 6") == 5
    for sql in ("SELECT 0", "SELECT NULL", "SELECT 1 WHERE false"):
        with pytest.raises(Defer):
            sensing(sql)


def test_functions_choose_and_judge_the_cell() -> None:
    assert sensing("SELECT 0, 7", selector=lambda row: row[1]) == 7
    assert sensing("SELECT 0", success=lambda cell: cell == 0) == 0
    with pytest.raises(Defer):
        sensing("SELECT 5", success=lambda cell: cell > 5)
    with pytest.raises(Fail, match="'broken' means that there is nothing to wait for"):
        sensing("SELECT 'broken'", failure=lambda cell: cell == "broken")
    with pytest.raises(ExecutionError, match="'wait': the query found no row"):
        sensing("SELECT 1 WHERE false", fail_on_empty=True)


def test_row_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shop.db"
    with DAG("flow") as flow:
        make = SqlOperator(task_id="make", conn_id=uri, sql=TABLE)
        make >> SqlSensor(
            task_id="wait", conn_id=uri, sql="SELECT id FROM orders", poke_interval="1h"
        )
        later = SqlSensor(
            task_id="later", conn_id=uri, sql="SELECT 1", success=Countdown(3), poke_interval="1h"
        )
        make >> later >> SqlOperator(task_id="fill", conn_id=uri, sql=ROWS)

    run = testing.run(flow)

    assert run.state == "succeeded"
    assert run.result("wait") == 1
    assert run.duration >= timedelta(hours=2)


class Countdown:
    """Say yes the n-th time."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, _: Any) -> bool:
        self.times -= 1
        return self.times <= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conn_id": ""}, "conn_id is '', neither an id nor a URI"),
        ({"conn_id": 5}, "conn_id is 5, neither an id nor a URI"),
        ({"conn_id": "sqlite://h:port/x"}, "conn_id: the connection"),
        ({"sql": ""}, "sql is '', neither text nor a list of texts"),
        ({"sql": []}, r"sql is \[\], neither"),
        ({"sql": ["a", 5]}, r"sql is \['a', 5\], neither"),
        ({"parameters": "a"}, "parameters are 'a', neither a list nor a dict"),
        ({"parameters": 5}, "parameters are 5, neither a list nor a dict"),
        ({"handler": "all"}, "handler is 'all', no function"),
        ({"conection": "a"}, "takes no argument 'conection'"),
    ],
)
def test_wrong_argument_is_told_with_its_line(options: Any, message: str) -> None:
    given = {"conn_id": "shop", "sql": "SELECT 1", **options}
    with pytest.raises(InvalidArgument, match=rf"test_sql_operators\.py:\d+: .*{message}"):
        SqlOperator(task_id="a", **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selector": None}, "selector is None, no function"),
        ({"success": 5}, "success is 5, no function"),
        ({"sql": None}, "sql is None, neither"),
        ({"conn_id": None}, "conn_id is None, neither"),
    ],
)
def test_wrong_argument_of_the_sensor_is_told_with_its_line(options: Any, message: str) -> None:
    given = {"conn_id": "shop", "sql": "SELECT 1", **options}
    with pytest.raises(InvalidArgument, match=rf"test_sql_operators\.py:\d+: 'a': {message}"):
        SqlSensor(task_id="a", **given)

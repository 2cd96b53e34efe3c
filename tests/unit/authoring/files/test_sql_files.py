"""This module tests what .sql files become: tables, and tasks that wait for what they read."""

import sqlite3
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato import testing
from ostinato.authoring import session
from ostinato.authoring.dag import DAG
from ostinato.authoring.files.folders import folder_flow
from ostinato.authoring.hooks import SqlHook, hook_for
from ostinato.authoring.operators.sql_model import SqlModelOperator
from ostinato.errors import FolderProblems
from ostinato.model.connection import Connection

METADATA = "connection: sqlite:///shop.db\n"
ORDERS = "SELECT 1 AS id, 'ann' AS customer, 2.5 AS total"


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(files: dict[str, str], metadata: str = METADATA, **options: Any) -> DAG:
    for name, text in {"METADATA.yml": metadata, **files}.items():
        path = Path("shop", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder_flow(Path("shop").absolute(), **options)


def edges(flow: DAG) -> set[str]:
    return {f"{edge.upstream} > {edge.downstream}" for edge in flow.definition.edges}


def warnings(flow: DAG) -> list[str]:
    assert flow.folder is not None
    return [str(problem) for problem in flow.folder.warnings]


def errors(files: dict[str, str], metadata: str = METADATA) -> list[str]:
    with pytest.raises(FolderProblems) as raised:
        make(files, metadata)
    return [str(problem) for problem in raised.value.problems]


def model(flow: DAG, task_id: str) -> Any:
    task = flow.operators[task_id]
    assert isinstance(task, SqlModelOperator)
    return task


def failure_of(flow: DAG, task_id: str) -> str:
    with testing.run(flow) as run:
        failure = run.task_run(task_id).failure
    assert failure is not None
    return failure.message


# What a file becomes


@pytest.mark.parametrize(
    ("sql", "materialized"),
    [
        ("SELECT 1 AS id", "table"),
        ("WITH x AS (SELECT 1 AS id) SELECT * FROM x", "table"),
        ("---\nmaterialized: view\n---\nSELECT 1 AS id", "view"),
        ("{{ config(materialized='view') }} SELECT 1 AS id", "view"),
        ("---\nmaterialized: table\n---\n{{ config(materialized='view') }} SELECT 1", "table"),
        ("---\nmaterialized: incremental\nunique_key: id\n---\nSELECT 1 AS id", "incremental"),
        ("{{ config(materialized='incremental', unique_key=['id']) }} SELECT 1", "incremental"),
        ("---\nmaterialized: none\n---\nSELECT 1 AS id", "none"),
        ("INSERT INTO log SELECT 1", "none"),
        ("CREATE TABLE x (id INT); SELECT * FROM x", "none"),
        ("PRAGMA cache_size; SELECT 1 AS id", "table"),
    ],
)  # fmt: skip
def test_select_becomes_a_table_and_other_statements_are_executed(
    sql: str, materialized: str
) -> None:
    flow = make({"a.sql": sql})

    assert model(flow, "a").materialized == materialized


def test_table_is_called_like_folder_and_task_or_as_the_file_says() -> None:
    flow = make(
        {
            "top.sql": ORDERS,
            "raw/orders.sql": ORDERS,
            "raw/deep/items.sql": ORDERS,
            "raw/named.sql": f"---\nasset: marts.other\n---\n{ORDERS}",
        }
    )

    tables = {task_id: model(flow, task_id).table for task_id in flow.operators}
    assert tables == {
        "top": "top",
        "orders": "raw.orders",
        "items": "deep.items",
        "named": "marts.other",
    }


def test_connection_is_the_nearest() -> None:
    flow = make(
        {
            "a.sql": ORDERS,
            "x/METADATA.yml": "connection: other",
            "x/b.sql": ORDERS,
            "x/c.sql": f"---\nconnection: own\n---\n{ORDERS}",
            "y/METADATA.yml": "default_args: {conn_id: ignored}",
            "y/d.sql": ORDERS,
        },
        "connection: shop",
    )

    connections = {task_id: model(flow, task_id).conn_id for task_id in flow.operators}
    assert connections == {"a": "shop", "b": "other", "c": "own", "d": "shop"}


def test_file_that_names_its_operator_stays_what_it_is() -> None:
    flow = make({"a.sql": "---\noperator: sql\nconn_id: x\n---\nSELECT * FROM b", "b.sql": ORDERS})

    assert type(flow.operators["a"]).__name__ == "SqlOperator"
    assert edges(flow) == set()


def test_partition_may_have_a_value() -> None:
    header = "materialized: incremental\npartition: {column: day, value: '{{ ds }}'}"
    task = model(make({"a.sql": f"---\n{header}\n---\nSELECT 1 AS day"}), "a")

    assert (task.partition, task.partition_value) == ("day", "{{ ds }}")


# Edges


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {{ ref('orders') }}",
        "SELECT * FROM {{ ref('raw.orders') }}",
        "SELECT * FROM {{ ref('raw/orders') }}",
        "SELECT * FROM {{ ref('package', 'orders') }}",
        "SELECT * FROM raw.orders",
        'SELECT * FROM "raw"."orders" AS o',
        "SELECT * FROM main.raw.orders",
        "SELECT * FROM RAW.Orders",
        "SELECT * FROM orders",
        "WITH o AS (SELECT * FROM raw.orders) SELECT * FROM o",
        "SELECT 1 AS id WHERE EXISTS (SELECT 1 FROM raw.orders)",
        "CREATE TABLE t AS SELECT * FROM raw.orders",
        "INSERT INTO t SELECT 1; DELETE FROM t WHERE id IN (SELECT id FROM raw.orders)",
        "{% if is_incremental() %}SELECT * FROM raw.orders{% else %}SELECT 1{% endif %}",
        "{% if var.value.x == 'y' %}SELECT 1{% else %}SELECT * FROM raw.orders{% endif %}",
        "{% set t = ['orders'] %}SELECT * FROM {% for x in t %}raw.{{ x }}{% endfor %}",
        "{% macro all(t) %}SELECT * FROM {{ t }}{% endmacro %}{{ all('raw.orders') }}",
        "SELECT * FROM raw.{{ params.name }}",
        "SELECT * FROM raw.orders WHERE day = '{{ ds }}' LIMIT {{ var.value.limit }}",
    ],
)
def test_query_waits_for_what_it_reads(sql: str) -> None:
    metadata = f"{METADATA}params: {{name: orders}}\n"
    flow = make({"raw/orders.sql": ORDERS, "b.sql": sql}, metadata)

    assert edges(flow) == {"orders > b"}
    assert warnings(flow) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {{ this }}",
        "SELECT * FROM b",
        "WITH orders AS (SELECT 1) SELECT * FROM orders",
        "SELECT 'raw.orders' -- FROM raw.orders",
        "SELECT * FROM {{ params.table }}",
        "SELECT * FROM {{ ref(params.table) }} JOIN {{ source('x', var.value.y) }}",
        "SELECT * FROM other.orders",
        "SELECT * FROM completely_different",
    ],
)
def test_query_waits_for_nothing_else(sql: str) -> None:
    flow = make({"raw/orders.sql": ORDERS, "b.sql": sql})

    assert edges(flow) == set()
    assert warnings(flow) == []


def test_query_waits_for_any_task_of_that_name() -> None:
    flow = make(
        {
            "load.yml": "operator: bash\nbash_command: echo",
            "raw/orders.py": "def main():\n    return 1\n",
            "fill.sql": "CREATE TABLE IF NOT EXISTS made (id INT); INSERT INTO made VALUES (1)",
            "a.sql": "SELECT * FROM load JOIN raw.orders JOIN made",
            "lake.yml": "operator: bash\nbash_command: echo\nasset: lake.events",
            "b.sql": "SELECT * FROM lake.events",
        }
    )

    assert edges(flow) == {"load > a", "orders > a", "fill > a", "lake > b"}


def test_groups_with_prefixes_are_called_by_the_folder() -> None:
    flow = make(
        {
            "raw/METADATA.yml": "prefix_group_id: true",
            "raw/orders.sql": ORDERS,
            "stg/METADATA.yml": "prefix_group_id: true",
            "stg/orders.sql": "SELECT * FROM raw.orders",
            "b.sql": "SELECT * FROM {{ ref('stg.orders') }}",
        }
    )

    assert edges(flow) == {"raw.raw_orders > stg.stg_orders", "stg.stg_orders > b"}


def test_layers_of_one_name_read_each_other() -> None:
    flow = make(
        {
            "stg/orders.sql": "SELECT * FROM raw.orders",
            "b.sql": "SELECT * FROM stg.orders",
        }
    )

    assert edges(flow) == {"orders > b"}
    assert warnings(flow) == []


def test_query_is_read_in_the_dialect_of_its_connection() -> None:
    files = {"orders.sql": ORDERS, "b.sql": "SELECT TOP 3 * FROM [orders]"}
    types = session.connection_types.set({"shop": "mssql"})

    flow = make(files, "connection: shop\n")

    session.connection_types.reset(types)
    assert edges(flow) == {"orders > b"}
    assert edges(make(files | {"b.sql": "SELECT * FROM `orders`"}, "connection: lake\n"))


def test_dependencies_and_tables_add_up() -> None:
    flow = make(
        {
            "a.sql": ORDERS,
            "b.yml": "operator: empty",
            "c.sql": "---\ndependencies: [b]\n---\nSELECT * FROM a",
        }
    )

    assert edges(flow) == {"a > c", "b > c"}


# Names that are not there


def test_near_name_is_suggested_where_it_stands() -> None:
    flow = make(
        {
            "raw/orders.py": "def main():\n    return 1\n",
            "marts/revenue.sql": "---\nowner: me\n---\nSELECT *\nFROM raw.order",
        }
    )

    assert warnings(flow) == [
        "shop/marts/revenue.sql:5:6 F012 table raw.order not found; "
        "did you mean raw.orders (shop/raw/orders.py)?"
    ]


def test_tables_must_be_declared_under_strict() -> None:
    files = {"a.sql": "SELECT * FROM nowhere.at_all", "b.sql": "SELECT * FROM far.away"}

    found = errors(files, METADATA + "strict: true\nsources: [far.away]\n")

    assert found == [
        "shop/a.sql:1:15 F012 table nowhere.at_all not found; "
        "sources: in METADATA.yml declares tables that no task makes"
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT *\nFROM {{ ref('order') }}",
            "shop/b.sql:2:9 F030 ref('order') names what is not in the flow; "
            "did you mean 'orders'?",
        ),
        (
            "SELECT * FROM {{ ref('b') }}",
            "shop/b.sql:1:18 F030 ref('b') is the table that the query makes; write {{ this }}",
        ),
        (
            "SELECT * FROM {{ source('shop', 'item') }}",
            "shop/b.sql:1:18 F030 source 'shop.item' is not declared; did you mean 'shop.items'?",
        ),
        (
            "SELECT * FROM\n  {{ ref('orders') }",
            "shop/b.sql:2:1 F023 unexpected '}'",
        ),
        (
            "SELECT {% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "shop/b.sql:1:1 F023 it takes more than 50,000 turns of loops and calls",
        ),
        (
            "{% include 'missing.sql' %}",
            "shop/b.sql:1:1 F023 there is no file 'missing.sql' to include",
        ),
        ("-- nothing", "shop/b.sql:1:1 F026 there is no SQL in the file"),
        (
            "---\nmaterialized: view\n---\nDROP TABLE x",
            "shop/b.sql:2:1 F014 materialized is view, and the file does not end with a SELECT; "
            "materialized: none only executes it",
        ),
        (
            "{{ config(materialized='ephemeral') }} SELECT 1",
            "shop/b.sql:1:1 F014 materialized is 'ephemeral'; it is one of table, view, "
            "incremental, none",
        ),
        (
            "---\nmaterialized: incremental\n---\nSELECT 1",
            "shop/b.sql:2:1 F026 'b': an incremental table needs a unique_key or a partition; "
            "else rows would stand there twice after a retry",
        ),
    ],
)
def test_mistakes_are_told_where_they_stand(sql: str, expected: str) -> None:
    metadata = f"{METADATA}sources: {{shop: [items]}}\n"

    assert errors({"orders.sql": ORDERS, "b.sql": sql}, metadata) == [expected]


def test_missing_connection_is_told() -> None:
    assert errors({"a.sql": "SELECT 1"}, "description: none") == [
        "shop/a.sql:1:1 F031 no connection is named for the query; "
        "add connection: to the file or to METADATA.yml"
    ]


def test_ref_that_may_be_two_tasks_asks_for_the_folder() -> None:
    files = {
        "a/METADATA.yml": "prefix_group_id: true",
        "a/x.sql": ORDERS,
        "b/METADATA.yml": "prefix_group_id: true",
        "b/x.sql": ORDERS,
        "c.sql": "SELECT * FROM {{ ref('x') }}",
    }

    assert errors(files) == ["shop/c.sql:1:18 F030 ref('x') may be a/x or b/x; name the folder too"]


def test_file_that_is_broken_is_told_once() -> None:
    files = {"orders.sql": "---\na: [\n---\nSELECT 1", "b.sql": "SELECT * FROM {{ ref('orders') }}"}

    (found,) = errors(files | {"c.sql": "SELECT * FROM orders"}, METADATA + "strict: true\n")

    assert "shop/orders.sql" in found


def test_sql_that_does_not_parse_leaves_its_refs() -> None:
    flow = make({"orders.sql": ORDERS, "b.sql": "SELECT a b c\nFROM {{ ref('orders') }}, x"})

    assert edges(flow) == {"orders > b"}
    assert warnings(flow) == [
        "shop/b.sql:1:12 F029 the SQL does not parse: invalid expression / Unexpected token "
        "near 'c'; only ref() and source() tell what it reads"
    ]


def test_sql_that_only_a_run_can_make_whole_is_told_so() -> None:
    flow = make(
        {
            "orders.sql": ORDERS,
            "b.sql": "SELECT {{ x }} {{ y }} z FROM {{ ref('orders') }} {{ z }} 1",
        }
    )

    assert edges(flow) == {"orders > b"}
    (found,) = warnings(flow)
    assert "F029 the SQL does not parse: only a run can fill in its templates" in found


def test_setting_of_a_query_that_is_unknown_is_warned_of() -> None:
    flow = make({"a.sql": "{{ config(materialised='view', tags=['x']) }}SELECT 1 AS id"})

    assert warnings(flow) == [
        "shop/a.sql:1:1 F013 config(materialised=...) has no effect here; "
        "did you mean 'materialized'?",
        "shop/a.sql:1:1 F013 config(tags=...) has no effect here; known are full_refresh, "
        "materialized, partition, partition_value, unique_key",
    ]


def test_table_of_a_task_may_be_called_a_source() -> None:
    flow = make({"raw/orders.sql": ORDERS, "a.sql": "SELECT * FROM {{ source('raw', 'orders') }}"})

    assert edges(flow) == {"orders > a"}
    assert model(flow, "a").query_names.sources == {"raw.orders": "raw.orders"}


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM {{ ref('orders_' ~ run_id) }}", "no task makes such a table"),
        ("SELECT * FROM {{ source('x', run_id) }}", "no such source is declared"),
    ],
)
def test_name_that_only_the_run_knows_may_be_wrong(sql: str, message: str) -> None:
    assert message in failure_of(make({"a.sql": sql}), "a")


def test_cycle_of_tables_is_told_with_its_places() -> None:
    (found,) = errors({"a.sql": "SELECT * FROM b", "b.sql": "SELECT *\nFROM a"})

    assert "F018" in found
    assert "shop/a.sql:1:15" in found
    assert "shop/b.sql:2:6" in found


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("[raw.items]", "raw.items"),
        ("{raw: [items]}", "raw.items"),
        ("{raw: {tables: {items: {table: items_v2}}}}", "raw.items_v2"),
        ("{raw: {schema: landing, tables: [items]}}", "landing.items"),
        ("{raw.items: lake.items}", "lake.items"),
    ],
)
def test_sources_are_declared_in_several_ways(said: str, name: str) -> None:
    flow = make(
        {"a.sql": "SELECT * FROM {{ source('raw', 'items') }}"}, f"{METADATA}sources: {said}"
    )

    assert model(flow, "a").query_names.sources == {"raw.items": name}
    assert warnings(flow) == []


# At work


def test_folder_of_queries_runs(working_folder: Path) -> None:
    flow = make(
        {
            "raw/orders.sql": "SELECT 1 AS id, 10 AS total UNION ALL SELECT 2, 5",
            "seen.sql": """\
                ---
                materialized: incremental
                unique_key: id
                ---
                SELECT id, total FROM raw.orders
                {% if is_incremental() %}WHERE id NOT IN (SELECT id FROM {{ this }}){% endif %}
                """,
            "marts/sums.sql": "SELECT sum(total) AS total FROM {{ ref('seen') }}",
            "marts/both.sql": """\
                {{ config(materialized='view') }}
                SELECT orders.id, s.total FROM orders, sums AS s
                """,
        }
    )

    with testing.run(flow) as run:
        assert run.state == "succeeded"

    assert edges(flow) == {"orders > seen", "seen > sums", "orders > both", "sums > both"}
    connection = sqlite3.connect(working_folder / "shop.db")
    assert connection.execute("SELECT * FROM both ORDER BY id").fetchall() == [(1, 15), (2, 15)]
    connection.close()


def test_seeds_are_tables_where_they_are_wanted(working_folder: Path) -> None:
    files = {
        "raw/countries.csv": "code,name\nde,Germany\n",
        "names.sql": "SELECT name FROM raw.countries",
    }
    flow = make(files, METADATA + "seeds: true\n")

    with testing.run(flow) as run:
        assert run.state == "succeeded"

    assert edges(flow) == {"countries > names"}
    connection = sqlite3.connect(working_folder / "shop.db")
    assert connection.execute("SELECT * FROM names").fetchall() == [("Germany",)]
    connection.close()
    assert set(make(files).operators) == {"names"}


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("function", ["def main():", "async def main():", "def main(ds, context):"])
def test_frame_that_a_function_returns_is_a_table(kind: str, function: str) -> None:
    code = f"import pandas as pd\n\n{function}\n    return pd.DataFrame({{'id': [1, 2]}})\n"
    files = {
        "raw/orders.py": code,
        "count.sql": "SELECT count(*) AS n FROM raw.orders",
        "again.sql": "SELECT a.id FROM {{ ref('orders') }} a JOIN orders o ON o.id = a.id",
        "check.py": "def main(orders, count):\n    return [len(orders), int(count['n'][0])]\n",
    }
    flow = make(files, f"connection: {kind}:///shop.db\n")

    with testing.run(flow) as run:
        assert run.state == "succeeded"
        assert run.result("check") == [2, 2]

    assert edges(flow) == {
        "orders > count", "orders > again", "orders > check", "count > check"
    }  # fmt: skip


def test_table_that_a_script_makes_keeps_its_name(working_folder: Path) -> None:
    files = {
        "raw/fill.py": "import sqlite3\nc = sqlite3.connect('shop.db')\n"
        "c.execute('CREATE TABLE fill AS SELECT 1 AS id')\nc.commit()\nc.close()\n",
        "a.sql": "SELECT * FROM fill",
    }

    with testing.run(make(files)) as run:
        assert run.state == "succeeded"


def test_other_results_and_mapped_functions_make_no_table(working_folder: Path) -> None:
    frame = "import pandas as pd\ndef main(n):\n    return pd.DataFrame({'n': [n]})\n"
    files = {
        "a.py": "def main():\n    return [1]\n",
        "b.py": f"# ---\n# expand: {{n: [1, 2]}}\n# ---\n{frame}",
    }

    with testing.run(make(files)) as run:
        assert run.state == "succeeded"

    assert not (working_folder / "shop.db").exists()


def test_table_of_two_files_is_told() -> None:
    found = errors({"a/x.sql": ORDERS, "b.sql": f"---\nasset: a.x\n---\n{ORDERS}"})

    assert found == [
        "shop/a/x.sql:1:1 F016 table a.x is made by two files; "
        "the first is shop/b.sql; asset: calls one of them otherwise"
    ]
    make({"b.sql": f"---\nasset: a.x\nconnection: other\n---\n{ORDERS}"})


def test_one_query_makes_several_tables(working_folder: Path) -> None:
    files = {
        "by.sql": """\
            ---
            multi_task_spec:
              by_one: {params: {n: 1}}
              by_two: {asset: twos}
            ---
            SELECT 1 AS id
            """,
        "c.sql": "SELECT * FROM by_one JOIN twos ON true",
    }
    flow = make(files)

    with testing.run(flow) as run:
        assert run.state == "succeeded"

    assert edges(flow) == {"by_one > c", "by_two > c"}


def test_query_is_mapped_over_values(working_folder: Path) -> None:
    header = "materialized: incremental\npartition: n\nexpand: {partition_value: [1, 2]}"
    flow = make({"a.sql": f"---\n{header}\n---\nSELECT {{{{ task.partition_value }}}} AS n"})

    with testing.run(flow) as run:
        assert run.state == "succeeded"

    connection = sqlite3.connect(working_folder / "shop.db")
    assert connection.execute("SELECT n FROM a ORDER BY n").fetchall() == [(1,), (2,)]
    connection.close()


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_folder_runs_on_databases_with_schemas(kind: str, request: pytest.FixtureRequest) -> None:
    uri = "duckdb:///shop.duckdb"
    if kind == "postgres":
        uri = request.getfixturevalue("postgres_uri")
    connection = Connection.from_uri(uri)
    hook = hook_for(connection)
    assert isinstance(hook, SqlHook)
    for schema in ("raw", "marts"):
        hook.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    files = {
        "raw/orders.csv": "id,total\n1,2.5\n2,3.5\n",
        "raw/more.py": "import pandas as pd\ndef main():\n    return pd.DataFrame({'id': [3]})\n",
        "marts/wide.sql": "SELECT o.id FROM orders o UNION ALL SELECT id FROM raw.more",
        "marts/n.sql": "---\nmaterialized: view\n---\nSELECT count(*) AS n FROM marts.wide",
    }
    flow = make(files, f"connection: {uri}\nseeds: true\n")

    for _ in range(2):
        with testing.run(flow) as run:
            assert run.state == "succeeded"

    assert hook.get_records("SELECT n FROM marts.n") == [(3,)]


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_threads_that_write_to_one_database_wait_for_each_other(kind: str) -> None:
    files = {f"x/t{n}.sql": f"SELECT {n} AS id" for n in range(8)}
    flow = make(files, f"connection: {kind}:///shop.db\ndefault_args: {{executor: thread}}\n")

    with testing.run(flow) as run:
        assert run.state == "succeeded"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1 F039 the file is empty; its first line names the columns"),
        ("a,,c\n", "1:1 F039 column 2 has no name"),
        ("a,b,A\n", "1:1 F039 two columns are called 'a'"),
    ],
)
def test_seed_without_names_of_columns_is_told(text: str, problem: str) -> None:
    assert errors({"a.csv": text}, METADATA + "seeds: true\n") == [f"shop/a.csv:{problem}"]


def test_macros_of_files_and_functions_are_there_at_both_times(working_folder: Path) -> None:
    files = {
        "_macros.sql": "{% macro all(table) %}SELECT * FROM {{ table }}{% endmacro %}",
        "orders.sql": ORDERS,
        "b.sql": "{% import '_macros.sql' as lib %}{{ lib.all(ref(called('ORDERS'))) }}",
        "c.sql": "{% from '_macros.sql' import all %}{{ all(called('B')) }}",
    }
    flow = make(files, dag_constructors={"called": lambda name: name.lower()})

    with testing.run(flow) as run:
        assert run.state == "succeeded"

    assert edges(flow) == {"orders > b", "b > c"}


def test_refused_rows_are_told_with_their_file() -> None:
    header = "---\nmaterialized: incremental\nunique_key: id\n---\n"
    query = "\nSELECT 1 AS id UNION ALL SELECT 1"

    message = failure_of(make({"a.sql": header + query}), "a")

    assert "shop/a.sql:6: 2 rows of the query have id = 1" in message


def test_json_of_a_flow_shows_what_users_said() -> None:
    flow = make({"a.sql": f"---\nasset: marts.a\n---\n{ORDERS}"})

    task = msgspec.json.decode(flow.to_json())["tasks"]["a"]

    assert task["operator"] == "SqlModelOperator"
    assert task["params"] == {
        "sql": ORDERS,
        "conn_id": "sqlite:///shop.db",
        "table": "marts.a",
        "materialized": "table",
        "full_refresh": False,
    }


def test_seed_without_a_connection_is_told() -> None:
    found = errors({"a.csv": "a\n1\n"}, "seeds: true\n")

    assert found == [
        "shop/a.csv:1:1 F031 no connection is named for the table; add connection: to METADATA.yml"
    ]


def test_failing_query_names_file_and_line() -> None:
    flow = make({"a.sql": "---\nretries: 0\n---\nSELECT 1 AS id,\n  no_such_column"})

    assert "shop/a.sql:5:3: no such column: no_such_column" in failure_of(flow, "a")


def test_name_that_only_the_run_could_know_is_told_with_file_and_line() -> None:
    flow = make({"a.sql": "---\nretries: 0\n---\nSELECT\n  '{{ dss }}' AS day"})

    message = failure_of(flow, "a")

    assert "shop/a.sql:5" in message
    assert "did you mean 'ds'?" in message

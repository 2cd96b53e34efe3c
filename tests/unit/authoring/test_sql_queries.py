"""This module tests what is read of SQL: tables, where they stand, and lineage of columns."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.authoring.column_lineage import outputs_of
from ostinato.authoring.sql_queries import (
    UnreadableSql,
    parse,
    read_script,
    replace_tables,
)


def reads(sql: str, dialect: str | None = None) -> list[str]:
    script = read_script(sql, dialect)
    assert not script.problem
    for use in script.reads:
        written = sql[use.start : use.end]
        assert written.replace('"', "").replace("`", "") == use.name
    return [use.name for use in script.reads]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", []),
        ("SELECT * FROM orders", ["orders"]),
        ("SELECT * FROM raw.orders AS o JOIN raw.items i USING (id)", ["raw.orders", "raw.items"]),
        ("SELECT * FROM shop.raw.orders", ["shop.raw.orders"]),
        ('SELECT * FROM "Raw"."Order lines"', ["Raw.Order lines"]),
        ("SELECT * FROM a, b CROSS JOIN c", ["a", "b", "c"]),
        ("SELECT * FROM (SELECT * FROM a) x", ["a"]),
        ("SELECT (SELECT max(id) FROM a) WHERE EXISTS (SELECT 1 FROM b)", ["a", "b"]),
        ("SELECT * FROM a WHERE id IN (SELECT id FROM b)", ["a", "b"]),
        ("SELECT * FROM a UNION ALL SELECT * FROM b EXCEPT SELECT * FROM c", ["a", "b", "c"]),
        ("WITH x AS (SELECT * FROM a) SELECT * FROM x JOIN b ON true", ["a", "b"]),
        ("WITH x AS (SELECT 1 AS n), y AS (SELECT * FROM x) SELECT * FROM Y", []),
        # Not recursive: inside, the name is still the table's.
        ("WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", ["orders"]),
        ("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", []),
        # A query's own name hides nothing in a schema.
        ("WITH orders AS (SELECT 1) SELECT * FROM raw.orders", ["raw.orders"]),
        ("SELECT * FROM (WITH x AS (SELECT * FROM a) SELECT * FROM x) JOIN x ON true", ["a", "x"]),
        ("SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.id = a.id) l", ["a", "b"]),
        ("SELECT * FROM generate_series(1, 3) g", []),
        ("SELECT 'FROM x' -- FROM y\n FROM z /* JOIN w */", ["z"]),
    ],
)
def test_tables_of_a_query_are_found(sql: str, tables: list[str]) -> None:
    assert reads(sql) == tables
    assert reads(sql, "postgres") == tables


@pytest.mark.parametrize(
    ("dialect", "sql", "tables"),
    [
        ("duckdb", "FROM a SELECT x", ["a"]),
        ("duckdb", "SELECT * EXCLUDE (x) FROM a", ["a"]),
        ("duckdb", "SELECT unnest([1, 2]), * FROM a, unnest(a.list) u(v)", ["a"]),
        ("duckdb", "PIVOT a ON day USING sum(n)", ["a"]),
        ("duckdb", "SELECT * FROM a ASOF JOIN b USING (id, t)", ["a", "b"]),
        ("postgres", "SELECT DISTINCT ON (id) x::int FROM a ORDER BY id, t", ["a"]),
        ("sqlite", "SELECT * FROM a INDEXED BY i", ["a"]),
        ("mysql", "SELECT * FROM `a`.`b c`", ["a.b c"]),
    ],
)
def test_tables_are_found_in_the_dialect(dialect: str, sql: str, tables: list[str]) -> None:
    assert reads(sql, dialect) == tables


@pytest.mark.parametrize(
    ("sql", "read", "written"),
    [
        ("INSERT INTO a SELECT * FROM b", ["b"], ("a",)),
        ("INSERT INTO a (x, y) VALUES (1, 2)", [], ("a",)),
        ("CREATE TABLE a AS SELECT * FROM b", ["b"], ("a",)),
        ("CREATE OR REPLACE VIEW s.a AS SELECT * FROM b", ["b"], ("s.a",)),
        ("CREATE TABLE a (x INT); SELECT * FROM a", [], ("a",)),
        ("CREATE TEMP TABLE t AS SELECT * FROM b; SELECT * FROM t", ["b"], ()),
        ("UPDATE a SET x = b.x FROM b WHERE b.id = a.id", ["b"], ("a",)),
        ("DELETE FROM a WHERE id IN (SELECT id FROM b)", ["b"], ("a",)),
        (
            "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = b.x",
            ["b"],
            ("a",),
        ),
        ("DROP TABLE a; SELECT * FROM b", ["b"], ()),
        ("TRUNCATE TABLE a", [], ()),
        ("VACUUM", [], ()),
    ],
)
def test_what_statements_write_is_not_read(
    sql: str, read: list[str], written: tuple[str, ...]
) -> None:
    assert reads(sql) == read
    assert read_script(sql, None).writes == written


@pytest.mark.parametrize(
    ("sql", "statements", "gives_rows"),
    [
        ("SELECT 1", 1, True),
        ("(SELECT 1) UNION SELECT 2;", 1, True),
        ("VALUES (1), (2)", 1, True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", 1, True),
        ("CREATE TABLE a (x INT); SELECT 1", 2, True),
        ("SELECT 1; DROP TABLE a", 2, False),
        ("VACUUM", 1, False),
        ("-- nothing", 0, False),
    ],
)
def test_last_statement_is_a_query_or_none(sql: str, statements: int, gives_rows: bool) -> None:
    script = read_script(sql, None)

    assert (script.statements, script.gives_rows) == (statements, gives_rows)


def test_what_does_not_parse_says_where() -> None:
    script = read_script("SELECT a,\n  b c d\nFROM x", "duckdb")

    assert script.problem_at == (2, 7)
    assert script.problem.endswith("near 'd'")
    assert script.gives_rows


@pytest.mark.parametrize("sql", ["SELECT 'abc", "SELECT " + "(" * 500, "x" * 600_000])
def test_what_cannot_be_read_is_said(sql: str) -> None:
    assert read_script(sql, None).problem


@given(st.text(alphabet="SELECTFROMWHabc*,.;()'\"-/[]{}$ \n01", max_size=200))
def test_no_text_makes_the_reader_fail(sql: str) -> None:
    script = read_script(sql, None)

    assert all(0 <= use.start <= use.end <= len(sql) for use in script.reads)


def test_names_of_tables_are_replaced_where_they_stand() -> None:
    sql = 'SELECT orders.id FROM orders JOIN "orders" AS o USING (id) JOIN other USING (id)'
    uses = read_script(sql, None).reads

    text = replace_tables(sql, uses, {"orders": "raw.orders"}.get)  # type: ignore[arg-type]  # None

    assert text == (
        "SELECT orders.id FROM raw.orders JOIN raw.orders AS o USING (id) JOIN other USING (id)"
    )


def test_parser_is_loaded_by_the_first_query() -> None:
    code = (
        "import sys, ostinato, ostinato.authoring.sql_queries as q;"
        "assert 'sqlglot' not in sys.modules; q.read_script('SELECT 1', None);"
        "assert 'sqlglot' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


# Lineage

SCHEMA = {"orders": ["id", "customer", "total"], "raw.customers": ["id", "name"]}


def lineage(sql: str) -> dict[str, list[str]]:
    outputs = outputs_of(parse(sql, None)[-1], SCHEMA.get)
    return {
        name: sorted(f"{table}.{column}" for table, column in origins)
        for name, origins in outputs.columns
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT id FROM orders", {"id": ["orders.id"]}),
        ("SELECT o.id AS n FROM orders o", {"n": ["orders.id"]}),
        ("SELECT a + b AS n, 1 AS one FROM x", {"n": ["x.a", "x.b"], "one": []}),
        (
            "SELECT total, name FROM orders JOIN raw.customers c ON c.id = customer",
            {"total": ["orders.total"], "name": ["raw.customers.name"]},
        ),
        # Only one of them can have it: the other is known.
        ("SELECT total, z FROM orders JOIN x ON true", {"total": ["orders.total"], "z": ["x.z"]}),
        # It cannot be told which has it.
        ("SELECT z FROM x JOIN y ON true", {"z": []}),
        ("SELECT sum(total) OVER (PARTITION BY customer) AS n FROM orders",
         {"n": ["orders.customer", "orders.total"]}),
        ("SELECT CASE WHEN id > 1 THEN total END AS n FROM orders",
         {"n": ["orders.id", "orders.total"]}),
        ("SELECT * FROM raw.customers",
         {"id": ["raw.customers.id"], "name": ["raw.customers.name"]}),
        ("SELECT c.* FROM orders, raw.customers c",
         {"id": ["raw.customers.id"], "name": ["raw.customers.name"]}),
        ("SELECT * EXCLUDE (id) FROM raw.customers", {"name": ["raw.customers.name"]}),
        ("WITH a AS (SELECT id, total * 2 AS double FROM orders) SELECT double FROM a",
         {"double": ["orders.total"]}),
        ("WITH a(x, y) AS (SELECT id, total FROM orders) SELECT y FROM a", {"y": ["orders.total"]}),
        ("SELECT q.n FROM (SELECT id AS n FROM orders) q", {"n": ["orders.id"]}),
        ("SELECT id FROM orders UNION SELECT name FROM raw.customers",
         {"id": ["orders.id", "raw.customers.name"]}),
        ("SELECT (SELECT max(name) FROM raw.customers c WHERE c.id = o.id) AS n FROM orders o",
         {"n": ["raw.customers.name"]}),
        ("SELECT l.n FROM orders o, LATERAL (SELECT o.total + 1 AS n) l", {"n": ["orders.total"]}),
        ("WITH RECURSIVE r(n) AS (SELECT id FROM orders UNION ALL SELECT n + 1 FROM r) "
         "SELECT n FROM r", {"n": ["orders.id"]}),
        ("SELECT total AS a, a + 1 AS b FROM orders",
         {"a": ["orders.total"], "b": ["orders.total"]}),
        ("SELECT u FROM orders, unnest([1, 2]) AS t(u)", {"u": []}),
    ],
)  # fmt: skip
def test_columns_are_traced_to_tables(sql: str, expected: dict[str, list[str]]) -> None:
    assert lineage(sql) == expected


def test_columns_of_a_star_over_an_unknown_table_are_not_known() -> None:
    outputs = outputs_of(parse("SELECT *, 1 AS n FROM unknown", None)[0], SCHEMA.get)

    assert outputs.names == ()
    assert not outputs.is_complete


@given(st.data())
def test_lineage_of_nested_queries_ends(data: Any) -> None:
    sql = "SELECT id, total FROM orders"
    for _ in range(data.draw(st.integers(0, 8))):
        form = data.draw(
            st.sampled_from(
                [
                    "SELECT * FROM ({}) s",
                    "WITH w AS ({}) SELECT id, total FROM w",
                    "SELECT id, total FROM orders UNION ALL {}",
                    "SELECT s.id, s.total + o.total AS total FROM orders o, ({}) s",
                ]
            )
        )
        sql = form.format(sql)

    assert set(lineage(sql)) == {"id", "total"}


def test_unreadable_sql_has_no_tree() -> None:
    with pytest.raises(UnreadableSql, match="near 'FROM'"):
        parse("SELEC a FROM b", "postgres")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n  SELEC * FORM orders", "it is an expression and no statement"),
        ("SELECT 1;\na + b", "it is an expression and no statement"),
        ("CHECKPOINT", ""),
        ("INSTALL spatial; LOAD spatial", ""),
        ("(SELECT 1)", ""),
    ],
)
def test_what_reads_like_arithmetic_is_no_statement(text: str, problem: str) -> None:
    found = read_script(text, "duckdb")

    assert found.problem == problem
    if text.startswith("\n"):
        assert found.problem_at == (2, 3)

"""This module tests that no query makes its reader fail, hang or execute anything."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.authoring.files.sql.queries import (
    KeptQueries,
    Query,
    QueryReader,
    QuerySurroundings,
)

PIECES = [
    "SELECT", " * ", " a, b ", " FROM ", "orders", "raw.orders", " WHERE ", " JOIN ", " UNION ALL ",
    "(", ")", "'", '"', "--", "/*", "*/", ";", "\n", " 1 ", " = ", ",", "WITH x AS (", "é", "\0",
    "{{ ref('orders') }}", "{{ ref(", "{{ source('a', 'b') }}", "{{ this }}", "{{ ds }}",
    "{{ params.n }}", "{{ unknown.x['y'](3) }}", "{{ 1 / 0 }}", "{{ n ** n }}", "{{ 'a' * n }}",
    "{% if is_incremental() %}", "{% if x %}", "{% else %}", "{% endif %}", "{% for i in x %}",
    "{% for i in range(9999) %}", "{% endfor %}", "{% set y = [1] %}", "{{ y }}", "{{ x | upper }}",
    "{{ x | join(',') }}", "{% raw %}", "{% endraw %}", "{{", "}}", "{%", "%}", "{#", "#}",
    "{{ config(materialized=x) }}", "{% macro m() %}", "{% endmacro %}", "{{ m() }}",
    "{{ boom() }}",
    "{% include 'x' %}", "{{ ref.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ self }}",
    "{{ loop.index }}", "{% do y.append(1) %}", "{{ x + 1 - x }}", "{{ -x }}", "{{ x ~ 'b' }}",
    "{{ x in y }}", "{{ x[1:2] }}", "{{ ref(x) }}", "{{ ref() }}", "{{ ref('a', 'b', 'c') }}",
    "{{ x is defined }}", "{{ x | int }}", "{{ x | float }}", "{{ x | list }}", "{{ x | sort }}",
]  # fmt: skip


def boom() -> None:
    raise RuntimeError("it is not to be called now")


def read(source: str, **parameters: Any) -> Query:
    reader = QueryReader(QuerySurroundings(functions={"boom": boom}))
    return reader.read(source, line=1, dialect=None, this="me", parameters=parameters)


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_query_makes_the_reader_fail(source: str) -> None:
    query = read(source, n=3)

    lines = source.count("\n") + 1
    for use in (*query.tables, *query.refs, *query.sources):
        assert 1 <= use.line <= lines
        assert use.column >= 1


@given(st.text(max_size=80))
def test_no_text_makes_the_reader_fail(source: str) -> None:
    read(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ref.__init__.__globals__ }}",
        "{{ config.__self__ }}",
        "{{ this.__class__ }}",
        "{{ cycler.__init__.__globals__.os.system('touch x') }}",
        "{{ boom.__globals__ }}",
    ],
)
def test_template_reaches_no_python(source: str) -> None:
    query = read(f"SELECT 1 {source}")

    assert "class" not in query.text
    assert "module" not in query.text


def test_table_named_by_an_unknown_value_is_none() -> None:
    query = read("SELECT * FROM {{ x }} JOIN a.{{ y.z }} JOIN {{ f('b') }}.c JOIN known")

    assert [use.name for use in query.tables] == ["known"]


def test_values_may_stand_for_names_numbers_and_whole_clauses() -> None:
    for text in (
        "LIMIT {{ n }}",
        "WHERE x = {{ n }}",
        "{{ clause }}",
        "WHERE d > e - INTERVAL {{ n }} DAY",
    ):
        query = read(f"SELECT * FROM a {text}")
        assert [use.name for use in query.tables] == ["a"], text


def test_function_that_fails_now_may_work_then() -> None:
    query = read("SELECT {{ boom() }} FROM a")

    assert query.template_fault is None
    assert [use.name for use in query.tables] == ["a"]


def test_nothing_heavy_is_loaded_for_what_is_kept() -> None:
    reader = QueryReader(QuerySurroundings())
    options: dict[str, Any] = {"line": 1, "dialect": None, "this": "t", "parameters": {}}
    first = reader.read("SELECT * FROM {{ ref('a') }}", **options)
    hidden = {name: sys.modules.pop(name) for name in [*sys.modules] if "query_stubs" in name}

    assert reader.read("SELECT * FROM {{ ref('a') }}", **options) == first

    assert not [name for name in sys.modules if "query_stubs" in name]
    sys.modules.update(hidden)


def test_query_that_calls_functions_is_read_each_time() -> None:
    kept = KeptQueries()
    options: dict[str, Any] = {"line": 1, "dialect": None, "this": "t", "parameters": {}}

    def tables(name: str) -> list[str]:
        around = QuerySurroundings(functions={"called": lambda: name})
        query = QueryReader(around, kept).read("SELECT * FROM {{ called() }}", **options)
        return [use.name for use in query.tables]

    assert tables("a") == ["a"]
    assert tables("b") == ["b"]

"""This module writes the operator that makes a table of a query as statements of SQL."""

import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ostinato.authoring.operators.seed import SeedOperator
from ostinato.authoring.operators.sql_model import SqlModelOperator
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.sql_dialects import Relation
from ostinato.authoring.sql_script import split_statements
from ostinato.authoring.table_loading import rows_of_csv
from ostinato.authoring.templates import is_template
from ostinato.errors import NotInAirflow

#: A table that a query names by its task, its source, or as its own.
_CALL = re.compile(
    r"""\{\{-?\s*(?:
        (?P<function>ref|source)\((?P<arguments>\s*(?:['"][^'"]+['"]\s*,?\s*)+)\)
        | (?P<this>this)
    )\s*-?\}\}""",
    re.VERBOSE,
)

#: Rows of a seed that are written into the file.
MAX_SEED_ROWS = 500

#: Types of columns in the words that most databases know.
_COLUMN_TYPES: dict[type, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE PRECISION",
    date: "DATE",
    datetime: "TIMESTAMP",
}

#: Words of a URI for databases in which a table stands in no schema.
_WITHOUT_SCHEMAS = frozenset({"sqlite"})


class ModelWriter:
    """Write queries as the statements that make tables of them.

    Args:
        flow: Whose templates they are.
        types: Type of each connection that is known, such as ``sqlite``, by id.
    """

    def __init__(self, flow: BuiltFlow, types: dict[str, str]) -> None:
        self._flow = flow
        self._types = types

    def rows(self, operator: SeedOperator) -> list[str]:
        """Return the statements that load a seed.

        Raises:
            NotInAirflow: It has too many rows to stand in a file of Python.
        """
        path = Path(str(operator.path))
        if path.suffix.lower() != ".csv":
            raise NotInAirflow("a seed in Parquet", hint="make it a CSV file")
        found = rows_of_csv(path)
        if len(found.rows) > MAX_SEED_ROWS:
            problem = f"a seed of {len(found.rows)} rows would stand in the file itself"
            raise NotInAirflow(problem, hint=f"{MAX_SEED_ROWS} rows at most; load it by a task")
        table = self._named(operator, operator.table)
        columns = ", ".join(
            f"{name} {_COLUMN_TYPES.get(kind, 'VARCHAR')}"
            for name, kind in zip(found.columns, found.types, strict=True)
        )
        values = ",\n".join(f"({', '.join(map(_sql_literal, row))})" for row in found.rows)
        return [
            *self._schema(table),
            f"DROP TABLE IF EXISTS {table}",
            f"CREATE TABLE {table} ({columns})",
            *([f"INSERT INTO {table} VALUES\n{values}"] if found.rows else []),
        ]

    def name_of_table(self, operator: Any) -> str:
        """Return the name of the table that a task makes."""
        return self._named(operator, str(operator.table))

    def _named(self, operator: Any, text: str) -> str:
        relation = Relation.parse(text)
        has_schemas = self._types.get(str(operator.conn_id)) not in _WITHOUT_SCHEMAS
        return str(relation if has_schemas else Relation(relation.name))

    def _schema(self, table: str) -> list[str]:
        schema = Relation.parse(table).schema
        return [f"CREATE SCHEMA IF NOT EXISTS {schema}"] if schema else []

    def statements(self, operator: SqlModelOperator) -> list[str]:
        """Return the statements that a model amounts to, as templates.

        Raises:
            NotInAirflow: They would not do the same.
        """

        def named(text: str) -> str:
            return self._named(operator, text)

        if is_template(str(operator.table)) or operator.full_refresh:
            raise NotInAirflow("a table whose name or making is decided by a template")
        text = self._text(operator, named)
        table = Relation.parse(named(operator.table))
        text = self._plain(operator, text, named)
        *before, query = list(split_statements(text)) or [""]
        if not query:
            raise NotInAirflow("there is no statement to execute")
        prefix = self._macros(operator, text, named)
        made = self._made(operator, str(table), query)
        return [
            *self._schema(str(table)),
            *(self._with_macros(prefix, statement) for statement in (*before, *made)),
        ]

    def _made(self, operator: SqlModelOperator, table: str, query: str) -> list[str]:
        if operator.materialized == "none":
            return [query]
        if operator.materialized != "incremental":
            kind = operator.materialized.upper()
            return [f"DROP {kind} IF EXISTS {table}", f"CREATE {kind} {table} AS\n{query}"]
        nothing = f"SELECT * FROM (\n{query}\n) AS made WHERE 1 = 0"
        return [
            f"CREATE TABLE IF NOT EXISTS {table} AS\n{nothing}",
            f"DELETE FROM {table} WHERE {self._replaced(operator, table, query)}",
            f"INSERT INTO {table}\n{query}",
        ]

    def _replaced(self, operator: SqlModelOperator, table: str, query: str) -> str:
        """Return which rows of an incremental table new ones replace."""
        if operator.partition_value is not None:
            return f"{operator.partition} = '{operator.partition_value}'"
        if operator.partition:
            return (
                f"{operator.partition} IN (SELECT {operator.partition} FROM (\n{query}\n) AS made)"
            )
        keys = " AND ".join(f"made.{key} = {table}.{key}" for key in operator.unique_key)
        return f"EXISTS (SELECT 1 FROM (\n{query}\n) AS made WHERE {keys})"

    def _text(self, operator: SqlModelOperator, named: Callable[[str], str]) -> str:
        text = str(operator.query.text)
        other = {
            name: named(table)
            for name, table in operator.renames.items()
            if named(name).lower() != named(table).lower() or named(name) != name
        }
        if not other:
            return text
        if is_template(text):
            name, table = next(iter(other.items()))
            raise NotInAirflow(f"the query calls {table} {name}", hint="write {{ ref(...) }} there")
        from ostinato.authoring.sql_queries import (  # noqa: PLC0415 - heavy, and rarely needed
            read_script,
            replace_tables,
        )

        uses = read_script(text, self._types.get(str(operator.conn_id)) or None).reads
        return replace_tables(text, uses, lambda name: other.get(name.lower(), ""))

    def _plain(self, operator: SqlModelOperator, text: str, named: Callable[[str], str]) -> str:
        """Return a query with tables in place of the plain calls that name them."""
        refs, sources = operator.query.refs, operator.query.sources

        def table_of(found: re.Match[str]) -> str:
            if found["this"]:
                return named(operator.table)
            names = re.findall(r"""['"]([^'"]+)['"]""", found["arguments"])
            if found["function"] == "ref":
                return named(refs[names[-1]]) if names[-1] in refs else found[0]
            name = ".".join(names)
            return named(name if sources is None else sources.get(name, name))

        return _CALL.sub(table_of, text)

    def _macros(
        self, operator: SqlModelOperator, text: str, named: Callable[[str], str]
    ) -> dict[str, str]:
        """Return what a template has to begin with, by the name that it uses of ours."""
        if not is_template(text):
            return {}
        if re.search(r"\bis_incremental\s*\(", text):
            hint = "write a condition on the table itself"
            raise NotInAirflow("Airflow cannot tell is_incremental()", hint=hint)
        refs = operator.query.refs
        sources = operator.query.sources
        tables = {name: named(table) for name, table in refs.items()}
        return {
            "this": f"{{% set this = {_text(named(operator.table))} %}}",
            "config": "{% macro config() %}{% endmacro %}",
            "ref": (
                "{% macro ref() %}{{ " + _mapping(_used(text, "ref", tables)) + "[varargs[-1]] }}"
                "{% endmacro %}"
            ),
            "source": (
                '{% macro source() %}{{ varargs | join(".") }}{% endmacro %}'
                if sources is None
                else "{% macro source() %}{{ "
                + _mapping({name: named(table) for name, table in sources.items()})
                + '[varargs | join(".")] }}{% endmacro %}'
            ),
        }

    def _with_macros(self, macros: dict[str, str], statement: str) -> str:
        used = [text for name, text in macros.items() if re.search(rf"\b{name}\b", statement)]
        return "".join(used) + statement


def _sql_literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("'", "''")
    return f"'{text}'"


def _used(text: str, function: str, tables: dict[str, str]) -> dict[str, Any]:
    """Return the tables that a template names in quotes; all where it works a name out."""
    calls = re.findall(rf"\b{function}\s*\(([^)]*)\)", text)
    names = [re.findall(r"""['"]([^'"]+)['"]""", call) for call in calls]
    if not all(names):
        return tables
    return {name[-1]: tables[name[-1]] for name in names if name[-1] in tables}


def _mapping(tables: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in tables.items()) + "}"


def _text(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'

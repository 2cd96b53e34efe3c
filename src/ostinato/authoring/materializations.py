"""This module makes tables and views of queries, so that nobody sees a half-made one.

Everything happens in one transaction of the caller's. A killed attempt leaves what was there;
an attempt that is repeated leaves what one would have left.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from ostinato.authoring.sql_dialects import (
    Relation,
    RelationKind,
    SqlDialect,
    aside_of,
    count_of,
    first_row,
    literal,
)
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import ColumnsChanged, ExecutionError, KeyNotUnique

#: Parameter of a run that makes tables anew, if the flow has it.
FULL_REFRESH = "full_refresh"


class Materialized(StrEnum):
    """Say what becomes of a query."""

    TABLE = "table"
    VIEW = "view"
    INCREMENTAL = "incremental"
    NONE = "none"


class Target(NamedTuple):
    """What is made of a query.

    Attributes:
        relation: Its name.
        materialized: What it becomes.
        unique_key: Columns that tell its rows apart: a row replaces the one with the same key.
        partition: Column: the rows of a query replace all those with the same value in it.
        partition_value: The only value that the query may give, whose rows are replaced even if
            it gives none; None for those that it gives.
    """

    relation: Relation
    materialized: Materialized
    unique_key: tuple[str, ...] = ()
    partition: str = ""
    partition_value: Any = None


class Made(NamedTuple):
    """What was made.

    Attributes:
        rows: Of the table, or those that were added; None of a view.
        is_incremental: Whether rows were added to a table that stays.
    """

    rows: int | None
    is_incremental: bool = False


def wants_full_refresh(params: Mapping[str, Any]) -> bool:
    """Whether a run makes all tables anew, by its parameters."""
    return is_true(params.get(FULL_REFRESH, False))


def is_true(value: object) -> bool:
    """Whether a value says yes, as a template or a person writes it."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes", "on")
    return bool(value)


def is_incremental(target: Target, existing: RelationKind | None, *, is_full_refresh: bool) -> bool:
    """Whether a query adds to what is there instead of making it anew."""
    return (
        target.materialized is Materialized.INCREMENTAL
        and existing is RelationKind.TABLE
        and not is_full_refresh
    )


def materialize(
    dialect: SqlDialect,
    cursor: Any,
    target: Target,
    query: str,
    existing: RelationKind | None,
    *,
    is_full_refresh: bool = False,
) -> Made:
    """Make what a query is to become.

    Args:
        dialect: Of the database.
        cursor: In a transaction, for which ``dialect.prepare`` was called.
        target: What is made.
        query: One statement that gives rows.
        existing: What is there under its name.
        is_full_refresh: Whether it is made anew; views that read it and do not fit any more are
            dropped then.

    Raises:
        QueryError: The database refuses the query.
        ColumnsChanged: The columns are not those of what is there.
        KeyNotUnique: Rows cannot be told apart by ``unique_key``.
    """
    relation = target.relation
    if target.materialized is Materialized.VIEW:
        dialect.replace_view(cursor, relation, query, existing, drops_dependents=is_full_refresh)
        return Made(None)
    if is_incremental(target, existing, is_full_refresh=is_full_refresh):
        return Made(_add(dialect, cursor, target, query), is_incremental=True)
    dialect.replace_table(cursor, relation, query, existing, drops_dependents=is_full_refresh)
    _checked(dialect, cursor, target, relation)
    return Made(dialect.count(cursor, relation))


def _add(dialect: SqlDialect, cursor: Any, target: Target, query: str) -> int:
    """Replace the rows of a table that a query gives anew, and add the others."""
    aside = aside_of(Relation(target.relation.name))
    dialect.create_temporary(cursor, aside, query)
    columns = dialect.columns_of(cursor, aside)
    _check_columns(target.relation, columns, dialect.columns_of(cursor, target.relation))
    checked = _checked(dialect, cursor, target, aside)
    if checked.unique_key:
        _delete_keys(dialect, cursor, checked, aside)
    if checked.partition:
        _delete_partitions(dialect, cursor, checked, aside)
    names = ", ".join(dialect.quote_name(name) for name in columns)
    rows = dialect.count(cursor, aside)
    cursor.execute(
        f"INSERT INTO {dialect.quote(target.relation)} ({names}) "
        f"SELECT {names} FROM {dialect.quote(aside)}"
    )
    dialect.drop(cursor, aside, RelationKind.TABLE)
    return rows


def _delete_keys(dialect: SqlDialect, cursor: Any, target: Target, aside: Relation) -> None:
    table, new = dialect.quote_name(target.relation.name), dialect.quote(aside)
    same = " AND ".join(
        f"{new}.{name} = {table}.{name}" for name in map(dialect.quote_name, target.unique_key)
    )
    cursor.execute(
        f"DELETE FROM {dialect.quote(target.relation)} "
        f"WHERE EXISTS (SELECT 1 FROM {new} WHERE {same})"
    )


def _delete_partitions(dialect: SqlDialect, cursor: Any, target: Target, aside: Relation) -> None:
    column, new = dialect.quote_name(target.partition), dialect.quote(aside)
    if target.partition_value is not None:
        condition = f"{column} = {literal(target.partition_value)}"
    else:
        condition = (
            f"{column} IN (SELECT {column} FROM {new}) OR ({column} IS NULL "
            f"AND EXISTS (SELECT 1 FROM {new} WHERE {new}.{column} IS NULL))"
        )
    cursor.execute(f"DELETE FROM {dialect.quote(target.relation)} WHERE {condition}")


def _check_columns(relation: Relation, given: Sequence[str], there: Sequence[str]) -> None:
    new = _missing_in(there, given)
    gone = _missing_in(given, there)
    if not new and not gone:
        return
    changes = [f"{', '.join(names)} {what}" for names, what in _said(new, gone) if names]
    message = f"the query no longer gives the columns of the table {relation}: {', '.join(changes)}"
    raise ColumnsChanged(message, hint="a full refresh makes the table anew")


def _said(new: list[str], gone: list[str]) -> list[tuple[list[str], str]]:
    return [
        (new, "is new" if len(new) == 1 else "are new"),
        (gone, "is gone" if len(gone) == 1 else "are gone"),
    ]


def _missing_in(known: Sequence[str], names: Sequence[str]) -> list[str]:
    folded = {name.lower() for name in known}
    return [name for name in names if name.lower() not in folded]


def _checked(dialect: SqlDialect, cursor: Any, target: Target, relation: Relation) -> Target:
    """Return a target with its columns as the database writes them, if the rows fit it."""
    if not target.unique_key and not target.partition:
        return target
    there = dialect.columns_of(cursor, relation)
    if target.unique_key:
        names = tuple(_column("unique_key", name, there) for name in target.unique_key)
        target = target._replace(unique_key=names)
        _check_key(dialect, cursor, relation, names)
    if target.partition:
        target = target._replace(partition=_column("partition", target.partition, there))
        _check_partition(dialect, cursor, relation, target)
    return target


def _column(what: str, name: str, there: Sequence[str]) -> str:
    found = next((column for column in there if column.lower() == name.lower()), None)
    if found is None:
        message = f"{what} is {name}, and the query gives {', '.join(there)}"
        hint = did_you_mean(name, there) or f"select {name}, or choose another column"
        raise ExecutionError(message, hint=hint)
    return found


def _check_key(
    dialect: SqlDialect, cursor: Any, relation: Relation, unique_key: Sequence[str]
) -> None:
    names = [dialect.quote_name(name) for name in unique_key]
    table, key = dialect.quote(relation), ", ".join(unique_key)
    lacking = " OR ".join(f"{name} IS NULL" for name in names)
    cursor.execute(f"SELECT count(*) FROM {table} WHERE {lacking}")
    if lacks := count_of(cursor):
        message = f"{_rows(lacks)} no {key}, which is the unique_key"
        raise KeyNotUnique(message, hint="leave them out, or choose another key")
    listed = ", ".join(names)
    cursor.execute(
        f"SELECT {listed}, count(*) FROM {table} "
        f"GROUP BY {listed} HAVING count(*) > 1 ORDER BY {listed} LIMIT 1"
    )
    if row := first_row(cursor):
        pairs = zip(unique_key, row[:-1], strict=True)
        same = ", ".join(f"{name} = {value}" for name, value in pairs)
        message = f"{row[-1]} rows of the query have {same}, which is to be unique"
        raise KeyNotUnique(message, hint="group them, or choose another unique_key")


def _check_partition(dialect: SqlDialect, cursor: Any, relation: Relation, target: Target) -> None:
    if target.partition_value is None:
        return
    column, wanted = dialect.quote_name(target.partition), literal(target.partition_value)
    cursor.execute(
        f"SELECT count(*) FROM {dialect.quote(relation)} "
        f"WHERE {column} <> {wanted} OR {column} IS NULL"
    )
    if others := count_of(cursor):
        message = f"{_rows(others)} another {target.partition} than {target.partition_value}"
        raise KeyNotUnique(message, hint="the query is to give rows of its partition only")


def _rows(count: int) -> str:
    return "1 row of the query has" if count == 1 else f"{count} rows of the query have"

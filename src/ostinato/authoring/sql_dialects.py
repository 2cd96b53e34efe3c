"""This module is how databases differ in making tables and views.

A hook has the dialect of its database; ``materializations`` says what is to be done.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Self
from zlib import crc32

from ostinato.errors import QueryError, UsageError

#: Ends the name of a table that is being built beside the one that it is going to replace.
ASIDE = "__building"

#: Letters of a table's name in the name of what is built beside it: PostgreSQL cuts off at 63.
KEPT_LENGTH = 40

#: Rows that are sent to a database at a time.
BATCH_ROWS = 1000

#: Types of columns by those of Python; of others the values are text.
_COLUMN_TYPES: dict[type, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE PRECISION",
    Decimal: "NUMERIC",
    date: "DATE",
    datetime: "TIMESTAMP",
}

_NAME = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|([^."`\s]+)')

#: What databases quote of a statement when they give no position.
_QUOTED = re.compile(
    r'near "(?P<near>[^"]+)"'
    r"|no such (?:column|table|function): (?P<missing>\S+)"
    r"|ambiguous column name: (?P<ambiguous>\S+)"
)


class Relation(NamedTuple):
    """The name of a table or a view.

    Attributes:
        name: In its schema.
        schema: Empty for the one that the connection begins with.
    """

    name: str
    schema: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``orders``, ``raw.orders`` or ``"Raw"."order lines"``.

        Raises:
            UsageError: If it is no such name.
        """
        parts: list[str] = []
        end = 0
        for piece in _NAME.finditer(text):
            if piece.start() != end + bool(parts) or (parts and text[end] != "."):
                break
            quoted, ticked, plain = piece.groups()
            parts.append(quoted.replace('""', '"') if quoted else ticked or plain)
            end = piece.end()
        if end != len(text) or not 1 <= len(parts) <= 2:
            message = f"{text!r} is no name of a table"
            raise UsageError(message, hint="such as orders or raw.orders")
        return cls(parts[-1], parts[0] if len(parts) == 2 else "")

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class RelationKind(StrEnum):
    """Say what a relation is."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"


class SqlDialect:
    """Speak to a database by what nearly all of them understand; others override it.

    Attributes:
        name: As sqlglot calls the dialect; empty if it is not known.
        has_schemas: Whether a table may stand in a schema that is made for it.
        current_schema: SQL for the schema in which names without one are.
        placeholder: Stands for a value in a statement.
        reads_frames: Whether it can query data frames and files by itself.
    """

    name = ""
    has_schemas = True
    current_schema = "current_schema()"
    placeholder = "?"
    reads_frames = False

    def quote(self, relation: Relation) -> str:
        """Return the name of a relation as statements have it."""
        return ".".join(self.quote_name(part) for part in (relation.schema, relation.name) if part)

    def quote_name(self, name: str) -> str:
        """Return one name as statements have it."""
        return '"' + name.replace('"', '""') + '"'

    def placed(self, cursor: Any, relation: Relation) -> Relation:
        """Return the name that a relation has in this database."""
        return relation

    def prepare(self, cursor: Any, relation: Relation) -> None:
        """Make ready for building a relation: alone, and in a schema that is there."""
        if relation.schema and self.has_schemas:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {self.quote_name(relation.schema)}")

    def kind_of(self, cursor: Any, relation: Relation) -> RelationKind | None:
        """Return what stands under a name, None if there is nothing."""
        schema = literal(relation.schema) if relation.schema else self.current_schema
        cursor.execute(
            "SELECT table_type FROM information_schema.tables "
            f"WHERE table_name = {literal(relation.name)} AND table_schema = {schema}"
        )
        row = first_row(cursor)
        if row is None:
            return None
        return RelationKind.VIEW if "VIEW" in str(row[0]).upper() else RelationKind.TABLE

    def columns_of(self, cursor: Any, relation: Relation) -> list[str]:
        """Return the names of a relation's columns, in order."""
        cursor.execute(f"SELECT * FROM {self.quote(relation)} WHERE 1 = 0")
        columns = [str(column[0]) for column in cursor.description]
        cursor.fetchall()
        return columns

    def count(self, cursor: Any, relation: Relation) -> int:
        """Return the number of a relation's rows."""
        cursor.execute(f"SELECT count(*) FROM {self.quote(relation)}")
        return count_of(cursor)

    def create_table(self, cursor: Any, relation: Relation, query: str) -> None:
        """Make a table of what a query finds."""
        self.execute_with(cursor, f"CREATE TABLE {self.quote(relation)} AS", query)

    def create_temporary(self, cursor: Any, relation: Relation, query: str) -> None:
        """Make a table of what a query finds that nobody else sees, and that does not last."""
        self.execute_with(cursor, f"CREATE TEMPORARY TABLE {self.quote(relation)} AS", query)

    def drop(self, cursor: Any, relation: Relation, kind: RelationKind) -> None:
        """Drop a table or a view."""
        cursor.execute(f"DROP {kind.value.upper()} {self.quote(relation)}")

    def rename(self, cursor: Any, relation: Relation, name: str) -> None:
        """Give a table another name in its schema."""
        cursor.execute(f"ALTER TABLE {self.quote(relation)} RENAME TO {self.quote_name(name)}")

    def replace_table(
        self,
        cursor: Any,
        relation: Relation,
        query: str,
        existing: RelationKind | None,
        *,
        drops_dependents: bool = False,
    ) -> None:
        """Make a table of what a query finds in the place of what is there.

        Args:
            cursor: In a transaction.
            relation: The table.
            query: It may read what it replaces.
            existing: What is there.
            drops_dependents: Whether views that read it and do not fit any more are dropped.
        """
        aside = aside_of(relation)
        # Of an attempt that was killed, where tables are made outside of transactions.
        if (left := self.kind_of(cursor, aside)) is not None:
            self.drop(cursor, aside, left)
        self.create_table(cursor, aside, query)
        if existing is not None:
            self.drop(cursor, relation, existing)
        self.rename(cursor, aside, relation.name)

    def replace_view(
        self,
        cursor: Any,
        relation: Relation,
        query: str,
        existing: RelationKind | None,
        *,
        drops_dependents: bool = False,
    ) -> None:
        """Make a view of a query in the place of what is there; see ``replace_table``."""
        if existing is not None:
            self.drop(cursor, relation, existing)
        self.execute_with(cursor, f"CREATE VIEW {self.quote(relation)} AS", query)

    def column_type(self, kind: type) -> str:
        """Return the type of a column that holds values of a type of Python."""
        return _COLUMN_TYPES.get(kind, "TEXT")

    def insert(
        self,
        cursor: Any,
        relation: Relation,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Add rows to a table."""
        names = ", ".join(map(self.quote_name, columns))
        marks = ", ".join([self.placeholder] * len(columns))
        statement = f"INSERT INTO {self.quote(relation)} ({names}) VALUES ({marks})"
        for start in range(0, len(rows), BATCH_ROWS):
            cursor.executemany(statement, rows[start : start + BATCH_ROWS])

    def query_of(self, cursor: Any, source: Any) -> str:
        """Return a query for the rows of a data frame or of a file, where it ``reads_frames``."""
        raise NotImplementedError(f"{type(self).__name__} reads no {type(source).__name__}")

    def execute_with(self, cursor: Any, head: str, query: str) -> None:
        """Execute a query behind what is done with it.

        Raises:
            QueryError: With the position in the query, where the database says it.
        """
        statement = f"{head}\n{query}"
        try:
            cursor.execute(statement)
        except Exception as error:  # a driver's; they share no class of their own
            raise self.error_of(error, statement, query) from error

    def execute_query(self, cursor: Any, query: str) -> None:
        """Execute a statement of the user's as it is.

        Raises:
            QueryError: With the position in it, where the database says it.
        """
        try:
            cursor.execute(query)
        except Exception as error:  # as above
            raise self.error_of(error, query, query) from error

    def error_of(self, error: Exception, statement: str, query: str) -> QueryError:
        """Return what a driver raised as one line, with the position in the query."""
        position = self.position_of(error, statement)
        head = len(statement) - len(query)
        inside = position is not None and position >= head
        message = self.message_of(error)
        return QueryError(message, position - head if inside and position is not None else None)

    def message_of(self, error: Exception) -> str:
        """Return what a driver says in one line, without a drawing of where it is."""
        return " ".join(str(error).split()) or type(error).__name__

    def position_of(self, error: Exception, statement: str) -> int | None:
        """Return where in a statement a driver saw an error, None if it does not say.

        Where only a word is quoted it is looked for, and taken if it stands there once.
        """
        found = _QUOTED.search(str(error))
        if found is None:
            return None
        word = next(group for group in found.groups() if group).strip("'\"")
        places = [place.start() for place in re.finditer(re.escape(word), statement)]
        return places[0] if len(places) == 1 else None


def aside_of(relation: Relation) -> Relation:
    """Return the name under which a table is built before it replaces another."""
    name = relation.name
    if len(name) > KEPT_LENGTH:
        name = f"{name[:KEPT_LENGTH]}{crc32(name.encode()):08x}"
    return relation._replace(name=name + ASIDE)


def first_row(cursor: Any) -> tuple[Any, ...] | None:
    """Return the first row of a query of few, None if it has none; nothing is left to fetch."""
    rows = cursor.fetchall()
    return tuple(rows[0]) if rows else None


def count_of(cursor: Any) -> int:
    """Return the number that a query found."""
    row = first_row(cursor)
    return int(row[0]) if row else 0


def literal(value: object) -> str:
    """Return a number, or anything else as text, as statements have it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"

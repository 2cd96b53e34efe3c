"""This module is the hook for PostgreSQL databases."""

from collections.abc import Sequence
from typing import Any

from ostinato.authoring.hooks import SqlHook, missing_package
from ostinato.authoring.sql_dialects import (
    Relation,
    RelationKind,
    SqlDialect,
    aside_of,
    first_row,
    literal,
)
from ostinato.errors import ColumnsChanged, ExecutionError

#: Seconds after which a server that does not answer is given up, unless ``extra`` says otherwise.
CONNECT_TIMEOUT_S = 10

#: Keys of ``extra`` that are not parameters of libpq.
_OWN_KEYS = frozenset({"cursor"})

#: What ``pg_class`` calls the kinds of relations: tables are plain, partitioned or foreign.
_KINDS = {
    "r": RelationKind.TABLE,
    "p": RelationKind.TABLE,
    "f": RelationKind.TABLE,
    "v": RelationKind.VIEW,
    "m": RelationKind.MATERIALIZED_VIEW,
}

#: Views that read a relation, by their names.
_DEPENDENTS = """
SELECT DISTINCT reader.oid::regclass::text
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = pg_depend.objid
JOIN pg_class reader ON reader.oid = pg_rewrite.ev_class
WHERE pg_depend.classid = 'pg_rewrite'::regclass
  AND pg_depend.refobjid = {relation}::regclass
  AND reader.oid <> pg_depend.refobjid
ORDER BY 1
"""

_TYPED_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = {relation}::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
"""


class PostgresDialect(SqlDialect):
    """Make tables as PostgreSQL does; views that read a replaced table are kept."""

    name = "postgres"
    placeholder = "%s"

    def prepare(self, cursor: Any, relation: Relation) -> None:
        """Make ready for building a relation: alone until the transaction ends."""
        self._lock(cursor, f"relation {relation}")
        if not relation.schema:
            return
        cursor.execute(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(relation.schema)}")
        if first_row(cursor) is None:
            # Two that make it at once would be refused, IF NOT EXISTS or not.
            self._lock(cursor, f"schema {relation.schema}")
            super().prepare(cursor, relation)

    def kind_of(self, cursor: Any, relation: Relation) -> RelationKind | None:
        """Return what stands under a name, None if there is nothing."""
        schema = literal(relation.schema) if relation.schema else self.current_schema
        cursor.execute(
            "SELECT relkind FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            f"WHERE relname = {literal(relation.name)} AND nspname = {schema}"
        )
        row = first_row(cursor)
        return None if row is None else _KINDS.get(_char(row[0]))

    def create_temporary(self, cursor: Any, relation: Relation, query: str) -> None:
        """Make a table of what a query finds that ends with the transaction."""
        head = f"CREATE TEMPORARY TABLE {self.quote(relation)} ON COMMIT DROP AS"
        self.execute_with(cursor, head, query)

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

        Raises:
            ColumnsChanged: Views read it and do not fit what comes.
        """
        readers = self._readers(cursor, relation) if existing else []
        if existing is None or not readers:
            super().replace_table(cursor, relation, query, existing)
            return
        aside = aside_of(relation)
        self.create_table(cursor, aside, query)
        columns = self._typed_columns(cursor, aside)
        is_same = existing is RelationKind.TABLE and columns == self._typed_columns(
            cursor, relation
        )
        if is_same:
            # Other than TRUNCATE, it leaves the old rows to those who are reading them.
            names = ", ".join(self.quote_name(name) for name, _ in columns)
            cursor.execute(f"DELETE FROM {self.quote(relation)}")
            cursor.execute(
                f"INSERT INTO {self.quote(relation)} ({names}) "
                f"SELECT {names} FROM {self.quote(aside)}"
            )
            self.drop(cursor, aside, RelationKind.TABLE)
        elif drops_dependents:
            self._drop_with_readers(cursor, relation, existing)
            self.rename(cursor, aside, relation.name)
        else:
            raise _in_the_way(relation, readers)

    def replace_view(
        self,
        cursor: Any,
        relation: Relation,
        query: str,
        existing: RelationKind | None,
        *,
        drops_dependents: bool = False,
    ) -> None:
        """Make a view of a query in the place of what is there.

        Raises:
            ColumnsChanged: Other views read a table that it would replace.
        """
        readers = self._readers(cursor, relation) if existing else []
        if existing is not None and readers and drops_dependents:
            self._drop_with_readers(cursor, relation, existing)
            existing = None
        if existing is None or not readers:
            super().replace_view(cursor, relation, query, existing)
        elif existing is RelationKind.VIEW:
            head = f"CREATE OR REPLACE VIEW {self.quote(relation)} AS"
            self.execute_with(cursor, head, query)
        else:
            raise _in_the_way(relation, readers)

    def insert(
        self,
        cursor: Any,
        relation: Relation,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Add rows to a table, by COPY where the driver has it."""
        if not hasattr(cursor, "copy"):
            super().insert(cursor, relation, columns, rows)
            return
        names = ", ".join(map(self.quote_name, columns))
        with cursor.copy(f"COPY {self.quote(relation)} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def message_of(self, error: Exception) -> str:
        """Return what PostgreSQL says in one line, with its hint."""
        diagnosis = getattr(error, "diag", None)
        said = (getattr(diagnosis, name, None) for name in _SAID)
        text = "; ".join(part for part in said if part)
        return " ".join(text.split()) or super().message_of(error)

    def position_of(self, error: Exception, statement: str) -> int | None:
        """Return where in a statement PostgreSQL saw an error."""
        position = getattr(getattr(error, "diag", None), "statement_position", None)
        return int(position) - 1 if position else None

    def _lock(self, cursor: Any, what: str) -> None:
        cursor.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({literal(what)}, 0))")

    def _readers(self, cursor: Any, relation: Relation) -> list[str]:
        cursor.execute(_DEPENDENTS.format(relation=literal(self.quote(relation))))
        return [str(row[0]) for row in cursor.fetchall()]

    def _typed_columns(self, cursor: Any, relation: Relation) -> list[tuple[str, str]]:
        cursor.execute(_TYPED_COLUMNS.format(relation=literal(self.quote(relation))))
        return [(str(name), str(kind)) for name, kind in cursor.fetchall()]

    def _drop_with_readers(self, cursor: Any, relation: Relation, kind: RelationKind) -> None:
        cursor.execute(f"DROP {kind.value.upper()} {self.quote(relation)} CASCADE")


#: Parts of what PostgreSQL says.
_SAID = ("message_primary", "message_detail", "message_hint")


def _char(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _in_the_way(relation: Relation, readers: list[str]) -> ColumnsChanged:
    message = f"{relation} changes its columns or kind, and {', '.join(readers)} read it"
    if len(readers) == 1:
        message = f"{relation} changes its columns or kind, and the view {readers[0]} reads it"
    return ColumnsChanged(message, hint="a full refresh drops what reads it")


class PostgresHook(SqlHook):
    """Speak to a PostgreSQL database.

    The connection's schema is the database; ``extra`` holds parameters of libpq, such as
    ``sslmode`` or ``options``. A host that begins with a slash is a folder of sockets.
    """

    @property
    def dialect(self) -> SqlDialect:
        """How PostgreSQL makes tables and views."""
        return PostgresDialect()

    def open(self) -> Any:
        """Connect.

        Raises:
            MissingPackage: The driver is not installed.
            ExecutionError: The server is not there, or refuses.
        """
        try:
            # 60 ms and optional.
            import psycopg  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package(
                "psycopg", "ostinato[postgres]", "a PostgreSQL connection"
            ) from None
        try:
            return psycopg.connect(**self._parameters())
        except psycopg.OperationalError as err:
            # The driver explains itself over several lines.
            why = "; ".join(line.strip() for line in str(err).splitlines() if line.strip())
            name = self.connection.conn_id or "to PostgreSQL"
            message = f"connection {name!r} cannot be opened: {why}"
            raise ExecutionError(message, hint="ostinato connections test tries it") from err

    def test(self) -> str:
        """Connect and ask for version and user."""
        found = self.get_first("SELECT current_setting('server_version'), current_user")
        assert found is not None, "a SELECT without FROM returns a row"
        return f"PostgreSQL {found[0]}, as {found[1]}"

    def _parameters(self) -> dict[str, Any]:
        connection = self.connection
        given: dict[str, Any] = {
            "host": connection.host,
            "port": connection.port,
            "user": connection.login,
            "password": connection.password,
            "dbname": connection.schema,
        }
        parameters: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
        parameters |= {name: value for name, value in given.items() if value}
        extra = connection.extra
        return parameters | {name: extra[name] for name in extra if name not in _OWN_KEYS}

"""This module holds the operator that makes a table or a view of a query."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from ostinato.authoring.hooks import SqlHook, fetch_all
from ostinato.authoring.materializations import (
    Made,
    Materialized,
    Target,
    is_incremental,
    is_true,
    materialize,
    wants_full_refresh,
)
from ostinato.authoring.operators.connecting import check_conn_id, hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.sql import check_sql
from ostinato.authoring.places import relative_place
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.query_templates import (
    NamesBefore,
    QueryNames,
    QueryTemplate,
    placing_errors,
)
from ostinato.authoring.references import Reference
from ostinato.authoring.sql_dialects import Relation, SqlDialect
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import FlowTemplates, is_template
from ostinato.errors import Place, UsageError

_NO_SQL = "speaks no SQL"


class SqlModelOperator(Operator):
    """Make a table or a view of a query, in one transaction.

    The query is a template that can use, beside what all templates can: ``ref("orders")`` for
    the table of another task, ``source("shop", "orders")`` for one that no task makes,
    ``this`` for its own table, and ``is_incremental()``.

    A table is built aside and takes the place of the one before in the end, so whoever reads
    sees the one or the other. ``incremental`` adds the rows of the query to the table, in the
    place of those with the same ``unique_key`` or the same value of ``partition``; the first
    run, and a full refresh, make the table anew. ``none`` only executes.

    Statements before the query, separated by semicolons, are executed first.

    Args:
        task_id: Unique in its group.
        sql: The query; or the name of a file that ends in ``.sql``.
        conn_id: Connection of a database, or a URI such as ``duckdb:///data/shop.duckdb``.
        table: Name of what is made, such as ``marts.revenue``; the task's id by default.
        materialized: ``table``, ``view``, ``incremental`` or ``none``.
        unique_key: Column, or columns, that tell rows of an incremental table apart.
        partition: Column by which rows of an incremental table are replaced.
        partition_value: The only value of it in a run, such as ``"{{ ds }}"``: its rows are
            replaced even if the query finds none. By default all values that the query finds.
        full_refresh: Whether to make an incremental table anew; may be a template. The run's
            parameter ``full_refresh``, where there is one, says so too.
        query_names: What names in the query mean; by default ``ref`` may name such operators of
            the flow, and ``source`` anything.
        policies: How it is run, see ``Policies``.

    Example:
        ``SqlModelOperator(task_id="daily", conn_id="shop", sql="SELECT day, sum(n) FROM sales")``
    """

    operator_name = "sql_model"
    template_fields = (
        "sql", "conn_id", "table", "partition_value", "full_refresh",
    )  # fmt: skip
    template_ext: Sequence[str] = (".sql",)
    late_fields = frozenset({"sql"})
    internal_arguments = frozenset({"query_names"})

    def __init__(
        self,
        task_id: str,
        *,
        sql: str | Reference,
        conn_id: str | Reference,
        table: str = "",
        materialized: str = "table",
        unique_key: str | Sequence[str] = (),
        partition: str = "",
        partition_value: Any = None,
        full_refresh: bool | str = False,
        query_names: QueryNames | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        self.sql: Any = sql
        self.conn_id: Any = conn_id
        self.table = table or task_id
        self.materialized = materialized
        self.unique_key = (unique_key,) if isinstance(unique_key, str) else tuple(unique_key)
        self.partition = partition
        self.partition_value = partition_value
        self.full_refresh = full_refresh
        self.query_names = query_names
        super().__init__(task_id, **policies)
        check_conn_id(self, conn_id)
        check_sql(self, sql)
        self._check_target()

    def rendered_arguments(self) -> tuple[str, ...]:
        """Return what is rendered before ``execute``, which renders the query itself."""
        return tuple(name for name in self.template_fields if name not in self.late_fields)

    def execute(self, context: Context) -> Any:
        """Make the table or the view.

        Args:
            context: Of the attempt.

        Returns:
            The rows of the last statement where nothing is made; else ``table``,
            ``materialized``, the number of ``rows`` and whether it ``is_incremental``.

        Raises:
            QueryError: The database refuses it.
            UsageError: The connection leads to no database, or there is no query.
        """
        hook: SqlHook = hook_of(context, self.conn_id, SqlHook, _NO_SQL)
        target = self._target()
        refreshes = self._refreshes(context)
        with hook.transaction() as cursor:
            return self._execute(context, hook, cursor, target, refreshes=refreshes)

    @property
    def query(self) -> QueryTemplate:
        """The template of the query."""
        text, place = self._source()
        names = self.query_names
        refs = names.refs if names else _tables_in(self.graph)
        sources = names.sources if names else None
        return QueryTemplate(text, place, self.node_id, self.place, str(self.table), refs, sources)

    @property
    def renames(self) -> Mapping[str, str]:
        """Other names for tables, by the names under which the query has them."""
        return self.query_names.renames if self.query_names else {}

    def _execute(
        self, context: Context, hook: SqlHook, cursor: Any, target: Target, *, refreshes: bool
    ) -> Any:
        dialect = hook.dialect
        existing = None
        if target.materialized is not Materialized.NONE:
            target = target._replace(relation=dialect.placed(cursor, target.relation))
            dialect.prepare(cursor, target.relation)
            existing = dialect.kind_of(cursor, target.relation)
        adds = is_incremental(target, existing, is_full_refresh=refreshes)

        def placed(relation: Relation) -> str:
            return dialect.quote(dialect.placed(cursor, relation))

        template = self.query
        # Of a mapped task, the attempt's own values.
        names = NamesBefore({"task": self}, context)
        rendered = template.render(self._templates(), names, is_incremental=adds, quoted=placed)
        text = self._renamed(rendered.text, dialect, cursor)
        statements = hook.split(text)
        if not statements:
            raise UsageError(f"{self.node_id!r}: there is no statement to execute")
        *before, last = statements
        for statement in before:
            with placing_errors(template.place, rendered, text, statement):
                dialect.execute_query(cursor, statement)
        with placing_errors(template.place, rendered, text, last):
            if target.materialized is Materialized.NONE:
                dialect.execute_query(cursor, last)
                return fetch_all(cursor)
            query = last.rstrip().rstrip(";")
            made = materialize(dialect, cursor, target, query, existing, is_full_refresh=refreshes)
        return self._say(context, target, made)

    def _say(self, context: Context, target: Target, made: Made) -> dict[str, Any]:
        if made.rows is None:
            context.logger.info("made the view %s", target.relation)
        else:
            verb = "added to" if made.is_incremental else "made"
            context.logger.info("%s the table %s: %d rows", verb, target.relation, made.rows)
        return {
            "table": str(target.relation),
            "materialized": target.materialized.value,
            "rows": made.rows,
            "is_incremental": made.is_incremental,
        }

    def _target(self) -> Target:
        return Target(
            Relation.parse(self.table),
            Materialized(self.materialized),
            self.unique_key,
            self.partition,
            self.partition_value,
        )

    def _refreshes(self, context: Context) -> bool:
        return is_true(self.full_refresh) or wants_full_refresh(context.params)

    def _renamed(self, text: str, dialect: SqlDialect, cursor: Any) -> str:
        """Return the query with the names that tables have in this database."""
        names: dict[str, str] = {}
        perhaps = self.query_names.perhaps if self.query_names else frozenset()
        for name, other in self.renames.items():
            there = dialect.placed(cursor, Relation.parse(other))
            schema, _, last = name.rpartition(".")
            written = Relation(last, schema)
            if dialect.quote(there) == dialect.quote(written):
                continue
            if name in perhaps and (
                dialect.kind_of(cursor, written) or not dialect.kind_of(cursor, there)
            ):
                continue
            names[name.lower()] = dialect.quote(there)
        if not names:
            return text
        # The parser is heavy, and most queries call tables what they are called.
        from ostinato.authoring.sql_queries import (  # noqa: PLC0415 - see above
            read_script,
            replace_tables,
        )

        uses = read_script(text, dialect.name or None).reads
        return replace_tables(text, uses, lambda name: names.get(name.lower(), ""))

    def _source(self) -> tuple[str, Place]:
        """Return the text of the query, and where it stands."""
        text = str(self.sql)
        if "\n" in text or not text.endswith(tuple(self.template_ext)):
            return text, self.query_names.place if self.query_names else Place("")
        path = self._templates().find(text)
        if path is None:
            raise UsageError(f"{self.node_id!r}: there is no file {text!r}")
        return path.read_text(encoding="utf-8"), relative_place(Place(str(path), 1))

    def _templates(self) -> FlowTemplates:
        found = getattr(self.graph, "templates", None)
        return found if isinstance(found, FlowTemplates) else FlowTemplates()

    def _check_target(self) -> None:
        kinds = [kind.value for kind in Materialized]
        if self.materialized not in kinds:
            hint = did_you_mean(str(self.materialized), kinds) or f"one of {', '.join(kinds)}"
            raise self.refusal(f"materialized is {self.materialized!r}", hint=hint)
        if not is_template(self.table):
            try:
                Relation.parse(self.table)
            except UsageError as err:
                raise self.refusal(f"table: {err.message}", hint=err.hint) from None
        names: tuple[object, ...] = self.unique_key
        for name in names:
            if not isinstance(name, str) or not name:
                raise self.refusal(f"unique_key holds {name!r}, no name of a column")
        is_keyed = bool(self.unique_key or self.partition)
        if self.materialized != Materialized.INCREMENTAL:
            if is_keyed:
                what = "unique_key" if self.unique_key else "partition"
                raise self.refusal(
                    f"{what} is for incremental tables, and this is {self.materialized!r}",
                    hint="materialized: incremental",
                )
        elif not is_keyed:
            raise self.refusal(
                "an incremental table needs a unique_key or a partition",
                hint="else rows would stand there twice after a retry",
            )
        elif self.unique_key and self.partition:
            raise self.refusal("rows are replaced by unique_key or by partition, not by both")
        if self.partition_value is not None and not self.partition:
            raise self.refusal("partition_value has no partition")


def _tables_in(graph: Any) -> dict[str, str]:
    operators: Mapping[str, Operator] = getattr(graph, "operators", {})
    found: dict[str, str] = {}
    for task_id, operator in operators.items():
        if isinstance(operator, SqlModelOperator):
            for name in (operator.label, operator.table, task_id):
                found[name] = operator.table
    return found

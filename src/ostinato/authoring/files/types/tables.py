"""This module knows which task of a folder makes which table, and what else a query may name."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ostinato.authoring import session
from ostinato.authoring.files.spec import Position
from ostinato.authoring.files.sql.nearness import Nearness
from ostinato.authoring.files.sql.queries import Query, QueryReader
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.files.wiring.levels import Level
from ostinato.authoring.files.wiring.plan import Implied

#: Suffixes of files that make a table, if they name no operator.
TABLE_SUFFIXES = frozenset({".sql", ".csv", ".parquet"})

#: Suffixes of files that may make one: what a function returns may be a frame.
FRAME_SUFFIXES = frozenset({".py"})

#: Types of connections by what sqlglot calls their dialects, where the names differ.
_DIALECTS = {"postgresql": "postgres", "mssql": "tsql", "sqlserver": "tsql", "mariadb": "mysql"}
_KNOWN_DIALECTS = frozenset(
    {
        "bigquery", "clickhouse", "databricks", "duckdb", "mysql", "oracle", "postgres",
        "redshift", "snowflake", "spark", "sqlite", "trino", "tsql",
    }
)  # fmt: skip


class Maker(NamedTuple):
    """A task that a query may name.

    Attributes:
        task_id: In the flow.
        spec: Of the task.
        key: Of what it makes: folders and task, joined by slashes; or as ``asset`` says.
        table: Name of the table; of a task that makes none, what it would be.
        makes_table: Whether it surely makes that table.
        query: What its query says, None for other tasks.
    """

    task_id: str
    spec: TaskSpec
    key: str
    table: str
    makes_table: bool
    query: Query | None = None

    @property
    def shown(self) -> str:
        """Path of its file."""
        return self.spec.keys.file


class Found(NamedTuple):
    """What a name means.

    Attributes:
        maker: The task, None if it is a table that no task makes.
        table: Name of the table in its database.
        is_declared: Whether ``sources`` or a task names it.
    """

    maker: Maker | None
    table: str
    is_declared: bool = True


class Reads(NamedTuple):
    """What a query reads.

    Attributes:
        implied: Tasks that it waits for.
        renames: Names of tables in their database, by those that the query has for them.
        keys: Keys of assets and names of tables, by the names that the query has for them.
        external: Tables that no task makes.
        perhaps: Those of ``renames`` whose task may make a table or not.
    """

    implied: tuple[Implied, ...]
    renames: Mapping[str, str]
    keys: Mapping[str, str]
    external: tuple[str, ...]
    perhaps: frozenset[str] = frozenset()


class Tables:
    """The tables of a flow.

    Args:
        levels: With their specs.
        reader: Reads queries.
        parameters: Defaults of the flow's parameters.

    Attributes:
        makers: By task id.
        reads: What the query of each task reads, by task id, once its plan is made.
    """

    def __init__(
        self, levels: Sequence[Level], reader: QueryReader, parameters: Mapping[str, Any]
    ) -> None:
        self.makers: dict[str, Maker] = {}
        self.reads: dict[str, Reads] = {}
        self._by_spec: dict[int, Maker] = {}
        self._by_key: dict[str, Maker] = {}
        self._by_name: dict[str, list[Maker]] = {}
        self._by_label: dict[str, list[Maker]] = {}
        self._sources: dict[int, dict[str, str]] = {}
        self._levels: dict[str, Level] = {}
        self._inherited: dict[str, Mapping[str, Any]] = {}
        self._broken: set[str] = set()
        self._nearness = Nearness()
        for level in levels:
            self._broken.update(file.task_id for file in level.folder.broken)
            self._sources[id(level)] = _sources_of(level)
            inherited = level.inherited()
            for spec in level.specs:
                self._add(level, spec, inherited, reader, parameters)

    def maker(self, spec: TaskSpec) -> Maker:
        """Return what is known of a task by its spec."""
        return self._by_spec[id(spec)]

    def inherited(self, maker: Maker) -> Mapping[str, Any]:
        """Return what METADATA around the file of a task says."""
        return self._inherited[maker.task_id]

    def sources(self, maker: Maker) -> dict[str, str]:
        """Return the tables that a task may name as ``source``, by their names."""
        level = self._levels[maker.task_id]
        found: dict[str, str] = {}
        for one in reversed(list(level.around())):
            found.update(self._sources[id(one)])
        return found

    @cached_property
    def refs(self) -> Mapping[str, str]:
        """The tables of all tasks, by the names that ``ref`` may call them."""
        return _Refs(
            {
                name: makers[0].table
                for names in (self._by_label, self._by_name)
                for name, makers in names.items()
                if len(makers) == 1
            }
        )

    def made(self, key: str) -> Maker | None:
        """Return the task that makes an asset, None if none does."""
        return self._by_key.get(key)

    def ref(self, name: str) -> list[Maker]:
        """Return the tasks that ``ref(name)`` may mean; one, if all is well."""
        folded = name.lower()
        return self._by_name.get(folded) or self._by_label.get(folded) or []

    def find(self, name: str, maker: Maker) -> Found:
        """Return what a table is that a task's query names plainly.

        Args:
            name: As it is written, less quotes.
            maker: Whose query it is.
        """
        folded = name.lower()
        sources = {known.lower(): table for known, table in self.sources(maker).items()}
        if folded in sources:
            owner = self._by_name.get(sources[folded].lower())
            return Found(owner[0] if owner else None, sources[folded])
        # The catalogue before schema and table is that of the connection.
        short = ".".join(folded.split(".")[-2:])
        for wanted in dict.fromkeys((folded, short)):
            makers = self._by_name.get(wanted)
            if makers:
                return Found(makers[0], makers[0].table)
        others = [one for one in self._by_label.get(folded, ()) if one is not maker]
        if "." not in folded and len(others) == 1:
            return Found(others[0], others[0].table)
        return Found(None, name, is_declared=False)

    def near(self, name: str, maker: Maker) -> str:
        """Return ``did you mean raw.orders (raw/orders.sql)?`` for the nearest name, or nothing."""
        known = {one.table: one for one in self.makers.values() if one is not maker}
        nearest = self._nearness.nearest(name, [*known, *self.sources(maker)])
        if not nearest:
            return ""
        owner = known.get(nearest)
        where = f" ({owner.shown})" if owner else ""
        return f"did you mean {nearest}{where}?"

    def is_broken(self, name: str) -> bool:
        """Whether a file of that name is there of which no task can be made, as is told."""
        return name.lower().rpartition("/")[2].rpartition(".")[2] in self._broken

    def near_ref(self, name: str) -> str:
        """Return ``did you mean 'orders'?`` for the nearest name that ``ref`` knows."""
        names = [*self._by_label, *self._by_name]
        nearest = difflib.get_close_matches(name.lower(), names, n=1)
        return f"did you mean {nearest[0]!r}?" if nearest else ""

    def twice(self) -> Iterator[tuple[Maker, Maker]]:
        """Yield pairs of tasks that surely make one and the same table."""
        first: dict[tuple[str, str], Maker] = {}
        for maker in self.makers.values():
            if maker.makes_table:
                connection = connection_of(maker.spec, self.inherited(maker))
                place = (str(connection or ""), maker.table.lower())
                other = first.setdefault(place, maker)
                if other is not maker:
                    yield other, maker

    def _add(
        self,
        level: Level,
        spec: TaskSpec,
        inherited: Mapping[str, Any],
        reader: QueryReader,
        parameters: Mapping[str, Any],
    ) -> None:
        task_id = level.group.child_id(level.named(spec.task_id))
        if task_id in self.makers:
            return
        folders = [one.name for one in level.around() if one.parent is not None][::-1]
        default = [*folders[-1:], spec.task_id]
        said = spec.values.get("asset")
        key = str(said).replace(".", "/") if said else "/".join([*folders, spec.task_id])
        table = spec.values.get("table") or (
            ".".join(key.split("/")[-2:]) if said else ".".join(default)
        )
        suffix = spec.file.suffix.lower() if spec.file is not None else ""
        names_none = spec.values.get("operator") is None
        query = None
        makes_table = names_none and suffix in TABLE_SUFFIXES
        if makes_table and suffix == ".sql" and spec.file is not None:
            query = reader.read(
                spec.file.body,
                line=spec.file.body_line,
                dialect=dialect_of(connection_of(spec, inherited)),
                this=str(table).rpartition(".")[2],
                parameters={**parameters, **_mapping(inherited.get("params"))},
            )
            makes_table = query.gives_rows and spec.values.get("materialized") != "none"
        may_frame = names_none and suffix in FRAME_SUFFIXES
        maker = Maker(task_id, spec, key, str(table), makes_table, query)
        self.makers[task_id] = self._by_spec[id(spec)] = maker
        self._by_key.setdefault(key, maker)
        self._levels[task_id] = level
        self._inherited[task_id] = inherited
        names = {task_id.lower(), key.lower(), key.replace("/", ".").lower()}
        if makes_table or may_frame or said:
            names.add(str(table).lower())
        names |= {name.lower() for name in (query.writes if query else ())}
        names.discard(spec.task_id.lower()) if folders and not said else None
        for name in names:
            self._by_name.setdefault(name, []).append(maker)
        self._by_label.setdefault(spec.task_id.lower(), []).append(maker)


class _Refs(Mapping[str, str]):
    """Tables by names in upper or lower case."""

    def __init__(self, tables: Mapping[str, str]) -> None:
        self._tables = tables

    def __getitem__(self, name: str) -> str:
        return self._tables[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def connection_of(spec: TaskSpec, inherited: Mapping[str, Any]) -> Any:
    """Return the connection of a task: its own, or that of the folders around it."""
    for values in (spec.values, inherited, _mapping(inherited.get("default_args"))):
        for name in ("connection", "conn_id"):
            if values.get(name):
                return values[name]
    return None


def dialect_of(connection: object) -> str | None:
    """Return how sqlglot calls the dialect of a connection, None if its type cannot be seen."""
    if not isinstance(connection, str):
        return None
    scheme, is_uri, _ = connection.partition("://")
    known = session.connection_types.get() or {}
    kind = (
        scheme if is_uri else known.get(connection) or known.get(connection.lower(), "")
    ).lower()
    kind = _DIALECTS.get(kind, kind)
    return kind if kind in _KNOWN_DIALECTS else None


def position_of(maker: Maker, line: int, column: int) -> Position:
    """Return a place in the file of a task."""
    return Position(maker.shown, line, column)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sources_of(level: Level) -> dict[str, str]:
    """Return what ``sources`` of one METADATA declares: tables by their names."""
    said = level.keys.get("sources")
    found: dict[str, str] = {}
    if isinstance(said, str):
        return {said: said}
    if isinstance(said, Sequence):
        return {str(name): str(name) for name in said}
    for name, value in _mapping(said).items():
        found.update(_source(str(name), value))
    return found


def _source(name: str, value: Any) -> dict[str, str]:
    """Return what one item of ``sources`` declares.

    It is a table, with the name that the database has for it or what is known of it; or a schema
    with its tables, which may have another name there.
    """
    if isinstance(value, str):
        return {name: value}
    schema = name
    tables: Any = value
    if isinstance(value, Mapping):
        if "tables" not in value:
            return {name: str(value.get("table") or name)}
        schema, tables = str(value.get("schema") or name), value["tables"]
    if isinstance(tables, Mapping):
        return {
            f"{name}.{table}": f"{schema}.{_mapping(about).get('table') or table}"
            for table, about in tables.items()
        }
    if isinstance(tables, Sequence):
        return {f"{name}.{table}": f"{schema}.{table}" for table in tables}
    return {name: name}

"""This module finds out which columns the columns of a query are computed from.

What cannot be told is left out: a column of one of two tables of which nothing is known, what a
function over a whole row gives. Nothing here asks a database.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.authoring.sql_queries import table_name

#: A table, as its name is written, and one of its columns.
Origin = tuple[str, str]

_NOTHING: frozenset[Origin] = frozenset()


class Outputs(NamedTuple):
    """What a query gives.

    Attributes:
        columns: Name of each column, empty if it has none of its own, with what it comes from.
        is_complete: Whether these are all; else a ``*`` stands for ones that are not known.
    """

    columns: tuple[tuple[str, frozenset[Origin]], ...] = ()
    is_complete: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns if all are known, else nothing."""
        named = tuple(name for name, _ in self.columns)
        return named if self.is_complete and all(named) else ()


class _Source(NamedTuple):
    """What stands in a FROM: known columns, or a table that may have any.

    Attributes:
        outputs: What is known.
        table: Name of the table that other columns belong to, empty if it is none.
    """

    outputs: Outputs
    table: str = ""

    def find(self, column: str) -> frozenset[Origin] | None:
        """Return what a column comes from, None if there is no such column."""
        folded = column.lower()
        for name, origins in self.outputs.columns:
            if name.lower() == folded:
                return origins
        if self.outputs.is_complete:
            return None
        return frozenset({(self.table, column)}) if self.table else None


_Sources = Mapping[str, _Source]


def outputs_of(query: Any, columns_of: Callable[[str], Sequence[str] | None]) -> Outputs:
    """Return the columns of a query and what they are computed from.

    Args:
        query: Its syntax tree.
        columns_of: Returns the columns of a table by its name, None if they are not known.
    """
    return _Reader(columns_of).outputs(query, {}, ())


class _Reader:
    def __init__(self, columns_of: Callable[[str], Sequence[str] | None]) -> None:
        from sqlglot import exp  # noqa: PLC0415 - heavy, and only needed where SQL is read

        self._exp = exp
        self._columns_of = columns_of

    def outputs(
        self, query: Any, named: Mapping[str, Outputs], outer: tuple[_Sources, ...]
    ) -> Outputs:
        """Return what a query gives.

        Args:
            query: Its syntax tree.
            named: The queries of each ``WITH`` around it.
            outer: What the queries around it select from.
        """
        exp = self._exp
        named = self._with(query, named, outer)
        if isinstance(query, exp.Subquery):
            return self.outputs(query.this, named, outer)
        if isinstance(query, exp.SetOperation):
            left = self.outputs(query.left, named, outer)
            return _united(left, self.outputs(query.right, named, outer))
        if isinstance(query, exp.Select):
            return self._select(query, named, outer)
        if isinstance(query, exp.Table):
            return self._table(query, named).outputs
        return Outputs(is_complete=False)

    def _with(
        self, query: Any, named: Mapping[str, Outputs], outer: tuple[_Sources, ...]
    ) -> Mapping[str, Outputs]:
        clause = query.args.get("with_") or query.args.get("with")
        if clause is None:
            return named
        found = dict(named)
        for item in clause.expressions:
            inner = item.this
            if clause.args.get("recursive") and isinstance(inner, self._exp.SetOperation):
                # Its first part says what it gives; the second reads that.
                found[item.alias.lower()] = self.outputs(inner.left, found, outer)
            outputs = self.outputs(inner, found, outer)
            found[item.alias.lower()] = _renamed(outputs, item.args.get("alias"))
        return found

    def _select(
        self, query: Any, named: Mapping[str, Outputs], outer: tuple[_Sources, ...]
    ) -> Outputs:
        sources: dict[str, _Source] = {}
        for item in self._from(query):
            name, source = self._source(item, named, (*outer, sources))
            sources[name or f"({len(sources)}"] = source
        scopes = (*outer, sources)
        columns: list[tuple[str, frozenset[Origin]]] = []
        earlier: dict[str, frozenset[Origin]] = {}
        is_complete = True
        for projection in query.expressions or [self._exp.Star()]:
            stars = self._stars(projection, sources)
            if stars is None:
                name = str(projection.output_name)
                earlier[name] = found = self._origins(projection, named, scopes, earlier)
                columns.append((name, found))
                continue
            for source in stars:
                is_complete &= source.outputs.is_complete
            columns += _starred(projection, stars)
        return Outputs(tuple(columns), is_complete)

    def _from(self, query: Any) -> Iterator[Any]:
        clause = query.args.get("from_") or query.args.get("from")
        if clause is not None:
            yield clause.this
            yield from (join.this for join in clause.this.args.get("joins") or ())
        yield from (join.this for join in query.args.get("joins") or ())
        yield from query.args.get("laterals") or ()

    def _source(
        self, item: Any, named: Mapping[str, Outputs], outer: tuple[_Sources, ...]
    ) -> tuple[str, _Source]:
        exp = self._exp
        name = str(item.alias_or_name).lower()
        if isinstance(item, exp.Table):
            source = self._table(item, named)
        elif isinstance(item, exp.Subquery):
            source = _Source(self.outputs(item.this, named, outer))
        elif isinstance(item, exp.Lateral) and isinstance(item.this, exp.Subquery):
            source = _Source(self.outputs(item.this.this, named, outer))
        else:
            source = _Source(Outputs(is_complete=False))
        return name, _Source(_renamed(source.outputs, item.args.get("alias")), source.table)

    def _table(self, table: Any, named: Mapping[str, Outputs]) -> _Source:
        name = table_name(table)
        if not name:
            return _Source(Outputs(is_complete=False))
        if table.args.get("db") is None and name.lower() in named:
            return _Source(named[name.lower()])
        columns = self._columns_of(name)
        if columns is None:
            return _Source(Outputs(is_complete=False), name)
        return _Source(
            Outputs(tuple((column, frozenset({(name, column)})) for column in columns)), name
        )

    def _stars(self, projection: Any, sources: _Sources) -> list[_Source] | None:
        """Return what a ``*`` or ``t.*`` stands for, None if it is none of these."""
        exp = self._exp
        if isinstance(projection, exp.Star):
            return list(sources.values())
        if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
            source = sources.get(projection.table.lower())
            return [source or _Source(Outputs(is_complete=False))]
        return None

    def _origins(
        self,
        expression: Any,
        named: Mapping[str, Outputs],
        scopes: tuple[_Sources, ...],
        earlier: Mapping[str, frozenset[Origin]],
    ) -> frozenset[Origin]:
        exp = self._exp
        found: set[Origin] = set()
        waiting = [expression]
        while waiting:
            node = waiting.pop()
            if isinstance(node, exp.Query):
                for _, origins in self.outputs(node, named, scopes).columns:
                    found |= origins
            elif isinstance(node, exp.Column):
                if not isinstance(node.this, exp.Star):
                    found |= _column(node, scopes, earlier)
            else:
                waiting += node.iter_expressions()
        return frozenset(found)


def _column(
    column: Any, scopes: tuple[_Sources, ...], earlier: Mapping[str, frozenset[Origin]]
) -> frozenset[Origin]:
    """Return what a column of an expression comes from."""
    name, table = str(column.name), str(column.table).lower()
    for sources in reversed(scopes):
        if table:
            if table in sources:
                return sources[table].find(name) or _NOTHING
            continue
        known = [s for s in sources.values() if s.outputs.columns or s.outputs.is_complete]
        certain = [
            origins
            for source in known
            if source.outputs.is_complete and (origins := source.find(name)) is not None
        ]
        if certain:
            return frozenset().union(*certain)
        open_ones = [s for s in sources.values() if not s.outputs.is_complete]
        if len(open_ones) == 1 and (origins := open_ones[0].find(name)) is not None:
            return origins
        if open_ones:
            return _NOTHING
        if name in earlier:
            return earlier[name]
    return _NOTHING


def _starred(
    projection: Any, sources: Iterable[_Source]
) -> Iterator[tuple[str, frozenset[Origin]]]:
    """Yield the columns that a star stands for, less those that it leaves out."""
    star = projection if not projection.args.get("this") else projection.this
    left_out = {
        item.name.lower() for key in ("except_", "except") for item in star.args.get(key) or ()
    }
    new_names = {item.this.name.lower(): item.alias for item in star.args.get("rename") or ()}
    for source in sources:
        for name, origins in source.outputs.columns:
            if name.lower() not in left_out:
                yield new_names.get(name.lower(), name), origins


def _renamed(outputs: Outputs, alias: Any) -> Outputs:
    """Return what a query gives under the names that its alias lists."""
    names = [column.name for column in alias.args.get("columns") or ()] if alias else []
    if not names:
        return outputs
    columns = list(outputs.columns)
    if not outputs.is_complete:
        return Outputs(tuple((name, _NOTHING) for name in names))
    for index, name in enumerate(names[: len(columns)]):
        columns[index] = (name, columns[index][1])
    return Outputs(tuple(columns))


def _united(left: Outputs, right: Outputs) -> Outputs:
    """Return what both sides of a UNION give, column by column."""
    if not (left.is_complete and right.is_complete):
        return Outputs(left.columns, is_complete=False)
    columns = [
        (name, origins | (right.columns[index][1] if index < len(right.columns) else _NOTHING))
        for index, (name, origins) in enumerate(left.columns)
    ]
    return Outputs(tuple(columns))

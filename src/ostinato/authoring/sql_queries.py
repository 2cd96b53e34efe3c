"""This module reads SQL: which tables a script reads and writes, and where they stand in it.

The parser takes 0.3 s to import and half a millisecond for a query, so it is loaded by the first
query that has to be read, and what was read is plain data that can be kept.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

#: Dialects that are tried in turn where a connection's is not known: the nearest to all others
#: first, then those that write names in other ways.
UNKNOWN_DIALECTS = ("duckdb", "postgres", "", "mysql", "tsql")

#: Characters of SQL that are read; what is longer was written by a machine.
READ_LENGTH = 500_000

#: Brackets within each other that are read; each costs the parser a dozen frames of the stack.
READ_DEPTH = 60


class TableUse(Struct, frozen=True):
    """A table that a script reads.

    Attributes:
        name: Its parts joined by dots, without quotes.
        start: Index of its first character in the script.
        end: Index behind its last character.
    """

    name: str
    start: int
    end: int


class Script(Struct, frozen=True, omit_defaults=True):
    """What a script of SQL says.

    Attributes:
        reads: Tables that it reads, less its own names for queries and tables; each place.
        writes: Names of the tables and views that it makes, changes or fills.
        statements: How many there are.
        gives_rows: Whether the last one is a query.
        problem: Why it does not parse, empty if it does.
        problem_at: Line and column of that in the script, 1-based.
    """

    reads: tuple[TableUse, ...] = ()
    writes: tuple[str, ...] = ()
    statements: int = 0
    gives_rows: bool = False
    problem: str = ""
    problem_at: tuple[int, int] = (1, 1)


def parse(text: str, dialect: str | None) -> list[Any]:
    """Return the syntax trees of a script's statements.

    Args:
        text: The script.
        dialect: As sqlglot calls it; None where it is not known.

    Raises:
        UnreadableSql: It does not parse.
    """
    import sqlglot  # noqa: PLC0415 - heavy, and only needed where SQL is read
    from sqlglot.errors import ParseError, SqlglotError  # noqa: PLC0415 - as above

    if len(text) > READ_LENGTH:
        raise UnreadableSql(f"it is longer than {READ_LENGTH:,} characters")
    if _depth(text) > READ_DEPTH:
        raise UnreadableSql(f"its brackets are nested deeper than {READ_DEPTH}")
    first: UnreadableSql | None = None
    for name in UNKNOWN_DIALECTS if dialect is None else (dialect,):
        try:
            with _quiet_parser():
                trees = sqlglot.parse(text, dialect=name or None)
        except ParseError as error:
            first = first or _unreadable(error.errors)
        except SqlglotError as error:
            first = first or UnreadableSql(" ".join(str(error).split()))
        except Exception as error:  # noqa: BLE001 - the parser, on what it was not made for
            first = first or UnreadableSql(f"the parser gave up ({type(error).__name__})")
        else:
            return [tree for tree in trees if tree is not None]
    assert first is not None, "there is at least one dialect"
    raise first


class UnreadableSql(Exception):
    """Tell why a script does not parse.

    Args:
        message: Why.
        at: Line and column, 1-based.
    """

    def __init__(self, message: str, at: tuple[int, int] = (1, 1)) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def read_script(text: str, dialect: str | None) -> Script:
    """Return what a script says; one that does not parse says why.

    Args:
        text: The script, templates rendered.
        dialect: As sqlglot calls it; None where it is not known.
    """
    return read_script_and_trees(text, dialect)[0]


def read_script_and_trees(text: str, dialect: str | None) -> tuple[Script, list[Any]]:
    """Return what a script says, and the syntax trees of its statements; see ``read_script``."""
    try:
        trees = parse(text, dialect)
        _check_statements(trees, text)
        return script_of(trees, text), trees
    except UnreadableSql as error:
        problem, place = error.message, error.at
    except RecursionError:
        problem, place = "it is nested too deep", (1, 1)
    return Script(gives_rows=begins_query(text), problem=problem, problem_at=place), []


def _check_statements(trees: Sequence[Any], text: str) -> None:
    """Refuse what reads like arithmetic: `SELEC * FORM orders` is a product to the parser."""
    from sqlglot import exp  # noqa: PLC0415 - as above

    for tree in trees:
        if isinstance(tree, exp.Alias | exp.Condition) and tree.find(exp.Binary):
            starts = [name.meta["start"] for name in tree.find_all(exp.Identifier) if name.meta]
            before = text[: min(starts, default=0)]
            at = (before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise UnreadableSql("it is an expression and no statement", at)


def script_of(trees: Sequence[Any], text: str) -> Script:
    """Return what the statements of a script say.

    Args:
        trees: Their syntax trees.
        text: The script.
    """
    from sqlglot import exp  # noqa: PLC0415 - as above

    reads: list[TableUse] = []
    writes: dict[str, None] = {}
    made: set[str] = set()
    for tree in trees:
        if isinstance(tree, exp.Drop | exp.TruncateTable | exp.Alter):
            continue
        targets = _targets(tree)
        for table in tree.find_all(exp.Table):
            name = table_name(table)
            # What is behind INDEXED BY is an index.
            if not name or table.arg_key == "indexed" or any(table is one for one in targets):
                continue
            if name.lower() not in made and not is_own_name(table):
                start, end = _span(table)
                reads.append(TableUse(name, start, end))
        for target in targets:
            name = table_name(target)
            made.add(name.lower())
            if not _is_temporary(tree):
                writes[name] = None
    last = trees[-1] if trees else None
    reads.sort(key=lambda use: use.start)
    return Script(tuple(reads), tuple(writes), len(trees), isinstance(last, exp.Query | exp.Values))


def table_name(table: Any) -> str:
    """Return the name of a table, its parts joined by dots; empty if it is a function."""
    from sqlglot import exp  # noqa: PLC0415 - as above

    if not all(isinstance(part, exp.Identifier) for part in table.parts):
        return ""
    return ".".join(part.name for part in table.parts)


def is_own_name(table: Any) -> bool:
    """Whether a table is a query of a ``WITH`` around it."""
    from sqlglot import exp  # noqa: PLC0415 - as above

    if table.args.get("db") is not None:
        return False
    name = table.name.lower()
    inside: Any = table
    around: Any = table.parent
    while around is not None:
        clause = around.args.get("with_") or around.args.get("with")
        if isinstance(around, exp.With):
            # Beside it in the list are those before; itself only if it is recursive.
            clause, own = None, inside
            for query in around.expressions:
                if query is own and not around.args.get("recursive"):
                    break
                if query.alias.lower() == name:
                    return True
        if clause is not None and clause is not inside:
            found = (query.alias.lower() == name for query in clause.expressions)
            if any(found):
                return True
        inside, around = around, around.parent
    return False


def replace_tables(text: str, uses: Sequence[TableUse], name_of: Callable[[str], str]) -> str:
    """Return a script with other names for its tables.

    Args:
        text: The script.
        uses: The tables that it reads.
        name_of: Returns what stands in place of a name, empty to leave it.
    """
    pieces: list[str] = []
    end = len(text)
    for use in sorted(uses, key=lambda use: use.start, reverse=True):
        other = name_of(use.name)
        if other and use.end <= end:
            pieces += [text[use.end : end], other]
            end = use.start
    return "".join([text[:end], *reversed(pieces)])


def begins_query(text: str) -> bool:
    """Whether a text looks like a single query, by its first word."""
    rest = text.lstrip()
    while rest.startswith(("--", "/*")):
        _, _, rest = rest.partition("\n" if rest.startswith("--") else "*/")
        rest = rest.lstrip()
    word = rest.lstrip("(").lstrip()[:8].lower()
    return word.startswith(("select", "with", "values", "from ", "table "))


def _targets(tree: Any) -> list[Any]:
    """Return the tables that a statement makes, changes or fills."""
    from sqlglot import exp  # noqa: PLC0415 - as above

    if not isinstance(tree, exp.Create | exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return []
    target = tree.this
    if isinstance(target, exp.Schema):
        target = target.this
    return [target] if isinstance(target, exp.Table) and table_name(target) else []


def _is_temporary(tree: Any) -> bool:
    from sqlglot import exp  # noqa: PLC0415 - as above

    properties = tree.args.get("properties")
    return properties is not None and any(properties.find_all(exp.TemporaryProperty))


def _span(table: Any) -> tuple[int, int]:
    metas = [part.meta for part in table.parts if "start" in part.meta]
    if not metas:
        return 0, 0
    return min(meta["start"] for meta in metas), max(meta["end"] for meta in metas) + 1


def _unreadable(errors: Sequence[dict[str, Any]]) -> UnreadableSql:
    error = errors[0] if errors else {}
    what = str(error.get("description") or "it does not parse")
    word = str(error.get("highlight") or "")
    # Names of the parser's classes say nothing to who wrote the query.
    what = what.partition(" for <class")[0].partition("<class")[0].strip().rstrip(".")
    column = int(error.get("col") or 1) - max(len(word), 1) + 1
    near = f" near {word!r}" if word else ""
    return UnreadableSql(
        what[:1].lower() + what[1:] + near, (error.get("line") or 1, max(column, 1))
    )


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]":
            depth -= 1
    return deepest


@contextmanager
def _quiet_parser() -> Iterator[None]:
    """Keep the parser from warning of statements that it does not know in full."""
    log = logging.getLogger("sqlglot")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before

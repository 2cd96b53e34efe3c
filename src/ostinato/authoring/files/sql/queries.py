"""This module reads the query of a file: what it names, and what it says of itself.

What was read is kept by the content of the query, so that it is read once.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from ostinato.authoring.column_lineage import Outputs
from ostinato.authoring.files.sql.query_marks import MARK
from ostinato.authoring.rendered_text import RenderedText, trace_pieces
from ostinato.authoring.sql_queries import Script, begins_query, read_script_and_trees
from ostinato.authoring.templates import is_template

if TYPE_CHECKING:
    from ostinato.authoring.files.sql.query_stubs import Rendering

#: What was read by another version of this module is read again.
FORMAT = 1

#: Ways through a template that are looked at, by the answers where it decides.
_ANSWERS = ((False, True), (True, True), (False, False), (True, False))

_ONLY_IN_A_RUN = "only a run can fill in its templates"

#: Templates that other files are part of are read each time.
_NAMES_FILES = re.compile(r"\{%[-+]?\s*(include|import|from|extends)\b")


class Use(Struct, frozen=True):
    """A table that a query names.

    Attributes:
        name: As the user wrote it, less quotes.
        line: Of the file, 1-based.
        column: 1-based.
    """

    name: str
    line: int
    column: int


class Fault(Struct, frozen=True):
    """Why a query cannot be read.

    Attributes:
        message: In one line.
        line: Of the file, 1-based.
        column: 1-based, 0 if it is not known.
    """

    message: str
    line: int
    column: int = 0


class Query(Struct, frozen=True, omit_defaults=True, tag="query"):
    """What a query says.

    Attributes:
        text: With its templates rendered, as far as that is possible before a run.
        tables: Tables that it names plainly.
        refs: What ``ref`` names.
        sources: What ``source`` names.
        writes: Tables that its statements make or fill.
        settings: What ``config()`` says.
        table_names: Tables in ``text``, those that ``ref`` and ``source`` name among them.
        statements: How many there are; 0 if it does not parse.
        gives_rows: Whether the last one is a query.
        template_fault: Why its template cannot be rendered.
        sql_fault: Why its SQL does not parse.
    """

    text: str = ""
    tables: tuple[Use, ...] = ()
    refs: tuple[Use, ...] = ()
    sources: tuple[Use, ...] = ()
    writes: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    table_names: tuple[str, ...] = ()
    statements: int = 0
    gives_rows: bool = False
    template_fault: Fault | None = None
    sql_fault: Fault | None = None


class QuerySurroundings(NamedTuple):
    """What the templates of queries can use.

    Attributes:
        folders: Where included files are looked for.
        functions: What templates may call.
        filters: Functions for ``{{ value | name }}``.
    """

    folders: tuple[str, ...] = ()
    functions: Mapping[str, Any] = {}
    filters: Mapping[str, Any] = {}


class QueryReader:
    """Read queries, each once.

    Args:
        around: What their templates can use.
        kept: What was read before, by content; takes what is read.

    Attributes:
        kept: The same.
    """

    def __init__(self, around: QuerySurroundings, kept: "KeptQueries | None" = None) -> None:
        self._around = around
        self.kept = kept or KeptQueries()
        self._trees: dict[str, list[Any]] = {}
        self._loader: Any = None

    def trees(self, text: str) -> list[Any]:
        """Return the syntax trees of a text if it was parsed here, for once, else nothing."""
        return self._trees.pop(text, [])

    def read(
        self,
        source: str,
        *,
        line: int,
        dialect: str | None,
        this: str,
        parameters: Mapping[str, Any],
    ) -> Query:
        """Return what a query says.

        Args:
            source: Its template.
            line: Of the file on which it begins.
            dialect: As sqlglot calls it; None where it is not known.
            this: Name of the table that is made.
            parameters: Defaults of the run's parameters.
        """
        if not is_template(source):
            key = content_key(source, line, dialect)
            return self.kept.get(key) or self.kept.put(key, self._plain(source, line, dialect))
        if self._reads_more(source):
            return self._templated(source, line, dialect, this, parameters)
        known = repr(sorted(parameters.items()))
        key = content_key(source, line, dialect, this, known)
        found = self.kept.get(key)
        if found is None:
            found = self._templated(source, line, dialect, this, parameters)
            self.kept.put(key, found)
        return found

    def _reads_more(self, source: str) -> bool:
        """Whether a query depends on more than its own text: other files, or users' functions."""
        if _NAMES_FILES.search(source):
            return True
        functions = (*self._around.functions, *self._around.filters)
        return any(name in source for name in functions)

    def _plain(self, source: str, line: int, dialect: str | None) -> Query:
        script = self._script(source, dialect)
        return _query_of(script, RenderedText(source, source, first_line=line))

    def _script(self, text: str, dialect: str | None) -> Script:
        script, self._trees[text] = read_script_and_trees(text, dialect)
        return script

    def _templated(
        self,
        source: str,
        line: int,
        dialect: str | None,
        this: str,
        parameters: Mapping[str, Any],
    ) -> Query:
        # Jinja takes 0.1 s to import, and most queries have no template.
        import jinja2  # noqa: PLC0415 - see above

        from ostinato.authoring.files.sql import query_stubs as stubs  # noqa: PLC0415 - imports Jinja

        if self._loader is None:
            self._loader = jinja2.FileSystemLoader(self._around.folders)
        queries: list[Query] = []
        asks_adds = asks_truth = False
        for adds, truth in _ANSWERS:
            if queries and ((adds and not asks_adds) or (not truth and not asks_truth)):
                continue
            ways = [
                stubs.Rendering(adds=adds, truth=truth, substitute=text)
                for text in stubs.SUBSTITUTES
            ]
            try:
                query = self._tried(source, line, dialect, ways, this, parameters)
            except Exception as error:  # noqa: BLE001 - what a template does is the user's
                if not queries:
                    fault = _template_fault(error, line)
                    return Query(template_fault=fault, gives_rows=begins_query(source))
                continue
            asks_adds |= ways[0].asks_adds
            asks_truth |= ways[0].asks_truth
            queries.append(query)
        return _united(queries)

    def _tried(
        self,
        source: str,
        line: int,
        dialect: str | None,
        ways: "Sequence[Rendering]",
        this: str,
        parameters: Mapping[str, Any],
    ) -> Query:
        """Return what a query says in the first way in which it parses, else in the first."""
        from ostinato.authoring.files.sql import query_stubs as stubs  # noqa: PLC0415 - Jinja

        first: Query | None = None
        for way in ways:
            pieces = way.pieces(
                source,
                self._loader,
                this=this,
                values={"params": stubs.Parameters(parameters, stubs.unknown_of(way))},
                functions=self._around.functions,
                filters=self._around.filters,
            )
            rendered = trace_pieces(source, pieces, line)
            query = _rendered(self._script(rendered.text, dialect), rendered, way, source)
            if query.sql_fault is None:
                return query
            first = first or query
            if not way.is_unsure:
                return first
        assert first is not None, "there is at least one way"
        assert first.sql_fault is not None, "else it was returned"
        # What stands at the place of a value that is not known says nothing to anybody.
        fault = msgspec.structs.replace(first.sql_fault, message=_ONLY_IN_A_RUN)
        return msgspec.structs.replace(first, sql_fault=fault)


class KeptQueries:
    """What was read of queries, by content, in a file that outlives the process.

    Args:
        path: Of the file; without one nothing outlives it.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._known: dict[str, Query | _KeptOutputs] | None = None
        self._used: dict[str, Query | _KeptOutputs] = {}
        self._has_more = False

    def get(self, key: str) -> Query | None:
        """Return what was read of a content, None if it was not."""
        found = self._found(key)
        return found if isinstance(found, Query) else None

    def put(self, key: str, query: Query) -> Query:
        """Keep what was read, and return it."""
        self._used[key] = query
        self._has_more = True
        return query

    def outputs(self, key: str) -> Outputs | None:
        """Return what a query gives, as it was found out of a content, None if it was not."""
        found = self._found(key)
        return None if found is None or isinstance(found, Query) else _outputs(found)

    def put_outputs(self, key: str, outputs: Outputs) -> None:
        """Keep what a query gives."""
        columns = tuple((name, tuple(sorted(origins))) for name, origins in outputs.columns)
        self._used[key] = _KeptOutputs(columns, outputs.is_complete)
        self._has_more = True

    def _found(self, key: str) -> "Query | _KeptOutputs | None":
        if key in self._used:
            return self._used[key]
        if self._known is None:
            self._known = self._load()
        found = self._known.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def save(self) -> None:
        """Write what was used to the file, and nothing else, if there is more than it holds."""
        if not self._path or not self._has_more:
            return
        data = _HEAD + _encoder.encode(self._used)
        aside = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(aside, "wb") as file:
                file.write(data)
            os.replace(aside, self._path)
        except OSError:
            # A folder that cannot be written costs time and nothing else.
            self._path = ""
        self._has_more = False

    def _load(self) -> "dict[str, Query | _KeptOutputs]":
        if not self._path:
            return {}
        try:
            with open(self._path, "rb") as file:
                data = file.read()
            if not data.startswith(_HEAD):
                return {}
            return _decoder.decode(data[len(_HEAD) :])
        except (OSError, msgspec.MsgspecError):
            return {}


class _KeptOutputs(Struct, frozen=True, tag="outputs"):
    columns: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    is_complete: bool


def _outputs(kept: _KeptOutputs) -> Outputs:
    columns = tuple((name, frozenset(origins)) for name, origins in kept.columns)
    return Outputs(columns, kept.is_complete)


_HEAD = b"ostinato-queries-%d\n" % FORMAT
_encoder = msgspec.msgpack.Encoder(enc_hook=str)
_decoder = msgspec.msgpack.Decoder(dict[str, Query | _KeptOutputs])


def content_key(*parts: object) -> str:
    """Return the key under which something is kept that depends on some parts."""
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _query_of(script: Script, rendered: RenderedText) -> Query:
    tables = tuple(
        Use(use.name, *rendered.place(use.start)) for use in script.reads if MARK not in use.name
    )
    fault = None
    if script.problem:
        index = _index_of(rendered.text, script.problem_at)
        fault = Fault(script.problem, *rendered.place(index))
    return Query(
        rendered.text,
        tables,
        writes=tuple(name for name in script.writes if MARK not in name),
        table_names=tuple(dict.fromkeys(use.name for use in script.reads)),
        statements=script.statements,
        gives_rows=script.gives_rows,
        sql_fault=fault,
    )


def _rendered(script: Script, rendered: RenderedText, rendering: "Rendering", source: str) -> Query:
    query = _query_of(script, rendered)
    return msgspec.structs.replace(
        query,
        refs=tuple(_uses(source, "ref", rendering.refs.names, rendered.first_line)),
        sources=tuple(_uses(source, "source", rendering.sources.names, rendered.first_line)),
        settings=dict(rendering.settings),
    )


def _uses(source: str, function: str, names: Sequence[str], line: int) -> Iterator[Use]:
    for name in names:
        quoted = (
            r"\s*,\s*".join(rf"['\"]{re.escape(part)}['\"]" for part in name.split("."))
            if function == "source"
            else rf"(?:['\"][^'\"]*['\"]\s*,\s*)?['\"]{re.escape(name)}['\"]"
        )
        found = re.search(rf"\b{function}\s*\(\s*{quoted}", source)
        index = found.start() if found else 0
        start = source.rfind("\n", 0, index) + 1
        yield Use(name, line + source.count("\n", 0, index), index - start + 1)


def _united(queries: Sequence[Query]) -> Query:
    """Return what a query says whichever way its template goes."""
    first = queries[0]
    if len(queries) == 1:
        return first
    return msgspec.structs.replace(
        first,
        tables=_each_once(use for query in queries for use in query.tables),
        refs=_each_once(use for query in queries for use in query.refs),
        sources=_each_once(use for query in queries for use in query.sources),
        writes=tuple(dict.fromkeys(name for query in queries for name in query.writes)),
        settings={k: v for query in reversed(queries) for k, v in query.settings.items()},
    )


def _each_once(uses: Iterator[Use]) -> tuple[Use, ...]:
    return tuple(dict.fromkeys(uses))


def _index_of(text: str, at: tuple[int, int]) -> int:
    line, column = at
    start = 0
    for _ in range(line - 1):
        found = text.find("\n", start)
        if found < 0:
            break
        start = found + 1
    return min(start + column - 1, len(text))


def _template_fault(error: Exception, line: int) -> Fault:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    if type(error).__name__ == "TemplateNotFound":
        text = f"there is no file {getattr(error, 'name', '')!r} to include"
    number = getattr(error, "lineno", None) or _line_in_template(error)
    return Fault(text or type(error).__name__, line + max(int(number or 1), 1) - 1)


def _line_in_template(error: Exception) -> int:
    """Return the line of the innermost frame of a template; Jinja makes such frames."""
    found = 1
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found

"""This module renders the templates of queries, which can name the tables of other tasks."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from ostinato.authoring.rendered_text import RenderedText, trace_pieces
from ostinato.authoring.sql_dialects import Relation
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.template_problems import template_error
from ostinato.authoring.templates import FlowTemplates, is_template
from ostinato.errors import ExecutionError, OstinatoError, Place, QueryError, UsageError

#: Writes the name of a table as a database has it.
Quoted = Callable[[Relation], str]


class RelationName(str):
    """The name of a table, as a query has it; its parts for templates that want them.

    Attributes:
        schema: Empty for the one that the connection begins with.
        name: In its schema; ``identifier`` and ``table`` are the same.
    """

    name: str
    schema: str

    @classmethod
    def of(cls, relation: Relation, quoted: Quoted) -> "RelationName":
        """Return the name of a relation."""
        made = cls(quoted(relation))
        made.name, made.schema = relation.name, relation.schema
        return made

    @property
    def identifier(self) -> str:
        """The name in its schema."""
        return self.name

    @property
    def table(self) -> str:
        """The name in its schema."""
        return self.name


class QueryNames(NamedTuple):
    """What the names in a query mean that stands in a file of a folder.

    Attributes:
        refs: Tables of other tasks, by the names that ``ref`` may call them.
        sources: Tables that no task makes, by the names that ``source`` may call them.
        renames: Other names for tables, by the names under which the query has them.
        place: File and line at which the query begins.
        perhaps: Those of ``renames`` that count if there is no table of the name that the query
            has, and there is one of the other: what a function returns may be a table or not.
    """

    refs: Mapping[str, str]
    sources: Mapping[str, str]
    renames: Mapping[str, str]
    place: Place
    perhaps: frozenset[str] = frozenset()


class QueryTemplate(NamedTuple):
    """The template of a query.

    Attributes:
        text: The template.
        place: File and line at which it begins; without a file where it stands in Python.
        task_id: Of the task.
        task_place: Where the task is declared.
        table: Name of what is made, for ``this``.
        refs: Tables of other tasks, by the names that ``ref`` may call them.
        sources: Tables that no task makes, by theirs; None if ``source`` accepts any name.
    """

    text: str
    place: Place
    task_id: str
    task_place: Place
    table: str
    refs: Mapping[str, str]
    sources: Mapping[str, str] | None

    def render(
        self,
        templates: FlowTemplates,
        names: Any,
        *,
        is_incremental: bool = False,
        quoted: Quoted = str,
    ) -> RenderedText:
        """Return the query, which knows where its parts come from.

        Args:
            templates: What the templates of the flow share.
            names: What templates can use beside ``ref``, ``source``, ``this``,
                ``is_incremental`` and ``config``.
            is_incremental: What ``is_incremental()`` says.
            quoted: Writes the names of tables.

        Raises:
            TemplateError: It does not parse, or uses what is not there.
        """
        first_line = self.place.line or 1
        if not is_template(self.text):
            return RenderedText(self.text, self.text, first_line=first_line)
        own = self._names(quoted, is_incremental=is_incremental)
        engine = templates.engine
        try:
            template = engine.compile(self.text)
            pieces = engine.render_pieces(template, NamesBefore(own, names))
        except (*engine.errors, OstinatoError) as error:
            problem = engine.problem_of(error, [*NamesBefore(own, names), *templates.macros])
            if self.place.file and not problem.file:
                line = first_line + max(problem.line, 1) - 1
                problem = problem._replace(file=self.place.file, line=line)
            raised = template_error(self.task_id, self.task_place, "sql", problem)
            raise raised from None
        return trace_pieces(self.text, pieces, first_line)

    def _names(self, quoted: Quoted, *, is_incremental: bool) -> dict[str, Any]:
        def ref(*names: str) -> RelationName:
            # As in dbt, a package may be named before the model.
            name = str(names[-1]) if names else ""
            if name not in self.refs:
                hint = did_you_mean(name, self.refs)
                raise UsageError(f"ref({name!r}): no task makes such a table", hint=hint)
            return RelationName.of(Relation.parse(self.refs[name]), quoted)

        def source(*names: str) -> RelationName:
            name = ".".join(str(part) for part in names)
            if self.sources is not None and name not in self.sources:
                hint = did_you_mean(name, self.sources)
                raise UsageError(f"source({name!r}): no such source is declared", hint=hint)
            found = name if self.sources is None else self.sources[name]
            return RelationName.of(Relation.parse(found), quoted)

        return {
            "ref": ref,
            "source": source,
            "this": RelationName.of(Relation.parse(self.table), quoted),
            "is_incremental": lambda: is_incremental,
            "config": lambda *args, **kwargs: "",
        }


@contextmanager
def placing_errors(
    place: Place, rendered: RenderedText, text: str, statement: str
) -> Iterator[None]:
    """Say of what a database refuses where it stands in the user's file.

    Args:
        place: Where the template begins; without a file nothing is said.
        rendered: The query.
        text: The same, with other names of tables perhaps.
        statement: The part of ``text`` that is executed.

    Raises:
        ExecutionError: With its place.
    """
    try:
        yield
    except QueryError as error:
        if not place.file or error.place is not None:
            raise
        found = _place_of(place.file, rendered, text, statement, error.position)
        raise QueryError(error.message, error.position, place=found) from error.__cause__
    except ExecutionError as error:
        if place.file and error.place is None:
            found = _place_of(place.file, rendered, text, statement, None)
            error.place = Place(found.file, found.line)
        raise


def _place_of(
    file: str, rendered: RenderedText, text: str, statement: str, position: int | None
) -> Place:
    index = max(text.find(statement.rstrip(";")), 0) + (position or 0)
    if text == rendered.text:
        line, column = rendered.place(index)
        return Place(file, line, column if position is not None else 0)
    # Where names of tables were replaced, the lines are the same and the columns are not.
    start = 0
    for _ in range(text.count("\n", 0, index)):
        start = rendered.text.find("\n", start) + 1
    return Place(file, rendered.place(start).line)


class NamesBefore(Mapping[str, Any]):
    """Names that go before those of an attempt, which are looked up as they are used.

    Args:
        first: The names that go before.
        then: Those of the attempt.
    """

    def __init__(self, first: Mapping[str, Any], then: Any) -> None:
        self._first = first
        self._then = then

    def __contains__(self, name: object) -> bool:
        return name in self._first or name in self._then

    def __getitem__(self, name: str) -> Any:
        return self._first[name] if name in self._first else self._then[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._first, *_known(self._then)])

    def __len__(self) -> int:
        return len(list(iter(self)))


def _known(names: Any) -> list[str]:
    return [str(name) for name in names] if hasattr(names, "__iter__") else []

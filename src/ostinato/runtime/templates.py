"""This module renders the templates in the arguments of a task, inside an attempt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring.operators.operator import MappedOperator, Operator
from ostinato.authoring.ports import BuiltFlow, Resolver
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ElementReference,
    LiteralSeries,
    resolve,
)
from ostinato.authoring.signals import TaskSignal
from ostinato.authoring.template_problems import missing_file, template_error
from ostinato.authoring.templates import is_template, names_file
from ostinato.errors import AttemptTimeout, OstinatoError, TemplateError


def resolve_arguments(
    operator: Operator, arguments: Mapping[str, Any], resolver: Resolver, renderer: "Renderer"
) -> dict[str, Any]:
    """Return arguments with all references replaced and the templates among them rendered.

    What other tasks returned is no template: only texts that stand in the definition are.

    Args:
        operator: The task.
        arguments: What ``operator.arguments()`` returned.
        resolver: Knows what the references stand for.
        renderer: Of the attempt.

    Raises:
        TemplateError: A template cannot be rendered.
    """
    resolved: dict[str, Any] = {}
    for name, value in arguments.items():
        renderer.field = name
        resolver.text = renderer.text if name in operator.template_arguments else None
        if name == MORE_ARGUMENTS and isinstance(operator, MappedOperator):
            resolved[name] = _resolve_more(operator, value, resolver)
        else:
            resolved[name] = resolve(value, resolver)
    return resolved


def _resolve_more(operator: MappedOperator, value: Any, resolver: Resolver) -> Any:
    """Return one dict of ``expand_kwargs``, of which only the template fields are rendered."""
    if not isinstance(value, ElementReference) or not isinstance(value.series, LiteralSeries):
        return resolve(value, resolver)
    item = value.series.items[resolver.index(value.container.node_id, value.factor)]
    if not isinstance(item, dict):
        return resolve(item, resolver)
    text, fields = resolver.text, operator.operator_class.template_fields
    resolved = {}
    for name, argument in item.items():
        resolver.text = text if name in fields else None
        resolved[name] = resolve(argument, resolver)
    return resolved


def render_value(value: Any, renderer: "Renderer") -> Any:
    """Return a value with the templates in its texts rendered; it holds no references.

    Args:
        value: Text, or lists, tuples, dicts and sets of it.
        renderer: Of the attempt.
    """
    kind = type(value)
    if kind is str:
        return renderer.text(value)
    if kind is dict:
        return {key: render_value(item, renderer) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind([render_value(item, renderer) for item in value])
    return value


class Renderer:
    """Render texts of one task; ``text`` is what a resolver takes.

    Args:
        operator: The task.
        dag: Its flow, which says where files are and what macros there are.
        names: What templates can use, such as an attempt's context.
        takes_files: Whether a text may be the name of a template file.
    """

    def __init__(
        self,
        operator: Operator,
        dag: BuiltFlow,
        names: Mapping[str, Any],
        *,
        takes_files: bool = True,
    ) -> None:
        self._operator = operator
        self._templates = dag.templates
        self._names = names
        self._extensions: Sequence[str] = operator.template_ext if takes_files else ()
        #: Whose texts are rendered, for messages.
        self.field = ""

    def text(self, text: str) -> Any:
        """Return what a text says; one that names a template file is the file's content.

        Raises:
            TemplateError: It does not parse, uses what is not there, or the file is missing.
        """
        if names_file(text, self._extensions):
            return self._file(text)
        return self._rendered(text) if is_template(text) else text

    def _rendered(self, text: str) -> Any:
        return self._run(lambda: self._templates.engine.compile(text))

    def _file(self, text: str) -> Any:
        name = self._rendered(text) if is_template(text) else text
        path = self._templates.find(name)
        if path is None:
            if " " in name.strip():
                # A command that ends with the name of a script, not the name of a template.
                return name
            folders = self._templates.folders()
            raise missing_file(
                self._operator.node_id, self._operator.place, self.field, name, folders
            )
        return self._run(lambda: self._templates.engine.compile_file(path))

    def _run(self, compiled: "Callable[[], Any]") -> Any:
        try:
            return self._templates.engine.render(compiled(), self._names)
        except (AttemptTimeout, TaskSignal):
            raise
        except Exception as error:  # noqa: BLE001 - macros and filters are users' code
            is_ours = isinstance(error, (*self._templates.engine.errors, OstinatoError))
            raise self._problem(error) from None if is_ours else error

    def _problem(self, error: Exception) -> TemplateError:
        known = [*self._names, *self._templates.macros]
        problem = self._templates.engine.problem_of(error, known)
        raised = template_error(self._operator.node_id, self._operator.place, self.field, problem)
        if problem.is_final:
            raised.__ostinato_may_retry__ = False  # type: ignore[attr-defined]  # of the attempt
        return raised

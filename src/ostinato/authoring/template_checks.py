"""This module finds templates that cannot be rendered, when their flow is built."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.references import texts_in
from ostinato.authoring.template_problems import missing_file, template_error
from ostinato.authoring.templates import FlowTemplates, is_sound, is_template, names_file
from ostinato.errors import Place, TemplateError

#: Templates of a flow that are compiled while it is built, whatever they say. Each takes 0.4 ms, so
#: that of the others only those are which may be wrong; attempts compile what they render.
MAX_COMPILED = 100


def check_templates(operators: Iterable[Operator], templates: FlowTemplates) -> None:
    """Compile the templates of all tasks; what attempts fork from this process finds them done.

    Args:
        operators: The tasks.
        templates: What they share.

    Raises:
        TemplateError: One does not parse, uses an unknown filter or test, or its file is missing.
    """
    for error in broken_templates(operators, templates):
        raise error


def broken_templates(
    operators: Iterable[Operator], templates: FlowTemplates
) -> Iterator[TemplateError]:
    """Yield for each task the first template that cannot be rendered; each task is checked once.

    Args:
        operators: The tasks.
        templates: What they share.
    """
    compiled = 0
    for operator in operators:
        if operator.node_id in templates.checked:
            continue
        try:
            compiled += _check_operator(operator, templates, is_all=compiled < MAX_COMPILED)
        except TemplateError as error:
            yield error
        else:
            templates.checked.add(operator.node_id)


def _check_operator(operator: Operator, templates: FlowTemplates, *, is_all: bool) -> int:
    """Compile the templates of a task, or those that may be wrong; return how many there were."""
    if is_template(name := operator.settings.map_name):
        _check(operator, "map_name", templates, partial(templates.engine.compile, name))
    if when := operator.settings.when:
        _check(operator, "when", templates, partial(templates.engine.compile, when))
    compiled = 0
    for field in operator.template_arguments:
        for text in texts_in(operator.arguments()[field]):
            if not is_all and not templates.options and is_sound(text):
                continue
            compiled += _check_text(operator, field, text, templates)
    return compiled


def _check_text(operator: Operator, field: str, text: str, templates: FlowTemplates) -> bool:
    """Compile a text; False if it is no template."""
    if is_template(text):
        _check(operator, field, templates, lambda: templates.engine.compile(text))
        return True
    if names_file(text, operator.template_ext):
        path = templates.find(text)
        if path is not None:
            _check(operator, field, templates, lambda: templates.engine.compile_file(path))
        elif " " not in text.strip():
            # With a space in it, it is a command that ends with the name of a script.
            folders = templates.folders()
            raise missing_file(operator.node_id, operator.place, field, text, folders)
    return False


def _check(
    operator: Operator, field: str, templates: FlowTemplates, compiled: Callable[[], object]
) -> None:
    engine = templates.engine
    try:
        compiled()
    except (*engine.errors, OSError, UnicodeDecodeError) as error:
        problem = engine.problem_of(error, ())
        place, begins = operator.place, operator.text_places.get(field)
        if begins is not None and problem.line and not problem.file:
            place = Place(begins.file, begins.line + problem.line - 1)
            problem = problem._replace(line=0)
        raise template_error(operator.node_id, place, field, problem) from None

"""This module finds templates that cannot be rendered, when their flow is built."""

from collections.abc import Callable, Iterable
from functools import partial

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.references import texts_in
from ostinato.authoring.template_problems import missing_file, template_error
from ostinato.authoring.templates import FlowTemplates, is_sound, is_template, names_file

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
    compiled = 0
    for operator in operators:
        if is_template(name := operator.settings.map_name):
            _check(operator, "map_name", templates, partial(templates.engine.compile, name))
        if when := operator.settings.when:
            _check(operator, "when", templates, partial(templates.engine.compile, when))
        for field in operator.template_arguments:
            for text in texts_in(operator.arguments()[field]):
                if compiled >= MAX_COMPILED and not templates.options and is_sound(text):
                    continue
                compiled += _check_text(operator, field, text, templates)


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
        raise template_error(operator.node_id, operator.place, field, problem) from None

"""This module words what is wrong with a template."""

from collections.abc import Sequence
from typing import NamedTuple

from ostinato.authoring.places import relative_file, relative_place
from ostinato.errors import Place, TemplateError


class TemplateProblem(NamedTuple):
    """What is wrong with a template.

    Attributes:
        message: What is wrong.
        line: In the template, 0 where it is not known.
        hint: What would be right.
        file: Of the template, empty for a text.
        is_final: Whether it is the same in every attempt.
    """

    message: str
    line: int = 0
    hint: str = ""
    file: str = ""
    is_final: bool = False


def template_error(
    task_id: str, place: Place, field: str, problem: TemplateProblem
) -> TemplateError:
    """Return what is raised for a problem: it names task, field and line.

    Args:
        task_id: Of the task.
        place: Where the task is declared.
        field: Argument that holds the template.
        problem: What is wrong.
    """
    what = f"{field!r} of task {task_id!r}" if field else f"a template of task {task_id!r}"
    if problem.file:
        place = Place(problem.file, problem.line)
    elif problem.line:
        what = f"{what}, line {problem.line}"
    message = f"{what}: {problem.message}"
    return TemplateError(message, place=relative_place(place), hint=problem.hint)


def missing_file(
    task_id: str, place: Place, field: str, name: str, folders: Sequence[str]
) -> TemplateError:
    """Return what is raised if a field names a template file that is not there."""
    looked = ", ".join(dict.fromkeys(relative_file(folder) or "." for folder in folders))
    problem = TemplateProblem(f"there is no file {name!r}", hint=f"looked in {looked}")
    return template_error(task_id, place, field, problem)

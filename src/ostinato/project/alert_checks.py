"""This module finds what is wrong with the templates of alerts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import is_template
from ostinato.model.flow import FlowDefinition, Source
from ostinato.model.manifest import DefinitionProblem
from ostinato.model.notice import MESSAGE_NAMES, Callback
from ostinato.project.discovery import Project
from ostinato.project.document import read_document
from ostinato.project.target import SETTINGS_FILE

if TYPE_CHECKING:
    from ostinato.authoring.template_engine import Engine


def problems_of_alerts(project: Project) -> Iterator[DefinitionProblem]:
    """Yield what is wrong with the templates of a project's rules."""
    for index, rule in enumerate(project.settings.alerts.rules):
        for field, text in (("title", rule.title), ("body", rule.body)):
            for message, hint in template_problems(text):
                file = project.root / SETTINGS_FILE
                name = project.readable(SETTINGS_FILE)
                path = ("alerts", "rules", str(index), field)
                place = read_document(file, name).place(path) if file.is_file() else (name, 0)
                text = f"alerts.rules.{index}.{field}: {message}"
                yield DefinitionProblem("template", text, place[0], place[1], hint)


def problems_of_callbacks(
    flow: FlowDefinition, project: Project
) -> Iterator[tuple[Source, str, str, str]]:
    """Yield what is wrong with the notifiers of a flow: place, code, message, hint."""
    subjects: list[tuple[Source, str, tuple[Callback, ...]]] = [
        (flow.source, f"flow {flow.name!r}", flow.callbacks)
    ]
    subjects += [
        (task.source, f"task {task.id!r}", task.callbacks) for task in flow.tasks if task.callbacks
    ]
    channels = project.settings.alerts.channels
    for source, subject, callbacks in subjects:
        for callback in callbacks:
            if callback.channel and callback.channel not in channels:
                message = f"{subject} notifies {callback.channel!r}, which is no channel"
                hint = did_you_mean(callback.channel, list(channels))
                hint = hint or "declare it under 'alerts' in ostinato.yaml"
                yield source, "unknown-channel", message, hint
            for text in (callback.title, callback.body):
                for problem, hint in template_problems(text):
                    yield source, "template", f"{subject}: a message: {problem}", hint


def template_problems(text: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the template of a message, and a hint: one problem at most."""
    if not is_template(text):
        return
    # Heavy, and few projects have templates of messages.
    from jinja2.meta import find_undeclared_variables  # noqa: PLC0415 - see above

    from ostinato.authoring.template_engine import Engine  # noqa: PLC0415 - see above

    engine = Engine([], macros={}, filters={}, is_native=False, options={})
    problem = _syntax_problem(engine, text)
    if problem is not None:
        yield problem
        return
    used = find_undeclared_variables(engine.environment.parse(text))
    for name in sorted(used - MESSAGE_NAMES - set(engine.environment.globals)):
        yield f"{name!r} is unknown", did_you_mean(name, MESSAGE_NAMES)
        return


def _syntax_problem(engine: "Engine", text: str) -> tuple[str, str] | None:
    try:
        engine.compile(text)
    except engine.errors as error:
        found = engine.problem_of(error, MESSAGE_NAMES)
        return found.message, found.hint
    return None

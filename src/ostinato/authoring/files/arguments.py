"""This module makes a task of an operator and of what a file says."""

import functools
import inspect
from collections.abc import Collection, Mapping
from typing import Any

from ostinato.authoring.callbacks import LATE
from ostinato.authoring.files.keys.known import keys_in
from ostinato.authoring.files.spec import FileProblem
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.groups import TaskGroup
from ostinato.authoring.operators.operator import Operator, accepted_arguments
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import ascribed_to
from ostinato.authoring.policies import ABSENT, POLICY_NAMES
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.wiring import Node, Wirable
from ostinato.errors import OstinatoError, Place

#: What Airflow's operators take and nothing here follows. Folders that say it run all the same.
WITHOUT_EFFECT = frozenset(
    {
        *ABSENT,
        *LATE,
        "allow_nested_operators",
        "default_args",
        "do_xcom_push",
        "doc_json",
        "doc_rst",
        "doc_yaml",
        "email",
        "end_date",
        "executor_config",
        "ignore_first_depends_on_past",
        "logger_name",
        "max_retry_delay_seconds",
        "queue",
        "resources",
        "retry_policy",
        "run_as_user",
        "start_date",
        "subdag",
        "task_concurrency",
        "task_display_name",
        "ui_color",
        "ui_fgcolor",
        "wait_for_past_depends_before_skipping",
    }
)

#: Keys that the folder's reading follows, whatever the operator takes.
_OF_FOLDERS = frozenset(
    {
        "operator",
        "dependencies",
        "external_dependencies",
        "multi_task_spec",
        "python_callable",
        "python_callable_partials",
        "extra_callables",
        "task_id",
        "task_group",
        "dag",
        "sql",
        "file_path",
    }
)

#: What R Markdown and pandoc read of the header that a document shares with its task.
_OF_DOCUMENTS = frozenset(
    {
        "abstract",
        "always_allow_html",
        "author",
        "bibliography",
        "classoption",
        "csl",
        "date",
        "documentclass",
        "editor_options",
        "fontsize",
        "geometry",
        "header-includes",
        "keywords",
        "knit",
        "lang",
        "link-citations",
        "output",
        "runtime",
        "subtitle",
        "title",
        "toc",
    }
)

#: What the folder gives, and no file.
_PLACING = frozenset({"task_id", "dag", "task_group", "absql_runner"})

#: Keys that say whether and how often a task runs.
_CONDITIONS = frozenset({"when", "schedule", "expand"})


@functools.cache
def accepted_by(operator: Any) -> frozenset[str]:
    """Return the arguments that a class or function takes."""
    told = getattr(operator, "_gusty_parameters", None)
    if told is not None:
        return frozenset(told)
    if isinstance(operator, type) and issubclass(operator, Operator):
        known = accepted_arguments(operator)
        takes_any = any(
            p.kind is p.VAR_KEYWORD
            for p in inspect.signature(operator.__init__).parameters.values()
        )
        return known | frozenset(operator.template_fields) if takes_any else known
    parameters = inspect.signature(operator).parameters.values()
    names = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names |= POLICY_NAMES
    return frozenset(names)


def chosen_arguments(spec: TaskSpec, operator: Any, problems: list[FileProblem]) -> dict[str, Any]:
    """Return what of a spec is given to its operator; the rest is for the user's own use.

    Args:
        spec: Of the task.
        operator: A class or a function.
        problems: Takes keys that nothing follows.
    """
    accepted = accepted_by(operator)
    known = keys_in("task")
    chosen: dict[str, Any] = {}
    for name, value in spec.values.items():
        if name in _PLACING:
            continue
        if name in accepted and not (name in LATE or name in ABSENT):
            chosen[name] = value
        elif name in WITHOUT_EFFECT:
            _note_without_effect(spec, name, value, problems)
        elif name not in _OF_FOLDERS and name not in known and not _is_kept(spec, name):
            title = getattr(operator, "__name__", "the operator")
            message = f"{title} takes no argument {name!r}"
            guess = did_you_mean(name, {*accepted, *known})
            problems.append(spec.problem("F013", message, name, hint=guess))
    return chosen


def _is_kept(spec: TaskSpec, name: str) -> bool:
    if name in _OF_DOCUMENTS and spec.file is not None:
        return spec.file.suffix.lower() in (".rmd", ".md")
    # What extra_callables names stands in no key of its own.
    extra = spec.values.get("extra_callables")
    return isinstance(extra, Mapping) and name in extra


def _note_without_effect(
    spec: TaskSpec, name: str, value: object, problems: list[FileProblem]
) -> None:
    if not value or name in ("email", "default_args", "start_date", "ui_color", "ui_fgcolor"):
        return
    hint = LATE.get(name, "")
    if name.startswith("email"):
        hint = "declare a rule under 'alerts' in ostinato.yaml"
    problems.append(spec.problem("F013", f"{name!r} has no effect here", name, hint=hint))


def made_task(
    spec: TaskSpec,
    operator: Any,
    arguments: Mapping[str, Any],
    *,
    mapped: Mapping[str, Any],
    group: TaskGroup,
    problems: list[FileProblem],
) -> Node | None:
    """Return the task, or the group of tasks, that an operator makes; None if it refuses.

    If it refuses a policy, that is a problem, and what it makes without the policy is returned.

    Args:
        spec: Of the task.
        operator: A class or a function.
        arguments: What it is given.
        mapped: What it is mapped over, by argument; the name of a task stands for its result,
            which is filled in later.
        group: What the task becomes part of.
        problems: Takes the refusal.
    """
    place = Place(spec.file.path if spec.file else spec.keys.file, spec.position("operator").line)
    missing = _missing(operator, {"task_id", "dag", "task_group", *arguments, *mapped})
    if missing:
        title = getattr(operator, "__name__", "the operator")
        names = " and ".join(map(repr, missing))
        problems.append(spec.problem("F026", f"{title} needs {names}", "operator"))
        return None
    try:
        if isinstance(operator, type) and issubclass(operator, Operator):
            with ascribed_to(place):
                made: Any = _made(operator, spec.task_id, arguments, mapped, group)
        else:
            with group, ascribed_to(place):
                made = _called(operator, spec.task_id, arguments, group)
    except Exception as error:  # noqa: BLE001 - users' operators may raise anything
        path = _path_of(arguments, error)
        problems.append(_refusal(spec, operator, path, error))
        is_made = group.child_id(spec.task_id) in group.graph.known_ids()
        if path[0] in POLICY_NAMES and isinstance(error, OstinatoError) and not is_made:
            # Without the policy, what else is wrong is told too.
            fewer = {name: value for name, value in arguments.items() if name != path[0]}
            return made_task(spec, operator, fewer, mapped=mapped, group=group, problems=problems)
        return None
    if isinstance(made, Wirable) and len(made.nodes()) == 1:
        return made.nodes()[0]
    message = f"the operator returned {made!r}, neither a task nor a group"
    problems.append(spec.problem("F026", message, "operator"))
    return None


def _made(
    operator: type[Operator],
    task_id: str,
    arguments: Mapping[str, Any],
    mapped: Mapping[str, Any],
    group: TaskGroup,
) -> Operator:
    if not mapped or _maps_function(operator, mapped):
        return operator(task_id=task_id, task_group=group, **arguments)
    series = {name: [] if isinstance(value, str) else value for name, value in mapped.items()}
    fixed = {name: value for name, value in arguments.items() if name not in mapped}
    return operator.partial(task_id, task_group=group, **fixed).expand(**series)


def _maps_function(operator: Any, mapped: Mapping[str, Any]) -> bool:
    """Return whether it is the arguments of a function that are mapped, not of its operator."""
    return issubclass(operator, FunctionOperator) and accepted_by(operator).isdisjoint(mapped)


def _missing(operator: Any, given: Collection[str]) -> list[str]:
    """Return the arguments that an operator cannot do without, and is not given."""
    called: Any = (
        vars(_first_with_init(operator))["__init__"] if isinstance(operator, type) else operator
    )
    required = signature_of(called).required - {"self"}
    return [name for name in signature_of(called).parameters if name in required - {*given}]


def _first_with_init(operator: type) -> type:
    return next(one for one in operator.__mro__ if "__init__" in vars(one))


def _called(operator: Any, task_id: str, arguments: Mapping[str, Any], group: TaskGroup) -> Any:
    parameters = inspect.signature(operator).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {"task_id": task_id, "dag": group.graph}
    if group.parent is not None:
        given["task_group"] = group
    placing = {k: v for k, v in given.items() if takes_any or k in parameters}
    return operator(**placing, **arguments)


def _path_of(arguments: Mapping[str, Any], error: Exception) -> tuple[str, ...]:
    if isinstance(error, OstinatoError):
        return _path_in(error.message, arguments)
    return _path_in(" ".join(str(error).split()), arguments)


def _refusal(spec: TaskSpec, operator: Any, path: tuple[str, ...], error: Exception) -> FileProblem:
    title = getattr(operator, "__name__", "the operator")
    if isinstance(error, OstinatoError):
        code = "F037" if path[0] in _CONDITIONS else "F026"
        return spec.problem(code, error.message, *path, hint=error.hint)
    text = " ".join(str(error).split())
    message = f"{title} refuses its arguments: {type(error).__name__}: {text}"
    return spec.problem("F026", message, *path)


def _path_in(message: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key that a message is about: the one that it names first."""
    found = [(message.find(name), name) for name in arguments if name in message]
    return (min(found)[1],) if found else ("operator",)

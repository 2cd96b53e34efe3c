"""This module chooses what of METADATA is given to flows and groups."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from ostinato.authoring.callbacks import LATE
from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.keys.key import TASK
from ostinato.authoring.files.keys.known import keys_in
from ostinato.authoring.files.spec import FileProblem
from ostinato.authoring.files.wiring.levels import Level
from ostinato.authoring.policies import ABSENT, POLICY_NAMES

#: Arguments of the flow that METADATA may hold under the same name.
_OF_FLOWS = (
    "description",
    "doc_md",
    "schedule",
    "schedule_interval",
    "schedule_reading",
    "schedule_params",
    "jitter",
    "start_date",
    "end_date",
    "catchup",
    "timezone",
    "params",
    "tags",
    "owner",
    "max_active_runs",
    "max_active_tasks",
    "priority",
    "timeout",
    "dagrun_timeout",
    "deadline",
    "fail_fast",
    "executor",
    "resources",
    "on_success",
    "on_success_callback",
    "on_failure",
    "on_failure_callback",
    "on_deadline",
    "template_searchpath",
    "user_defined_macros",
    "user_defined_filters",
    "render_template_as_native_obj",
    "jinja_environment_kwargs",
)

#: Of ``default_args``, what is the flow's.
_MOMENTS = ("start_date", "end_date")

#: From which likeness on, 0 to 1, the name of a default is taken for a slip of the pen.
_SLIP = 0.75


def flow_arguments(level: Level, problems: list[FileProblem]) -> dict[str, Any]:
    """Return what a flow is given.

    Args:
        level: Of its folder.
        problems: Takes defaults that nothing follows.
    """
    metadata = level.metadata
    given = {name: metadata[name] for name in _OF_FLOWS if metadata.get(name) is not None}
    if metadata.get("events") is not None:
        # In YAML, the word `on` is true.
        given["on"] = metadata["events"]
    defaults = metadata.get("default_args")
    if isinstance(defaults, Mapping):
        moments = {name: defaults[name] for name in _MOMENTS if defaults.get(name) is not None}
        given["default_args"] = {**_policies(level, defaults, problems), **moments}
    return given


def group_arguments(level: Level, problems: list[FileProblem]) -> dict[str, Any]:
    """Return what a group is given.

    Args:
        level: Of its folder.
        problems: Takes defaults that nothing follows.
    """
    metadata = level.metadata
    defaults: dict[str, Any] = {}
    for name in ("owner", "tags", "params"):
        if metadata.get(name) is not None:
            defaults[name] = metadata[name]
    said = metadata.get("default_args")
    if isinstance(said, Mapping):
        defaults.update(_policies(level, said, problems))
    return {"default_args": defaults, "tooltip": str(metadata.get("tooltip") or "")}


def _policies(
    level: Level, defaults: Mapping[str, Any], problems: list[FileProblem]
) -> dict[str, Any]:
    """Return the policies among ``default_args``; arguments of operators are given task by task."""
    chosen: dict[str, Any] = {}
    for name, value in defaults.items():
        if name in LATE or name in ABSENT:
            if value and name != "email":
                hint = LATE.get(name) or "declare a rule under 'alerts' in ostinato.yaml"
                message = f"{name!r} has no effect here"
                position = level.keys.position("default_args", name)
                problems.append(problem("F013", message, position, hint))
        elif name in POLICY_NAMES:
            chosen[name] = value
    return chosen


def misspelt_defaults(level: Level, accepted: Collection[str]) -> list[FileProblem]:
    """Return a problem for each of ``default_args`` that is nearly a policy and that nobody takes.

    Args:
        level: Of a folder.
        accepted: Arguments of operators among the defaults of the flow.
    """
    defaults = level.keys.get("default_args")
    if not isinstance(defaults, Mapping):
        return []
    known = {*POLICY_NAMES, *ABSENT, *LATE, *_MOMENTS, *_OF_FLOWS, *keys_in(TASK), *accepted}
    found = []
    for name in defaults:
        near = get_close_matches(str(name), POLICY_NAMES, n=1, cutoff=_SLIP)
        if near and name not in known:
            message = f"default_args holds {name!r}, which no task takes"
            position = level.keys.position("default_args", name)
            found.append(problem("F013", message, position, f"did you mean {near[0]!r}?"))
    return found

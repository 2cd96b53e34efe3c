"""This module makes the specs of tasks: of a file one, or several by ``multi_task_spec``."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, FileSpec, KeyPath, Keys, Position

#: The key that makes several tasks of one file, by id.
MULTI_TASK_SPEC = "multi_task_spec"

#: The key that makes several tasks of one function, by id.
PARTIALS = "python_callable_partials"


class TaskSpec(Struct):
    """What is to become a task.

    Attributes:
        task_id: In its group; the group may put its name before or behind it.
        values: What the file says, with what is said for this task alone laid over it.
        keys: Values and their places in the file.
        file: None for a task that a dict declares.
        partial: Arguments of its function that are given already.
        translated: Keys that had another orchestrator's words and have ours.
    """

    task_id: str
    values: dict[str, Any]
    keys: Keys
    file: FileSpec | None = None
    partial: Mapping[str, Any] = {}
    translated: frozenset[str] = frozenset()

    def position(self, *path: str | int) -> Position:
        """Return where a key of the task stands, or the nearest around it."""
        return self.keys.position(*path)

    def problem(self, code: str, message: str, *path: str | int, hint: str = "") -> FileProblem:
        """Return a problem of one of its keys."""
        return problem(code, message, self.position(*path), hint)


def specs_of_file(file: FileSpec, problems: list[FileProblem]) -> list[TaskSpec]:
    """Return the tasks that a file declares.

    Args:
        file: As it was read.
        problems: Takes what is wrong.
    """
    keys = file.keys
    several = keys.get(MULTI_TASK_SPEC) or {}
    partials = keys.get(PARTIALS) or {}
    for name, value in ((MULTI_TASK_SPEC, several), (PARTIALS, partials)):
        if not _is_by_id(value):
            message = f"{name} is not like {{task_id: {{key: value}}}}"
            problems.append(problem("F014", message, keys.position(name)))
            return []
    if not keys.get("python_callable") and file.python is None:
        partials = {}
    if not several and not partials:
        return [TaskSpec(file.task_id, dict(keys.values), keys, file)]
    return [
        _spec_of_several(
            file,
            (MULTI_TASK_SPEC, task_id) if task_id in several else (PARTIALS, task_id),
            several.get(task_id) or {},
            partials.get(task_id) or {},
        )
        for task_id in [*several, *(name for name in partials if name not in several)]
    ]


def _spec_of_several(
    file: FileSpec, own: KeyPath, said: Mapping[str, Any], partial: Mapping[str, Any]
) -> TaskSpec:
    """Return one of several tasks of a file.

    Args:
        file: As it was read.
        own: Path of the keys that are said for this task alone.
        said: These keys.
        partial: Arguments of its function that are given already.
    """
    keys = file.keys
    values = _nested_update(keys.values, said)
    beneath = {
        path[len(own) :]: place for path, place in keys.places.items() if path[: len(own)] == own
    }
    line = beneath.get((), (keys.line, 1))[0]
    places = {**keys.places, **beneath}
    own_keys = Keys(keys.file, values, places, line, keys.reads_surroundings)
    return TaskSpec(str(own[-1]), values, own_keys, file, partial)


def specs_of_dict(declared: Mapping[str, Mapping[str, Any]], file: str) -> list[TaskSpec]:
    """Return the tasks of ``leaf_tasks_from_dict``.

    Args:
        declared: Keys and values by id.
        file: Where they are declared, as far as it is known.
    """
    return [
        TaskSpec(task_id.lower().strip(), dict(values), Keys(file, dict(values), line=0))
        for task_id, values in declared.items()
    ]


def names_in(value: object) -> list[str] | None:
    """Return a list of names, None if it is no such list."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        names = [name for name in value if isinstance(name, str)]
        return names if len(names) == len(value) else None
    return None


def _is_by_id(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, Mapping) or one is None for one in value.values()
    )


def _nested_update(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping):
            inner = merged.get(name)
            merged[name] = _nested_update(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged

"""This module is the table of the keys that front matter and ``METADATA.yml`` may hold.

Validation, the JSON Schema for editors and the reference are made from it. Arguments of operators
are keys too; they are asked of the operators themselves.
"""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec.structs import replace

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.keys.asset_keys import ASSET_KEYS
from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK, Key
from ostinato.authoring.files.keys.metadata_keys import METADATA_KEYS
from ostinato.authoring.files.keys.policy_keys import POLICY_KEYS
from ostinato.authoring.files.keys.task_keys import TASK_KEYS
from ostinato.authoring.files.spec import FileProblem, KeyPath, Keys

#: Every key, in the order of the reference.
KEYS_OF_FILES: tuple[Key, ...] = (*TASK_KEYS, *METADATA_KEYS, *POLICY_KEYS, *ASSET_KEYS)


def keys_in(scope: str) -> dict[str, Key]:
    """Return the keys that may stand somewhere, by name."""
    return _BY_SCOPE[scope]


_BY_SCOPE = {
    scope: {key.name: key for key in KEYS_OF_FILES if scope in key.scopes}
    for scope in (TASK, FLOW, GROUP)
}


def wrong_types(
    keys: Keys,
    scope: str,
    *,
    besides: Collection[str] = frozenset(),
    only: Collection[str] | None = None,
) -> list[FileProblem]:
    """Return a problem for each key whose value is of another type than it may be.

    Args:
        keys: Of a header or of METADATA.
        scope: Where they stand.
        besides: Keys that somebody else answers for, such as arguments of a local operator.
        only: Keys that are looked at; None for all.
    """
    found = _wrong_among(keys, keys.values, (), _BY_SCOPE[scope], besides, only)
    defaults = keys.values.get("default_args")
    if scope != TASK and isinstance(defaults, Mapping):
        policies = {key.name: key for key in POLICY_KEYS}
        found += _wrong_among(keys, defaults, ("default_args",), policies, besides, only)
    return found


def wrong_names(keys: Keys, names: Collection[str]) -> list[str]:
    """Return those of some keys of a task whose value is of another type than it may be.

    Args:
        keys: Of a header.
        names: Keys that are looked at.
    """
    sound = _sound(keys.values, _BY_SCOPE[TASK])
    return [name for name in keys.values if name in names and name not in sound]


def without_wrong(keys: Keys, scope: str) -> Keys:
    """Return METADATA without the values of wrong types, so that the rest of a folder is read."""
    values = _sound(keys.values, _BY_SCOPE[scope])
    defaults = values.get("default_args")
    if isinstance(defaults, dict):
        values["default_args"] = _sound(defaults, {key.name: key for key in POLICY_KEYS})
    return replace(keys, values=values)


def _sound(values: Mapping[str, Any], known: Mapping[str, Key]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if value is None or name not in known or known[name].kind.accepts(value)
    }


def _wrong_among(
    keys: Keys,
    values: Mapping[str, Any],
    around: KeyPath,
    known: Mapping[str, Key],
    besides: Collection[str],
    only: Collection[str] | None,
) -> list[FileProblem]:
    found = []
    for name, value in values.items():
        key = known.get(name)
        if (
            key is None
            or value is None
            or name in besides
            or name not in (known if only is None else only)
        ):
            continue
        for path, expected in key.kind.faults(value):
            found.append(_wrong_type(keys, (*around, name, *path), expected))
    return found


def _wrong_type(keys: Keys, path: tuple[str | int, ...], expected: str) -> FileProblem:
    value: object = keys.values
    for step in path:
        value = value[step]  # type: ignore[index]  # the path was found in it
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    message = f"{where.lstrip('.')} must be {expected}, not {_shown(value)}"
    return problem("F014", message, keys.position(*path))


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

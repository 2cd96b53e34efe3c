"""This module finds the connections that a folder names, with the places of their keys."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ostinato.authoring.files.spec import KeyPath, Keys
from ostinato.authoring.files.wiring.levels import Level
from ostinato.model.manifest import NamedConnection

#: Keys of METADATA that name the connection of what lies beneath.
_OF_FOLDERS: tuple[KeyPath, ...] = (
    ("connection",),
    ("conn_id",),
    ("default_args", "connection"),
    ("default_args", "conn_id"),
)


def named_connections(levels: Iterable[Level]) -> Iterator[NamedConnection]:
    """Yield the connections that a folder names, each key once.

    Those whose name is known in a run only, and URIs, are left out.

    Args:
        levels: The folder and those beneath it.
    """
    for level in levels:
        yield from _named(level.keys, _OF_FOLDERS)
        files = {spec.keys.file: spec for spec in level.specs}
        for spec in files.values():
            # An operator's own argument of this name may be anything.
            is_query = spec.keys.get("operator") is None
            yield from _named(spec.keys, _OF_FOLDERS[:2] if is_query else _OF_FOLDERS[1:2])


def _named(keys: Keys, paths: Iterable[KeyPath]) -> Iterator[NamedConnection]:
    for path in paths:
        value: Any = keys.values
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value and "://" not in value and "{" not in value:
            yield NamedConnection(value, *keys.position(*path))

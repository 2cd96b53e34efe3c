"""This module reads the named SQL statements of a store."""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_NAME = re.compile(r"^-- name: (\w+)\n(?:--.*\n)*", re.MULTILINE)


@cache
def load_statements(dialect: str) -> dict[str, str]:
    """Return statements by name: those of both stores, then what a store says otherwise.

    Args:
        dialect: ``sqlite`` or ``postgres``: the folder in ``sql`` beside the common files.
    """
    folder = files("ostinato.store") / "sql"
    return read_folder(folder) | read_folder(folder / dialect)


def read_folder(folder: Traversable) -> dict[str, str]:
    """Return the statements of all files of a folder by name.

    Args:
        folder: Whose ``.sql`` files are read; not those of folders in it.
    """
    found: dict[str, str] = {}
    for file in folder.iterdir():
        if file.name.endswith(".sql"):
            found |= _read(file.read_text())
    return found


def _read(text: str) -> dict[str, str]:
    found = list(_NAME.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match.group(1): text[match.end() : end].strip()
        for match, end in zip(found, ends, strict=True)
    }

"""This module finds the header of a notebook without the libraries of notebooks."""

import json
from typing import Any

import msgspec

from ostinato.authoring.files.reading.headers import Header, UnclosedHeaderError
from ostinato.authoring.files.reading.yaml_text import Origin

_FENCES = ("```yaml", "```yml")


class NoNotebookError(Exception):
    """Say that a file is no notebook."""


def find_notebook_header(data: bytes) -> Header:
    """Return the first Markdown cell that begins with a fence of YAML.

    Raises:
        NoNotebookError: It is no JSON, or not that of a notebook.
        UnclosedHeaderError: The fence is never closed.
    """
    for cell in _cells(data):
        if not isinstance(cell, dict) or cell.get("cell_type") != "markdown":
            continue
        source = _source(cell)
        if source.startswith(_FENCES):
            return _fenced(source, cell.get("source"), data)
    return Header(is_there=False)


def _cells(data: bytes) -> list[Any]:
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoNotebookError(f"this is no notebook: {error}") from None
    if isinstance(content, dict):
        sheets = content.get("worksheets")
        if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict):
            content = sheets[0]  # The format's third version.
        cells = content.get("cells")
        if isinstance(cells, list):
            return cells
    raise NoNotebookError("this is no notebook: it has no list of `cells`")


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _fenced(source: str, parts: object, data: bytes) -> Header:
    lines = source.replace("\r\n", "\n").split("\n")
    places = _places(parts, data)
    end = next((index for index in range(1, len(lines)) if lines[index].startswith("```")), None)
    if end is None:
        raise UnclosedHeaderError(places[0][0] if places else 1, "a line of three backticks")
    inner = places[1:end] or [(1, 0)] * (end - 1)
    origin = Origin(
        inner[0][0] if inner else 1,
        tuple(column for _, column in inner),
        tuple(line for line, _ in inner),
    )
    return Header("\n".join([*lines[1:end], ""]), origin)


def _places(parts: object, data: bytes) -> list[tuple[int, int]]:
    """Return line (1-based) and indent in the file of each line of a cell.

    They are found where each line is written on a line of its own, as all editors do.
    """
    if not isinstance(parts, list) or not parts:
        return []
    text = data.decode("utf-8", "replace")
    start = next(
        (at for form in _written(parts[0]) if (at := text.find(form)) >= 0),
        -1,
    )
    if start < 0:
        return []
    first = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return [(first + index, column) for index in range(len(parts))]


def _written(part: object) -> tuple[str, str]:
    return json.dumps(part), json.dumps(part, ensure_ascii=False)

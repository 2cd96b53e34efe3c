"""This module reads a YAML file and remembers on which line each key stands."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from ostinato.errors import Place, SettingsError

KeyPath = tuple[str, ...]


class Document(Struct, frozen=True):
    """The content of a YAML file.

    Attributes:
        file: As the user would write it.
        content: The mapping that it holds.
        lines: Line of each key and each item of a list, 1-based, by its path.
    """

    file: str
    content: dict[str, Any]
    lines: dict[KeyPath, int]

    def place(self, path: KeyPath) -> Place:
        """Return where a key stands, or the nearest key around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return Place(self.file, self.lines.get(path, 0))


def read_document(path: Path, name: str) -> Document:
    """Read a YAML file whose content is a mapping.

    Args:
        path: Of the file.
        name: Of the file, for messages.

    Raises:
        SettingsError: It is no sound YAML, holds no mapping, or a key twice.
    """
    # YAML is loaded only in a project: 12 ms that a single file does not pay.
    import yaml  # noqa: PLC0415 - see above

    try:
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if root is None:
            return Document(name, {}, lines)
        if not isinstance(root, yaml.MappingNode):
            raise SettingsError("must hold keys and values", place=Place(name, 1))
        content = _mapping(loader, root, (), name=name, lines=lines)
    except yaml.YAMLError as error:
        raise SettingsError(_sentence(error), place=_place(error, name)) from None
    except UnicodeDecodeError:
        raise SettingsError("is not encoded in UTF-8", place=Place(name)) from None
    return Document(name, content, lines)


def _mapping(
    loader: Any, node: Any, path: KeyPath, *, name: str, lines: dict[KeyPath, int]
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(key_node.value)
        own = (*path, key)
        if own in lines:
            message = f"{key!r} stands here a second time"
            raise SettingsError(
                message, place=Place(name, line), hint=f"the first is on line {lines[own]}"
            )
        lines[own] = line
        content[key] = _value(loader, value_node, own, name=name, lines=lines)
    return content


def _value(loader: Any, node: Any, path: KeyPath, *, name: str, lines: dict[KeyPath, int]) -> Any:
    from yaml import MappingNode, SequenceNode  # noqa: PLC0415 - loaded already by the caller

    if isinstance(node, MappingNode):
        return _mapping(loader, node, path, name=name, lines=lines)
    if not isinstance(node, SequenceNode):
        return loader.construct_object(node, deep=True)
    items = []
    for index, item in enumerate(node.value):
        own = (*path, str(index))
        lines[own] = item.start_mark.line + 1
        items.append(_value(loader, item, own, name=name, lines=lines))
    return items


def _sentence(error: Any) -> str:
    problem = getattr(error, "problem", None) or str(error)
    return " ".join(str(problem).split())


def _place(error: Any, name: str) -> Place:
    mark = getattr(error, "problem_mark", None)
    return Place(name, mark.line + 1 if mark is not None else 0)

"""This module knows where a flow's templates are found and which arguments hold one.

The engine of templates takes 0.1 s to import, so it is loaded by the first template.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.authoring.template_engine import Engine

#: What begins an expression, a statement and a comment.
MARKS = ("{{", "{%", "{#")

#: An expression that is a name, or an attribute of one.
_NAME = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*\s*-?\}\}")

#: Are no names in an expression.
_WORDS = frozenset({"and", "else", "if", "in", "is", "not", "or"})


class FlowTemplates:
    """What the templates of one flow share; each is compiled once in a process.

    Args:
        folder: Of the flow's file; templates are looked for in it and below.
        searchpath: Folders that are looked through first, relative ones from ``folder``.
        macros: Names that templates may use beside those of the context.
        filters: Functions for ``{{ value | name }}``.
        is_native: Whether a template gives the Python object that its text spells.
        options: Arguments of ``jinja2.Environment``.
    """

    def __init__(
        self,
        folder: str = "",
        *,
        searchpath: Sequence[str] = (),
        macros: Mapping[str, Any] | None = None,
        filters: Mapping[str, Any] | None = None,
        is_native: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.searchpath = tuple(searchpath)
        self.macros = dict(macros or {})
        self.filters = dict(filters or {})
        self.is_native = is_native
        self.options = dict(options or {})
        #: Ids of tasks whose templates are known to be sound.
        self.checked: set[str] = set()

    @cached_property
    def engine(self) -> "Engine":
        """What compiles the templates."""
        # Heavy, and most flows have no templates.
        from ostinato.authoring.template_engine import Engine  # noqa: PLC0415 - see above

        return Engine(
            self.folders(),
            macros=self.macros,
            filters=self.filters,
            is_native=self.is_native,
            options=self.options,
        )

    def folders(self) -> list[str]:
        """Return where files are looked for: search path, the flow's folder, the working folder."""
        named = [os.path.join(self.folder, os.path.expanduser(path)) for path in self.searchpath]
        return [*named, self.folder or os.getcwd(), os.getcwd()]

    def find(self, name: str) -> Path | None:
        """Return the file of a name, None if there is none."""
        candidates = (Path(folder, os.path.expanduser(name)) for folder in self.folders())
        return next((path for path in candidates if path.is_file()), None)


def is_template(text: str) -> bool:
    """Whether a text has anything to render."""
    return "{" in text and any(mark in text for mark in MARKS)


def is_sound(text: str) -> bool:
    """Whether a text is a template that parses for sure: it has names such as ``{{ ds }}`` alone.

    Without asking the engine, which takes a hundred times as long.
    """
    if "{%" in text or "{#" in text or "{{{" in text:
        return False
    names = _NAME.findall(text)
    return bool(names) and len(names) == text.count("{{") and _WORDS.isdisjoint(names)


def names_file(text: str, extensions: Sequence[str]) -> bool:
    """Whether a text is the name of a template file: one line that ends like one."""
    return bool(extensions) and text.endswith(tuple(extensions)) and "\n" not in text

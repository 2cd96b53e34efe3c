"""This module knows which place of a template a place in the rendered text comes from."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

#: Characters of a piece that may stand in a template many times.
SHORT = 8

#: Blanks that tags may take away in front of a piece.
BLANKS = 40

_BEFORE_TAG = re.compile(r"[ \t]*(?:\{[{%#]|\n|$)")


class TextPlace(NamedTuple):
    """A place in a text.

    Attributes:
        line: 1-based.
        column: 1-based.
    """

    line: int
    column: int


class RenderedText(NamedTuple):
    """What a template gave.

    Attributes:
        text: What it says.
        source: The template.
        starts: Where in the text each piece begins.
        origins: Where in the template each piece comes from.
        literal: Whether each piece stands in the template as it is.
        first_line: Line of the file on which the template begins.
    """

    text: str
    source: str
    starts: tuple[int, ...] = (0,)
    origins: tuple[int, ...] = (0,)
    literal: tuple[bool, ...] = (True,)
    first_line: int = 1

    def place(self, index: int) -> TextPlace:
        """Return where in the template's file a character of the text comes from."""
        piece = max(bisect_right(self.starts, index) - 1, 0)
        origin = self.origins[piece]
        if self.literal[piece]:
            origin += index - self.starts[piece]
        origin = min(origin, len(self.source))
        line_start = self.source.rfind("\n", 0, origin) + 1
        line = self.first_line + self.source.count("\n", 0, origin)
        return TextPlace(line, origin - line_start + 1)


def trace_pieces(source: str, pieces: Iterable[str], first_line: int = 1) -> RenderedText:
    """Return a rendered text that knows where its pieces come from.

    A piece that stands in the template, behind the one before it, is taken to come from there;
    in a loop it may stand further up. Jinja itself does not tell: of plain text it records no
    line.

    Args:
        source: The template.
        pieces: What it gave, in order.
        first_line: Line of the file on which it begins.
    """
    kept: list[str] = []
    starts: list[int] = []
    origins: list[int] = []
    literal: list[bool] = []
    length = position = 0
    # Lines by themselves: Jinja joins what it can compute beforehand with the text around it.
    for piece in chain.from_iterable(piece.splitlines(keepends=True) for piece in pieces):
        found = _find(source, piece, position)
        if found < 0 and len(piece) > SHORT:
            found = _find(source, piece, 0)
        kept.append(piece)
        starts.append(length)
        literal.append(found >= 0)
        origins.append(found if found >= 0 else position)
        length += len(piece)
        if found >= 0:
            position = found + len(piece)
    if not kept:
        return RenderedText("", source, first_line=first_line)
    return RenderedText(
        "".join(kept), source, tuple(starts), tuple(origins), tuple(literal), first_line
    )


def _find(source: str, piece: str, start: int) -> int:
    """Return where a piece stands in a template between tags and ends of lines; -1 if nowhere."""
    found = source.find(piece, start)
    while found >= 0:
        end = found + len(piece)
        before = source[max(found - BLANKS, 0) : found].rstrip(" \t")
        is_begun = not before or before.endswith(("}}", "%}", "#}", "\n"))
        if is_begun and (piece.endswith("\n") or _BEFORE_TAG.match(source, end)):
            return found
        found = source.find(piece, found + 1)
    return -1

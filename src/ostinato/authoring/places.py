"""This module finds the line of the user's code that called into the package."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ostinato.errors import Place

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

#: Where what is made at this moment stands, if that is no line of Python.
_ascribed: ContextVar[Place | None] = ContextVar("ostinato_ascribed", default=None)


@contextmanager
def ascribed_to(place: Place) -> Iterator[None]:
    """Let whatever is made in the meantime stand in a file that is not Python.

    Args:
        place: With the file as an absolute path.
    """
    token = _ascribed.set(place)
    try:
        yield
    finally:
        _ascribed.reset(token)


def calling_place(made: object = None) -> Place:
    """Return the innermost place outside of the package on the stack.

    Args:
        made: An object under construction: the initialisers of its user-defined classes are
            passed over, so that the place is where the object is made.
    """
    ascribed = _ascribed.get()
    if ascribed is not None:
        return ascribed
    frame = sys._getframe(1)
    while frame.f_back is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE) and not (
            code.co_name == "__init__"
            and made is not None
            and code.co_varnames
            and frame.f_locals.get(code.co_varnames[0]) is made
        ):
            break
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


def relative_place(place: Place, root: str = "") -> Place:
    """Return a place as users write it: relative to a folder if it lies below.

    Args:
        place: With the file as the interpreter names it.
        root: The folder; empty for the working directory.
    """
    return Place(relative_file(place.file, root), place.line, place.column)


def relative_file(file: str, root: str = "") -> str:
    """Return a file's path relative to a folder if it lies below, empty if it is no file."""
    if file.startswith("<"):
        return ""
    folder = os.path.join(root or os.getcwd(), "")
    return file.removeprefix(folder)

"""This module splits a SQL script into its statements."""

import re
from collections.abc import Iterator

#: What a semicolon may stand in without ending a statement, and the semicolon itself.
_PIECE = re.compile(
    r"""
    '(?:[^']|'')*'                       # text
    | "(?:[^"]|"")*"                     # a quoted name
    | --[^\n]*                           # a comment to the end of the line
    | /\*.*?\*/                          # a comment
    | (?P<tag>\$[A-Za-z_]*\$).*?(?P=tag) # text in dollar quotes
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, without the semicolons that end them.

    >>> list(split_statements("create table t (a text); insert into t values (';');"))
    ['create table t (a text)', "insert into t values (';')"]
    """
    start = 0
    for piece in _PIECE.finditer(script):
        if piece[0] == ";":
            yield from _statement(script[start : piece.start()])
            start = piece.end()
    yield from _statement(script[start:])


def _statement(text: str) -> Iterator[str]:
    if _COMMENT.sub("", text).strip():
        yield text.strip()

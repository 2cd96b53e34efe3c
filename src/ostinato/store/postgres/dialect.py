"""This module says to PostgreSQL what statements of both stores say."""

import re
from functools import lru_cache

#: Statements that are remembered: the named ones, and the shapes of the filters' queries.
REMEMBERED_STATEMENTS = 1_024

_MARK = re.compile(r"'(?:[^']|'')*'|\?(\d*)")
_HINT = re.compile(r" (?:INDEXED BY \w+|NOT INDEXED)\b")


@lru_cache(REMEMBERED_STATEMENTS)
def translate(statement: str) -> str:
    """Return a statement with PostgreSQL's marks and without what SQLite's planner is told.

    Args:
        statement: Its marks are ``?``, or ``?1`` where a value is used twice.

    >>> translate("SELECT id FROM runs INDEXED BY runs_ended WHERE flow = ? LIMIT ?")
    'SELECT id FROM runs WHERE flow = $1 LIMIT $2'
    """
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found[0][0] == "'":
            return found[0]
        if found[1]:
            return f"${found[1]}"
        count += 1
        return f"${count}"

    # A cross join fixes the order of tables in SQLite, and takes a condition there.
    plain = _HINT.sub("", statement).replace(" CROSS JOIN ", " JOIN ")
    return _MARK.sub(mark, plain)

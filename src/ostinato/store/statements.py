"""This module reads the named SQL statements of a store."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n(?:--.*\n)*", re.MULTILINE)


@cache
def load_statements(dialect: str) -> dict[str, str]:
    """Return the statements of ``sql/<dialect>/queries.sql`` by name.

    Args:
        dialect: ``sqlite``.
    """
    text = (files("ostinato.store") / "sql" / dialect / "queries.sql").read_text()
    found = list(_NAME.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match.group(1): text[match.end() : end].strip()
        for match, end in zip(found, ends, strict=True)
    }

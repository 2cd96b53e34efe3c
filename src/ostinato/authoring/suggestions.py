"""This module guesses what somebody meant by an unknown name."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest known name, or nothing.

    >>> did_you_mean("retires", ["retries", "pool"])
    "did you mean 'retries'?"
    """
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else ""

"""This module finds the name of a table that is nearest to one that is unknown."""

import difflib
from collections.abc import Iterable

#: How near a known name must be to be suggested, of 1.
NEAR = 0.75


class Nearness:
    """Compare names of tables: their schemas and their own names.

    Names are many and comparing is slow, so schemas are compared once, and the tables of those
    that are far are passed over.
    """

    def __init__(self) -> None:
        self._schemas: dict[tuple[str, str], float] = {}

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """Return the nearest name, empty if none is near.

        Args:
            name: The unknown one.
            known: What it may mean.
        """
        schema, _, last = name.lower().rpartition(".")
        matcher = difflib.SequenceMatcher(None)
        matcher.set_seq2(last)
        best, nearest = NEAR, ""
        for one in known:
            known_schema, _, known_last = one.lower().rpartition(".")
            around = self._likeness(schema, known_schema) if schema else 1.0
            # With a schema that is another, the names can be no nearer than this.
            if (1.0 + around) / 2 < best or (around < NEAR and last == known_last):
                # A table of one name in another schema is another table.
                continue
            matcher.set_seq1(known_last)
            least = best if around == 1.0 else 2 * best - around
            if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
                continue
            likeness = matcher.ratio()
            score = likeness if around == 1.0 else (likeness + around) / 2
            if score > best or (score == best and one > nearest):
                best, nearest = score, one
        return nearest

    def _likeness(self, schema: str, known: str) -> float:
        if schema == known:
            return 1.0
        likeness = self._schemas.get((schema, known))
        if likeness is None:
            likeness = difflib.SequenceMatcher(None, schema, known).ratio()
            self._schemas[schema, known] = likeness
        return likeness

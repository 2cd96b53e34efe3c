"""This module tests which name of a table is the nearest."""

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.authoring.files.sql.nearness import NEAR, Nearness

_NAMES = st.text("abco", min_size=1, max_size=5)
_TABLES = st.tuples(_NAMES, _NAMES).map(".".join) | _NAMES


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("raw.order", "raw.orders"),
        ("raw.Orders", "raw.orders"),
        ("rwa.orders", ""),
        ("raws.orderz", "raw.orders"),
        ("order", "raw.orders"),
        ("crm.orders", ""),
        ("raw.things", ""),
    ],
)
def test_schema_and_name_must_both_be_near(name: str, nearest: str) -> None:
    assert Nearness().nearest(name, ["raw.orders", "marts.revenue"]) == nearest


@given(name=_TABLES, known=st.lists(_TABLES, max_size=8))
def test_passing_over_far_names_changes_nothing(name: str, known: list[str]) -> None:
    scores = [(_plainly(name, one), one) for one in known]
    best = max(scores, default=(0.0, ""))

    assert Nearness().nearest(name, known) == (best[1] if best[0] >= NEAR else "")


def _plainly(name: str, known: str) -> float:
    schema, _, last = name.rpartition(".")
    known_schema, _, known_last = known.rpartition(".")
    likeness = difflib.SequenceMatcher(None, known_last, last).ratio()
    if not schema or schema == known_schema:
        return likeness
    around = difflib.SequenceMatcher(None, schema, known_schema).ratio()
    if last == known_last and around < NEAR:
        return 0.0
    return (likeness + around) / 2

"""This module tests that cursors are read as they were written, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.store.cursors import read_key, read_position, write_key, write_position


@given(st.integers(0, (1 << 63) - 1))
def test_position_is_read_as_it_was_written(position: int) -> None:
    assert read_position(write_position(position)) == position


@given(st.text(), st.text())
def test_key_is_read_as_it_was_written(task_id: str, path: str) -> None:
    assert read_key(write_key(task_id, path)) == (task_id, path)


@given(st.text(min_size=1))
def test_anything_else_is_refused_or_a_cursor(text: str) -> None:
    for read in (read_position, read_key):
        try:
            read(text)
        except UsageError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most texts raise, a few are cursors


def test_nothing_is_the_start() -> None:
    assert read_position("") == 0
    assert read_key("") is None


@pytest.mark.parametrize("text", ["1", "[]", '["a"]', '["a", 1]', '["a", "b", "c"]', "{}"])
def test_other_json_is_no_key(text: str) -> None:
    with pytest.raises(UsageError, match="begin again without one"):
        read_key(text)

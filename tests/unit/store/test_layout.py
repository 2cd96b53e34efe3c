"""This module tests where logs and values lie."""

from hypothesis import given
from hypothesis import strategies as st

from ostinato.model.layout import MAX_NAME_CHARACTERS, file_name, log_path, value_path

names = st.text(min_size=1, max_size=300)


def test_logs_and_values_of_an_attempt_lie_beside_each_other() -> None:
    assert log_path(7, "etl.load", (3, 17), 1, 2) == "7/etl.load/3.17/1-2.jsonl"
    assert value_path(7, "etl.load", (3, 17), 1, 2, "rows", "json") == (
        "7/etl.load/3.17/1-2/rows.json"
    )
    assert log_path(7, "load", (), 0, 1) == "7/load/_/0-1.jsonl"


@given(names)
def test_any_text_is_one_safe_name(text: str) -> None:
    name = file_name(text)

    assert "/" not in name
    assert "\0" not in name
    assert name.strip(".")
    assert name.isascii()
    assert len(name) <= MAX_NAME_CHARACTERS


@given(names, names)
def test_different_texts_have_different_names(first: str, second: str) -> None:
    assert (file_name(first) == file_name(second)) == (first == second)


def test_long_texts_that_begin_alike_have_different_names() -> None:
    assert file_name("a" * 400 + "b") != file_name("a" * 400 + "c")

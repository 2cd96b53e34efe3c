"""References to environment variables are filled when settings are used."""

import pytest

from ostinato.errors import SettingsError
from ostinato.project.interpolation import fill, fill_uri, without_references

ENVIRON = {"A": "a/b", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain $A {A}", "plain $A {A}"),
        ("${A}", "a/b"),
        ("x${A}y${A}", "xa/bya/b"),
        ("${B:-none}", "none"),
        ("${EMPTY:-none}", "none"),
        ("${B:-}", ""),
        ("$${A}", "${A}"),
    ],
)
def test_references_are_filled(text: str, filled: str) -> None:
    assert fill(text, ENVIRON, subject="it") == filled
    assert fill({"k": [text, 1, None]}, ENVIRON, subject="it") == {"k": [filled, 1, None]}


def test_what_is_filled_into_a_uri_is_encoded_unless_it_is_all_of_it() -> None:
    assert fill_uri("pg://u:${A}@h", ENVIRON, subject="it") == "pg://u:a%2Fb@h"
    assert fill_uri(" ${A} ", ENVIRON, subject="it") == "a/b"


def test_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(SettingsError, match="it refers to the variable B, which is not set"):
        fill("${B}", ENVIRON, subject="it")


def test_empty_variable_is_empty_text() -> None:
    assert fill("<${EMPTY}>", ENVIRON, subject="it") == "<>"


def test_form_is_seen_without_what_references_stand_for() -> None:
    assert without_references({"a": "pg://h:${PORT}/", "b": 3}) == {"a": "pg://h:1/", "b": 3}

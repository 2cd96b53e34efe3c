"""This module tests the table of keys and the check of their values."""

from datetime import timedelta

import pytest
import yaml

from ostinato.authoring.files.codes import CODES, problem, strictly
from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK
from ostinato.authoring.files.keys.known import KEYS_OF_FILES, keys_in, wrong_types
from ostinato.authoring.files.spec import Keys, Position
from ostinato.authoring.policies import POLICY_NAMES


def test_every_policy_of_tasks_is_a_key_of_front_matter() -> None:
    assert set(keys_in(TASK)) >= POLICY_NAMES


@pytest.mark.parametrize("scope", [TASK, FLOW, GROUP])
def test_a_key_stands_once_in_each_place(scope: str) -> None:
    names = [key.name for key in KEYS_OF_FILES if scope in key.scopes]

    assert len(names) == len(set(names))


def test_examples_are_yaml_of_the_key_that_the_table_lets_through() -> None:
    wrong = {}
    for key in KEYS_OF_FILES:
        if "!" in key.example or not key.example:
            continue
        values = yaml.safe_load(key.example)
        if key.name in values.get("extra_callables", {}):
            # What only a function can be is named there.
            continue
        assert list(values) == [key.name]
        if not key.kind.accepts(values[key.name]):
            wrong[key.name] = values

    assert wrong == {}


def test_aliases_name_keys_that_stand_in_the_same_places() -> None:
    for key in KEYS_OF_FILES:
        if key.alias_of:
            assert all(key.alias_of in keys_in(scope) for scope in key.scopes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"retries": "three"}, "retries must be a whole number of zero or more, not 'three'"),
        ({"dependencies": "extract"}, "dependencies must be a list of names, not 'extract'"),
        ({"dependencies": ["a", 2]}, "dependencies[1] must be a text, not 2"),
        (
            {"columns": {"id": {"typ": "int"}}},
            "columns.id.typ must be one of type, checks, description, not 'int'",
        ),
        (
            {"materialized": "tabel"},
            "materialized must be 'table', 'view', 'incremental' or 'none', not 'tabel'",
        ),
        ({"refresh_cache": "on"}, "refresh_cache must be true or false, not 'on'"),
        (
            {"timeout": "soon"},
            "timeout must be a duration such as '5m' or a number of seconds, not 'soon'",
        ),
    ],
)
def test_value_of_another_type_is_named_with_what_it_must_be(
    values: dict[str, object], message: str
) -> None:
    found = wrong_types(Keys("a.yml", values, {(next(iter(values)),): (3, 1)}), TASK)

    assert [str(one) for one in found] == [f"a.yml:3:1 F014 {message}"]


def test_templates_empty_keys_and_what_tags_make_are_let_through() -> None:
    values = {
        "retries": "{{ var.value.retries }}",
        "dependencies": None,
        "retry_delay": timedelta(minutes=5),
        "on_failure_callback": print,
        "anything_else": object(),
    }

    assert wrong_types(Keys("a.yml", values), TASK) == []


def test_keys_that_the_operator_takes_are_left_to_it() -> None:
    keys = Keys("a.yml", {"checks": 5})

    assert wrong_types(keys, TASK, besides={"checks"}) == []


def test_strictly_makes_errors_of_warnings() -> None:
    warning = problem("F017", "dependency 'a' is unknown", Position("a.yml", 1, 1))

    assert warning.severity == "warning"
    assert strictly([warning])[0].severity == "error"


def test_problem_reads_as_place_code_message_and_hint() -> None:
    position = Position("marts/revenue.sql", 14, 6)

    text = str(problem("F012", "table raw.order not found", position, "did you mean raw.orders?"))

    assert text == "marts/revenue.sql:14:6 F012 table raw.order not found; did you mean raw.orders?"


def test_codes_are_numbered_without_gaps() -> None:
    assert list(CODES) == [f"F{number:03}" for number in range(1, len(CODES) + 1)]


def test_position_is_that_of_the_nearest_key_around() -> None:
    keys = Keys("a.yml", {}, {("a",): (2, 1), ("a", 0): (3, 5)}, 1)

    assert keys.position("a", 0, "b") == Position("a.yml", 3, 5)
    assert keys.position("b") == Position("a.yml", 1, 1)

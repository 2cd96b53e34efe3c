"""This module tests YAML tags: the built-in ones and those of users, in each form of call."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.authoring.files.folders import read_one, wrong_in


def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def double(value: Any) -> Any:
    return value * 2


def value_of(folder: Path, text: str, **options: Any) -> Any:
    constructors = options.pop("constructors", [echo, double])
    file = read_one(folder, "a.yml", f"key: {text}\n", constructors=constructors, **options)
    return file.keys.values["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!days_ago 1", datetime(2024, 5, 16, tzinfo=UTC)),
        ("!days_ago '2'", datetime(2024, 5, 15, tzinfo=UTC)),
        ("!days_ago [3]", datetime(2024, 5, 14, tzinfo=UTC)),
        ("!days_ago {n: 0}", datetime(2024, 5, 17, tzinfo=UTC)),
        ("!timedelta 'minutes: 5'", timedelta(minutes=5)),
        ("!timedelta {minutes: 5, hours: 1}", timedelta(minutes=65)),
        ("!timedelta 2", timedelta(days=2)),
        ("!timedelta [1, 30]", timedelta(days=1, seconds=30)),
        ("!datetime [2022, 1, 15]", "2022-01-15T00:00:00"),
        ("!datetime [2022, 010, 05]", "2022-10-05T00:00:00"),
        ("!datetime {year: 2022, month: 3, day: 4}", "2022-03-04T00:00:00"),
        ("!datetime '[2022, 1, 15]'", "2022-01-15T00:00:00"),
        ("!datetime 2022-01-15", "2022-01-15T00:00:00"),
        ("!datetime '2022-01-15 10:30:00'", "2022-01-15T10:30:00"),
        ("!datetime '2022-01-15T10:30'", "2022-01-15T10:30:00"),
        ("!env_var SHOP", "ours"),
        ("!env_var NOWHERE", None),
        ("!env_var [NOWHERE, 3]", 3),
        ("!env_var [SHOP, 3]", "ours"),
        ("!env_var {var: NOWHERE, default: no}", False),
        ("!env_switch {prod: a, default: b}", "a"),
        ("!env_switch {test: a, default: b}", "b"),
        ("!env_switch {test: a}", "value_unspecified"),
        ("!previous_date", "2024-05-16"),
        ("!previous_date {days: 2}", "2024-05-15"),
        ("!previous_date Pacific/Kiritimati", "2024-05-17"),
        ("!previous_hour", "2024-05-17 11:00:00"),
        ("!previous_hour [UTC, 2, 1]", "2024-05-16 10:00:00"),
        ("!previous_hour {tz: Asia/Kolkata}", "2024-05-17 17:00:00"),
    ],
)
def test_builtin_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: object
) -> None:
    monkeypatch.setenv("SHOP", "ours")
    monkeypatch.setenv("ENV", "prod")

    found = value_of(tmp_path, text)

    is_plain = isinstance(found, datetime) and found.tzinfo is None
    assert (found.isoformat() if is_plain else found) == value


def test_switch_may_ask_another_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AB__ENV", "STAGE")
    monkeypatch.setenv("STAGE", "blue")

    assert value_of(tmp_path, "!env_switch {blue: 1, default: 2}") == 1


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("!echo", [], {}),
        ("!echo ''", [], {}),
        ("!echo null", [], {}),
        ("!echo abc", ["abc"], {}),
        ("!echo 2", [2], {}),
        ("!echo 'a: 1'", [], {"a": 1}),
        ("!echo '[1, 2]'", [1, 2], {}),
        ("!echo 'a: b: c'", ["a: b: c"], {}),
        ("!echo |\n  a: 1\n  b: 2", [], {"a": 1, "b": 2}),
        ("!echo []", [], {}),
        ("!echo {}", [], {}),
        ("!echo [1, two, 3.5, true, null]", [1, "two", 3.5, True, None], {}),
        ("!echo {a: 1, b: two}", [], {"a": 1, "b": "two"}),
        ("!echo\n  - a\n  - b", ["a", "b"], {}),
        ("!echo [[1], {a: 2}]", [[1], {"a": 2}], {}),
        ("!echo [!double x]", ["xx"], {}),
        ("!echo [!double 2]", ["22"], {}),
        ("!echo {a: !echo [1]}", [], {"a": [[1], {}]}),
        ("!echo [!days_ago 1]", [datetime(2024, 5, 16, tzinfo=UTC)], {}),
        ("!echo [0x1F, 010]", [31, 10], {}),
        ("!echo {<<: {a: 1, b: 2}, b: 3}", [], {"a": 1, "b": 3}),
        ("!echo 2022-01-01", [date(2022, 1, 1)], {}),
    ],
)
def test_form_of_call(
    tmp_path: Path, text: str, args: list[object], kwargs: dict[str, object]
) -> None:
    assert value_of(tmp_path, text) == [args, kwargs]


def test_tags_stand_anywhere_in_a_document(tmp_path: Path) -> None:
    assert value_of(tmp_path, "{a: [!double x, {b: !double 3}]}") == {"a": ["xx", {"b": 6}]}


def test_own_tags_are_given_by_function_or_by_name_with_or_without_mark(tmp_path: Path) -> None:
    def hello() -> str:
        return "hello"

    assert value_of(tmp_path, "!hello", constructors=[hello]) == "hello"
    assert value_of(tmp_path, "!greet", constructors={"greet": hello}) == "hello"
    assert value_of(tmp_path, "!greet", constructors={"!greet": hello}) == "hello"


def test_own_tag_goes_before_a_builtin_one_and_a_macro_before_both(tmp_path: Path) -> None:
    own = {"days_ago": lambda n: f"own {n}"}

    assert value_of(tmp_path, "!days_ago 1", constructors=own) == "own 1"
    assert (
        value_of(
            tmp_path,
            "!days_ago 1",
            constructors=own,
            macros={"days_ago": lambda n: f"macro {n}"},
        )
        == "macro 1"
    )


def test_macro_that_is_a_value_is_a_tag_without_arguments(tmp_path: Path) -> None:
    assert value_of(tmp_path, "!currency", macros={"currency": "EUR"}) == "EUR"


def test_anchors_and_merges_are_followed(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {x: 5, z: 6}\nc: {<<: *a, y: 3}\nd: {<<: [*a, *b]}\ne: *a\n"

    values = read_one(tmp_path, "a.yml", text).keys.values

    assert values["c"] == {"x": 1, "y": 3}
    assert values["d"] == {"x": 1, "y": 2, "z": 6}
    assert values["e"] == {"x": 1, "y": 2}


def fail() -> None:
    message = "out of\nwork"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("!days_agp 1", "1:6 F008 tag !days_agp is unknown; did you mean '!days_ago'?"),
        ("!!python/name:os.system", "1:6 F008 tag !!python/name:os.system is unknown"),
        (
            "!!python/object/apply:os.system [ls]",
            "1:6 F008 tag !!python/object/apply:os.system is unknown",
        ),
        (
            "[!echo [!!python/object/new:int [1]]]",
            "1:14 F008 tag !!python/object/new:int is unknown",
        ),
        (
            "{a: !timedelta x}",
            "1:10 F009 !timedelta failed: TypeError: "
            "unsupported type for timedelta days component: str",
        ),
        ("!echo &a [*a]", "1:6 F001 this value holds itself"),
        ("!echo [&a [*a]]", "1:13 F001 this value holds itself"),
        ("!!str [a]", "1:6 F008 tag !!str is unknown"),
        ("!!str {a: 1}", "1:6 F008 tag !!str is unknown"),
        ("!fail", "1:6 F009 !fail failed: RuntimeError: out of work"),
        (
            "!double [1, 2]",
            "1:6 F009 !double failed: TypeError: double() takes 1 "
            "positional argument but 2 were given",
        ),
        (
            "!datetime [2022, 13, 1]",
            "1:6 F009 !datetime failed: ValueError: month must be in 1..12",
        ),
        (
            "!double",
            "1:6 F009 !double failed: TypeError: double() missing 1 "
            "required positional argument: 'value'",
        ),
    ],
)
def test_tag_that_cannot_be_called_is_named(tmp_path: Path, text: str, problem: str) -> None:
    found = wrong_in(tmp_path, "a.yml", f"key: {text}", constructors=[echo, double, fail])

    assert found == [f"a.yml:{problem}"]


def test_standard_collections_and_marks_of_yaml_are_known(tmp_path: Path) -> None:
    text = (
        "a: !!omap [x: 1, y: 2]\nb: !!pairs [x: 1, x: 2]\nc: !!set {x, y}\nd: =\ne: !!binary aGk="
    )

    assert read_one(tmp_path, "a.yml", text).keys.values == {
        "a": {"x": 1, "y": 2},
        "b": [("x", 1), ("x", 2)],
        "c": {"x", "y"},
        "d": "=",
        "e": b"hi",
    }


def test_key_that_a_tag_makes_a_number_is_no_name(tmp_path: Path) -> None:
    found = wrong_in(tmp_path, "a.yml", "!double [2]: x", constructors=[double])

    assert found == [
        "a.yml:1:1 F013 key !double is read as 4, which is no name; write it in quotes"
    ]


def test_tags_nested_without_end_are_refused(tmp_path: Path) -> None:
    text = "a: " + "!echo [" * 900 + "]" * 900

    assert wrong_in(tmp_path, "a.yml", text, constructors=[echo]) == [
        "a.yml:1:1 F001 nested deeper than 100 levels"
    ]

"""This module tests the templates of METADATA, and of headers where a flow asks for it."""

from pathlib import Path

import pytest

from tests.unit.authoring.files.folders import metadata_of, read, read_one, write, wrong_in


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "ours")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ env_var('SHOP') }}", "ours"),
        ("{{ env_var('NOWHERE', 'x') }}", "x"),
        ("{{ owner }}", "ann"),
        ("{{ later }}", "{{ owner }}!"),
        ("{{ unknown }}", "{{ unknown }}"),
        ("{{ ds }}/{{ owner }}", "{{ ds }}/ann"),
        ("{{ var.value.x }}", "{{ var.value.x }}"),
        ("{{ macros.ds_add(ds, 1) }}", "{{ macros.ds_add(ds, 1) }}"),
        ("{{ params['a'] }}", "{{ params['a'] }}"),
        ("{{ ds | ds_nodash }}", "{{ ds | ds_nodash }}"),
        ("{{ ds + 1 }}", "{{ ds + 1 }}"),
        ("{{ 1 + 1 }}", "2"),
        ("{{ 2 * 3 }}{{ 'a' * 2 }}{{ 2 ** 3 }}", "6aa8"),
        ("{{ days_ago(1).year }}", "2024"),
        ("{{ datetime(2022, 3, 1).month }}", "3"),
        ("{{ timedelta(minutes=5) }}", "0:05:00"),
        ("{{ double('x') }}", "xx"),
        ("{{ 'x' | double }}", "xx"),
        ("{{ currency }}", "EUR"),
        ("{% if owner == 'ann' %}yes{% else %}no{% endif %}", "yes"),
        ("{% if unknown %}yes{% else %}no{% endif %}", "no"),
        ("{% raw %}{{ ds }}{% endraw %}", "{{ ds }}"),
        ("{{ default_args.pool }}", "p1"),
        ("{{ default_args.owner }}", "ann"),
        ("plain", "plain"),
    ],
)
def test_text_of_metadata_is_rendered(tmp_path: Path, text: str, value: str) -> None:
    content = (
        "owner: ann\n"
        "default_args: {pool: p1, owner: '{{ owner }}'}\n"
        f'description: "{text}"\n'
        "later: '{{ owner }}!'\n"
    )
    write(tmp_path, {"METADATA.yml": content})

    spec, _ = read(tmp_path, constructors={"double": lambda x: x * 2}, macros={"currency": "EUR"})

    assert spec.keys.values["description"] == value


def test_texts_lose_their_common_indent_and_the_empty_lines_around(tmp_path: Path) -> None:
    content = 'doc_md: |\n\n  # Shop\n    - a\n\ndescription: "  words  "\n'

    assert metadata_of(tmp_path, content) == {"doc_md": "# Shop\n  - a", "description": "words  "}


def test_lists_and_nested_keys_are_rendered_and_other_values_are_left(tmp_path: Path) -> None:
    content = (
        "tags: ['{{ env_var(\"SHOP\") }}', b]\n"
        "max_active_runs: 2\n"
        "start_date: !days_ago 1\n"
        "default_args: {params: {a: ['{{ max_active_runs + 1 }}']}}\n"
    )

    values = metadata_of(tmp_path, content)

    assert values["tags"] == ["ours", "b"]
    assert values["max_active_runs"] == 2
    assert values["default_args"] == {"params": {"a": ["3"]}}


def test_header_is_rendered_only_where_the_flow_asks_for_it(tmp_path: Path) -> None:
    text = (
        "---\noperator: x\nowner: \"{{ env_var('SHOP') }}\"\ndoc: '{{ owner }}'\n---\n{{ owner }}"
    )

    plain = read_one(tmp_path, "a.sql", text)
    rendered = read_one(tmp_path, "a.sql", text, render_on_create=True)

    assert plain.keys.get("owner") == "{{ env_var('SHOP') }}"
    assert rendered.keys.values == {"operator": "x", "owner": "ours", "doc": "ours"}
    assert rendered.body == "{{ owner }}"


def test_query_in_a_header_is_never_rendered(tmp_path: Path) -> None:
    text = "operator: x\nsql: \"select '{{ env_var('SHOP') }}'\"\n"

    file = read_one(tmp_path, "a.yml", text, render_on_create=True)

    assert file.keys.get("sql") == "select '{{ env_var('SHOP') }}'"


def fail() -> None:
    message = "out of work"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "description: '{{ owner'",
            "1:1 F023 the template of description does not parse: unexpected end of "
            "template, expected 'end of print statement'.",
        ),
        (
            "default_args:\n  owner: |\n    a\n    {% if %}",
            "2:3 F023 the template of default_args does not parse: line 2 of the template: "
            "Expected an expression, got 'end of statement block'",
        ),
        (
            "tags:\n- '{{ fail() }}'",
            "2:3 F023 the template of tags cannot be rendered: RuntimeError: out of work",
        ),
        (
            "description: '{{ 1 / 0 }}'",
            "1:1 F023 the template of description cannot be "
            "rendered: ZeroDivisionError: division by zero",
        ),
        (
            "description: \"{{ ''.__class__.__mro__ }}\"",
            "1:1 F023 the template of description cannot be rendered: "
            "access to attribute '__class__' of 'str' object is unsafe.",
        ),
        (
            "description: \"{{ 'a' * 10000000 }}\"",
            "1:1 F023 the template of description cannot be rendered: OverflowError: "
            "more than 1,000,000 repetitions are too many",
        ),
        (
            "description: '{{ 9 ** 9999 }}'",
            "1:1 F023 the template of description cannot be rendered: OverflowError: "
            "a power over 1000 is too large",
        ),
        (
            "description: '{% for i in range(1000000000) %}x{% endfor %}'",
            "1:1 F023 the template of description cannot be rendered: OverflowError: "
            "ranges of more than 1,000,000 items together are too long",
        ),
        (
            "description: '{% for i in range(9999) %}{% for i in "
            "range(999) %}x{% endfor %}{% endfor %}'",
            "1:1 F023 the template of description cannot be rendered: OverflowError: "
            "ranges of more than 1,000,000 items together are too long",
        ),
        (
            "description: \"{% include '/etc/passwd' %}\"",
            "1:1 F023 the template of description cannot be rendered: "
            "TypeError: no loader for this environment specified",
        ),
    ],
)
def test_template_that_fails_is_named_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    found = wrong_in(tmp_path, "METADATA.yml", text, constructors=[fail])

    assert found == [f"METADATA.yml:{problem}"]

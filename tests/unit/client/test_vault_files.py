"""Files of connections, variables and pools are read and written in Airflow's forms too."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.client.vault_files import (
    environment_name,
    environment_names,
    format_of,
    read_entries,
    write_entries,
)
from ostinato.errors import OstinatoError, UsageError

ENTRIES = {"shop": {"conn_type": "http", "port": 80, "extra": {"a": [1]}}, "b": "pg://h"}


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_what_is_written_is_read_back(tmp_path: Path, format: str) -> None:
    file = tmp_path / f"connections.{format}"

    file.write_text(write_entries(ENTRIES, "connections", format))

    assert read_entries(file, "connections") == ENTRIES


@given(st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), st.text(max_size=20)))
def test_any_text_survives_a_file_of_lines(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("lines") / "some.env"

    file.write_text(write_entries(entries, "variables", "env"), encoding="utf-8")

    assert read_entries(file, "variables") == entries


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", '{"n": 1}', {"n": 1}),
        ("a.json", '{"connections": {"c": "x"}, "variables": {"n": 1}}', {"n": 1}),
        ("a.json", '{"connections": {"c": "x"}}', {}),
        ("a.yml", "variables:\n", {}),
        ("a.yml", "variables: 3\n", {"variables": 3}),
        ("a.yaml", "", {}),
        (
            ".env",
            '# ours\nexport OSTINATO_VAR_N=\'1 2\'\n\nAIRFLOW_VAR_M="a\\"b\\nc"\nx = y=z\n'
            "OSTINATO_CONN_C=pg://h\n",
            {"n": "1 2", "m": 'a"b\nc', "x": "y=z"},
        ),
    ],
)
def test_file_holds_sections_or_entries_of_one_kind(
    tmp_path: Path, name: str, text: str, expected: dict[str, Any]
) -> None:
    (tmp_path / name).write_text(text)

    assert read_entries(tmp_path / name, "variables") == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[1]", r"a\.json: holds no JSON object"),
        ("a.json", b"{", r"a\.json: holds no JSON object"),
        ("a.env", b"A=1\nrubbish", r"a\.env:2: is no entry \(a line is NAME=value\)"),
        ("a.env", b"A=\xff", r"a\.env: is not encoded in UTF-8"),
        ("a.yaml", b"[1]", r"a\.yaml:1: must hold keys and values"),
        ("none.json", None, r"none\.json: cannot be read: No such file"),
        ("a.txt", b"", r"the format of .*a\.txt is unknown"),
    ],
)
def test_file_that_cannot_be_read_is_said(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(OstinatoError, match=message):
        read_entries(tmp_path / name, "variables")


def test_format_is_told_by_the_name() -> None:
    assert [format_of(Path(name)) for name in ("a.JSON", "a.yml", ".env", "x.env")] == [
        "json",
        "yaml",
        "env",
        "env",
    ]
    with pytest.raises(UsageError):
        format_of(Path("a"))


def test_names_in_the_environment_are_in_capitals_as_shells_can_set_them() -> None:
    assert environment_name("connections", "my-db.eu") == "OSTINATO_CONN_MY_DB_EU"
    assert environment_names("connections", "my-db") == [
        "OSTINATO_CONN_MY-DB",
        "OSTINATO_CONN_MY_DB",
        "AIRFLOW_CONN_MY-DB",
        "AIRFLOW_CONN_MY_DB",
    ]


def test_names_that_a_variable_would_change_are_written_as_they_are(tmp_path: Path) -> None:
    entries = {"plain_1": "a", "my-db": "b", "Big": "c"}

    text = write_entries(entries, "variables", "env")

    assert text == "OSTINATO_VAR_PLAIN_1=a\nmy-db=b\nBig=c\n"
    (tmp_path / "a.env").write_text(text)
    assert read_entries(tmp_path / "a.env", "variables") == entries
    with pytest.raises(UsageError, match="cannot be written as a line"):
        write_entries({"a b": "c"}, "variables", "env")

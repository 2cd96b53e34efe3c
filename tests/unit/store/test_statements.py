"""This module tests the files of statements themselves."""

from importlib.resources import files

import pytest

from ostinato.store.statements import load_statements, read_folder

FOLDER = files("ostinato.store")
SQL = FOLDER / "sql"
SHARED = {file.name: file.read_text() for file in SQL.iterdir() if file.name.endswith(".sql")}


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_each_statement_is_used(dialect: str) -> None:
    folders = [FOLDER, FOLDER / "postgres"] if dialect == "postgres" else [FOLDER]
    code = "".join(
        file.read_text()
        for folder in folders
        for file in folder.iterdir()
        if file.name.endswith(".py")
    )

    # SQLite's own way with a concern is common to both where PostgreSQL has a quicker one.
    own = set(load_statements(dialect)) - (
        set(read_folder(SQL)) if dialect == "postgres" else set()
    )
    unused = [name for name in own if f'"{name}"' not in code]

    assert unused == []


def test_each_statement_says_in_a_line_what_it_is_for() -> None:
    own = [
        file.read_text()
        for dialect in ("sqlite", "postgres")
        for file in (SQL / dialect).iterdir()
        if file.name.endswith(".sql")
    ]
    texts = [*SHARED.values(), *own]
    blocks = [block.splitlines() for text in texts for block in text.split("-- name: ")[1:]]

    silent = [lines[0] for lines in blocks if not lines[1].startswith("-- ")]

    assert len(blocks) >= len(load_statements("sqlite"))
    assert silent == []


def test_concerns_have_no_statement_of_the_same_name() -> None:
    names = [
        block.splitlines()[0] for text in SHARED.values() for block in text.split("-- name: ")[1:]
    ]

    assert len(names) == len(set(names)) == len(read_folder(SQL))


def test_statement_is_read_without_its_comment() -> None:
    statements = load_statements("sqlite")

    assert statements["select_manifest"] == "SELECT data FROM manifests WHERE version = ?"
    assert not any(text.startswith("--") or text.endswith("-") for text in statements.values())


@pytest.mark.parametrize("name", SHARED)
def test_shared_statement_names_what_conflicts(name: str) -> None:
    # SQLite would do without; PostgreSQL would not.
    assert "ON CONFLICT DO UPDATE" not in SHARED[name]

"""This module tests the file of statements itself."""

from importlib.resources import files

from ostinato.store.statements import load_statements

FOLDER = files("ostinato.store")
TEXT = (FOLDER / "sql" / "sqlite" / "queries.sql").read_text()


def test_each_statement_is_used() -> None:
    code = "".join(file.read_text() for file in FOLDER.iterdir() if file.name.endswith(".py"))

    unused = [name for name in load_statements("sqlite") if f'"{name}"' not in code]

    assert unused == []


def test_each_statement_says_in_a_line_what_it_is_for() -> None:
    blocks = [block.splitlines() for block in TEXT.split("-- name: ")[1:]]

    silent = [lines[0] for lines in blocks if not lines[1].startswith("-- ")]

    assert len(blocks) == len(load_statements("sqlite"))
    assert silent == []


def test_statement_is_read_without_its_comment() -> None:
    statements = load_statements("sqlite")

    assert statements["select_manifest"] == "SELECT data FROM manifests WHERE version = ?"
    assert not any(text.startswith("--") or text.endswith("-") for text in statements.values())

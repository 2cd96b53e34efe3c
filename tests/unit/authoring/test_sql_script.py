"""Scripts are split where statements end, and nowhere else."""

import pytest

from ostinato.authoring.sql_script import split_statements


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        (" ; ;\n;", []),
        ("select 1", ["select 1"]),
        ("select 1;\nselect 2;", ["select 1", "select 2"]),
        ("select 'a;b'; select \"c;d\"", ["select 'a;b'", 'select "c;d"']),
        ("select 'it''s;'; select 2", ["select 'it''s;'", "select 2"]),
        ("-- one; two\nselect 1; -- done;", ["-- one; two\nselect 1"]),
        ("/* a; */ select 1; /* nothing; */", ["/* a; */ select 1"]),
        ("do $$ begin; end; $$; select 1", ["do $$ begin; end; $$", "select 1"]),
        ("select $a$ ; $b$ ; $a$", ["select $a$ ; $b$ ; $a$"]),
    ],
)
def test_script_is_split_into_statements(script: str, statements: list[str]) -> None:
    assert list(split_statements(script)) == statements

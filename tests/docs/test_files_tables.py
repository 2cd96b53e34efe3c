"""Tests that docs/reference/files.md says of keys and codes what the code says."""

from pathlib import Path

import pytest

from ostinato.authoring.files.keys.known import KEYS_OF_FILES
from ostinato.authoring.files.reading.tags import TagFunctions
from tests.docs.files_tables import tables

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "files.md").read_text()
TABLES = tables()


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_of_files_is_that_of_the_code(heading: str) -> None:
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]

    # To renew them: python -m tests.docs.files_tables
    assert lines == TABLES[heading].splitlines()


def test_every_key_has_a_type_and_an_example() -> None:
    assert [key.name for key in KEYS_OF_FILES if not (key.example and key.kind.says)] == []


def test_every_tag_is_documented() -> None:
    section = TEXT.partition("\n## Tags\n")[2].partition("\n## ")[0]

    for name in TagFunctions().of_tags:
        assert f"`!{name}" in section

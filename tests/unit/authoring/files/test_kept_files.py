"""This module tests what is kept of files between processes."""

import os
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.files.reading import folder_reading as reading
from ostinato.authoring.files.reading import kept_files
from ostinato.authoring.files.reading.file_content import read_content
from ostinato.authoring.files.reading.kept_files import KeptFiles
from ostinato.authoring.files.spec import FolderSpec
from ostinato.clock import VirtualClock
from tests.unit.authoring.files.folders import LATER_US, read, write

FILES = {
    "METADATA.yml": "owner: me\n",
    "a.yml": "operator: bash\nparams: {a: [1, x, 2.5, true, null]}\n",
    "b/c.py": "# ---\n# python_callable: f\n# ---\ndef f(a, *, b=1): ...\n",
    "b/d.sql": "---\nretries: 1\n---\nselect 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    write(path, FILES)
    return path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read again."""
    names: list[str] = []

    def noting(path: str, max_bytes: int) -> object:
        names.append(os.path.basename(path))
        return read_content(path, max_bytes)

    monkeypatch.setattr(reading, "read_content", noting)
    return names


def read_later(folder: Path, kept: Path | str, **options: Any) -> tuple[FolderSpec, list[str]]:
    """Read a folder whose files have not been touched for long."""
    clock = VirtualClock(LATER_US)
    return read(folder, clock=clock, kept=KeptFiles(str(kept)), **options)


def test_unchanged_files_are_read_by_one_process_only(folder: Path, parsed: list[str]) -> None:
    kept = str(folder.parent / "cache" / "kept")
    first, _ = read_later(folder, kept)
    parsed.clear()

    second, problems = read_later(folder, kept)

    assert parsed == []
    assert second == first
    assert problems == []


def test_changed_files_are_read_and_kept_again(folder: Path, parsed: list[str]) -> None:
    kept = str(folder.parent / "kept")
    read_later(folder, kept)
    write(folder, {"a.yml": "operator: empty\n"})
    parsed.clear()

    changed, _ = read_later(folder, kept)
    read_later(folder, kept)

    assert changed.files[0].keys.values == {"operator": "empty"}
    assert parsed == ["a.yml"]


@pytest.mark.parametrize(
    "text",
    [
        "start: !days_ago 1",
        "delay: !timedelta 'minutes: 5'",
        "owner: !env_var HOME",
        "day: 2024-01-01",
        "1: x",
        "params: {1: x}",
        "retries: -1: 2",
        "dependencies: a",
    ],
)
def test_what_more_than_the_text_decides_or_is_wrong_is_not_kept(
    folder: Path, parsed: list[str], text: str
) -> None:
    kept = str(folder.parent / "kept")
    write(folder, {"a.yml": text})
    first, found = read_later(folder, kept)
    parsed.clear()

    second, found_again = read_later(folder, kept)

    assert parsed == ["a.yml"]
    assert found_again == found
    assert second.files == first.files


def test_templates_of_metadata_are_rendered_each_time(
    folder: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = str(folder.parent / "kept")
    write(folder, {"METADATA.yml": "owner: \"{{ env_var('SHOP') }}\""})
    monkeypatch.setenv("SHOP", "ann")
    read_later(folder, kept)
    monkeypatch.setenv("SHOP", "bob")

    second, _ = read_later(folder, kept)

    assert second.keys.get("owner") == "bob"


def test_another_way_of_reading_asks_the_files(folder: Path, parsed: list[str]) -> None:
    kept = str(folder.parent / "kept")
    read_later(folder, kept)
    parsed.clear()

    read_later(folder, kept, render_on_create=True)
    hooked, _ = read_later(folder, kept, hooks={".sql": lambda path: {"operator": "x"}})
    elsewhere, _ = read_later(folder, kept, root=str(folder.parent))

    assert len(parsed) > len(FILES)
    assert hooked.folders[0].files[1].keys.values == {"operator": "x"}
    assert elsewhere.files[0].shown == os.path.join("shop", "a.yml")


@pytest.mark.parametrize("content", [b"", b"words", b"ostinato-files\nwords", b"ostinato-files\n"])
def test_a_file_that_is_no_such_file_is_not_believed(folder: Path, content: bytes) -> None:
    kept = folder.parent / "kept"
    kept.write_bytes(content)

    spec, problems = read_later(folder, kept)

    assert len(spec.files) == 1
    assert problems == []
    assert kept.read_bytes().startswith(b"ostinato-files\n")


def test_a_place_that_cannot_be_written_costs_nothing_else(folder: Path) -> None:
    write(folder.parent, {"file": ""})

    spec, problems = read_later(folder, folder.parent / "file" / "kept")

    assert len(spec.files) == 1
    assert problems == []


def test_nothing_is_written_where_nothing_has_changed(folder: Path) -> None:
    kept = folder.parent / "kept"
    read_later(folder, kept)
    os.utime(kept, ns=(10**18, 10**18))

    read_later(folder, kept)

    assert os.stat(kept).st_mtime_ns == 10**18


def test_what_another_loader_has_kept_is_read_again(
    folder: Path, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = folder.parent / "kept"
    read_later(folder, kept)
    parsed.clear()
    monkeypatch.setattr(kept_files, "edition", lambda: "another")

    read_later(folder, kept)

    assert len(parsed) == len(FILES)

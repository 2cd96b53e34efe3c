"""This module tests what is read of folders, and what is said of what is wrong in them."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.files.reading import read_folder
from ostinato.authoring.files.spec import FileSpec, FolderSpec
from ostinato.clock import VirtualClock

NOON = int(datetime(2024, 5, 17, 12, 34, tzinfo=UTC).timestamp() * 1e6)

Read = Callable[..., FolderSpec]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    return path


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read(folder: Path, **options: Any) -> tuple[FolderSpec, list[str]]:
    spec, problems = read_folder(str(folder), root=str(folder), clock=VirtualClock(NOON), **options)
    return spec, [str(problem) for problem in problems]


def one(folder: Path, name: str, content: str | bytes, **options: Any) -> FileSpec:
    """Return the only file of a folder, which is sound."""
    write(folder, {name: content})
    spec, problems = read(folder, **options)
    assert problems == []
    (file,) = spec.files
    return file


def wrong(folder: Path, name: str, content: str | bytes, **options: Any) -> list[str]:
    """Return what is wrong with the only file of a folder."""
    write(folder, {name: content})
    return read(folder, **options)[1]


# -- Discovery ------------------------------------------------------------------------------


def test_folder_is_read_with_all_beneath_in_the_order_of_names(folder: Path) -> None:
    write(
        folder,
        {
            "b.yml": "operator: bash",
            "a.yaml": "operator: bash",
            "marts/x.sql": "select 1",
            "marts/deep/y.py": "",
            "alpha/z.yml": "operator: bash",
        },
    )

    spec, problems = read(folder)

    assert problems == []
    assert spec.name == "shop"
    assert [file.task_id for file in spec.files] == ["a", "b"]
    assert [child.name for child in spec.folders] == ["alpha", "marts"]
    assert spec.folders[1].folders[0].files[0].shown == os.path.join("marts", "deep", "y.py")


@pytest.mark.parametrize(
    ("name", "task_id"),
    [
        ("MixedCase.yml", "mixedcase"),
        ("dotted.name.yml", "dotted.name"),
        ("  spaced .yml", "spaced"),
        ("größe.yml", "größe"),
    ],
)
def test_task_id_is_the_name_in_small_letters_without_its_extension(
    folder: Path, name: str, task_id: str
) -> None:
    assert one(folder, name, "operator: bash").task_id == task_id


def test_what_begins_with_underscore_or_dot_and_ignored_folders_are_left_out(
    folder: Path,
) -> None:
    write(
        folder,
        {
            "_a.yml": "",
            ".b.yml": "",
            "_c/d.yml": "",
            ".e/f.yml": "",
            "g/.gustyignore": "",
            "g/h/i.yml": "",
            "README.txt": "",
            "notes.md": "# Notes",
            "data.csv": "a,b",
        },
    )

    spec, problems = read(folder)

    assert (spec.files, spec.folders, problems) == ((), (), [])


def test_subfolders_are_left_out_where_metadata_says_so(folder: Path) -> None:
    write(folder, {"METADATA.yml": "ignore_subfolders: true", "a/b.yml": "operator: bash"})

    assert read(folder)[0].folders == ()


def test_metadata_beats_the_argument_that_leaves_out_subfolders(folder: Path) -> None:
    write(folder, {"METADATA.yml": "ignore_subfolders: false", "a/b.yml": "operator: bash"})

    spec, _ = read(folder, defaults={"ignore_subfolders": True})

    assert [child.name for child in spec.folders] == ["a"]

"""This module tests what is read of folders, and what is said of what is wrong in them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ostinato.authoring.files.reading import folder_reading as reading
from ostinato.authoring.files.spec import FolderSpec
from ostinato.clock import VirtualClock
from tests.unit.authoring.files.folders import (
    LATER_US,
    metadata_of,
    read,
    read_one,
    write,
    wrong_in,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    return path


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
    assert read_one(folder, name, "operator: bash").task_id == task_id


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


def test_metadata_with_the_other_extension_is_read_and_loses_against_the_first(
    folder: Path,
) -> None:
    write(folder, {"METADATA.yaml": "description: second", "a.yml": "operator: bash"})

    spec, problems = read(folder)

    assert spec.keys.get("description") == "second"
    assert problems == []

    write(folder, {"METADATA.yml": "description: first"})

    spec, problems = read(folder)

    assert spec.keys.get("description") == "first"
    assert problems == ["METADATA.yaml:1:1 F040 METADATA.yml stands beside it and counts alone"]


def test_empty_metadata_says_nothing(folder: Path) -> None:
    assert metadata_of(folder, "") == {}


def test_types_beyond_gusty_are_tasks_unless_only_its_own_are_wanted(folder: Path) -> None:
    write(
        folder,
        {
            "a.sh": "echo",
            "b.R": "1",
            "c.js": "1",
            "d.ts": "1",
            "e.rb": "1",
            "f": "#!/bin/sh\necho",
            "g.pl": "#!/usr/bin/perl -w\n1",
            "h.txt": "words",
            "i.py": "",
        },
    )

    everything, _ = read(folder)
    gusty, _ = read(folder, only_gusty=True)

    assert [file.task_id for file in everything.files] == list("abcdefgi")
    assert everything.files[6].shebang == "/usr/bin/perl -w"
    assert [file.task_id for file in gusty.files] == ["i"]


def test_tables_in_files_are_seeds_where_a_folder_around_says_so(folder: Path) -> None:
    write(
        folder,
        {
            "a.csv": "x\n1",
            "data/METADATA.yml": "seeds: true",
            "data/b.csv": "x\n1",
            "data/deep/c.parquet": b"PAR1\0",
            "data/off/METADATA.yml": "seeds: false",
            "data/off/d.csv": "",
        },
    )

    spec, problems = read(folder)

    data = spec.folders[0]
    assert problems == []
    assert spec.files == ()
    assert [file.task_id for file in data.files] == ["b"]
    assert [file.task_id for file in data.folders[0].files] == ["c"]
    assert data.folders[0].files[0].digest
    assert data.folders[1].files == ()


def test_markdown_is_a_task_only_if_it_says_what_runs_it(folder: Path) -> None:
    write(
        folder,
        {
            "README.md": "# Shop",
            "notes.md": "---\ntitle: Notes\n---\nwords",
            "report.md": "---\noperator: pandoc\n---\nwords",
        },
    )

    assert [file.task_id for file in read(folder)[0].files] == ["report"]


def test_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    spec, problems = read(tmp_path / "gone")

    assert (spec.files, spec.name, problems) == ((), "gone", [])


# -- Files that are not what they seem -------------------------------------------------------


def test_binary_file_is_named(folder: Path) -> None:
    problems = wrong_in(folder, "a.sql", b"select \0")

    assert problems == ["a.sql:1:1 F004 is a binary file and no text"]


def test_file_in_another_encoding_is_named_with_the_byte(folder: Path) -> None:
    problems = wrong_in(folder, "a.yml", "operator: bash\ndoc: Größe".encode("latin-1"))

    assert problems == ["a.yml:1:1 F004 is not encoded in UTF-8: byte 0xf6 on line 2"]


def test_byte_order_mark_and_foreign_newlines_are_no_part_of_the_text(folder: Path) -> None:
    data = b"\xef\xbb\xbf---\r\noperator: sql\r\n---\r\nselect 1\r\n"

    file = read_one(folder, "a.sql", data)

    assert file.keys.values == {"operator": "sql"}
    assert (file.body, file.body_line) == ("select 1", 4)


def test_huge_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 1 << 20)

    problems = wrong_in(folder, "a.sql", b"-" * ((1 << 20) + 200_000))

    assert problems == ["a.sql:1:1 F005 has 1.2 MiB; no more than 1 MiB are read"]


def test_names_that_are_no_text_are_shown_all_the_same(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.yml")).write_text("")
    (folder / "a\nb.yml").write_text("")

    problems = read(folder)[1]

    assert [problem.split(" F015 ")[0] for problem in problems] == [
        "a\\nb.yml:1:1",
        "\\udcff.yml:1:1",
    ]


def test_linked_file_is_read_and_a_link_to_nothing_is_named(folder: Path) -> None:
    (folder.parent / "elsewhere.yml").write_text("operator: bash")
    (folder / "good.yml").symlink_to(folder.parent / "elsewhere.yml")
    (folder / "lost.yml").symlink_to(folder / "nothing.yml")

    spec, problems = read(folder)

    assert [file.task_id for file in spec.files] == ["good"]
    assert [file.task_id for file in spec.broken] == ["lost"]
    assert problems == ["lost.yml:1:1 F006 is a link to nothing"]


def test_link_that_leads_to_itself_is_named(folder: Path) -> None:
    (folder / "a.yml").symlink_to(folder / "a.yml")

    (problem,) = read(folder)[1]

    assert problem.startswith("a.yml:1:1 F006 cannot be read: Too many levels of symbolic links")


def test_linked_folder_is_not_followed_and_named(folder: Path) -> None:
    (folder / "circle").symlink_to(folder)

    spec, problems = read(folder)

    assert spec.folders == ()
    assert problems == ["circle F041 a link to a folder is not followed"]


def test_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "a.yml")

    assert read(folder)[1] == ["a.yml:1:1 F006 is no regular file"]


def test_folders_nested_without_end_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_LEVELS", 2)
    write(folder, {"a/b/c/d.yml": "operator: bash"})

    assert read(folder)[1] == [
        os.path.join("a", "b", "c") + " F038 folders are nested deeper than 2 levels"
    ]


def test_file_that_vanishes_while_the_folder_is_read_was_never_there(folder: Path) -> None:
    def vanish(path: str) -> dict[str, str]:
        (folder / "b.yml").unlink()
        return {"operator": "bash"}

    write(folder, {"a.hook": "", "b.yml": "operator: bash"})

    spec, problems = read(folder, hooks={".hook": vanish})

    assert problems == []
    assert [file.task_id for file in spec.files] == ["a"]


def test_broken_file_breaks_no_other(folder: Path) -> None:
    write(folder, {"a.yml": "a: b: c", "b.yml": "operator: bash", "c.py": "def f(:"})

    spec, problems = read(folder)

    assert [file.task_id for file in spec.files] == ["b"]
    assert [file.task_id for file in spec.broken] == ["a", "c"]
    assert len(problems) == 2


def test_no_task_file_is_executed(folder: Path) -> None:
    marker = folder / "executed"
    code = f"open({str(marker)!r}, 'w')\n"
    cell = {"cell_type": "code", "source": [code], "outputs": [], "metadata": {}}
    write(
        folder,
        {
            "a.py": f"# ---\n# python_callable: f\n# ---\n{code}def f(): ...\n",
            "b.py": code,
            "c.ipynb": json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5}),
            "d.yml": f"operator: !!python/object/apply:open [{marker}, w]",
            "e.sh": f"touch {marker}",
        },
    )

    read(folder)

    assert not marker.exists()


# -- Reading again ---------------------------------------------------------------------------


def read_later(folder: Path, **options: Any) -> tuple[FolderSpec, list[str]]:
    """Read a folder whose files have not been touched for long."""
    return read(folder, clock=VirtualClock(LATER_US), **options)


def test_unchanged_files_are_the_same_objects(folder: Path) -> None:
    write(folder, {"a.yml": "operator: bash", "METADATA.yml": "owner: me", "b/c.sql": "select 1"})
    first, _ = read_later(folder)

    second, _ = read_later(folder, previous=first)

    assert second.files[0] is first.files[0]
    assert second.metadata_file is first.metadata_file
    assert second.folders[0].files[0] is first.folders[0].files[0]


def test_changed_added_and_removed_files_are_seen(folder: Path) -> None:
    write(folder, {"a.yml": "operator: bash", "b.yml": "operator: bash", "c.yml": "a: b: c"})
    first, _ = read_later(folder)
    write(folder, {"a.yml": "operator: bash\nretries: 1", "d.yml": "operator: bash"})
    (folder / "b.yml").unlink()

    second, problems = read_later(folder, previous=first)

    assert [file.task_id for file in second.files] == ["a", "d"]
    assert second.files[0].keys.get("retries") == 1
    assert second.broken[0] is first.broken[0]
    assert len(problems) == 1


def test_file_that_was_only_touched_is_not_parsed_again(folder: Path) -> None:
    write(folder, {"a.yml": "operator: bash"})
    first, _ = read_later(folder)
    os.utime(folder / "a.yml", ns=(10**18 + 1, 10**18 + 1))

    second, _ = read_later(folder, previous=first)

    assert second.files[0].keys is first.files[0].keys
    assert second.files[0].stamp != first.files[0].stamp


def test_change_in_the_moment_of_reading_is_seen_though_time_and_size_are_the_same(
    folder: Path,
) -> None:
    write(folder, {"a.yml": "retries: 1"})
    first, _ = read(folder)
    status = os.stat(folder / "a.yml")
    (folder / "a.yml").write_text("retries: 2")
    os.utime(folder / "a.yml", ns=(status.st_atime_ns, status.st_mtime_ns))

    second, _ = read(folder, previous=first)

    assert second.files[0].keys.get("retries") == 2


def test_what_comes_from_the_environment_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        folder,
        {
            "a.yml": "owner: !env_var SHOP_OWNER",
            "METADATA.yml": "owner: \"{{ env_var('SHOP_OWNER') }}\"",
        },
    )
    monkeypatch.setenv("SHOP_OWNER", "ann")
    first, _ = read_later(folder)
    monkeypatch.setenv("SHOP_OWNER", "bob")

    second, _ = read_later(folder, previous=first)

    assert (first.files[0].keys.get("owner"), first.keys.get("owner")) == ("ann", "ann")
    assert (second.files[0].keys.get("owner"), second.keys.get("owner")) == ("bob", "bob")


def test_file_in_the_place_of_a_folder_is_named(folder: Path) -> None:
    write(folder, {"shop": ""})

    assert read(folder / "shop")[1] == [
        f"{folder / 'shop'} F006 this folder cannot be read: Not a directory"
    ]


def test_seed_that_cannot_be_read_is_named(folder: Path) -> None:
    write(folder, {"METADATA.yml": "seeds: true"})
    (folder / "a.csv").symlink_to("nothing")
    (folder / "b.csv").symlink_to("b.csv")
    os.mkfifo(folder / "c.csv")

    first, second, third = read(folder)[1]

    assert first == "a.csv:1:1 F006 is a link to nothing"
    assert second.startswith("b.csv:1:1 F006 cannot be read: Too many levels")
    assert third == "c.csv:1:1 F006 is no regular file"


def test_pipe_without_extension_is_no_script(folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    assert read(folder)[0].files == ()


def test_seed_that_is_no_table_is_named(folder: Path) -> None:
    write(folder, {"METADATA.yml": "seeds: true", "a.csv": "\n", "b.parquet": "a,b\n1,2\n"})

    assert read(folder)[1] == [
        "a.csv:1:1 F039 the file is empty; its first line names the columns",
        "b.parquet:1:1 F039 the file is no Parquet file",
    ]

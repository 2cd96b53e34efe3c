"""Changes of code are found, and nothing else is taken for one."""

import hashlib
import os
import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.project.watching import CodeFiles

PATIENCE_S = 20.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    (tmp_path / "flows" / "nightly").mkdir(parents=True)
    (tmp_path / "flows" / "etl.py").write_text("x = 1\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "paths.py").write_text("x = 1\n")
    return tmp_path


@pytest.fixture
def files(root: Path) -> Iterator[CodeFiles]:
    files = CodeFiles(find_project(Target(path=root)))
    assert files.events is not None
    yield files
    files.close()


def changed(files: CodeFiles, root: Path) -> list[str]:
    return sorted(os.path.relpath(file, root) for file in files.look())


def has_changed(files: CodeFiles) -> bool:
    """Whether the system tells of a change; what has happened already is there at once."""
    assert files.events is not None
    with selectors.DefaultSelector() as selector:
        selector.register(files.events, selectors.EVENT_READ)
        return bool(selector.select(0)) and files.has_changed()


def test_nothing_has_changed_at_first(files: CodeFiles, root: Path) -> None:
    assert not has_changed(files)
    assert changed(files, root) == []


@pytest.mark.parametrize(
    "name",
    ["flows/etl.py", "flows/new.py", "flows/nightly/a.sql", "lib/paths.py", "ostinato.yaml"],
)
def test_code_that_is_written_is_a_change(files: CodeFiles, root: Path, name: str) -> None:
    (root / name).write_text("y = 2\n")

    assert has_changed(files)
    assert changed(files, root) == [name]
    assert changed(files, root) == []


@pytest.mark.parametrize(
    "name",
    [
        "flows/.etl.py.swp",
        "flows/etl.py~",
        "flows/4913",
        "flows/.#etl.py",
        "flows/result.duckdb",
        "flows/result.parquet",
        "result.txt",
        "lib/data.sql",
        "lib/ostinato.yaml",
    ],
)
def test_what_is_no_code_is_no_change(files: CodeFiles, root: Path, name: str) -> None:
    (root / name).write_text("y = 2\n")

    assert not has_changed(files)
    assert changed(files, root) == []


@pytest.mark.parametrize("name", [".ostinato", ".git", "flows/__pycache__", "node_modules"])
def test_what_other_folders_hold_is_no_change(files: CodeFiles, root: Path, name: str) -> None:
    (root / name).mkdir()
    (root / name / "x.py").write_text("y = 2\n")

    assert not has_changed(files)
    assert changed(files, root) == []


def test_an_environment_with_libraries_is_no_code(files: CodeFiles, root: Path) -> None:
    (root / "env" / "lib").mkdir(parents=True)
    (root / "env" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (root / "env" / "lib" / "x.py").write_text("y = 2\n")

    assert changed(files, root) == []


def test_a_file_that_an_editor_replaces_is_a_change(files: CodeFiles, root: Path) -> None:
    (root / "flows" / ".etl.py.tmp").write_text("y = 2\n")
    assert not has_changed(files)

    (root / "flows" / ".etl.py.tmp").rename(root / "flows" / "etl.py")

    assert has_changed(files)
    assert changed(files, root) == ["flows/etl.py"]


def test_removed_and_renamed_files_are_changes(files: CodeFiles, root: Path) -> None:
    (root / "flows" / "etl.py").rename(root / "flows" / "other.py")
    (root / "lib" / "paths.py").unlink()

    assert has_changed(files)
    assert changed(files, root) == ["flows/etl.py", "flows/other.py", "lib/paths.py"]


def test_new_folders_are_watched_from_the_next_look_on(files: CodeFiles, root: Path) -> None:
    (root / "flows" / "a" / "b").mkdir(parents=True)
    (root / "flows" / "a" / "b" / "one.py").write_text("x = 1\n")
    assert has_changed(files)
    assert changed(files, root) == ["flows/a/b/one.py"]

    (root / "flows" / "a" / "b" / "one.py").write_text("x = 2\n")

    assert has_changed(files)
    assert changed(files, root) == ["flows/a/b/one.py"]


def test_a_folder_that_was_deleted_and_made_again_is_watched(files: CodeFiles, root: Path) -> None:
    (root / "lib" / "paths.py").unlink()
    (root / "lib").rmdir()
    (root / "lib").mkdir()
    assert has_changed(files)
    assert changed(files, root) == ["lib/paths.py"]

    (root / "lib" / "paths.py").write_text("x = 3\n")

    assert has_changed(files)
    assert changed(files, root) == ["lib/paths.py"]


def test_what_comes_into_a_new_folder_is_looked_for_at_once(files: CodeFiles, root: Path) -> None:
    (root / "flows" / "a").mkdir()
    assert files.next_look_s() > 0

    files.look()

    assert files.next_look_s() == 0
    files.look()
    assert files.next_look_s() > 0


def test_folders_that_move_are_followed(files: CodeFiles, root: Path) -> None:
    (root / "lib").rename(root / "library")
    assert has_changed(files)
    assert changed(files, root) == ["lib/paths.py", "library/paths.py"]

    (root / "library" / "paths.py").write_text("x = 3\n")

    assert has_changed(files)
    assert changed(files, root) == ["library/paths.py"]


def test_other_files_that_were_loaded_are_code(files: CodeFiles, root: Path) -> None:
    (root / "lib" / "query.sql").write_text("select 1\n")
    files.also(["lib/query.sql"])
    files.look()

    (root / "lib" / "query.sql").write_text("select 2\n")

    assert has_changed(files)
    assert changed(files, root) == ["lib/query.sql"]


def test_equal_content_is_no_difference(files: CodeFiles, root: Path) -> None:
    file = str(root / "flows" / "etl.py")
    digest = hashlib.sha256(b"x = 1\n").hexdigest()[:16]

    assert not files.differ([file], {"flows/etl.py": digest})
    assert files.differ([file], {"flows/etl.py": "0" * 16})
    assert not files.differ([str(root / "flows" / "gone.py")], {})


def test_folders_beyond_the_limit_are_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ostinato.project.watching.MAX_FOLDERS", 2)
    for number in range(4):
        (root / f"module{number}").mkdir()

    files = CodeFiles(find_project(Target(path=root)))

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    (root / "flows" / "nightly" / "a.py").write_text("x = 1\n")
    assert changed(files, root) == ["flows/nightly/a.py"]
    files.close()


def test_folders_of_flows_that_settings_name_are_watched(files: CodeFiles, root: Path) -> None:
    (root / "lib" / "query.sql").write_text("select 1\n")
    (root / "ostinato.yaml").write_text("name: shop\nflows: [lib]\n")

    assert changed(files, root) == ["lib/query.sql", "ostinato.yaml"]

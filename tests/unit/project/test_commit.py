"""The commit of a project is read from its repository."""

import subprocess
from pathlib import Path

from ostinato.project.commit import read_commit


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.check_output(command, cwd=folder, text=True).strip()


def make_repository(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


def test_a_folder_below_a_repository_has_its_commit(tmp_path: Path) -> None:
    commit = make_repository(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert read_commit(below) == commit


def test_a_packed_reference_is_found(tmp_path: Path) -> None:
    commit = make_repository(tmp_path)
    git(tmp_path, "pack-refs", "--all")

    assert read_commit(tmp_path) == commit


def test_a_detached_head_is_its_own_commit(tmp_path: Path) -> None:
    commit = make_repository(tmp_path)
    git(tmp_path, "checkout", "-q", "--detach")

    assert read_commit(tmp_path) == commit


def test_a_second_work_tree_has_its_own_commit(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    commit = make_repository(first)
    git(first, "worktree", "add", "-q", "../second")

    assert read_commit(tmp_path / "second") == commit


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    assert read_commit(tmp_path) == ""

"""A project has one ``ostinato dev`` at a time, and the second one is told of the first."""

import os
from pathlib import Path

import pytest

from ostinato.cli.dev_lock import DevLock
from ostinato.errors import UsageError
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import Target


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "ostinato.yaml").write_text("name: shop\n")
    return find_project(Target(path=tmp_path))


def test_the_second_one_is_told_who_the_first_one_is(project: Project) -> None:
    with DevLock() as first, DevLock() as second:
        first.take(project)
        first.tell("http://127.0.0.1:4200")

        with pytest.raises(UsageError) as raised:
            second.take(project)

    assert str(raised.value) == (
        f"ostinato dev runs in this project already: process {os.getpid()} at "
        f"http://127.0.0.1:4200 (use that one, or end it: kill {os.getpid()})"
    )


def test_one_that_cannot_be_asked_is_told_of_too(project: Project) -> None:
    with DevLock() as first, DevLock() as second:
        first.take(project)
        (project.data_dir / "dev.json").write_text("{")

        with pytest.raises(UsageError, match="runs in this project already"):
            second.take(project)


def test_it_is_free_once_the_first_one_has_ended(project: Project) -> None:
    with DevLock() as first:
        first.take(project)

    with DevLock() as second:
        second.take(project)

    assert not (project.data_dir / "dev.json").exists()

"""This module tests what is looked at on a machine, where a test can have it otherwise."""

import os
import resource
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from ostinato.cli import checkup
from ostinato.cli.checkup import Level
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings


class Usage(NamedTuple):
    """What a disk has."""

    total: int
    used: int
    free: int


def project(folder: Path, **settings: object) -> Project:
    return Project(
        name="shop",
        root=folder,
        settings=Settings(**settings),  # type: ignore[arg-type]  # each as it is declared
        data_dir=folder / "data",
        store_path=folder / "data" / "store.db",
        values_root=folder / "data" / "values",
        logs_root=folder / "data" / "logs",
        is_implicit=False,
    )


def level(project: Project, subject: str) -> Level:
    (found,) = [each for each in checkup.look_at_machine(project) if each.subject == subject]
    return found.level


@pytest.mark.parametrize(
    ("ahead_s", "expected"),
    [(0.2, Level.OK), (-3.0, Level.WARNING), (60.0, Level.ERROR)],
)
def test_clocks_may_not_differ_much(ahead_s: float, expected: Level) -> None:
    assert checkup._skew(ahead_s).level is expected


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10 * 1024**3, Level.OK), (1024**3, Level.WARNING), (1024**2, Level.ERROR)],
)
def test_disk_that_is_full_soon_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: Level
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: Usage(free * 2, free, free))

    assert level(project(tmp_path), "disk") is expected


def test_few_open_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 4096))

    assert level(project(tmp_path), "files") is Level.WARNING


def test_wrong_zone_is_told(tmp_path: Path) -> None:
    assert level(project(tmp_path, timezone="Asia/Tokio"), "time zones") is Level.ERROR


def test_folder_that_everybody_may_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)

    assert level(project(tmp_path), "data") is Level.WARNING


def test_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "access", lambda _place, _mode: False)

    assert level(project(tmp_path), "data") is Level.ERROR


def test_file_system_of_a_path_is_that_of_the_nearest_mount() -> None:
    assert checkup._file_system(Path("/proc/self")) == "proc"

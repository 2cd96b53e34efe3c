"""This module tests how a target is kept with a run, and found again."""

from pathlib import Path

import pytest

from ostinato.cli.code import found_again, portable
from ostinato.project.discovery import Project, find_project
from ostinato.project.target import parse_target


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "shop"
    (root / "flows").mkdir(parents=True)
    (root / "ostinato.yaml").write_text("")
    (root / "flows" / "etl.py").write_text("")
    (tmp_path / "loose.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return root


def project_of(text: str) -> Project:
    return find_project(parse_target(text), environ={"OSTINATO_HOME": "/home/data"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("shop/flows/etl.py", "flows/etl.py:etl"),
        ("shop/flows", "flows:etl"),
        ("shop", ""),
    ],
)
def test_target_of_a_project_is_kept_relative_to_it(text: str, kept: str, root: Path) -> None:
    assert portable(parse_target(text), project_of(text), "etl") == kept


def test_target_is_found_again_after_a_move(root: Path, tmp_path: Path) -> None:
    kept = portable(parse_target("shop/flows/etl.py"), project_of("shop"), "etl")
    moved = tmp_path / "moved"
    root.rename(moved)

    assert found_again(kept, project_of("moved")) == f"{moved}/flows/etl.py:etl"
    assert found_again("", project_of("moved")) == str(moved)


def test_file_outside_of_projects_is_kept_by_its_path(root: Path, tmp_path: Path) -> None:
    project = project_of("loose.py")
    kept = portable(parse_target("loose.py"), project, "etl")

    assert kept == f"{tmp_path}/loose.py:etl"
    assert found_again(kept, project) == kept


def test_module_is_kept_by_its_name(root: Path) -> None:
    project = project_of("shop")

    assert portable(parse_target("shop.flows"), project, "etl") == "shop.flows:etl"
    assert found_again("shop.flows:etl", project) == "shop.flows:etl"


def test_file_without_a_flow_is_found_again(root: Path) -> None:
    assert found_again("flows/etl.py", project_of("shop")) == f"{root}/flows/etl.py"

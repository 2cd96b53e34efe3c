"""This module tests how the project around a target is found."""

from pathlib import Path

import pytest

from ostinato.errors import UsageError
from ostinato.project.discovery import find_project
from ostinato.project.target import parse_target


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_project(folder: Path, settings: str = "name: shop\n") -> Path:
    (folder / "flows").mkdir(parents=True)
    (folder / "ostinato.yaml").write_text(settings)
    (folder / "flows" / "etl.py").write_text("")
    return folder


def test_project_is_the_nearest_above_the_target(tmp_path: Path) -> None:
    root = make_project(tmp_path / "shop")

    project = find_project(parse_target("shop/flows/etl.py"), environ={})

    assert (project.name, project.root, project.is_implicit) == ("shop", root, False)


def test_data_of_a_project_lie_in_it(tmp_path: Path) -> None:
    root = make_project(tmp_path / "shop")

    project = find_project(parse_target("shop"), environ={})

    assert project.data_dir == root / ".ostinato"
    assert project.store_path == root / ".ostinato" / "store.db"
    assert project.values_root == root / ".ostinato" / "values"
    assert project.logs_root == root / ".ostinato" / "logs"


def test_places_can_be_set_relative_to_the_project(tmp_path: Path) -> None:
    settings = "store: {path: db/x.db}\nstorage: {values: /big/values, logs: logs}\n"
    root = make_project(tmp_path / "shop", settings)

    project = find_project(parse_target("shop"), environ={})

    assert project.store_path == root / "db" / "x.db"
    assert project.values_root == Path("/big/values")
    assert project.logs_root == root / "logs"


def test_project_without_a_name_has_that_of_its_folder(tmp_path: Path) -> None:
    make_project(tmp_path / "shop", "")

    assert find_project(parse_target("shop"), environ={}).name == "shop"


@pytest.mark.parametrize("target", ["", "nightly", "shop.flows"])
def test_target_without_a_path_is_looked_for_from_the_working_directory(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "shop")
    monkeypatch.chdir(root / "flows")

    assert find_project(parse_target(target), environ={}).root == root
    assert find_project(environ={}).root == root


def test_file_outside_of_projects_belongs_to_the_project_around_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "shop")
    (tmp_path / "loose.py").write_text("")
    monkeypatch.chdir(root)

    assert find_project(parse_target("../loose.py"), environ={}).root == root


def test_file_without_a_project_belongs_to_the_implicit_one(tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("")

    project = find_project(parse_target("etl.py"), environ={"OSTINATO_HOME": "/home/data"})

    assert (project.name, project.root, project.is_implicit) == ("default", tmp_path, True)
    assert project.store_path == Path("/home/data/store.db")


def test_data_of_the_implicit_project_lie_below_the_home_folder(tmp_path: Path) -> None:
    project = find_project(environ={})

    assert project.data_dir == Path("~/.local/share/ostinato").expanduser()


def test_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(UsageError, match=r"no ostinato.yaml in .*/empty or above \(ostinato init"):
        find_project(parse_target("empty"), environ={})

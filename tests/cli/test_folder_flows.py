"""This module tests commands on flows that are folders."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ostinato
from tests.unit.authoring.files.folders import write

pytestmark = pytest.mark.slow

SHOP = {
    "METADATA.yml": "description: All that is sold",
    "orders.yml": "operator: bash\nbash_command: test -f there",
    "marts/revenue.py": "# ---\n# dependencies: [orders]\n# ---\nprint('revenue', __name__)\n",
}


def test_folder_is_drawn_as_json_and_run(folder: Path, ostinato: Ostinato) -> None:
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "there").write_text("")
    write(folder / "flows" / "shop", SHOP)

    drawn = json.loads(ostinato("graph", "shop", "--format", "json").out)
    run = ostinato("run", "shop")

    assert drawn["tasks"]["revenue"]["upstream"] == ["orders"]
    assert drawn["groups"] == {"marts": {"tooltip": None, "tasks": ["revenue"]}}
    assert "revenue __main__" in run.out + run.err


def test_broken_folder_refuses_to_run_and_leaves_others_alone(
    folder: Path, ostinato: Ostinato
) -> None:
    (folder / "ostinato.yaml").write_text("name: shop\n")
    write(folder / "flows" / "shop", {"METADATA.yml": "", "a.yml": "operator: bahs"})
    write(folder / "flows" / "other", {"METADATA.yml": "", "a.yml": "operator: empty"})
    problem = "flows/shop/a.yml:1:1 F011 operator 'bahs' is unknown; did you mean 'bash'?"

    refused = ostinato("run", "shop", code=2)
    other = ostinato("run", "other")
    checked = ostinato("check", code=2)

    assert problem in refused.err
    assert "succeeded" in other.out + other.err
    assert problem in checked.out


def test_folder_outside_of_projects_is_run_and_tried_again(
    folder: Path, ostinato: Ostinato
) -> None:
    write(folder / "shop", SHOP)

    failed = ostinato("run", "shop", code=1)
    (folder / "there").write_text("")
    ostinato("retry", "shop#1")

    assert "orders failed" in failed.out + failed.err
    assert "succeeded" in ostinato("show", "shop#1").out


@pytest.mark.parametrize("settings", [{}, {"ostinato.yaml": "name: shop\n"}])
def test_file_of_a_folder_means_its_task(
    folder: Path, ostinato: Ostinato, settings: dict[str, str]
) -> None:
    write(folder, settings)
    write(folder / "flows" / "shop", SHOP)

    checked = ostinato("check", "flows/shop/marts/revenue.py")
    run = ostinato("run", "flows/shop/marts/revenue.py")

    assert checked.out == "1 flow, 2 tasks: no problems\n"
    assert "revenue __main__" in run.out + run.err
    assert "orders" not in run.out + run.err


def test_file_beside_a_folder_that_is_a_flow_is_a_file(folder: Path, ostinato: Ostinato) -> None:
    write(folder / "shop", {**SHOP, "_own.py": "print('own')\n"})
    (folder / "shop.py").write_text("print('beside')\n")

    assert "beside" in ostinato("check", "shop.py").err
    assert "own" in ostinato("check", "shop/_own.py").err

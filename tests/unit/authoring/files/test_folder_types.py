"""This module tests which types of files are tasks, by who reads the folder."""

from pathlib import Path

from ostinato import folder_flow
from ostinato.gusty import create_dag
from tests.unit.authoring.files.folders import write

FILES = {"run.sh": "#!/bin/sh\n", "run.yml": "operator: bash\nbash_command: ./run.sh\n"}


def test_scripts_beside_the_files_of_gusty_are_no_tasks_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "shop", FILES)

    dag = create_dag(tmp_path / "shop", latest_only=False)

    assert list(dag.operators) == ["run"]


def test_scripts_are_tasks_of_a_folder_that_is_a_flow(tmp_path: Path) -> None:
    write(
        tmp_path / "shop",
        {
            "METADATA.yml": "",
            "greet.sh": FILES["run.sh"] + "# ---\n# operator: bash\n# bash_command: echo\n# ---\n",
            "run.yml": "operator: bash\nbash_command: echo",
        },
    )

    flow = folder_flow(tmp_path / "shop")

    assert list(flow.operators) == ["greet", "run"]

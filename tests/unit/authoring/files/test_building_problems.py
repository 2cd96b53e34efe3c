"""This module tests what is said of mistakes in folders: code, message and position."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ostinato.authoring.files.folders import folder_flow
from ostinato.errors import FolderProblems, InvalidArgument
from ostinato.gusty import create_dag
from tests.unit.authoring.files.folders import write

MISTAKES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("mistakes.yml").read_text())


def problems_of(folder: Path, **arguments: Any) -> list[str]:
    """Return what is wrong with a flow, as people see it."""
    try:
        flow = folder_flow(folder, **arguments)
    except FolderProblems as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in flow.folder.warnings]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_with_code_and_place(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files: Mapping[str, str] = MISTAKES[mistake]["files"]
    write(tmp_path / "flow", files)

    found = problems_of(tmp_path / "flow")

    assert found == MISTAKES[mistake]["problems"]


def test_name_of_a_folder_that_is_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "fl ow", {"a.yml": "operator: empty"})

    found = problems_of(tmp_path / "fl ow")

    assert found == ["fl ow F015 flow id 'fl ow' is not made of letters, digits, '_', '-' and '.'"]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="there is no folder"):
        folder_flow(tmp_path / "nowhere")


def test_error_of_a_local_operator_is_one_of_the_files_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"operators/bad_operator.py": "1 / 0"})
    write(tmp_path / "flow", {"a.yml": "operator: local.BadOperator", "b.yml": "operator: empty"})

    found = problems_of(tmp_path / "flow")

    assert found == [
        "flow/a.yml:1:1 F025 operator 'local.BadOperator' cannot be imported: "
        "ZeroDivisionError: division by zero (operators/bad_operator.py:1)"
    ]


def test_operator_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "def FailingOperator(task_id):\n    raise KeyError('gone')\n"
    write(tmp_path, {"operators/failing_operator.py": source})
    write(tmp_path / "flow", {"a.yml": "operator: local.FailingOperator"})

    found = problems_of(tmp_path / "flow")

    assert found == ["flow/a.yml:1:1 F026 FailingOperator refuses its arguments: KeyError: 'gone'"]


def test_operator_that_makes_no_task_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"operators/odd_operator.py": "def OddOperator(task_id):\n    return 3\n"})
    write(tmp_path / "flow", {"a.yml": "operator: local.OddOperator"})

    found = problems_of(tmp_path / "flow")

    assert found == ["flow/a.yml:1:1 F026 the operator returned 3, neither a task nor a group"]


def test_what_unreadable_metadata_may_have_said_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "flow/g/METADATA.yml": "connection",
        "flow/g/a.sql": "select 1",
        "flow/b.sql": "select 1",
    }
    write(tmp_path, files)

    assert problems_of(tmp_path / "flow") == [
        "flow/b.sql:1:1 F031 no connection is named for the query; "
        "add connection: to the file or to METADATA.yml",
        "flow/g/METADATA.yml:1:1 F003 keys and values are expected here, such as `retries: 2`, "
        "not 'connection'",
    ]


def test_folders_of_gusty_keep_words_of_assets_for_their_own_use(tmp_path: Path) -> None:
    words = "# ---\n# connection: 5\n# materialized: tabel\n# columns: 7\n# ---\ndef main(): ...\n"
    write(tmp_path / "flow", {"a.py": words, "b.yml": "operator: empty\nchecks: nope"})

    flow = create_dag(str(tmp_path / "flow"))

    assert {"a", "b"} <= flow.operators.keys()
    assert [str(problem) for problem in flow.folder.warnings] == []

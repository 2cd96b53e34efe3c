"""This module tests that folders with values of any kind are built or refused, and never crash."""

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from ostinato.authoring.files.folders import folder_flow
from ostinato.authoring.files.keys.known import KEYS_OF_FILES
from ostinato.errors import OstinatoError
from ostinato.model.manifest import decode_flow, encode_flow
from tests.foreign.gusty_cases import HERE
from tests.foreign.random_folders import random_case
from tests.unit.authoring.files.folders import write

VALUES: list[Any] = [
    *(
        None,
        0,
        -1,
        1.5,
        float("nan"),
        True,
        False,
        "",
        "x",
        "a b",
        "{{ ds }}",
        "{{ 1 +",
        "é",
        "all",
    ),
    *("latest_only", "2020-01-01", "@daily", [], ["a"], [None], [1, [2]], ["a", "a"], {}, {"a": 1}),
    *({"a": {"b": None}}, {1: 2}, {"tasks": ["x"]}, {"x": {"tasks": ["y"], "mode": 3}}),
    *([{"a": "b"}], [{"a": {"tasks": "all"}}]),
]
NAMES = [*(key.name for key in KEYS_OF_FILES), "bash_command", "nonsense", "file_path"]
OPERATORS = (
    "bash",
    "python",
    "sql",
    "empty",
    "local.PairOperator",
    "external_task_sensor",
    "email",
)


def spoilt(seed: int) -> dict[str, str]:
    """Return the files of a random folder, some of them with values of any kind."""
    chance = random.Random(seed)
    files: dict[str, str] = random_case(seed)["files"]
    for path, text in files.items():
        if not path.endswith((".yml", ".yaml")) or chance.random() > 0.3:
            continue
        keys = yaml.safe_load(text)
        if isinstance(keys, dict):
            for _ in range(chance.randint(1, 3)):
                keys[chance.choice(NAMES)] = chance.choice(VALUES)
            if "operator" in keys and chance.random() < 0.4:
                keys["operator"] = chance.choice(OPERATORS)
            files[path] = yaml.safe_dump(keys)
    return {path: text for path, text in files.items() if not path.endswith("/")}


@pytest.mark.parametrize("seed", range(40))
def test_values_of_any_kind_make_a_flow_or_are_refused(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUSTY_HOME", str(HERE))
    write(tmp_path, spoilt(seed))

    with contextlib.suppress(OstinatoError):
        definition = folder_flow(tmp_path / "flow").definition
        assert decode_flow(encode_flow(definition)) == definition


@pytest.mark.parametrize(
    "name",
    ["task_group_defaults", "wait_for_defaults", "leaf_tasks_from_dict", "extra_tags", "params"],
)
@pytest.mark.parametrize("value", ["text", 3, [[1]], {1: 2}, {"a": 3}, True])
def test_arguments_of_any_kind_make_a_flow_or_are_refused(
    name: str, value: Any, tmp_path: Path
) -> None:
    write(tmp_path / "flow", {"a.yml": "operator: empty"})

    with contextlib.suppress(OstinatoError):
        definition = folder_flow(tmp_path / "flow", **{name: value}).definition
        assert decode_flow(encode_flow(definition)) == definition

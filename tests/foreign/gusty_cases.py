"""This module holds the folders whose meaning is compared with gusty's, and what gusty said."""

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from ostinato.errors import OstinatoError
from ostinato.gusty import create_dag
from tests.foreign.gusty_answers import evaluated, write
from tests.foreign.random_folders import random_case

HERE = Path(__file__).parent

#: What gusty answered, by case.
ANSWERS = HERE / "gusty_answers.json"

#: Seeds whose answers are recorded.
SEEDS = range(60)

Json = dict[str, Any]


def written_cases() -> dict[str, Json]:
    """Return the folders that were written by hand."""
    return {
        f"{file.stem}/{name}": case
        for file in sorted((HERE / "folders").glob("*.yml"))
        for name, case in yaml.safe_load(file.read_text()).items()
    }


def random_cases(seeds: range) -> dict[str, Json]:
    """Return the folders of seeds."""
    return {f"seed/{seed}": random_case(seed) for seed in seeds}


def recorded() -> dict[str, Json]:
    """Return what gusty answered to the cases that are recorded."""
    answers: dict[str, Json] = json.loads(ANSWERS.read_text())
    return answers


def answer(case: Json) -> Json:
    """Return what a case is here, in the form of gusty's answers."""
    with tempfile.TemporaryDirectory() as place:
        folder = write(case["files"], place)
        arguments = dict(case.get("arguments") or {})
        if case.get("python"):
            arguments.update(evaluated(case["python"]))
        try:
            flow = json.loads(create_dag(folder, **arguments).to_json())
        except OstinatoError as error:
            return {"error": f"{type(error).__name__}: {error}"}
    names = ("operator", "group", "trigger_rule", "retries")
    return {
        "tasks": {
            task_id: {**{name: task[name] for name in names}, "upstream": sorted(task["upstream"])}
            for task_id, task in flow["tasks"].items()
        },
        "groups": {
            group_id: {"tooltip": group["tooltip"], "tasks": sorted(group["tasks"])}
            for group_id, group in flow["groups"].items()
        },
        "tags": sorted(flow["tags"]),
    }


def is_intended(theirs: Json, ours: Json) -> bool:
    """Whether a difference is one by intent: gusty lets a flow's sensors wait for themselves."""
    if "AirflowDagCycleException" not in theirs.get("error", ""):
        return False
    return "error" not in ours and any(name.startswith("wait_for_") for name in ours["tasks"])


def is_alike(theirs: Json, ours: Json) -> bool:
    """Whether two answers say the same; how an error is worded counts for nothing."""
    if "error" in theirs or "error" in ours:
        return "error" in theirs and "error" in ours
    return theirs == ours

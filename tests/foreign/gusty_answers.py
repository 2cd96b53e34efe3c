"""This module asks gusty what folders mean; it is executed by a Python that has gusty.

It reads cases from a JSON file and prints their answers as JSON in its last line.
"""

import json
import os
import sys
import tempfile
import warnings
from typing import Any

warnings.simplefilter("ignore")

_walk = os.walk


def _sorted_walk(*args: Any, **kwargs: Any) -> Any:
    # gusty takes files as the file system lists them; here it is to answer the same everywhere.
    for folder, folders, files in _walk(*args, **kwargs):
        folders.sort()
        yield folder, folders, sorted(files)


def answer(case: dict[str, Any], place: str) -> dict[str, Any]:
    """Return tasks and groups of a case as gusty makes them, or the error that it raises."""
    from gusty import create_dag

    folder = write(case["files"], place)
    arguments = dict(case.get("arguments") or {})
    if case.get("python"):
        arguments.update(evaluated(case["python"]))
    try:
        dag = create_dag(folder, **arguments)
        dag.check_cycle()
    except Exception as error:  # noqa: BLE001 - whatever gusty and Airflow raise is an answer
        return {"error": f"{type(error).__name__}: {error}"}
    tasks = {
        task.task_id: {
            "operator": type(task).__name__,
            "upstream": sorted(task.upstream_task_ids),
            "group": task.task_group.group_id if task.task_group else None,
            "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
            "retries": task.retries,
        }
        for task in dag.tasks
    }
    groups = {
        name: {"tooltip": group.tooltip or None, "tasks": sorted(_direct(group))}
        for name, group in dag.task_group.get_task_group_dict().items()
        if name is not None
    }
    return {"tasks": tasks, "groups": groups, "tags": sorted(dag.tags)}


def _direct(group: Any) -> list[str]:
    return [name for name, child in group.children.items() if hasattr(child, "task_id")]


def write(files: dict[str, str], place: str) -> str:
    """Write the files of a case and return the folder of its flow: the first path's first part."""
    for path, text in files.items():
        full = os.path.join(place, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if not path.endswith("/"):
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
    return os.path.join(place, next(iter(files)).split("/")[0])


def evaluated(source: str) -> dict[str, Any]:
    """Return the arguments that a case declares in Python."""
    names: dict[str, Any] = {}
    exec(source, names)
    found: dict[str, Any] = names["arguments"]
    return found


if __name__ == "__main__":
    os.walk = _sorted_walk
    with open(sys.argv[1], encoding="utf-8") as given:
        cases = json.load(given)
    answers = {}
    for name, case in cases.items():
        with tempfile.TemporaryDirectory() as place:
            answers[name] = answer(case, place)
    print(json.dumps(answers))

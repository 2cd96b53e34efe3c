"""This script is run by Airflow's Python: it runs the DAGs of a folder, and prints what came out.

It prints JSON: by the id of each DAG its state, the states of its tasks, its edges and groups.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1]).absolute()
os.environ |= {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
}


def outcome(dag: Any) -> dict[str, Any]:
    """Run a DAG, and return what came out."""
    run = dag.test()
    states: dict[str, list[str]] = {}
    for instance in run.get_task_instances():
        states.setdefault(instance.task_id, []).append(str(instance.state))
    return {
        "state": str(run.state),
        "tasks": {task: sorted(found) for task, found in states.items()},
        "edges": sorted(
            [task.task_id, down] for task in dag.tasks for down in task.downstream_task_ids
        ),
        "groups": {
            task.task_id: task.task_group.group_id
            for task in dag.tasks
            if task.task_group is not None and task.task_group.group_id
        },
    }


with contextlib.redirect_stdout(sys.stderr):
    from airflow.dag_processing.dagbag import DagBag  # type: ignore[import-not-found]  # only there

    bag = DagBag(str(folder))
    found = {
        "errors": {Path(file).name: error for file, error in bag.import_errors.items()},
        "dags": {name: outcome(dag) for name, dag in sorted(bag.dags.items())},
    }
print(json.dumps(found))

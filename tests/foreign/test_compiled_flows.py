"""Tests that Airflow runs what ``ostinato compile airflow`` writes as Ostinato runs the flow."""

from pathlib import Path
from typing import Any

import pytest

from ostinato.model.flow import FlowDefinition
from ostinato.project.loading import Loaded, load_target
from ostinato.translation.airflow import compile_flow
from tests.foreign.conftest import Foreign

pytestmark = pytest.mark.timeout(900)

_FLOWS = Path(__file__).parent / "flows"

#: Airflow's word where it is another one.
_STATES = {"succeeded": "success"}


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    """All flows of the examples by name."""
    flows: dict[str, Any] = {}
    for target in [*sorted(_FLOWS.glob("*.py")), _FLOWS / "files"]:
        found: Loaded = load_target(str(target))
        assert not found.manifest.problems, found.manifest.problems
        flows |= found.flows
    return flows


@pytest.fixture(scope="module")
def in_airflow(
    foreign: Foreign, loaded: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """What Airflow makes of the compiled files."""
    folder = tmp_path_factory.mktemp("dags")
    for name, flow in loaded.items():
        (folder / f"{name}.py").write_text(
            compile_flow(flow, {"scratch": "sqlite"}), encoding="utf-8"
        )
    return foreign("run_dags.py", folder)


def test_airflow_loads_every_compiled_file(in_airflow: Any, loaded: dict[str, Any]) -> None:
    assert in_airflow["errors"] == {}
    assert sorted(in_airflow["dags"]) == sorted(loaded)


@pytest.mark.parametrize(
    "name", ["branches", "failing", "files", "mapping", "objects", "unlike_prefix"]
)
def test_tasks_edges_groups_and_outcome_are_the_same(
    name: str,
    in_airflow: Any,
    loaded: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))
    monkeypatch.setenv("OSTINATO_CONN_SCRATCH", f"sqlite:///{tmp_path / 'scratch.db'}")
    flow = loaded[name]

    run = flow.run(executor="inline")

    definition: FlowDefinition = flow.definition
    states: dict[str, list[str]] = {}
    for task_run in run.task_runs:
        states.setdefault(task_run.task_id, []).append(_airflows(task_run.state))
    found = in_airflow["dags"][name]
    assert found["tasks"] == {task: sorted(each) for task, each in states.items()}
    assert found["state"] == _airflows(run.state)
    assert found["edges"] == sorted([edge.upstream, edge.downstream] for edge in definition.edges)
    assert found["groups"] == {task.id: task.group for task in definition.tasks if task.group}


def _airflows(state: str) -> str:
    return _STATES.get(state, state)

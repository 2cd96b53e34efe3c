"""Tests that a compiled DAG file declares the tasks, groups and edges of its flow."""

from pathlib import Path
from typing import Any

import pytest

from ostinato.model.flow import FlowDefinition
from ostinato.project.loading import load_target
from ostinato.translation.airflow import compile_flow
from tests.unit.translation.recorder import executed

_FLOWS = Path(__file__).parents[2] / "foreign" / "flows"


def flows_in(target: Path) -> dict[str, Any]:
    loaded = load_target(str(target))
    assert not loaded.manifest.problems, loaded.manifest.problems
    return loaded.flows


@pytest.mark.parametrize("name", ["branches.py", "failing.py", "files", "mapping.py", "objects.py"])
def test_a_compiled_file_declares_what_its_flow_does(name: str) -> None:
    for flow in flows_in(_FLOWS / name).values():
        definition: FlowDefinition = flow.definition

        found = executed(compile_flow(flow, {"scratch": "sqlite"}))

        assert set(found.tasks) == {task.id for task in definition.tasks}
        assert found.groups == {task.id: task.group for task in definition.tasks if task.group}
        assert found.edges == {(edge.upstream, edge.downstream) for edge in definition.edges}


def test_the_shop_of_the_examples_compiles() -> None:
    shop = Path(__file__).parents[3] / "examples" / "shop" / "flows" / "shop"
    (flow,) = flows_in(shop).values()

    found = executed(compile_flow(flow))

    assert found.edges == {
        ("customers", "revenue"),
        ("orders", "revenue"),
        ("revenue", "report"),
    }

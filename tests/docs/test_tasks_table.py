"""The table of what a task can do: every promise has a test, every feature has a row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import ostinato
from ostinato import operators, testing
from ostinato.authoring.callbacks import CALLBACK_ALIASES
from ostinato.authoring.dag import DAG
from ostinato.authoring.policies import ALIASES, POLICY_NAMES
from ostinato.authoring.signals import TaskSignal
from ostinato.authoring.signatures import signature_of
from ostinato.model.policy import Criticality, TriggerRule, WeightRule
from ostinato.runtime.context import TaskContext
from ostinato.runtime.macros import Macros

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "reference" / "tasks.md").read_text()

_ROW = re.compile(r"^\| (?!---|one expects)(.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = _ROW.findall(TEXT)
WORDS = {word for row in ROWS for code in re.findall(r"`([^`]+)`", row[1]) for word in
         re.findall(r"\w+", code)}  # fmt: skip

#: Names of the context that say nothing to the author of a task.
INTERNAL = {"exception", "test_mode", "now", "data_dir", "logger"}

#: Names of flows that are functions, which are no tasks of a graph.
OF_FUNCTIONS = {
    *("as_completed", "flow", "pause", "pause_flow_run", "resume_flow_run", "suspend"),
    *("suspend_flow_run", "unmapped", "wait_for_input"),
}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_line_of_the_table_is_a_row_of_three_cells() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    heads = [line for line in lines if line.startswith(("| one expects |", "| --- |"))]

    assert len(ROWS) == len(lines) - len(heads)
    assert len(ROWS) > 150


@pytest.mark.parametrize(("promise", "test"), [(row[0], row[2]) for row in ROWS])
def test_the_test_of_a_promise_exists(promise: str, test: str) -> None:
    found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)

    assert found, f"{promise}: {test} names no test"
    assert found[2] in names_in(found[1])


def missing(names: set[str]) -> list[str]:
    """Return what has no row in docs/reference/tasks.md."""
    return sorted(names - WORDS)


def test_every_operator_and_sensor_has_a_row() -> None:
    assert missing(set(operators.__all__)) == []


def test_every_kind_of_decorated_task_has_a_row() -> None:
    kinds = {
        name
        for name, member in vars(type(ostinato.task)).items()
        if callable(member) and not name.startswith("_")
    }

    assert missing(kinds) == []


def test_every_policy_has_a_row_under_both_its_names() -> None:
    assert missing(set(POLICY_NAMES) | set(ALIASES) | set(CALLBACK_ALIASES)) == []


def test_every_value_of_a_policy_has_a_row() -> None:
    rules = {rule.value for rule in TriggerRule}
    weights = {rule.value for rule in WeightRule}
    degrees = {degree.value for degree in Criticality} - {Criticality.NORMAL.value}

    assert missing(rules | weights | degrees) == []


def test_every_signal_has_a_row() -> None:
    signals = {cls.__name__ for cls in TaskSignal.__subclasses__() if cls.__name__ in dir(ostinato)}

    assert signals >= {"Skip", "Fail", "Retry", "Defer"}
    assert missing(signals | {"TaskSignal"}) == []


def test_every_argument_of_a_flow_has_a_row() -> None:
    assert missing(set(signature_of(DAG.__init__).names) - {"self", "unknown"}) == []


def test_every_name_of_the_context_has_a_row() -> None:
    names = {name for name in vars(TaskContext) if not name.startswith("_")}
    properties = {name for name in names if not callable(getattr(TaskContext, name, None))}

    assert missing(properties - INTERNAL) == []


def test_every_macro_has_a_row() -> None:
    assert missing({name for name in vars(Macros) if not name.startswith("_")}) == []


def test_every_argument_of_a_run_in_memory_has_a_row() -> None:
    wiring = {"flow", "params", "date", "start", "select", "pools", "timezone"}

    assert missing(set(signature_of(testing.run).names) - wiring) == []


def test_every_public_name_has_a_row() -> None:
    errors = {"DefinitionError", "OstinatoError", "ParameterError", "RunFailed"}

    assert missing(set(ostinato.__all__) - errors - OF_FUNCTIONS - {"__version__"}) == []

"""This module tests what people call the runs of flows."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, dag, flow, get_current_context, task
from ostinato.errors import InvalidArgument


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))


def test_run_is_named_by_its_parameters() -> None:
    @flow(flow_run_name="{city} on {day:%A}")
    def etl(city: str, day: date = date(2025, 1, 31)) -> None:
        pass

    assert etl.run(city="Bonn").run_name == "Bonn on Friday"


def test_run_of_a_graph_is_named_by_a_jinja_template() -> None:
    @task
    def load(rows: int) -> int:
        return rows

    @dag(run_name="{{ rows + 1 }} rows of {{ ds }}")
    def etl(rows: int = 3) -> None:
        load(rows)

    assert etl().run(date="2025-01-31").run_name == "4 rows of 2025-01-31"


def test_function_names_a_run_by_its_parameters() -> None:
    def named(parameters: dict[str, Any]) -> str:
        return f"{parameters['day']:%d.%m.}"

    @flow(run_name=named)
    def etl(day: date = date(2025, 1, 31)) -> None:
        pass

    @flow(run_name=lambda: "always")
    def plain() -> None:
        pass

    assert etl.run().run_name == "31.01."
    assert plain.run().run_name == "always"


def test_run_is_named_from_within() -> None:
    @flow
    def etl() -> None:
        context = get_current_context()
        context.name_run("late")
        assert context.run.name == ""

    run = etl.run()

    assert run.run_name == "late"


def test_template_that_fails_leaves_a_run_without_a_name() -> None:
    @flow(run_name="{day:%A}")
    def etl(day: int = 3) -> None:
        pass

    assert etl.run().run_name == ""


@pytest.mark.parametrize(
    ("template", "problem"),
    [("{cty}", "'cty' is no parameter .*did you mean 'city'"), ("{city", "expected '}'")],
)
def test_wrong_template_is_refused(template: str, problem: str) -> None:
    @flow(run_name=template)
    def etl(city: str) -> None:
        pass

    with pytest.raises(InvalidArgument, match=problem):
        etl("Bonn")


def test_name_of_a_graph_is_text() -> None:
    with pytest.raises(InvalidArgument, match="run_name: 3 is no text"):
        DAG("etl", run_name=3)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(InvalidArgument, match="a function may name"):
        DAG("etl", run_name=lambda: "x")  # type: ignore[arg-type]  # that is what is tested

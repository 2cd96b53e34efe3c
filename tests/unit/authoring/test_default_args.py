"""What tasks inherit: from the project, their flow and their groups, nearest first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ostinato import DAG, BashOperator, EmptyOperator, Operator, Param, TaskGroup, task, testing
from ostinato.authoring.ports import Context
from ostinato.errors import InvalidArgument, SettingsError
from ostinato.model.flow import TaskDefinition


class Query(Operator):
    """Needs a connection, which few users write at each task."""

    template_fields: Sequence[str] = ("sql",)

    def __init__(self, task_id: str, *, conn_id: str, sql: str, limit: int = 5, **policies: Any):
        self.conn_id = conn_id
        self.sql = sql
        self.limit = limit
        super().__init__(task_id, **policies)

    def execute(self, context: Context) -> Any:
        return [self.conn_id, self.sql, self.limit]


def tasks_of(flow: DAG) -> dict[str, TaskDefinition]:
    return {task.id: task for task in flow.definition.tasks}


# Arguments of operators


def test_operators_take_the_arguments_that_they_know() -> None:
    with DAG("etl", default_args={"conn_id": "warehouse", "limit": 7, "retries": 2}) as flow:
        Query("a", sql="x")  # type: ignore[call-arg]  # the rest comes from the defaults
        Query("b", sql="x", limit=1, conn_id="other")
        EmptyOperator(task_id="c")

    run = testing.run(flow)

    assert run.result("a") == ["warehouse", "x", 7]
    assert run.result("b") == ["other", "x", 1]
    assert {task.policy.retries for task in flow.definition.tasks} == {2}


def test_groups_inherit_and_override_arguments() -> None:
    with (
        DAG("etl", default_args={"conn_id": "warehouse", "limit": 7}) as flow,
        TaskGroup("g", default_args={"limit": 8}),
        TaskGroup("h"),
    ):
        Query("a", sql="x")  # type: ignore[call-arg]  # as above

    assert testing.run(flow).result("g.h.a") == ["warehouse", "x", 8]


def test_defaults_of_a_flow_that_is_named_hold() -> None:
    flow = DAG("etl", default_args={"conn_id": "warehouse"})
    group = TaskGroup("g", dag=flow, default_args={"conn_id": "inner"})
    Query("a", sql="x", dag=flow)  # type: ignore[call-arg]  # as above
    Query("b", sql="x", task_group=group)  # type: ignore[call-arg]  # as above

    run = testing.run(flow)

    assert [run.result("a")[0], run.result("g.b")[0]] == ["warehouse", "inner"]


def test_mapped_operators_take_defaults() -> None:
    with DAG("etl", default_args={"conn_id": "warehouse", "limit": 7}) as flow:
        Query.partial(task_id="a").expand(sql=["x"], limit=[1])
        Query.partial(task_id="b").expand_kwargs([{"sql": "y"}])

    run = testing.run(flow)

    assert run.result("a") == [["warehouse", "x", 1]]
    assert run.result("b") == [["warehouse", "y", 7]]


def test_subclasses_and_decorated_functions_take_defaults() -> None:
    class Narrow(Query):
        def __init__(self, task_id: str, **options: Any) -> None:
            super().__init__(task_id, sql="narrow", **options)

    with DAG("etl", default_args={"conn_id": "w", "append_env": True, "env": {"X": "1"}}) as flow:
        Narrow("a")
        BashOperator("b", bash_command="echo $X")

        @task.bash
        def c() -> str:
            return "echo $X"

        c()

    run = testing.run(flow)

    assert [run.result(name) for name in "abc"] == [["w", "narrow", 5], "1", "1"]


def test_defaults_that_no_task_knows_are_refused() -> None:
    with DAG("etl", default_args={"con_id": "warehouse"}) as flow:
        Query("a", conn_id="x", sql="x")

    message = r"test_default_args.py:\d+: no task takes the argument 'con_id' of default_args "
    with pytest.raises(InvalidArgument, match=message + r"\(did you mean 'conn_id'\?\)"):
        flow.definition  # noqa: B018 - building it checks it


def test_slips_of_policies_are_refused_at_once() -> None:
    with pytest.raises(InvalidArgument, match="'retires' in default_args"):
        DAG("etl", default_args={"retires": 2})


# Owner, tags and parameters


def test_owner_of_a_flow_is_that_of_its_tasks() -> None:
    with DAG("etl", owner="ana") as flow:
        EmptyOperator(task_id="a")
        EmptyOperator(task_id="b", owner="bo")

    assert [task.owner for task in flow.definition.tasks] == ["ana", "bo"]
    assert flow.definition.owner == "ana"


def test_tags_add_up() -> None:
    with (
        DAG("etl", default_args={"tags": ["a"]}) as flow,
        TaskGroup("g", default_args={"tags": ["b", "a"]}),
    ):
        EmptyOperator(task_id="x", tags=["c"])
        EmptyOperator(task_id="y")

    assert [task.tags for task in flow.definition.tasks] == [("a", "b", "c"), ("a", "b")]


def test_parameters_of_tasks_are_beside_those_of_the_flow() -> None:
    with DAG("etl", params={"rows": 1, "mode": "x"}, default_args={"params": {"low": 0}}) as flow:

        @task(params={"rows": 2, "own": Param(3, type="integer")})
        def look(params: dict[str, Any]) -> dict[str, Any]:
            return dict(params)

        look()

    assert testing.run(flow).result("look") == {"rows": 2, "mode": "x", "low": 0, "own": 3}
    told = testing.run(flow, params={"rows": 9})
    assert told.result("look")["rows"] == 9


def test_parameters_of_a_task_that_are_none_are_refused() -> None:
    for wrong, message in (([1], "is not like"), ({"x": Param()}, "'x' of a task has no default")):
        with pytest.raises(InvalidArgument, match=message), DAG("etl"):
            EmptyOperator(task_id="a", params=wrong)  # type: ignore[arg-type]  # that is the test


# The project


def write(folder: Path, text: str) -> None:
    (folder / "ostinato.yaml").write_text(text)


def test_defaults_of_the_project_hold_where_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "defaults: {retries: 3, retry_delay: 5m, owner: data, tags: [shop]}\n")

    with DAG("etl", tags=["daily"], default_args={"retries": 1, "tags": ["own"]}) as flow:
        EmptyOperator(task_id="a")
        EmptyOperator(task_id="b", owner="bo")

    a, b = flow.definition.tasks
    assert (a.policy.retries, a.policy.retry_delays_s) == (1, (300.0,))
    assert (a.owner, b.owner) == ("data", "bo")
    assert a.tags == ("shop", "own")
    assert flow.definition.tags == ("shop", "daily")
    assert flow.definition.owner == "data"


def test_defaults_of_an_environment_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSTINATO_ENVIRONMENT", "laptop")
    write(
        tmp_path,
        "defaults: {retries: 3, owner: data}\nenvironments: {laptop: {defaults: {retries: 0}}}\n",
    )

    with DAG("etl") as flow:
        EmptyOperator(task_id="a")

    [task] = flow.definition.tasks
    assert (task.policy.retries, task.owner) == (0, "data")


def test_defaults_are_set_by_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSTINATO_DEFAULTS__RETRIES", "4")
    monkeypatch.setenv("OSTINATO_DEFAULTS__OWNER", "data")
    write(tmp_path, "")

    with DAG("etl") as flow:
        EmptyOperator(task_id="a")

    [task] = flow.definition.tasks
    assert (task.policy.retries, task.owner) == (4, "data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults:\n  retires: 3\n", r"ostinato.yaml:2: unknown argument 'retires' in defaults"),
        ("defaults:\n  retries: x\n", r"ostinato.yaml:2: retries: 'x' is not a whole number"),
        ("environments:\n  x:\n    defaults:\n      pool: 3\n", r"ostinato.yaml:4: pool: 3 is not"),
        ("defaults: [1]\n", r"ostinato.yaml:1: defaults: must be"),
    ],
)
def test_wrong_defaults_of_the_project_are_named(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text)

    with pytest.raises(SettingsError, match=message):
        DAG("etl")

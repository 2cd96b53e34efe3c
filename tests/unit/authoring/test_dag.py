"""This module tests flows made of objects."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ostinato import (
    DAG,
    BashOperator,
    DefinitionError,
    EmptyOperator,
    Operator,
    Param,
    PythonOperator,
    TaskGroup,
    chain,
    dag,
    task,
)
from ostinato.authoring import session
from ostinato.authoring.ports import BuiltFlow, BuiltSensor
from ostinato.errors import CallWhileLoading, CycleError, DuplicateTask, InvalidArgument
from ostinato.model.manifest import encode_flow

START_US = 1735689600000000  # 2025-01-01 UTC


class Collected:
    """A registry that keeps what announces itself."""

    def __init__(self) -> None:
        self.flows: list[BuiltFlow] = []

    def register(self, dag: BuiltFlow) -> None:
        self.flows.append(dag)

    def register_sensor(self, sensor: BuiltSensor) -> None:
        raise AssertionError


@pytest.fixture
def registry() -> Iterator[Collected]:
    collected = Collected()
    token = session.registry.set(collected)
    yield collected
    session.registry.reset(token)


def edges_of(flow: DAG) -> set[tuple[str, str]]:
    return {(edge.upstream, edge.downstream) for edge in flow.definition.edges}


def test_objects_wired_by_arrows_become_tasks_and_edges() -> None:
    with DAG("etl", schedule="0 2 * * *") as etl:
        a = BashOperator(task_id="a", bash_command="echo a")
        b = PythonOperator(task_id="b", python_callable=print)
        c = EmptyOperator(task_id="c")
        d = EmptyOperator(task_id="d")
        a >> [b, c] >> d

    assert [(t.id, t.operator) for t in etl.definition.tasks] == [
        ("a", "bash"),
        ("b", "python"),
        ("c", "empty"),
        ("d", "empty"),
    ]
    assert edges_of(etl) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    assert etl.definition.schedule == "0 2 * * *"


def test_airflows_spellings_of_a_flow_are_accepted() -> None:
    flow = DAG(
        dag_id="etl",
        schedule_interval="@daily",
        start_date=datetime(2025, 1, 1),  # noqa: DTZ001 - as users write it
        dagrun_timeout=timedelta(hours=1),
        default_args={"owner": "ann", "retries": 2, "end_date": datetime(2025, 1, 2)},  # noqa: DTZ001 - as users write it
        tags=["a", "b"],
        description="What it does.",
        max_active_runs=1,
        max_active_tasks=4,
    )

    definition = flow.definition

    assert (definition.name, flow.dag_id, definition.schedule) == ("etl", "etl", "@daily")
    assert definition.start_at_us == START_US
    assert definition.end_at_us == START_US + 86400 * 1_000_000
    assert (definition.timeout_s, definition.owner, definition.doc) == (
        3600,
        "ann",
        "What it does.",
    )
    assert (definition.tags, definition.max_active_runs, definition.max_active_tasks) == (
        ("a", "b"),
        1,
        4,
    )


@pytest.mark.parametrize(
    ("start", "zone", "expected_zone", "expected_us"),
    [
        (date(2025, 1, 1), "", "", START_US),
        ("2025-01-01", "", "", START_US),
        (datetime(2025, 1, 1, 1), "Europe/Berlin", "Europe/Berlin", START_US),  # noqa: DTZ001 - as users write it
        (datetime(2025, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "", "Europe/Berlin", START_US),
        (datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "", "", START_US),
    ],
)
def test_moments_are_kept_in_utc_with_their_zone(
    start: Any, zone: str, expected_zone: str, expected_us: int
) -> None:
    definition = DAG("etl", start_date=start, timezone=zone).definition

    assert (definition.start_at_us, definition.timezone) == (expected_us, expected_zone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedul": "@daily"}, "no argument 'schedul' (did you mean 'schedule'?)"),
        ({"schedule": "@dayly"}, "did you mean '@daily'?"),
        ({"schedule": "61 * * * *"}, "minute 61 is not from 0 to 59"),
        ({"schedule": 5}, "neither a cron expression, a preset nor a timedelta"),
        ({"schedule": "@daily", "schedule_interval": "@hourly"}, "mean the same"),
        ({"timezone": "Europe/Atlantis"}, "no time zone 'Europe/Atlantis'"),
        ({"start_date": "tomorrow"}, "start_date 'tomorrow' is no date"),
        ({"start_date": 5}, "start_date 5 is no date"),
        ({"max_active_runs": -1}, "max_active_runs: -1"),
        ({"timeout": "soon"}, "timeout: 'soon' is no duration"),
        ({"tags": "daily"}, "tags: 'daily' is not a list"),
        ({"default_args": {"retires": 2}}, "default_args (did you mean 'retries'?)"),
        ({"params": {"x": object()}}, "default of parameter 'x' cannot be written as JSON"),
    ],
)
def test_wrong_arguments_of_a_flow_are_told_with_their_place(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        DAG("etl", **arguments)

    assert message in str(caught.value)
    assert str(caught.value).startswith("tests/unit/authoring/test_dag.py:")


def test_name_of_a_flow_fits_into_urls_and_commands() -> None:
    with pytest.raises(InvalidArgument, match="flow id 'my flow' is not made of letters"):
        DAG("my flow")
    with pytest.raises(InvalidArgument, match="flow id ''"):
        DAG()


def test_second_task_of_an_id_is_refused_with_both_places() -> None:
    with DAG("etl"):
        first = EmptyOperator(task_id="a")
        with pytest.raises(DuplicateTask) as caught:
            EmptyOperator(task_id="a")

    assert f"first used at tests/unit/authoring/test_dag.py:{first.place.line}" in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.line == first.place.line + 2


def test_group_and_task_share_one_space_of_ids() -> None:
    with DAG("etl"):
        EmptyOperator(task_id="a")
        with pytest.raises(DuplicateTask, match="id 'a' is taken"):
            TaskGroup("a")


def test_cycle_is_printed() -> None:
    with DAG("etl") as etl:
        a, b, c = (EmptyOperator(task_id=name) for name in "abc")
        chain(a, b, c, a)

    with pytest.raises(CycleError, match="a -> b -> c -> a"):
        _ = etl.definition


def test_built_flow_takes_no_more_tasks_or_edges() -> None:
    with DAG("etl") as etl:
        a = EmptyOperator(task_id="a")
        b = EmptyOperator(task_id="b")
    assert etl.definition is etl.definition

    with pytest.raises(DefinitionError, match="task 'c' comes too late: flow 'etl' is built"):
        EmptyOperator(task_id="c", dag=etl)
    with pytest.raises(DefinitionError, match="group 'g' comes too late"):
        TaskGroup("g", dag=etl)
    with pytest.raises(DefinitionError, match="edge 'a' >> 'b' comes too late"):
        a >> b


def test_broken_flow_can_be_asked_again() -> None:
    with DAG("etl") as etl:
        a = EmptyOperator(task_id="a")
        a >> a

    for _ in range(2):
        with pytest.raises(CycleError, match="a -> a"):
            _ = etl.definition


def test_task_made_outside_joins_the_flow_it_is_wired_into() -> None:
    alone = EmptyOperator(task_id="alone", priority=5)
    with DAG("etl", default_args={"retries": 3}) as etl:
        inside = EmptyOperator(task_id="inside")

    inside >> alone
    alone >> EmptyOperator(task_id="last")

    assert alone.dag is etl
    assert alone.downstream_task_ids == {"last"}
    EmptyOperator(task_id="first") >> alone
    assert alone.upstream_task_ids == {"inside", "first"}
    assert (alone.policy.retries, alone.policy.priority) == (3, 5)


def test_task_names_its_flow_where_none_is_open() -> None:
    etl = DAG("etl")

    EmptyOperator(task_id="a", dag=etl)

    assert list(etl.operators) == ["a"]


def test_tasks_of_two_flows_cannot_be_connected() -> None:
    with DAG("one"):
        a = EmptyOperator(task_id="a")
    with DAG("two"):
        b = EmptyOperator(task_id="b")

    with pytest.raises(InvalidArgument, match="'a' belongs to flow 'one', but 'b' to flow 'two'"):
        a >> b
    with pytest.raises(InvalidArgument, match="neither 'c' nor 'd' belongs to a flow"):
        EmptyOperator(task_id="c") >> EmptyOperator(task_id="d")


def test_result_of_another_flow_is_refused() -> None:
    with DAG("one"):
        a = EmptyOperator(task_id="a")
    with DAG("two") as two:
        PythonOperator(task_id="b", python_callable=print, op_args=[a.output])

    with pytest.raises(InvalidArgument, match="'b' takes the result of 'a' of another flow"):
        _ = two.definition


def test_neighbours_are_known_before_the_flow_is_built() -> None:
    with DAG("etl"):
        a, b, c = (EmptyOperator(task_id=name) for name in "abc")
        a >> b
        assert (b.upstream_task_ids, b.downstream_task_ids) == ({"a"}, set())

        b >> c

        assert b.downstream_task_ids == {"c"}


def test_equal_flows_are_written_alike() -> None:
    def build() -> DAG:
        with DAG("etl", params={"b": 1, "a": Param(2, minimum=1)}, tags={"x", "y"}) as etl:  # type: ignore[arg-type]  # a set will do
            tasks = [EmptyOperator(task_id=f"t{i}", retries=i % 3) for i in range(20)]
            chain(*tasks)
        return etl

    first, second = build(), build()

    assert first.to_json() == second.to_json()
    assert encode_flow(first.definition) == encode_flow(second.definition)
    assert json.loads(first.to_json())["flow"] == "etl"


def test_policies_are_shared_by_tasks_and_the_default_is_the_models_own() -> None:
    with DAG("etl") as etl:
        EmptyOperator(task_id="a", retries=2, retry_delay=[1, 2])
        EmptyOperator(task_id="b", retry_delay=["1s", "2s"], retries=2)
        EmptyOperator(task_id="c", retries=0)

    a, b, c = etl.definition.tasks

    assert a.policy is b.policy
    assert b"policy" not in encode_flow(
        DAG("none").definition
    )  # and nothing else that is the default
    assert c.policy.retries == 0
    assert encode_flow(etl.definition).count(b"policy") == 2


def test_parameters_come_from_values_and_param() -> None:
    etl = DAG("etl", params={"rows": Param(5, type="integer", minimum=1), "name": "x"})

    parameters = {p.name: p for p in etl.definition.parameters}

    assert parameters["rows"].schema == {"type": "integer", "minimum": 1}
    assert (parameters["rows"].default, parameters["name"].default) == (5, "x")
    assert repr(etl.param("rows")) == "the parameter 'rows'"
    with pytest.raises(InvalidArgument, match=r"no parameter 'row'.*did you mean 'rows'"):
        etl.param("row")


def test_place_of_a_task_is_where_the_user_makes_it_even_through_subclasses() -> None:
    class Child(Operator):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)

        def execute(self, context: Any) -> None: ...

    class Grandchild(Child):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    with DAG("etl") as etl:
        one = EmptyOperator(task_id="one")
        two = Grandchild(task_id="two")

    assert two.place == one.place._replace(line=one.place.line + 1)
    sources = [t.source for t in etl.definition.tasks]
    assert sources[0].file == "tests/unit/authoring/test_dag.py"
    assert sources[1].line == sources[0].line + 1
    assert etl.definition.tasks[1].operator == "Grandchild"


def test_files_are_named_relative_to_the_root_of_the_source() -> None:
    token = session.source_root.set(str(__file__).rpartition("/")[0])
    try:
        with DAG("etl") as etl:
            EmptyOperator(task_id="a")
    finally:
        session.source_root.reset(token)

    assert etl.definition.source.file == "test_dag.py"
    assert etl.definition.tasks[0].source.file == "test_dag.py"


def test_flow_announces_itself_when_it_is_made(registry: Collected) -> None:
    flow = DAG("etl")

    assert registry.flows == [flow]


def test_decorated_flow_announces_itself_once_it_is_whole(registry: Collected) -> None:
    @dag
    def broken() -> None:
        raise ValueError("stop")

    @dag
    def whole() -> None: ...

    with pytest.raises(ValueError, match="stop"):
        broken()
    flow = whole()

    assert registry.flows == [flow]


def test_run_of_a_flow_while_loading_is_inert_and_its_use_an_error(registry: Collected) -> None:
    handle = DAG("etl").run()

    with pytest.raises(CallWhileLoading, match='under `if __name__ == "__main__":`'):
        handle.raise_for_state()


class RecordingSession:
    """A session that notes what it is asked to run."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.inner: Any = None

    def run(self, dag: BuiltFlow, **asked: Any) -> Any:
        @task
        def add(one: int, other: int) -> int:
            return one + other

        self.asked = {"name": dag.name, **asked}
        self.inner = add(1, 2)
        return "handle"


def test_run_hands_everything_to_the_session_and_declares_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = RecordingSession()
    monkeypatch.setattr(session, "_make_local_session", lambda: recording)

    with DAG("etl", params={"day": None, "date": None}) as etl:
        handle: object = etl.run(date="2025-01-01", select="a+", day="x", params={"date": 1})

    assert handle == "handle"
    assert recording.asked == {
        "name": "etl",
        "params": {"day": "x", "date": 1},
        "date": "2025-01-01",
        "executor": "",
        "resources": {},
        "select": "a+",
    }
    assert recording.inner == 3
    assert list(etl.operators) == []


def test_test_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = RecordingSession()
    monkeypatch.setattr(session, "_make_local_session", lambda: recording)

    DAG("etl").test(day="x", date=datetime(2025, 1, 1, tzinfo=UTC))

    assert recording.asked["executor"] == "inline"
    assert recording.asked["params"] == {"day": "x"}


def test_run_without_the_facade_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_make_local_session", None)

    with pytest.raises(RuntimeError, match="import the ostinato package"):
        DAG("etl").run()


@pytest.mark.slow
def test_graph_of_many_tasks_is_built_without_recursion() -> None:
    with DAG("deep") as deep:
        before = EmptyOperator(task_id="t0")
        for number in range(1, 5000):
            after = EmptyOperator(task_id=f"t{number}")
            before >> after
            before = after

    assert len(deep.definition.edges) == 4999


@pytest.mark.parametrize("level", [21, -21, "high", True])
def test_priority_of_a_flow_is_a_level(level: Any) -> None:
    with pytest.raises(InvalidArgument, match="is no whole number"):
        DAG("etl", priority=level)

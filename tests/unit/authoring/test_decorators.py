"""This module tests flows made of functions."""

import pickle
from datetime import date, datetime, timedelta
from typing import Any, Literal

import cloudpickle
import pytest

from ostinato import DAG, Context, EmptyOperator, Param, TaskGroup, dag, task, task_group
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.task_functions import TaskFunction
from ostinato.errors import DefinitionError, InvalidArgument
from ostinato.model.flow import TaskDefinition, TaskKind
from ostinato.model.policy import TriggerRule
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute


def edges_of(flow: DAG) -> set[tuple[str, str]]:
    return {(edge.upstream, edge.downstream) for edge in flow.definition.edges}


def task_of(flow: DAG, task_id: str) -> TaskDefinition:
    return next(t for t in flow.definition.tasks if t.id == task_id)


def test_snippet_of_airflow_builds_as_it_is_written() -> None:
    @dag(schedule="@daily", start_date=datetime(2025, 1, 1))  # noqa: DTZ001 - as users write it
    def my_dag():  # type: ignore[no-untyped-def]  # as users write it
        @task
        def extract():  # type: ignore[no-untyped-def]  # as users write it
            return "data"

        @task
        def transform(data):  # type: ignore[no-untyped-def]  # as users write it
            return data + " transformed"

        @task
        def load(data):  # type: ignore[no-untyped-def]  # as users write it
            print(data)

        load(transform(extract()))

    flow = my_dag()

    assert edges_of(flow) == {("extract", "transform"), ("transform", "load")}
    assert flow.name == "my_dag"
    assert execute(flow.operators["transform"], FakeResolver({"extract": "data"})) == (
        "data transformed"
    )


def test_task_called_outside_of_a_flow_is_its_function() -> None:
    @task(retries=3)
    def add(one: int, other: int = 2) -> int:
        """Add."""
        return one + other

    assert add(1) == 3
    assert add.function(1, other=4) == 5
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_task_called_inside_a_running_task_is_its_function() -> None:
    @task
    def inner(value: int) -> int:
        return value + 1

    @task
    def outer() -> Any:
        return inner(1)

    @dag
    def flow() -> None:
        outer()

    assert execute(flow().operators["outer"]) == 2


def test_results_are_found_anywhere_in_containers() -> None:
    @task
    def one() -> int:
        return 1

    @task
    def take(value: Any, **more: Any) -> Any:
        return value

    @dag
    def flow() -> None:
        result = one()
        take({"a": [result, (result, {"b": result})]})

    operator = flow().operators["take"]

    assert execute(operator, FakeResolver({"one": 1})) == {"a": [1, (1, {"b": 1})]}
    assert [v.task_id for v in task_of(flow(), "take").inputs] == ["one"]


def test_second_call_of_a_task_gets_a_number() -> None:
    @task
    def step(value: int = 0) -> int:
        return value

    @dag
    def flow() -> None:
        EmptyOperator(task_id="step__2")
        for _ in range(4):
            step()
        step.override(task_id="other")()
        step.override(task_id="other")()

    assert list(flow().operators) == [
        "step__2",
        "step",
        "step__1",
        "step__3",
        "step__4",
        "other",
        "other__1",
    ]


def test_policies_are_given_overridden_and_inherited() -> None:
    @task(retries=1, retry_delay="5m", doc_md="What it does.")
    def step() -> None:
        """Be overruled."""

    @task
    def plain() -> None:
        """Say what it does.

        In two lines.
        """

    @dag(default_args={"retries": 7, "execution_timeout": timedelta(minutes=1)})
    def flow() -> None:
        step()
        step.override(retries=2, trigger_rule="all_done")()
        with TaskGroup("group", default_args={"retries": 9}):
            plain()

    built = flow()
    first, second, third = built.definition.tasks

    assert (first.policy.retries, first.policy.retry_delays_s) == (1, (300.0,))
    assert (second.policy.retries, second.policy.trigger_rule) == (2, TriggerRule.ALL_DONE)
    assert (third.policy.retries, third.policy.timeout_s) == (9, 60)
    assert first.doc == "What it does."
    assert third.doc == "Say what it does.\n\nIn two lines."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(), "step() missing 1 required argument 'rows'"),
        (lambda t: t(1, 2, 3), "step() takes 2 positional arguments but 3 were given"),
        (lambda t: t(1, rows=2), "step() got multiple values for argument 'rows'"),
        (lambda t: t(1, lmit=2), "unexpected argument 'lmit' (did you mean 'limit'?)"),
        (lambda t: t.expand(row=[1]), "unexpected argument 'row' (did you mean 'rows'?)"),
        (lambda t: t.expand(limit=[1]), "step() missing 1 required argument 'rows'"),
        (lambda t: t.expand(rows="abc"), "not over the text 'abc' (write ['abc'] for one item)"),
        (lambda t: t.expand(rows=5), "maps over lists and dicts, not over int 5"),
        (lambda t: t.expand(rows={1}), "not over set {1} (make it a list)"),
        (lambda t: t.expand(), "expand() needs at least one argument"),
        (lambda t: t.partial(rows=1).expand(rows=[1]), "'rows' is fixed and cannot be mapped"),
        (lambda t: t.partial(row=1).expand_kwargs([{}]), "unexpected argument 'row'"),
        (lambda t: t.override(retires=1), "unknown argument 'retires' in @task"),
        (lambda t: t.override(retries=-1)(1), "retries: -1 is not a whole number"),
    ],
)
def test_wrong_call_of_a_task_is_told_where_it_is_called(call: Any, message: str) -> None:
    @task
    def step(rows: Any, limit: int = 0) -> None: ...

    @dag
    def flow() -> None:
        call(step)

    with pytest.raises(InvalidArgument) as caught:
        flow()

    assert message in str(caught.value)
    assert str(caught.value).startswith("tests/unit/authoring/test_decorators.py:")


def test_unknown_argument_of_the_decorator_is_told() -> None:
    with pytest.raises(InvalidArgument, match=r"'retires' in @task \(did you mean 'retries'\?\)"):
        task(retires=3)  # type: ignore[call-overload]  # what is tested
    with pytest.raises(InvalidArgument, match="makes tasks of functions"):
        task(type("NotAFunction", (), {}))


def test_context_and_its_parts_need_no_argument() -> None:
    @task
    def step(rows: int, context: Any, ds: str, where: Context, ti: Any = None) -> Any:
        return rows, context.run_id, ds, where.flow, ti.try_number

    @dag
    def flow() -> None:
        step(1)

    assert execute(flow().operators["step"]) == (1, "7", "2025-01-31", "flow", 1)


def test_arguments_of_a_flow_are_its_parameters() -> None:
    @task
    def show(**values: Any) -> Any:
        return values

    @dag
    def flow(
        day: date,
        rows: int = 10,
        mode: Literal["full", "new"] = "new",
        since: datetime | None = None,
        names: list[str] = ["a"],  # noqa: B006  # a default as users write it
        limit: float = Param(1.5, minimum=0, description="How much."),
    ) -> None:
        """Say what it does."""
        show(day=day, rows=rows, nested=[mode, {"since": since}])

    built = flow()
    parameters = {p.name: p for p in built.definition.parameters}

    assert built.definition.doc == "Say what it does."
    assert parameters["day"].is_required
    assert parameters["day"].schema == {"type": "string", "format": "date"}
    assert (parameters["rows"].schema, parameters["rows"].default) == ({"type": "integer"}, 10)
    assert parameters["mode"].schema == {"enum": ["full", "new"]}
    assert parameters["since"].schema == {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]
    }
    assert parameters["names"].schema == {"type": "array", "items": {"type": "string"}}
    assert parameters["limit"].schema == {"type": "number", "minimum": 0}
    assert (parameters["limit"].default, parameters["limit"].description) == (1.5, "How much.")
    params = {"day": "2025-01-02", "rows": 3, "mode": "full", "since": "2025-01-01T00:00:00Z"}
    shown = execute(built.operators["show"], FakeResolver(params=params))
    assert shown["day"] == date(2025, 1, 2)
    assert shown["rows"] == 3
    assert shown["nested"][1]["since"].year == 2025


def test_arguments_in_the_call_of_a_flow_are_defaults() -> None:
    @dag
    def flow(day: str, rows: int = Param(1, minimum=1)) -> None: ...

    parameters = {p.name: p for p in flow("2025-01-01", rows=5).definition.parameters}

    assert (parameters["day"].default, parameters["day"].is_required) == ("2025-01-01", False)
    assert (parameters["rows"].default, parameters["rows"].schema["minimum"]) == (5, 1)
    with pytest.raises(InvalidArgument, match=r"unexpected argument 'dy'.*did you mean 'day'"):
        flow(dy=1)


def test_flow_function_may_not_take_nameless_parameters() -> None:
    @dag
    def flow(**anything: Any) -> None: ...

    with pytest.raises(InvalidArgument, match="a flow's parameters have names"):
        flow()


def test_flow_can_be_named() -> None:
    @dag("other")
    def flow() -> None: ...

    @dag(dag_id="third", description="short")
    def again() -> None:
        """Not this."""

    assert flow().name == "other"
    assert (again().name, again().definition.doc) == ("third", "short")


def test_flow_function_that_fails_says_so_where_it_is_called() -> None:
    @dag(schedul="@daily")
    def flow() -> None: ...

    with pytest.raises(InvalidArgument, match="no argument 'schedul'"):
        flow()


def test_decorated_flow_is_final() -> None:
    @dag
    def flow() -> None: ...

    built = flow()

    with pytest.raises(DefinitionError, match="comes too late"):
        EmptyOperator(task_id="a", dag=built)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda value: bool(value),
        lambda value: len(value),
        lambda value: list(value),
        lambda value: f"{value}",
        lambda value: value == "data",
        lambda value: "x" in value,
    ],
)
def test_result_cannot_be_used_as_its_value_while_the_flow_is_defined(misuse: Any) -> None:
    @task
    def extract() -> str:
        return "data"

    @dag
    def flow() -> None:
        misuse(extract())

    with pytest.raises(InvalidArgument, match=r"test_decorators.py:\d+: the result of 'extract'"):
        flow()


def test_kinds_of_decorated_tasks() -> None:
    @task.branch
    def choose() -> str:
        return "a"

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def check() -> bool:
        return False

    @task.sensor(poke_interval="1m", mode="poke")
    def wait() -> bool:
        return True

    @task.bash(env={"NAME": "x"})
    def shell(word: str) -> str:
        return f"echo {word} $NAME"

    @dag
    def flow() -> None:
        choose() >> EmptyOperator(task_id="a")
        check()
        wait()
        shell("hello")

    built = flow()

    assert {t.id: (t.operator, t.kind) for t in built.definition.tasks} == {
        "choose": ("branch", TaskKind.BRANCH),
        "a": ("empty", TaskKind.NORMAL),
        "check": ("short_circuit", TaskKind.SHORT_CIRCUIT),
        "wait": ("sensor", TaskKind.SENSOR),
        "shell": ("bash", TaskKind.NORMAL),
    }
    assert not task_of(built, "check").ignore_downstream_trigger_rules
    assert execute(built.operators["choose"]) == ["a"]
    assert execute(built.operators["check"]) is False
    assert execute(built.operators["wait"]) is None
    assert execute(built.operators["shell"]) == "hello x"


def test_attempts_of_a_decorated_command_share_nothing() -> None:
    @task.bash
    def shell() -> str:
        return "true"

    @dag
    def flow() -> None:
        shell()

    operator = flow().operators["shell"]
    before = dict(vars(operator))
    execute(operator)

    assert vars(operator) == before


def test_methods_can_be_tasks() -> None:
    class Steps:
        factor = 3

        @task
        def triple(self, value: int) -> int:
            return self.factor * value

    assert Steps().triple(2) == 6
    assert isinstance(Steps.triple, TaskFunction)
    with DAG("flow") as flow:
        Steps().triple(2)
    assert execute(flow.operators["triple"]) == 6


def test_results_wire_tasks_by_arrows_too() -> None:
    @task
    def a() -> None: ...

    @task
    def b() -> None: ...

    @dag
    def flow() -> None:
        first = a()
        [first] >> b() >> EmptyOperator(task_id="c")
        first.set_downstream(EmptyOperator(task_id="d"))

    assert edges_of(flow()) == {("a", "b"), ("b", "c"), ("a", "d")}


def test_task_that_was_not_called_cannot_be_wired() -> None:
    @task
    def step() -> None: ...

    with DAG("flow"), pytest.raises(InvalidArgument, match=r"function 'step' \(call it: step\(\)"):
        EmptyOperator(task_id="a") >> step


def test_items_of_a_result_are_taken_by_key() -> None:
    @task(multiple_outputs=True)
    def extract() -> dict[str, int]:
        return {"rows": 3, "bytes": 5}

    @task
    def load(rows: int) -> int:
        return rows

    @dag
    def flow() -> None:
        load(extract()["rows"])

    built = flow()
    context = FakeContext()

    assert edges_of(built) == {("extract", "load")}
    assert execute(built.operators["load"], FakeResolver({"extract": {"rows": 3}})) == 3
    assert execute(built.operators["extract"], context=context) == {"rows": 3, "bytes": 5}
    assert context.pushed == {"rows": 3, "bytes": 5}


def test_result_with_multiple_outputs_must_be_a_dict() -> None:
    @task(multiple_outputs=True)
    def extract() -> Any:
        return [1]

    with DAG("flow") as flow:
        extract()

    with pytest.raises(TypeError, match="must return a dict with text keys, not list"):
        execute(flow.operators["extract"])


def test_value_under_another_key_is_an_input() -> None:
    @task
    def extract(context: Any) -> None:
        context.push("rows", 3)

    @task
    def load(rows: int) -> int:
        return rows

    @dag
    def flow() -> None:
        load(extract().pushed("rows"))

    built = flow()

    assert task_of(built, "load").inputs[0].key == "rows"
    assert execute(built.operators["load"], FakeResolver({"extract/rows": 3})) == 3


def test_function_may_be_asynchronous() -> None:
    @task
    async def extract(value: int) -> int:
        return value + 1

    with DAG("flow") as flow:
        extract(1)

    assert execute(flow.operators["extract"]) == 2


def test_positional_and_surplus_arguments_reach_the_function() -> None:
    @task
    def collect(first: Any, /, second: Any, *rest: Any, flag: bool = False) -> Any:
        return first, second, rest, flag

    with DAG("flow") as flow:
        collect(1, 2, 3, 4, flag=True)
        collect(1, second=2)

    assert execute(flow.operators["collect"]) == (1, 2, (3, 4), True)
    assert execute(flow.operators["collect__1"]) == (1, 2, (), False)


def test_group_function_declares_a_group_and_returns_what_it_returns() -> None:
    @task
    def step(value: Any) -> Any:
        return value

    @task_group
    def clean(value: Any) -> Any:
        """Clean it.

        In detail.
        """
        return step(step(value))

    @task_group(group_id="named", prefix_group_id=False, default_args={"retries": 4})
    def other() -> None:
        EmptyOperator(task_id="inner")

    @dag
    def flow() -> None:
        clean(clean(1)) >> other()

    built = flow()

    assert list(built.operators) == [
        "clean.step",
        "clean.step__1",
        "clean__1.step",
        "clean__1.step__1",
        "inner",
    ]
    assert ("clean.step__1", "clean__1.step") in edges_of(built)
    assert ("clean__1.step__1", "inner") in edges_of(built)
    assert [(g.id, g.tooltip) for g in built.definition.groups] == [
        ("clean", "Clean it."),
        ("clean__1", "Clean it."),
        ("named", ""),
    ]
    assert task_of(built, "inner").policy.retries == 4


def test_group_can_be_declared_under_another_id() -> None:
    @task_group
    def clean() -> None:
        EmptyOperator(task_id="a")

    with DAG("flow") as flow:
        clean.override(group_id="other")()

    assert list(flow.operators) == ["other.a"]


def test_declarations_say_what_they_are() -> None:
    @task
    def step() -> None: ...

    @task_group
    def clean() -> None: ...

    @dag
    def flow() -> None: ...

    assert [repr(it) for it in (step, clean, flow, flow())] == [
        "<task 'step'>",
        "<task_group 'clean'>",
        "<dag 'flow'>",
        "<DAG 'flow'>",
    ]


def test_group_function_called_wrongly_is_told() -> None:
    @task_group
    def clean(value: Any) -> None: ...

    with pytest.raises(InvalidArgument, match="group 'clean' stands in no flow"):
        clean(1)
    with DAG("flow"), pytest.raises(InvalidArgument, match="missing 1 required argument 'value'"):
        clean()


def test_operators_and_functions_mix() -> None:
    class Read(Operator):
        template_fields = ("path",)

        def __init__(self, path: Any, **kwargs: Any) -> None:
            self.path = path
            super().__init__(**kwargs)

        def execute(self, context: Any) -> Any:
            return f"read {self.path}"

    @task
    def name() -> str:
        return "file"

    @task
    def show(text: str) -> str:
        return text

    with DAG("flow") as flow:
        show(Read(name(), task_id="read").output)

    assert edges_of(flow) == {("name", "read"), ("read", "show")}
    assert execute(flow.operators["read"], FakeResolver({"name": "file"})) == "read file"


def test_result_in_a_field_that_nothing_resolves_is_refused() -> None:
    class Read(Operator):
        def __init__(self, path: Any, **kwargs: Any) -> None:
            self.path = path
            super().__init__(**kwargs)

    with DAG("flow") as flow:
        Read(EmptyOperator(task_id="a").output, task_id="read")

    with pytest.raises(InvalidArgument, match="add 'path' to its template_fields"):
        _ = flow.definition


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (lambda step: step, "'step': an argument is <task 'step'> itself (call it: step())"),
        (lambda step: [EmptyOperator(task_id="a")], "<EmptyOperator 'a'> itself (give its result"),
    ],
)
def test_task_where_its_result_is_meant_is_refused(argument: Any, message: str) -> None:
    @task
    def step(value: Any) -> None: ...

    with DAG("flow") as flow:
        step(argument(step))

    with pytest.raises(InvalidArgument) as caught:
        _ = flow.definition

    assert message in str(caught.value)


def test_function_of_a_task_is_pickled_without_what_is_known_of_it() -> None:
    @task
    def step(value: int) -> int:
        return value + 1

    with DAG("flow") as flow:
        step(1)
    assert list(flow.definition.tasks)

    copied = pickle.loads(cloudpickle.dumps(step.function))

    assert copied(1) == 2
    assert signature_of(copied).names == {"value"}

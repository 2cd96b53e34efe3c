"""This module tests tasks and groups that are mapped."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import (
    DAG,
    BashOperator,
    EmptyOperator,
    Operator,
    PythonOperator,
    dag,
    task,
    task_group,
)
from ostinato.authoring.operators.operator import MappedOperator
from ostinato.authoring.operators.sensor import PythonSensor
from ostinato.authoring.signatures import CONTEXT_NAMES
from ostinato.errors import InvalidArgument
from ostinato.model.flow import (
    Expansion,
    Factor,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
    TaskDefinition,
    TaskKind,
)
from tests.unit.authoring.fakes import FakeResolver, Results, execute


@task
def numbers() -> list[int]:
    return [1, 2, 3]


@task
def show(**values: Any) -> Any:
    return {name: value for name, value in values.items() if name not in CONTEXT_NAMES}


@task
def double(value: int) -> int:
    return 2 * value


def task_of(flow: DAG, task_id: str) -> TaskDefinition:
    return next(t for t in flow.definition.tasks if t.id == task_id)


def expansion_of(flow: DAG, task_id: str) -> Expansion:
    expansion = task_of(flow, task_id).expansion
    assert expansion is not None
    return expansion


def at(*indices: int, container: str = "show", **results: Any) -> FakeResolver:
    """Return a resolver that stands at these indices of the factors of a container."""
    return FakeResolver(results, {(container, factor): i for factor, i in enumerate(indices)})


def test_mapping_over_literals_has_their_lengths_in_the_order_of_the_arguments() -> None:
    @dag
    def flow() -> None:
        show.partial(fixed="f").expand(b=["x", "y"], a={"k": 1})

    built = flow()

    assert expansion_of(built, "show") == Expansion(
        (Factor("b", LiteralLength(2)), Factor("a", LiteralLength(1)))
    )
    assert execute(built.operators["show"], at(1, 0)) == {"fixed": "f", "b": "y", "a": ("k", 1)}
    assert task_of(built, "show").inputs == ()


@given(
    lists=st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.integers(), max_size=4), min_size=1, max_size=4
    )
)
def test_indices_of_a_mapping_are_the_cross_product_the_last_varying_fastest(
    lists: dict[str, list[int]],
) -> None:
    with DAG("flow") as flow:
        show.expand(**lists)
    factors = expansion_of(flow, "show").factors
    lengths = [
        factor.length.length for factor in factors if isinstance(factor.length, LiteralLength)
    ]

    given_to_tasks = [
        tuple(execute(flow.operators["show"], at(*indices)).values())
        for indices in itertools.product(*map(range, lengths))
    ]

    assert [factor.name for factor in factors] == list(lists)
    assert given_to_tasks == list(itertools.product(*lists.values()))


def test_mapping_over_a_result_measures_it() -> None:
    @dag
    def flow() -> None:
        show.expand(value=numbers())

    built = flow()

    assert expansion_of(built, "show") == Expansion((Factor("value", ResultLength("numbers")),))
    assert task_of(built, "numbers").measured
    assert task_of(built, "show").inputs[0].task_id == "numbers"
    assert execute(built.operators["show"], at(2, numbers=[1, 2, 3])) == {"value": 3}


def test_mapping_over_a_mapped_task_counts_its_task_runs() -> None:
    @dag
    def flow() -> None:
        double.expand(value=double.expand(value=numbers()))

    built = flow()

    assert expansion_of(built, "double__1").factors[0].length == ResultLength("double")
    assert task_of(built, "numbers").measured
    assert not task_of(built, "double").measured
    resolver = at(1, container="double__1", double=Results([2, 4]))
    assert execute(built.operators["double__1"], resolver) == 8


def test_task_behind_a_mapped_one_takes_the_sequence_of_all_results() -> None:
    @task
    def total(values: list[int]) -> int:
        return sum(values)

    @dag
    def flow() -> None:
        total(double.expand(value=[1, 2]))

    built = flow()

    assert execute(built.operators["total"], FakeResolver({"double": Results([2, 4])})) == 6


def test_item_by_key_of_all_results_of_a_mapped_task_is_the_item_of_each() -> None:
    @task
    def describe(value: int) -> dict[str, int]:
        return {"rows": value}

    @task
    def total(rows: list[int]) -> int:
        return sum(rows)

    @dag
    def flow() -> None:
        total(describe.expand(value=[1, 2])["rows"])

    resolver = FakeResolver({"describe": Results([{"rows": 1}, {"rows": 2}])})

    assert execute(flow().operators["total"], resolver) == 3


def test_lists_may_hold_results_and_need_no_measure() -> None:
    @dag
    def flow() -> None:
        show.expand(value=[numbers(), "literal"])

    built = flow()

    assert expansion_of(built, "show").factors[0].length == LiteralLength(2)
    assert not task_of(built, "numbers").measured
    assert execute(built.operators["show"], at(0, numbers=[1])) == {"value": [1]}


def test_expand_kwargs_maps_over_whole_arguments() -> None:
    @dag
    def flow() -> None:
        show.partial(fixed=0).expand_kwargs([{"a": 1}, {"b": numbers()}])
        show.expand_kwargs(numbers())

    built = flow()

    assert execute(built.operators["show"], at(0)) == {"fixed": 0, "a": 1}
    assert execute(built.operators["show"], at(1, numbers=[9])) == {"fixed": 0, "b": [9]}
    resolver = at(0, container="show__1", numbers__1=[{"x": 5}])
    assert execute(built.operators["show__1"], resolver) == {"x": 5}


def test_wrong_keys_of_expand_kwargs_fail_the_attempt_with_a_guess() -> None:
    with DAG("flow") as flow:
        double.expand_kwargs([{"vale": 1}])

    with pytest.raises(TypeError, match=r"unexpected argument 'vale'.*did you mean 'value'"):
        execute(flow.operators["double"], at(0, container="double"))


def test_results_are_mapped_zipped_and_concatenated_where_they_are_read() -> None:
    @dag
    def flow() -> None:
        first = numbers()
        second = double.expand(value=first)
        show.expand(value=first.map(str).concat(["x"], {"k": 1}).zip(second, range_list()))

    @task
    def range_list() -> list[int]:
        return list(range(100))

    built = flow()
    results: dict[str, Any] = {
        "numbers": [1, 2, 3],
        "double": Results([2, 4, 6, 8, 10]),
        "range_list": [0] * 100,
    }

    assert expansion_of(built, "show").factors[0].length == MinLength(
        (
            SumLength((ResultLength("numbers"), LiteralLength(1), LiteralLength(1))),
            ResultLength("double"),
            ResultLength("range_list"),
        )
    )
    assert [
        execute(built.operators["show"], at(index, **results))["value"] for index in range(5)
    ] == [("1", 2, 0), ("2", 4, 0), ("3", 6, 0), ("x", 8, 0), (("k", 1), 10, 0)]
    assert task_of(built, "numbers").measured
    assert task_of(built, "range_list").measured
    assert not task_of(built, "double").measured


@given(parts=st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=5))
def test_concatenation_and_zip_agree_with_pythons_own(parts: list[list[int]]) -> None:
    with DAG("flow") as flow:
        first = EmptyOperator(task_id="t0").output
        others = [EmptyOperator(task_id=f"t{i}").output for i in range(1, len(parts))]
        PythonOperator(
            task_id="all",
            python_callable=dict,
            op_kwargs={"concat": first.concat(*others), "zip": first.zip(*others)},
        )

    values = execute(
        flow.operators["all"], FakeResolver({f"t{i}": part for i, part in enumerate(parts)})
    )

    assert values["concat"] == list(itertools.chain(*parts))
    assert values["zip"] == list(zip(*parts, strict=False))


def test_task_cannot_be_the_function_of_a_map() -> None:
    with DAG("flow"), pytest.raises(InvalidArgument, match="give a function, or use expand"):
        numbers().map(double)


def test_parameter_cannot_be_mapped_over_without_a_task() -> None:
    @dag
    def flow(days: list[str]) -> None:
        show.expand(day=days)

    with pytest.raises(InvalidArgument, match=r"the parameter 'days'.*let a task return it"):
        flow(["2025-01-01"])


def test_pushed_value_cannot_be_mapped_over() -> None:
    with DAG("flow"), pytest.raises(InvalidArgument, match="return it instead of pushing it"):
        show.expand(value=numbers().pushed("rows"))


def test_task_is_mapped_where_a_flow_is_declared() -> None:
    with pytest.raises(InvalidArgument, match="call it in a loop"):
        double.expand(value=[1])


def test_mapped_group_gives_its_items_to_the_tasks_in_it() -> None:
    @task_group
    def work(name: Any, factor: int) -> Any:
        return double(show(name=name, factor=factor))

    @dag
    def flow() -> None:
        show(all=work.partial(factor=7).expand(name=numbers()))

    built = flow()
    group = built.definition.groups[0]

    assert group.expansion == Expansion((Factor("name", ResultLength("numbers")),))
    assert task_of(built, "work.show").inputs[0].task_id == "numbers"
    assert task_of(built, "work.show").expansion is None
    assert task_of(built, "work.double").inputs[0].task_id == "work.show"
    assert task_of(built, "numbers").measured
    resolver = at(2, container="work", numbers=[4, 5, 6])
    assert execute(built.operators["work.show"], resolver) == {"name": 6, "factor": 7}


def test_group_is_mapped_over_whole_arguments_with_defaults_for_what_is_missing() -> None:
    @task_group
    def work(name: Any, factor: int = 3) -> None:
        show(name=name, factor=factor)

    @dag
    def flow() -> None:
        work.expand_kwargs([{"name": "a"}, {"name": "b", "factor": 5}])

    operator = flow().operators["work.show"]

    assert execute(operator, at(0, container="work")) == {"name": "a", "factor": 3}
    assert execute(operator, at(1, container="work")) == {"name": "b", "factor": 5}


def test_nested_mapping_measures_what_lies_at_its_own_level() -> None:
    @task
    def split(value: int) -> list[int]:
        return [value] * value

    @task_group
    def inner(value: Any) -> Any:
        parts = split(value)
        return double.expand(value=parts)

    @task_group
    def outer(value: Any) -> Any:
        return inner.expand(value=split(value))

    @dag
    def flow() -> None:
        done = outer.expand(value=numbers())
        double.expand(value=done)

    built = flow()

    assert {t.id for t in built.definition.tasks if t.measured} == {
        "numbers",
        "outer.split",
        "outer.inner.split",
    }
    assert expansion_of(built, "double").factors[0].length == ResultLength("outer.inner.double")
    assert [(g.id, g.parent) for g in built.definition.groups] == [
        ("outer", ""),
        ("outer.inner", "outer"),
    ]


def test_item_of_a_mapped_group_means_nothing_outside_of_it() -> None:
    leaked = []

    @task_group
    def work(name: Any) -> None:
        leaked.append(name)

    with DAG("flow") as flow:
        work.expand(name=[1, 2])
        show(name=leaked[0])

    with pytest.raises(InvalidArgument, match="outside of the mapped 'work'"):
        _ = flow.definition


def test_item_of_a_mapped_group_has_no_measured_length() -> None:
    @task_group
    def work(names: Any) -> None:
        show.expand(name=names)

    with DAG("flow"), pytest.raises(InvalidArgument, match="let a task return it"):
        work.expand(names=[[1], [2, 3]])


def test_operator_is_mapped_and_made_for_each_index() -> None:
    with DAG("flow") as flow:
        mapped = BashOperator.partial(
            task_id="say", env={"WORD": "hello"}, retries=2, priority_weight=5
        ).expand(bash_command=["echo $WORD a", "echo $WORD b"])
        first = EmptyOperator(task_id="first")
        first >> mapped

    definition = task_of(flow, "say")

    assert isinstance(mapped, MappedOperator)
    assert (definition.operator, definition.policy.retries, definition.policy.priority) == (
        "bash",
        2,
        5,
    )
    assert execute(mapped, at(1, container="say")) == "hello b"
    bound = mapped.bind({"bash_command": "true"})
    assert (bound.task_id, bound.dag, bound.settings) == ("say", flow, mapped.settings)
    assert list(flow.operators) == ["say", "first"]


def test_operator_is_mapped_over_results_and_whole_arguments() -> None:
    with DAG("flow") as flow:
        PythonOperator.partial(task_id="show", python_callable=dict).expand(
            op_kwargs=numbers().map(lambda n: {"n": n})
        )
        PythonOperator.partial(task_id="more", python_callable=dict).expand_kwargs(
            [{"op_kwargs": {"a": 1}}]
        )
        PythonSensor.partial(task_id="wait", python_callable=bool, timeout=5).expand(
            op_args=[[True]]
        )

    assert execute(flow.operators["show"], at(1, numbers=[1, 2])) == {"n": 2}
    assert execute(flow.operators["more"], at(0, container="more")) == {"a": 1}
    assert execute(flow.operators["wait"], at(0, container="wait")) is None
    assert task_of(flow, "wait").kind is TaskKind.SENSOR
    # The time-out of a sensor is its own; the policy is the limit of a poke.
    assert task_of(flow, "wait").policy.timeout_s == 600


@pytest.mark.parametrize(
    ("fixed", "mapped", "message"),
    [
        ({"bash_comand": "x"}, {}, "no argument 'bash_comand' (did you mean 'bash_command'?)"),
        ({}, {"bash_comand": ["x"]}, "did you mean 'bash_command'?"),
        ({"env": {}}, {"env": [{}]}, "argument 'env' is fixed and cannot be mapped too"),
        ({}, {"retries": [1]}, "'retries' is the same for all indices"),
        ({}, {}, "expand() needs at least one argument"),
    ],
)
def test_wrong_mapping_of_an_operator_is_told(
    fixed: dict[str, Any], mapped: dict[str, Any], message: str
) -> None:
    with DAG("flow"), pytest.raises(InvalidArgument) as caught:
        BashOperator.partial(task_id="say", **fixed).expand(**mapped)

    assert message in str(caught.value)


def test_operator_that_hands_nothing_on_takes_only_its_own_arguments() -> None:
    class Strict(Operator):
        def __init__(self, task_id: str, path: str) -> None:
            self.path = path
            super().__init__(task_id)

    with DAG("flow"):
        Strict.partial(task_id="ok").expand(path=["a"])
        with pytest.raises(InvalidArgument, match="Strict takes no argument 'retries'"):
            Strict.partial(task_id="no", retries=1)

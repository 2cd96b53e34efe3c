"""This module tests how setups and teardowns are declared, and what stands between them."""

from typing import Any

import pytest

from ostinato import (
    DAG,
    BranchPythonOperator,
    EmptyOperator,
    TaskGroup,
    dag,
    setup,
    task,
    task_group,
    teardown,
)
from ostinato.errors import InvalidArgument
from ostinato.model.flow import TaskKind
from ostinato.model.policy import TriggerRule


def edges_of(flow: DAG) -> set[str]:
    return {f"{edge.upstream}>{edge.downstream}" for edge in flow.definition.edges}


def tasks(names: str) -> list[EmptyOperator]:
    return [EmptyOperator(task_id=name) for name in names.split()]


@pytest.fixture
def flow() -> Any:
    with DAG("flow") as flow:
        yield flow


def test_a_teardown_waits_for_its_setups_and_follows_them(flow: DAG) -> None:
    one, two, drop = tasks("one two drop")

    assert drop.as_teardown(setups=[one, two]) is drop

    assert edges_of(flow) == {"one>drop", "two>drop"}
    kinds = {each.id: each.kind for each in flow.definition.tasks}
    assert kinds == {"one": TaskKind.SETUP, "two": TaskKind.SETUP, "drop": TaskKind.TEARDOWN}
    assert drop.policy.trigger_rule is TriggerRule.ALL_DONE_SETUP_SUCCESS
    assert not drop.policy.on_failure_fail_run


@pytest.mark.parametrize("name", ["on_failure_fail_run", "on_failure_fail_dagrun"])
def test_a_teardown_may_fail_the_run(flow: DAG, name: str) -> None:
    drop = EmptyOperator(task_id="drop").as_teardown(**{name: True})

    assert drop.policy.on_failure_fail_run


def test_a_teardown_keeps_a_rule_of_its_own(flow: DAG) -> None:
    drop = EmptyOperator(task_id="drop", trigger_rule="all_done").as_teardown()

    assert drop.policy.trigger_rule is TriggerRule.ALL_DONE


def test_other_tasks_keep_their_policy(flow: DAG) -> None:
    other, drop = tasks("other drop")
    drop.as_teardown(on_failure_fail_run=True)

    assert other.policy.trigger_rule is TriggerRule.ALL_SUCCESS
    assert not other.policy.on_failure_fail_run


def test_what_a_block_declares_lies_between(flow: DAG) -> None:
    make, drop = tasks("make drop")

    with drop.as_teardown(setups=make):
        a, b, c, _ = tasks("a b c lone")
        a >> [b, c]

    assert edges_of(flow) == {
        "make>drop", "make>a", "make>lone", "a>b", "a>c", "b>drop", "c>drop", "lone>drop",
    }  # fmt: skip


def test_a_setup_opens_a_block_too(flow: DAG) -> None:
    make, drop = tasks("make drop")
    drop.as_teardown(setups=make)
    with make:
        tasks("a")
    with EmptyOperator(task_id="alone").as_setup():
        tasks("b")

    assert edges_of(flow) == {"make>drop", "make>a", "a>drop", "alone>b"}


def test_an_arrow_from_setup_to_teardown_opens_a_block(flow: DAG) -> None:
    make, drop = tasks("make drop")
    make.as_setup()
    drop.as_teardown()

    with make >> drop:
        tasks("a")

    assert edges_of(flow) == {"make>drop", "make>a", "a>drop"}


def test_blocks_nest(flow: DAG) -> None:
    make, drop = tasks("make drop")
    make_inner, drop_inner = tasks("make_inner drop_inner")
    drop_inner.as_teardown(setups=make_inner)

    with drop.as_teardown(setups=make), drop_inner:
        tasks("a")

    assert edges_of(flow) == {
        "make>drop", "make_inner>drop_inner", "make>make_inner", "make_inner>a", "a>drop_inner",
        "drop_inner>drop",
    }  # fmt: skip


def test_a_block_takes_in_what_was_declared_before(flow: DAG) -> None:
    make, drop, earlier = tasks("make drop earlier")
    with TaskGroup("group") as group:
        tasks("inside")

    with drop.as_teardown(setups=make) as scope:
        scope.add_task(earlier, group)

    assert edges_of(flow) == {
        "make>drop", "make>earlier", "earlier>drop", "make>group.inside", "group.inside>drop",
    }  # fmt: skip


def test_a_block_with_an_error_in_it_says_that_error(flow: DAG) -> None:
    make, drop = tasks("make drop")
    with pytest.raises(ZeroDivisionError), drop.as_teardown(setups=make):
        raise ZeroDivisionError


def test_decorators_make_setups_and_teardowns() -> None:
    @dag
    def clusters() -> None:
        @setup
        def create() -> str:
            return "cluster"

        @teardown(on_failure_fail_run=True, retries=2)
        def delete(name: str) -> None: ...

        @task
        def query(name: str, number: int) -> int:
            return number

        name = create()
        with delete(name):
            query.partial(name=name).expand(number=[1, 2])

    flow = clusters()
    assert edges_of(flow) == {"create>delete", "create>query", "query>delete"}
    by_id = {each.id: each for each in flow.definition.tasks}
    assert by_id["create"].kind is TaskKind.SETUP
    assert by_id["delete"].kind is TaskKind.TEARDOWN
    assert by_id["delete"].policy.retries == 2
    assert by_id["delete"].policy.on_failure_fail_run


def test_decorators_take_tasks_and_results() -> None:
    @dag
    def clusters() -> None:
        @setup
        @task(retries=1)
        def create() -> str:
            return "cluster"

        @teardown
        @task.sensor
        def gone() -> bool:
            return True

        @task
        def work() -> None: ...

        @task
        def delete() -> None: ...

        made = create.override(task_id="made")()
        with delete().as_teardown(setups=[made, work().as_setup()]):
            work()
        gone()

    by_id = {each.id: each for each in clusters().definition.tasks}
    assert {name: each.kind.value for name, each in by_id.items()} == {
        "made": "setup", "work": "setup", "delete": "teardown", "work__1": "normal",
        "gone": "teardown",
    }  # fmt: skip
    assert by_id["made"].policy.retries == 1


def test_mapped_tasks_are_setups_and_teardowns(flow: DAG) -> None:
    @setup
    def make(x: int) -> int:
        return x

    @teardown
    def drop(x: int) -> None: ...

    made = make.expand(x=[1, 2])
    drop.expand(x=made)

    kinds = {each.id: each.kind.value for each in flow.definition.tasks}
    assert kinds == {"make": "setup", "drop": "teardown"}


def test_what_waits_for_a_group_does_not_wait_for_its_teardown(flow: DAG) -> None:
    with TaskGroup("group") as group:
        make, drop = tasks("make drop")
        with drop.as_teardown(setups=make):
            tasks("work")
    with TaskGroup("cleaning") as cleaning:
        [sweep] = tasks("sweep")
        sweep.as_teardown()
    after, last = tasks("after last")

    group >> after
    cleaning >> last

    assert edges_of(flow) == {
        "group.make>group.drop", "group.make>group.work", "group.work>group.drop",
        "group.work>after", "cleaning.sweep>last",
    }  # fmt: skip


def test_groups_are_no_setups(flow: DAG) -> None:
    with TaskGroup("group") as group:
        tasks("a")
    [drop] = tasks("drop")

    with pytest.raises(InvalidArgument, match=r"group 'group' cannot be a setup"):
        drop.as_teardown(setups=group)
    with pytest.raises(InvalidArgument, match="cannot be setup or teardown"):
        setup(task_group(print))


def test_what_decides_is_no_setup(flow: DAG) -> None:
    pick = BranchPythonOperator(task_id="pick", python_callable=print)
    [drop] = tasks("drop")

    with pytest.raises(InvalidArgument, match="'pick' is a branch and cannot be a setup"):
        pick.as_setup()
    with pytest.raises(InvalidArgument, match="'drop' is a teardown and cannot be a setup"):
        drop.as_teardown().as_setup()


def test_only_setups_and_teardowns_open_a_block(flow: DAG) -> None:
    [a] = tasks("a")

    with pytest.raises(InvalidArgument, match="'a' is neither setup nor teardown"), a:
        pass


def test_a_block_needs_a_flow() -> None:
    with (
        pytest.raises(InvalidArgument, match="'a' belongs to no flow"),
        EmptyOperator(task_id="a").as_setup(),
    ):
        pass

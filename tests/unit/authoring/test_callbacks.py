"""This module tests how callbacks are read, and what the definition says of them."""

import functools
from typing import Any

import pytest

from ostinato import DAG, EmptyOperator, dag, task
from ostinato.authoring.callbacks import CALLBACK_ALIASES, TASK_MOMENTS, WrittenCallback
from ostinato.errors import InvalidArgument
from ostinato.model.manifest import decode_flow, encode_flow
from ostinato.model.notice import Callback, Moment


def tell(context: Any) -> None:
    raise AssertionError(context)


def note(context: Any) -> None:
    raise AssertionError(context)


def made(**policies: Any) -> EmptyOperator:
    return EmptyOperator(task_id="a", **policies)


def made_flow(**options: Any) -> DAG:
    return DAG("etl", **options)


class Listener:
    def __call__(self, context: Any) -> None:
        raise AssertionError(context)


@pytest.mark.parametrize(("name", "moment"), TASK_MOMENTS.items())
def test_a_policy_names_what_is_called_at_its_moment(name: str, moment: Moment) -> None:
    operator = made(**{name: tell})

    assert operator.settings.callbacks == (WrittenCallback(Callback(moment, "tell"), tell),)


@pytest.mark.parametrize(("alias", "name"), CALLBACK_ALIASES.items())
def test_the_spelling_of_airflow_is_accepted(alias: str, name: str) -> None:
    operator = made(**{alias: [tell, note]})

    assert [callback.declared.moment for callback in operator.settings.callbacks] == [
        TASK_MOMENTS[name]
    ] * 2


def test_the_definition_says_which_moments_have_callbacks() -> None:
    with DAG("etl", on_failure=tell, deadline="1h", on_deadline=note) as flow:
        EmptyOperator(task_id="silent")
        EmptyOperator(task_id="loud", on_failure=[tell, note], on_start=tell)

    definition = flow.definition
    assert definition.tasks[0].callbacks == ()
    assert definition.tasks[1].callbacks == (
        Callback(Moment.FAILURE, "tell"),
        Callback(Moment.FAILURE, "note"),
        Callback(Moment.START, "tell"),
    )
    assert definition.callbacks == (
        Callback(Moment.RUN_FAILURE, "tell"),
        Callback(Moment.DEADLINE, "note"),
    )
    assert definition.deadline_s == 3600
    assert decode_flow(encode_flow(definition)) == definition


def test_default_args_hold_where_a_task_says_nothing_and_none_takes_them_back() -> None:
    with DAG("etl", default_args={"on_failure": tell}) as flow:
        EmptyOperator(task_id="a")
        EmptyOperator(task_id="b", on_failure_callback=note)
        EmptyOperator(task_id="c", on_failure=None)

    names = [[callback.name for callback in each.callbacks] for each in flow.definition.tasks]
    assert names == [["tell"], ["note"], []]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (functools.partial(tell), "tell"),
        (Listener(), "Listener"),
        (lambda context: context, "<lambda>"),
        (Listener.__call__, "Listener.__call__"),
    ],
)
def test_any_callable_will_do_and_has_a_name(function: Any, name: str) -> None:
    operator = EmptyOperator(task_id="a", on_skip=function)

    assert operator.settings.callbacks[0].declared.name == name


@pytest.mark.parametrize("wrong", ["tell", 5, [tell, "note"]])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"on_failure: .* is neither a function"):
        EmptyOperator(task_id="a", on_failure=wrong)
    with pytest.raises(InvalidArgument, match=r"on_success: .* is neither a function"):
        DAG("etl", on_success=wrong)


def test_habits_of_service_levels_are_refused_with_what_to_use() -> None:
    options: Any = {"sla": 5}

    with pytest.raises(InvalidArgument, match=r"'sla'.*use deadline= and on_deadline="):
        made(sla=5)
    with pytest.raises(InvalidArgument, match=r"'sla'.*use deadline= and on_deadline="):
        task(**options)(tell)
    with pytest.raises(InvalidArgument, match=r"'sla' in default_args.*use deadline="):
        DAG("etl", default_args={"sla": 5})
    with pytest.raises(InvalidArgument, match=r"'sla_miss_callback'.*use deadline="):
        made_flow(sla_miss_callback=tell)


def test_what_is_said_of_a_deadline_without_one_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="on_deadline is never called without a deadline"):
        DAG("etl", on_deadline=tell)


def test_a_decorated_flow_takes_callbacks() -> None:
    @dag(on_success_callback=[tell, note])
    def etl() -> None:
        EmptyOperator(task_id="a")

    assert [each.function for each in etl().callbacks] == [tell, note]

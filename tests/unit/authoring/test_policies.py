"""This module tests how the policies of tasks are read."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import DAG, EmptyOperator, TriggerRule
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import ALIASES, POLICY_NAMES
from ostinato.authoring.quantities import bytes_of, seconds_of
from ostinato.errors import InvalidArgument, OstinatoError
from ostinato.model.policy import DEFAULT_POLICY, Compute, Criticality, Isolation, WeightRule


def made(**policies: Any) -> Operator:
    return EmptyOperator(task_id="a", **policies)


@pytest.mark.parametrize(
    ("given", "field", "expected"),
    [
        ({"retries": 3}, "retries", 3),
        ({"retry_delay": 5}, "retry_delays_s", (5.0,)),
        ({"retry_delay": timedelta(minutes=1)}, "retry_delays_s", (60.0,)),
        ({"retry_delay": "1h30m"}, "retry_delays_s", (5400.0,)),
        ({"retry_delay": [1, "1m"]}, "retry_delays_s", (1.0, 60.0)),
        ({"retry_exponential_backoff": True}, "retry_backoff", 2.0),
        ({"retry_exponential_backoff": False}, "retry_backoff", 1.0),
        ({"retry_exponential_backoff": 1.5}, "retry_backoff", 1.5),
        ({"max_retry_delay": "1d"}, "max_retry_delay_s", 86400.0),
        ({"retry_jitter": 0.5}, "retry_jitter", 0.5),
        ({"timeout": 5}, "timeout_s", 5.0),
        ({"timeout": None}, "timeout_s", 0.0),
        ({"execution_timeout": timedelta(seconds=5)}, "timeout_s", 5.0),
        ({"deadline": "2h"}, "deadline_s", 7200.0),
        ({"lost_attempts": 0}, "lost_attempts", 0),
        ({"trigger_rule": "all_done"}, "trigger_rule", TriggerRule.ALL_DONE),
        ({"trigger_rule": TriggerRule.ALWAYS}, "trigger_rule", TriggerRule.ALWAYS),
        ({"priority": -5}, "priority", -5),
        ({"priority_weight": 7}, "priority", 7),
        ({"weight_rule": "upstream"}, "weight_rule", WeightRule.UPSTREAM),
        ({"pool": "db"}, "pool", "db"),
        ({"pool": "default_pool"}, "pool", ""),
        ({"pool_slots": 2}, "pool_slots", 2),
        ({"max_active": 4}, "max_active", 4),
        ({"max_active_tis_per_dagrun": 4}, "max_active", 4),
        ({"max_active_tis_per_dag": 3}, "max_active_over_runs", 3),
        ({"depends_on_past": True}, "depends_on_past", True),
        ({"wait_for_downstream": True}, "wait_for_downstream", True),
        ({"executor": "thread"}, "executor", "thread"),
        ({"isolation": "fork"}, "isolation", Isolation.FORK),
        (
            {"compute": {"memory": "512MB", "cpu": 1, "gpu": 0.5}},
            "compute",
            Compute(cpu=1.0, memory_bytes=512_000_000, gpu=0.5),
        ),
        ({"compute": Compute(cpu=2.0)}, "compute", Compute(cpu=2.0)),
        ({"criticality": "optional"}, "criticality", Criticality.OPTIONAL),
    ],
)
def test_policy_is_read_as_people_write_it(
    given: dict[str, Any], field: str, expected: object
) -> None:
    assert getattr(made(**given).policy, field) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retires": 1}, "EmptyOperator takes no argument 'retires' (did you mean 'retries'?)"),
        ({"retries": -1}, "retries: -1 is not a whole number of zero or more"),
        ({"retries": True}, "retries: True is not a whole number"),
        ({"retry_delay": []}, "a list of delays needs at least one"),
        ({"retry_delay": -1}, "not a duration of zero or more"),
        ({"retry_delay": "5 parsecs"}, "'5 parsecs' is no duration"),
        ({"retry_exponential_backoff": 0.5}, "neither True nor a factor of at least 1"),
        ({"retry_jitter": 2}, "not a number from 0 to 1"),
        ({"trigger_rule": "all_sucess"}, "unknown; did you mean 'all_success'?"),
        ({"isolation": "x"}, "unknown; one of warm, fork"),
        ({"priority": "high"}, "'high' is not a whole number"),
        ({"pool": 3}, "pool: 3 is not text"),
        ({"pool_slots": 0}, "a task takes at least one slot"),
        ({"compute": {"memroy": 1}}, "'memroy' is unknown; did you mean 'memory'?"),
        ({"compute": {"x": 1}}, "'x' is unknown; use cpu, memory, gpu"),
        ({"compute": {"memory": "lots"}}, "'lots' is no size"),
        ({"compute": {"cpu": "two"}}, "'two' is not a number of zero or more"),
        ({"compute": 5}, "5 is not like"),
        ({"tags": "a"}, "'a' is not a list of texts"),
        ({"retry_if": 5}, "neither exception types nor a function"),
        ({"timeout": 1, "execution_timeout": 2}, "takes 'timeout' once"),
    ],
)
def test_wrong_policy_is_told_with_its_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        made(**given)

    assert message in str(caught.value)
    assert str(caught.value).startswith("tests/unit/authoring/test_policies.py:")


def test_what_people_read_of_a_task_is_kept() -> None:
    task = made(doc_md="What.", owner="ann", tags=["a"], map_index_template="{{ x }}")

    assert (task.doc, task.settings.owner, task.settings.tags, task.settings.map_name) == (
        "What.",
        "ann",
        ("a",),
        "{{ x }}",
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, [None, None]),
        (ValueError, [True, False]),
        ([ValueError, KeyError], [True, True]),
        (lambda error: None if isinstance(error, ValueError) else False, [None, False]),
    ],
)
def test_task_says_which_errors_are_worth_a_retry(condition: Any, expected: list[Any]) -> None:
    task = made(retry_if=condition)

    assert [task.may_retry(ValueError()), task.may_retry(KeyError())] == expected


def test_inner_defaults_win_over_outer_ones_whatever_their_spelling() -> None:
    with DAG("etl", default_args={"execution_timeout": 1, "retries": 1, "priority": 9}):
        task = EmptyOperator(task_id="a", timeout=5, retries=2)

    assert (task.policy.timeout_s, task.policy.retries, task.policy.priority) == (5, 2, 9)


def test_none_takes_a_default_back() -> None:
    with DAG("etl", default_args={"timeout": 5, "pool": "db"}):
        task = EmptyOperator(task_id="a", timeout=None, pool=None)

    assert (task.policy.timeout_s, task.policy.pool) == (0, "")


values = st.one_of(
    st.integers(-2, 5),
    st.floats(allow_nan=True),
    st.booleans(),
    st.none(),
    st.sampled_from(["5m", "fork", "all_done", "x", ""]),
    st.lists(st.integers(-1, 3), max_size=2),
    st.dictionaries(st.sampled_from(["cpu", "memory", "x"]), st.integers(-1, 3), max_size=2),
)


@given(st.dictionaries(st.sampled_from(sorted(POLICY_NAMES)), values, max_size=4))
def test_any_policies_are_read_or_refused_with_a_reason(policies: dict[str, Any]) -> None:
    refusal = None
    try:
        policy = made(**policies).policy
    except OstinatoError as error:
        refusal = error
        policy = DEFAULT_POLICY

    if refusal is not None:
        assert refusal.place is not None
        assert refusal.message
    else:
        assert policy.retries >= 0
        assert policy.timeout_s >= 0
        assert all(0 <= delay < float("inf") for delay in policy.retry_delays_s)


def test_every_alias_stands_for_a_policy() -> None:
    assert set(ALIASES) | set(ALIASES.values()) <= POLICY_NAMES


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1000)))
def test_duration_in_text_is_that_in_numbers(duration: timedelta) -> None:
    text = f"{duration.days}d{duration.seconds}s{duration.microseconds // 1000}ms"

    assert seconds_of(duration) == duration.total_seconds()
    assert seconds_of(text) == pytest.approx(duration.total_seconds(), abs=0.001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (5, 5),
        ("5", 5),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5 GB", 1_500_000_000),
        ("2Gi", 2 * 1024**3),
        ("3T", 3_000_000_000_000),
        ("10b", 10),
    ],
)
def test_sizes_are_read_as_people_write_them(text: Any, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("wrong", ["", "MB", "-1", -1, 1.5, True, None, "5XB"])
def test_what_is_no_size_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="is no size"):
        bytes_of(wrong)


def test_data_that_a_task_reads_and_writes_are_kept() -> None:
    with DAG("etl", default_args={"inlets": ["raw/flights"]}) as dag:
        EmptyOperator(task_id="load", outlets=["mart/delays", "mart/airports"])

    task = dag.definition.tasks[0]
    assert task.inlets == ("raw/flights",)
    assert task.outlets == ("mart/delays", "mart/airports")
    with pytest.raises(InvalidArgument, match="outlets: 'mart' is not a list of texts"):
        EmptyOperator(task_id="bad", outlets="mart")

"""This module says a task's policies in Airflow's words."""

from collections.abc import Iterator
from typing import Any

from ostinato.authoring.operators.operator import Operator
from ostinato.errors import NotInAirflow
from ostinato.model.flow import TaskKind
from ostinato.model.policy import DEFAULT_POLICY, Criticality, Policy
from ostinato.translation.literals import duration, quoted, written

#: Policies without a word in Airflow, each with what to do about it.
_UNKNOWN = {
    "deadline_s": ("deadline", "use timeout, the limit of one attempt"),
    "retry_jitter": ("retry_jitter", "leave it out"),
    "compute": ("compute", "leave it out, and say it in Airflow's executor_config"),
}


def check_policies(operator: Operator) -> Iterator[NotInAirflow]:
    """Yield what of a task's policies Airflow has no word for."""
    settings = operator.settings
    policy = settings.policy
    for field, (name, hint) in _UNKNOWN.items():
        if getattr(policy, field) != getattr(DEFAULT_POLICY, field):
            yield NotInAirflow(f"Airflow has no {name}", hint=hint)
    if policy.criticality is not Criticality.NORMAL:
        hint = "decide by trigger rules what follows a failure"
        yield NotInAirflow(f"Airflow has no criticality={policy.criticality.value!r}", hint=hint)
    if len(set(policy.retry_delays_s)) > 1:
        yield NotInAirflow("Airflow has one retry_delay, not a list of them", hint="name one")
    if settings.retry_if is not None:
        hint = "raise Fail in the task instead, for errors that are not worth a retry"
        yield NotInAirflow("Airflow has no retry_if", hint=hint)
    if settings.callbacks:
        names = ", ".join(sorted({callback.declared.moment for callback in settings.callbacks}))
        hint = "put what they do into a task with a trigger rule"
        yield NotInAirflow(f"callbacks ({names}) take a context that Airflow lacks", hint=hint)
    for name in ("when", "schedule"):
        if getattr(settings, name):
            hint = "decide by a branch or a short circuit above it"
            yield NotInAirflow(f"Airflow has no {name} of a task", hint=hint)
    if settings.caching is not None:
        yield NotInAirflow("Airflow has no cache of results", hint="leave the cache out")


def policy_arguments(operator: Operator) -> dict[str, str]:
    """Return a task's policies as arguments of an Airflow operator, each an expression."""
    settings, said = operator.settings, dict(_of_policy(operator.settings.policy, operator))
    if settings.owner:
        said["owner"] = quoted(settings.owner)
    if operator.settings.doc:
        said["doc_md"] = quoted(operator.settings.doc)
    if settings.map_name:
        said["map_index_template"] = quoted(settings.map_name)
    if settings.params:
        said["params"] = written(dict(settings.params))
    return said


def _of_policy(policy: Policy, operator: Operator) -> Iterator[tuple[str, str]]:
    is_apart = operator.kind in (TaskKind.SETUP, TaskKind.TEARDOWN)
    if policy.trigger_rule is not DEFAULT_POLICY.trigger_rule and not is_apart:
        yield "trigger_rule", quoted(policy.trigger_rule.value)
    if policy.retries:
        yield "retries", repr(policy.retries)
        yield "retry_delay", duration(policy.retry_delays_s[0])
        if policy.retry_backoff != 1:
            yield "retry_exponential_backoff", _number(policy.retry_backoff)
        if policy.max_retry_delay_s:
            yield "max_retry_delay", duration(policy.max_retry_delay_s)
    if policy.timeout_s and policy.timeout_s != operator.attempt_limit_s:
        yield "execution_timeout", duration(policy.timeout_s)
    if policy.priority != DEFAULT_POLICY.priority:
        yield "priority_weight", repr(policy.priority)
        yield "weight_rule", quoted(policy.weight_rule.value)
    if policy.pool:
        yield "pool", quoted(policy.pool)
    if policy.pool_slots != 1:
        yield "pool_slots", repr(policy.pool_slots)
    plain: dict[str, Any] = {
        "depends_on_past": policy.depends_on_past,
        "wait_for_downstream": policy.wait_for_downstream,
        "max_active_tis_per_dagrun": policy.max_active,
        "max_active_tis_per_dag": policy.max_active_over_runs,
    }
    yield from ((name, repr(value)) for name, value in plain.items() if value)


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(value)

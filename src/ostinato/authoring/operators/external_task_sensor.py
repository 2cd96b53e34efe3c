"""This module holds the sensor that waits for another flow."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ostinato.authoring.operators.sensor import Sensor
from ostinato.authoring.ports import BuiltFlow, Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.references import Reference
from ostinato.authoring.run_states import read_states
from ostinato.authoring.signals import Defer, Fail, Skip
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.triggers import Trigger
from ostinato.model.state import RunState, TaskRunState


class ExternalTaskTrigger(Trigger):
    """Ask again and again how runs of another flow went.

    Attributes:
        flow: Its name.
        dates_us: Logical dates of the runs.
        task_ids: Tasks of it; none for the run as a whole.
        group: A group of it, or empty.
        allowed, failed, skipped: Names of states.
        must_exist: Whether flow and tasks must be known.
        interval_s: Between questions.
    """

    flow: str
    dates_us: list[int]
    task_ids: list[str]
    group: str
    allowed: list[str]
    failed: list[str]
    skipped: list[str]
    must_exist: bool
    interval_s: float

    async def run(self) -> str:
        """Return the state that decides: a bad one, or ``allowed`` once there is no other."""
        while True:
            found = await self.call(
                "states_elsewhere",
                flow=self.flow,
                dates_us=self.dates_us,
                task_ids=self.task_ids,
                group=self.group,
                must_exist=self.must_exist,
            )
            decision = self._decide(found)
            if decision:
                return decision
            await asyncio.sleep(self.interval_s)

    def _decide(self, found: Sequence[Sequence[str]]) -> str:
        states = {state for run in found for state in run}
        for bad in (self.failed, self.skipped):
            for state in bad:
                if state in states:
                    return state
        return "allowed" if all(found) and states <= {*self.allowed} else ""


class ExternalTaskSensor(Sensor):
    """Wait for the run of another flow with the same logical date, or for tasks in it.

    Which run is meant may be shifted by ``execution_delta`` or ``execution_date_fn``; of several
    with the same logical date it is the newest. Of a mapped task all runs count, once its run
    has ended.

    Args:
        task_id: Unique in its group.
        external_dag_id: The flow or its name; also as ``external_flow``.
        external_task_id: A task of it; without any, the run as a whole is waited for.
        external_task_ids: Several tasks of it.
        external_task_group_id: A group of it: all tasks in it.
        allowed_states: States that all of them must have.
        failed_states: States of which one fails the sensor, or skips it if ``soft_fail``.
        skipped_states: States of which one skips the sensor.
        execution_delta: How much earlier the logical date of the other run is.
        execution_date_fn: Takes the logical date, and parts of the context by name; returns the
            logical date of the other run, or several.
        check_existence: Whether a flow or a task that nobody knows is a failure at once.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``ExternalTaskSensor(task_id="loaded", external_dag_id="etl", external_task_id="load")``
    """

    operator_name = "external_task_sensor"
    template_fields = (
        "external_dag_id",
        "external_task_id",
        "external_task_ids",
        "external_task_group_id",
    )

    def __init__(
        self,
        task_id: str,
        *,
        external_dag_id: str | BuiltFlow | Reference | None = None,
        external_flow: str | BuiltFlow | Reference | None = None,
        external_task_id: str | Reference | None = None,
        external_task_ids: Sequence[str] | Reference | None = None,
        external_task_group_id: str | Reference | None = None,
        allowed_states: Iterable[str] = ("succeeded",),
        failed_states: Iterable[str] = (),
        skipped_states: Iterable[str] = (),
        execution_delta: float | timedelta | str | None = None,
        execution_date_fn: Callable[..., Any] | None = None,
        check_existence: bool = False,
        **options: Any,
    ) -> None:
        flow: Any = external_flow if external_dag_id is None else external_dag_id
        self.external_dag_id: Any = flow.name if isinstance(flow, BuiltFlow) else flow
        self.external_task_id: Any = external_task_id
        self.external_task_ids: Any = external_task_ids
        self.external_task_group_id: Any = external_task_group_id
        self.execution_date_fn = execution_date_fn
        self.check_existence = check_existence
        super().__init__(task_id, **options)
        if execution_delta is not None and execution_date_fn is not None:
            raise self.refusal("it takes either execution_delta= or execution_date_fn=")
        if execution_date_fn is not None and not callable(execution_date_fn):
            raise self.refusal(f"execution_date_fn is {execution_date_fn!r}, no function")
        try:
            self.execution_delta = _delta(execution_delta)
            self.allowed_states = read_states(allowed_states, RunState, TaskRunState)
            self.failed_states = read_states(failed_states, RunState, TaskRunState)
            self.skipped_states = read_states(skipped_states, RunState, TaskRunState)
        except ValueError as err:
            raise self.refusal(str(err)) from None
        self._check_states()
        self._check()

    def _check_states(self) -> None:
        if not self.allowed_states:
            raise self.refusal("allowed_states names no state, so it would wait in vain")
        named = [*self.allowed_states, *self.failed_states, *self.skipped_states]
        for state in named:
            if named.count(state) > 1:
                raise self.refusal(f"the state {state!r} is named twice")

    def _check(self) -> None:
        flow = self.external_dag_id
        if not isinstance(flow, str | Reference) or flow == "":
            raise self.refusal(f"external_dag_id is {flow!r}, neither a flow nor its name")
        targets = ("external_task_id", "external_task_ids", "external_task_group_id")
        given = [name for name in targets if getattr(self, name) is not None]
        if len(given) > 1:
            raise self.refusal(f"it takes either {given[0]}= or {given[1]}=")
        for name in ("external_task_id", "external_task_group_id"):
            value = getattr(self, name)
            if not isinstance(value, str | Reference | None):
                raise self.refusal(f"{name} is {value!r}, not text")
        several = self.external_task_ids
        if isinstance(several, str) or not isinstance(several, Sequence | set | Reference | None):
            raise self.refusal(f"external_task_ids are {several!r}, not a list")

    def execute(self, context: Context) -> None:
        """Wait.

        Args:
            context: Of the attempt.

        Raises:
            Defer: Always.
        """
        self._check()
        left_s = self.timeout_s - self._waited_s(context)
        raise Defer(trigger=self.trigger(context), timeout=max(left_s, 0.0))

    def trigger(self, context: Context) -> Trigger:
        """Return what asks.

        Args:
            context: Of the attempt.
        """
        single = self.external_task_id
        return ExternalTaskTrigger(
            flow=self.external_dag_id,
            dates_us=[round(date.timestamp() * 1e6) for date in self._dates(context)],
            task_ids=[*(self.external_task_ids or ([single] if single else []))],
            group=self.external_task_group_id or "",
            allowed=[*self.allowed_states],
            failed=[*self.failed_states],
            skipped=[*self.skipped_states],
            must_exist=self.check_existence,
            interval_s=self.poke_interval_s,
        )

    def execute_complete(self, context: Context, event: Any) -> None:
        """Succeed, unless what was found is a bad state.

        Args:
            context: Of the attempt.
            event: The state that decided, or ``allowed``.

        Raises:
            Fail: If it is one of ``failed_states``.
            Skip: If it is one of ``skipped_states``.
        """
        del context
        what = f"a task of flow {self.external_dag_id!r}"
        if not (self.external_task_id or self.external_task_ids or self.external_task_group_id):
            what = f"the run of flow {self.external_dag_id!r}"
        if event in self.skipped_states or (event in self.failed_states and self.soft_fail):
            raise Skip(f"{what} is {event}")
        if event in self.failed_states:
            raise Fail(f"{what} is {event}")

    def _dates(self, context: Context) -> list[datetime]:
        date = context.logical_date
        if self.execution_date_fn is None:
            # In UTC, for a local day may have 23 hours.
            return [date.astimezone(UTC) - self.execution_delta]
        signature = signature_of(self.execution_date_fn)
        surplus, named = signature.assign((date,), {})
        found = signature.call(surplus, named, context=context, resources={})
        dates = list(found) if isinstance(found, Iterable) else [found]
        if not dates or not all(isinstance(each, datetime) for each in dates):
            raise self.refusal(f"execution_date_fn returned {found!r}, no datetime")
        return [each.replace(tzinfo=each.tzinfo or date.tzinfo) for each in dates]


def _delta(value: float | timedelta | str | None) -> timedelta:
    if isinstance(value, timedelta):
        # It may be negative: the other run is a later one.
        return value
    return timedelta(seconds=0.0 if value is None else seconds_of(value))

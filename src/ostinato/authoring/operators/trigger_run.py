"""This module holds the operator that runs another flow."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import BuiltFlow, Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.references import Reference
from ostinato.authoring.run_states import read_states
from ostinato.authoring.signals import Defer, Fail, Skip
from ostinato.authoring.templates import is_template
from ostinato.authoring.triggers import Trigger
from ostinato.model.state import RunState

#: Seconds after which a run is first asked how it goes, and their share of the time since: a
#: short run is not waited for much longer than it takes.
_FIRST_LOOK_S = 0.05
_SHARE = 0.1


class RunTrigger(Trigger):
    """Ask how a run goes, until it has ended.

    Attributes:
        run_id: Of the run.
        interval_s: Between questions at most.
    """

    run_id: str
    interval_s: float

    async def run(self) -> dict[str, Any]:
        """Return what is known of the run, once it has ended."""
        waited_s = 0.0
        while True:
            answer: dict[str, Any] = await self.call("run_state", run_id=self.run_id)
            if answer["is_over"]:
                return {**answer, "run_id": self.run_id}
            pause_s = min(self.interval_s, max(_FIRST_LOOK_S, _SHARE * waited_s))
            await asyncio.sleep(pause_s)
            waited_s += pause_s


class TriggerRunOperator(Operator):
    """Run another flow that was loaded with this one; the result is the id of that run.

    A retried attempt starts no second run. Waiting holds no worker and no slot.

    Args:
        task_id: Unique in its group.
        flow: The flow or its name. Airflow: ``trigger_dag_id``.
        conf: Values of its parameters; ``params`` are those of this task.
        logical_date: The moment that the run stands for; now by default.
        logical_key: Whoever asks for a run of the flow with it gets the same run.
        skip_when_already_exists: Whether the task is skipped if another one has asked for the
            run with that key before.
        wait_for_completion: Whether the task goes on until that run has ended.
        poke_interval: Between looks at that run at most; of a short run they are closer.
        allowed_states: Ends of that run that are a success of this task.
        failed_states: Ends that are a failure, with no retry; by default all others.
        policies: How it is run, see ``Policies``.

    Example:
        ``TriggerRunOperator(task_id="report", flow="report", conf={"day": "{{ ds }}"})``
    """

    operator_name = "trigger_run"
    template_fields = ("flow", "conf", "logical_date", "logical_key")

    def __init__(
        self,
        task_id: str,
        *,
        flow: str | BuiltFlow | Reference | None = None,
        trigger_dag_id: str | BuiltFlow | Reference | None = None,
        conf: Mapping[str, Any] | Reference | None = None,
        logical_date: datetime | str | Reference | None = None,
        logical_key: str | Reference = "",
        skip_when_already_exists: bool = False,
        wait_for_completion: bool = False,
        poke_interval: float | timedelta | str = 60.0,
        allowed_states: Iterable[str] = ("succeeded",),
        failed_states: Iterable[str] | None = None,
        **policies: Unpack[Policies],
    ) -> None:
        given: Any = trigger_dag_id if flow is None else flow
        self.flow: Any = given.name if isinstance(given, BuiltFlow) else given
        self.conf: Any = conf
        self.logical_date: Any = logical_date
        self.logical_key: Any = logical_key
        self.skip_when_already_exists = skip_when_already_exists
        self.wait_for_completion = wait_for_completion
        super().__init__(task_id, **policies)
        if flow is not None and trigger_dag_id is not None:
            raise self.refusal("it takes either flow= or trigger_dag_id=")
        try:
            self.poke_interval_s = seconds_of(poke_interval)
            self.allowed_states = read_states(allowed_states, RunState)
            self.failed_states = read_states(failed_states or (), RunState)
        except ValueError as err:
            raise self.refusal(str(err)) from None
        self._check()

    def _check(self) -> None:
        if not isinstance(self.flow, str | Reference) or self.flow is None:
            raise self.refusal(f"flow is {self.flow!r}, neither a flow nor its name")
        if not isinstance(self.conf, Mapping | Reference | None):
            raise self.refusal(f"conf is {self.conf!r}, not a dict")
        if not isinstance(self.logical_key, str | Reference):
            raise self.refusal(f"logical_key is {self.logical_key!r}, not text")
        date = self.logical_date
        if not isinstance(date, Reference) and not (isinstance(date, str) and is_template(date)):
            self._date(UTC)

    def _date(self, zone: Any) -> datetime | None:
        date = self.logical_date
        if isinstance(date, str):
            try:
                date = datetime.fromisoformat(date.strip())
            except ValueError:
                hint = "such as 2025-01-31"
                raise self.refusal(f"logical_date {date!r} is no date", hint=hint) from None
        if not isinstance(date, datetime | None):
            raise self.refusal(f"logical_date is {date!r}, neither a datetime nor text")
        return date if date is None else date.replace(tzinfo=date.tzinfo or zone)

    def execute(self, context: Context) -> str:
        """Ask for the run.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: If the flow is not loaded, or the parameters do not fit.
            Skip: If the run was there, and ``skip_when_already_exists`` says so.
            Defer: If the end of the run is waited for.
        """
        self._check()
        run = context.trigger_run(
            self.flow,
            params=self.conf,
            logical_date=self._date(context.logical_date.tzinfo),
            logical_key=self.logical_key,
        )
        if self.skip_when_already_exists and not run.is_own:
            raise Skip(f"{run.name} was there already")
        context.logger.info("%s runs", run.name)
        if self.wait_for_completion:
            raise Defer(trigger=RunTrigger(run.run_id, self.poke_interval_s))
        return run.run_id

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> str:
        """Return the id of the run that has ended.

        Args:
            context: Of the attempt.
            event: What is known of that run.

        Raises:
            Fail: If it ended in a state that is not allowed.
        """
        del context
        state, name = event["state"], event["name"]
        is_bad = state in self.failed_states if self.failed_states else True
        if state not in self.allowed_states and is_bad:
            why = f": {event['reason']}" if event["reason"] else ""
            raise Fail(f"{name} {_ENDS.get(state, state)}{why}")
        run_id: str = event["run_id"]
        return run_id


_ENDS = {"cancelled": "was cancelled"}

#: Airflow's name.
TriggerDagRunOperator = TriggerRunOperator

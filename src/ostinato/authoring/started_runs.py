"""This module starts flows elsewhere: a run is asked for, and who asks goes on."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Self

import msgspec

from ostinato.authoring import session
from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.not_run import NotRun
from ostinato.authoring.ports import BuiltFlow, Context, RunHandle, TriggeredRun
from ostinato.authoring.run_waits import wait_for_end
from ostinato.authoring.step_scopes import current_scope
from ostinato.authoring.steps import current_steps
from ostinato.authoring.transactions import Hook
from ostinato.errors import RunFailed, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import format_path
from ostinato.model.policy import DEFAULT_POLICY
from ostinato.model.step import BODY


def start_flow(
    flow: "str | BuiltFlow",
    *,
    params: Mapping[str, Any] | None = None,
    date: datetime | str | None = None,
    key: str = "",
) -> RunHandle:
    """Ask for a run of a flow, do not wait for it, and return it.

    In a task and in a flow, the process that drives their run drives the new one beside it. In
    a script, the run waits for who serves the flow: ``flow.serve()``, or ``ostinato resume``. In
    a flow that is a function this is a step: a replay starts no second run.

    Args:
        flow: The flow, or its name; in a script, of a flow that has run or is served.
        params: Values of its parameters.
        date: Logical date; now by default.
        key: Whoever asks for a run of the flow with it gets the same run.

    Raises:
        ParameterError: The parameters do not fit.
        UnknownFlow: There is no flow of this name.

    Example:
        ``run = report.start(day="2025-01-31"); run.wait().raise_for_state()``
    """
    # A flow that is a function stands for its graph.
    flow = getattr(flow, "dag", flow)
    name = flow if isinstance(flow, str) else flow.name
    if session.registry.get() is not None:
        not_run: Any = NotRun(name)
        return not_run  # type: ignore[no-any-return]  # it stands for a run
    context = session.running_context()
    if context is None:
        return session.local_session().start(flow, params=params or {}, date=date, key=key)
    asked = {"flow": name, "params": _plain(params or {}), "date": _text(date), "key": key}
    declared = None if isinstance(flow, str) else flow.definition
    steps = current_steps.get()
    if steps is None:
        run = _ask(context, declared, asked)
    else:
        told = steps.call(_Start(declared), (), asked)
        run = TriggeredRun(told["run_id"], told["name"])
    return StartedRun(run.run_id, run.name, context)


class StartedRun:
    """A run that a task or a flow has started.

    Args:
        run_id: Its id as text.
        name: Flow and number, such as ``etl#17``.
        context: Of the attempt that asks how it goes.
    """

    def __init__(self, run_id: str, name: str, context: Context) -> None:
        self.id = run_id
        self.name = name
        self._context = context

    @property
    def state(self) -> str:
        """Name of its state, such as ``"succeeded"``."""
        return str(self._context.run_state(self.id)["state"])

    @property
    def run_name(self) -> str:
        """What people call it, by the template of its flow; or ""."""
        return str(self._context.run_state(self.id)["run_name"])

    @property
    def reason(self) -> str:
        """Why it did not succeed, or ""."""
        return str(self._context.run_state(self.id)["reason"])

    @property
    def task_runs(self) -> list[Any]:
        """Not known here.

        Raises:
            UsageError: Always.
        """
        message = f"a task does not see the task runs of {self.name}"
        raise UsageError(message, hint=f"ostinato show '{self.name}' lists them")

    def wait(self, timeout: float | None = None) -> Self:
        """Return the run once it has ended.

        Args:
            timeout: Seconds to wait at most; by default as long as it takes.

        Raises:
            TimeoutError: It goes on.
        """
        context = self._context

        def has_ended(left_s: float | None) -> bool:
            known = context.run_state(self.id, is_waiting=True, timeout_s=left_s)
            return bool(known["is_over"])

        wait_for_end(self.name, has_ended, timeout, lambda: context.now.timestamp())
        return self

    def result(self, task_id: str = BODY, *, map_index: int | None = None) -> Any:
        """Return what the flow's function returned, or one of its tasks.

        Args:
            task_id: Of a task of a graph.
            map_index: Of one task run of a mapped task.

        Raises:
            RunFailed: The run has not succeeded.
        """
        self.raise_for_state()
        return self._context.pull(task_id, run_id=self.id, map_index=map_index)

    def raise_for_state(self) -> Self:
        """Return the run if it succeeded.

        Raises:
            RunFailed: It has not.
        """
        known = self._context.run_state(self.id)
        if known["state"] != "succeeded":
            why = f": {known['reason']}" if known["reason"] else ""
            raise RunFailed(f"run {self.name} {known['state']}{why}")
        return self

    def __repr__(self) -> str:
        return f"<Run {self.name}>"


class _Start:
    """A step that asks for a run.

    Args:
        declared: The flow, where it is at hand.
    """

    task_id = "@start"
    is_async = False
    map_name = "{flow}"
    commit_hooks: tuple[Hook, ...] = ()
    rollback_hooks: tuple[Hook, ...] = ()
    policy = DEFAULT_POLICY
    caching: Caching | None = None
    is_placed = False
    retry_if: Any = None

    def __init__(self, declared: FlowDefinition | None) -> None:
        self._declared = declared
        self.function: Callable[..., Any] = self._start

    def _start(self, flow: str, params: dict[str, Any], date: str, key: str) -> dict[str, str]:
        """Ask for the run, the same one however often this is tried."""
        context, scope = session.running_context(), current_scope.get()
        assert context is not None, "a step executes in an attempt"
        assert scope is not None, "a step has a scope of its own"
        own = key or f"start:{context.idempotency_key}:{format_path(scope.path)}"
        asked = {"flow": flow, "params": params, "date": date, "key": own}
        run = _ask(context, self._declared, asked)
        return {"run_id": run.run_id, "name": run.name}

    def may_retry(self, error: BaseException) -> bool | None:
        """Leave it to the policy."""
        del error
        return None

    def name_arguments(self, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, which have names already."""
        del args
        return dict(kwargs)


def _ask(
    context: Context, declared: FlowDefinition | None, asked: Mapping[str, Any]
) -> TriggeredRun:
    moment = datetime.fromisoformat(asked["date"]) if asked["date"] else None
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=context.logical_date.tzinfo or UTC)
    return context.trigger_run(
        asked["flow"],
        params=asked["params"],
        logical_date=moment,
        logical_key=asked["key"],
        declared=declared,
    )


def _text(moment: datetime | date | str | None) -> str:
    return moment.isoformat() if isinstance(moment, date) else (moment or "")


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(dict(params), str_keys=True, enc_hook=_encode)
    return plain


def _encode(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)

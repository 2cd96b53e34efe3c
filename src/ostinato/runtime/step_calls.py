"""This module executes steps that were sent to another process than that of their flow."""

import asyncio
import inspect
import pickle
from typing import Any

import msgspec

from ostinato.authoring.futures import settled
from ostinato.authoring.step_scopes import Scope, current_scope, number_tasks
from ostinato.authoring.steps import executing_flow
from ostinato.clock import Clock
from ostinato.model.identity import MapPath
from ostinato.model.step import BODY
from ostinato.runtime.context import Port
from ostinato.runtime.interruption import Interruption
from ostinato.runtime.messages import AttemptSpec, RecordedStep, RunInfo, StepCall
from ostinato.runtime.recorded_steps import ATTEMPTS_OF_STEP, RecordedSteps
from ostinato.runtime.step_functions import find_function
from ostinato.runtime.step_session import StepSession
from ostinato.runtime.values import decode_value


def as_of_the_body(spec: AttemptSpec) -> AttemptSpec:
    """Return the attempt of a step as steps that it calls, and contexts, see it: as the body's.

    Args:
        spec: Of the step.
    """
    call = spec.step
    is_retry = call is not None and call.is_retry
    return msgspec.structs.replace(
        spec, task_id=BODY, path=(), step=None, try_number=2 if is_retry else 1
    )


def call_step(
    spec: AttemptSpec,
    info: RunInfo,
    port: Port,
    clock: Clock,
    interruption: Interruption | None = None,
) -> Any:
    """Call the function of a step and return its result.

    Args:
        spec: The attempt.
        info: What the run's attempts share.
        port: Asks the coordinator.
        clock: Stamps the steps that it calls.
        interruption: Says where the main thread must not be left.

    Raises:
        UnknownTask: The function is not in this process.
    """
    call = spec.step
    assert call is not None
    function = find_function(call.module, call.function)
    args, kwargs = decode_value(call.arguments, info.values_root)
    own = as_of_the_body(spec)
    recorded = _RecordedBelow(own, info, port, clock, spec.path, call.since)
    session = StepSession(own, info, port, clock, recorded, interruption)
    with session, executing_flow(session, info.flow):
        token = current_scope.set(Scope(spec.path, spec.task_id))
        try:
            result = function(*args, **kwargs)
            if inspect.iscoroutine(result):
                result = asyncio.run(_numbered(result))
            return settled(result)
        finally:
            current_scope.reset(token)


async def _numbered(coroutine: Any) -> Any:
    number_tasks(asyncio.get_running_loop())
    return await coroutine


def may_retry(call: StepCall, error: BaseException) -> bool | None:
    """Return what the task's ``retry_if`` says of an error, None if it says nothing.

    Args:
        call: Of the step.
        error: What it raised.
    """
    if not call.retry_if:
        return None
    condition = pickle.loads(call.retry_if)
    return isinstance(error, condition) if isinstance(condition, tuple) else condition(error)


class _RecordedBelow(RecordedSteps):
    """What is recorded of the steps that another step has called, since an attempt of it.

    Args:
        spec: The attempt, as of the body.
        info: What the run's attempts share.
        port: Asks the coordinator.
        clock: Stamps steps.
        path: Of the step that calls them.
        since: The attempt.
    """

    def __init__(
        self,
        spec: AttemptSpec,
        info: RunInfo,
        port: Port,
        clock: Clock,
        path: MapPath,
        since: int,
    ) -> None:
        self._path = path
        self._since = since
        super().__init__(spec, info, port, clock)

    def _fetch(self) -> dict[MapPath, RecordedStep]:
        if self._since == self._spec.attempt:
            # Nothing can be recorded since, and most steps call none.
            return {}
        size, since = len(self._path), (self._since - 1) * ATTEMPTS_OF_STEP
        return {
            path: step
            for path, step in super()._fetch().items()
            if len(path) > size and path[:size] == self._path and step.attempt > since
        }

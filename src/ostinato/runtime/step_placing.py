"""This module sends steps to other processes, and takes what has become of them."""

import contextlib
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from ostinato.authoring.futures import StepState
from ostinato.errors import ExecutionError, UnknownTask, UsageError, ValueNotSerialisable
from ostinato.model.state import TaskRunState
from ostinato.model.value import StoredValue
from ostinato.runtime.context import Port
from ostinato.runtime.messages import (
    AttemptSpec,
    RecordedStep,
    RunInfo,
    StepCall,
)
from ostinato.runtime.recorded_steps import RecordedSteps, Step, Told, converted
from ostinato.runtime.step_errors import recorded_error
from ostinato.runtime.step_functions import find_function
from ostinato.runtime.values import decode_value, encode_value

#: Key under which the arguments of a step are stored.
ARGUMENTS = "arguments"


class StepPlacing:
    """Has steps of one attempt of a body executed as attempts of their own.

    Args:
        spec: The attempt of the body.
        info: What the run's attempts share.
        port: Asks the coordinator.
        recorded: What is recorded of steps.
    """

    def __init__(
        self, spec: AttemptSpec, info: RunInfo, port: Port, recorded: RecordedSteps
    ) -> None:
        self._spec = spec
        self._info = info
        self._port = port
        self._recorded = recorded

    def execute(self, step: Step, told: Told) -> StepState[Any] | None:
        """Have a step executed elsewhere; None if it is to be executed here after all.

        Args:
            step: The step.
            told: Its arguments.

        Raises:
            UsageError: It cannot be executed elsewhere.
            ValueNotSerialisable: An argument cannot be sent there.
            ExecutionError: The flow was given up meanwhile.
        """
        call = self._call(step, told)
        placed = self._recorded.placed(step, told, call)
        try:
            answer = self._port.call(self._spec.token, "place", {"step": placed})
        except (ExecutionError, UsageError) as error:
            message = f"{step.place}: {error.message}"
            raise type(error)(message, hint=error.hint) from None
        except BaseException:
            # A time-out, or the end of the flow.
            self._port.call(self._spec.token, "leave", {"path": step.path})
            raise
        finally:
            self._forget(call.arguments)
        if answer is None:
            return None
        ended = converted(answer, RecordedStep)
        self._recorded.take(step, is_kept=ended.kept is not None)
        state = TaskRunState(ended.state)
        if state is TaskRunState.SUCCEEDED:
            return StepState("succeeded", decode_value(ended.value, self._info.values_root))
        raised = recorded_error(ended)
        if isinstance(raised, ValueNotSerialisable):
            message = f"{step.place}: step {step.name}: {raised.message}"
            raised = ValueNotSerialisable(message, hint=raised.hint)
        return StepState(state.label, error=raised)

    def _call(self, step: Step, told: Told) -> StepCall:
        function: Any = step.task.function
        args = told.args
        if inspect.ismethod(function):
            function, args = function.__func__, (function.__self__, *args)
        module, name = _reference(step, function)
        retry_if = b""
        if step.task.retry_if is not None:
            # Heavy, and few tasks have a condition.
            import cloudpickle  # noqa: PLC0415 - see above

            retry_if = cloudpickle.dumps(step.task.retry_if)
        return StepCall(
            module,
            name,
            self._encode(step, args, told.kwargs),
            is_known=step.path in self._recorded,
            is_retry=self._recorded.is_retry,
            retry_if=retry_if,
        )

    def _encode(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StoredValue:
        spec = msgspec.structs.replace(
            self._spec,
            task_id=step.task.task_id,
            path=step.path,
            attempt=self._recorded.attempt(1),
        )
        try:
            return encode_value(ARGUMENTS, [list(args), kwargs], spec, self._info.values_root)
        except ValueNotSerialisable:
            culprit = _culprit(args, kwargs, spec, self._info.values_root)
            message = f"{step.place}: step {step.name}: {culprit} cannot be sent to another process"
            hint = "pass data, or execute the step in the process of its flow"
            raise ValueNotSerialisable(message, hint=hint) from None

    def _forget(self, arguments: StoredValue) -> None:
        """Remove arguments that were too large for a message: nobody needs them any more."""
        if arguments.location:
            with contextlib.suppress(OSError):
                (Path(self._info.values_root) / arguments.location).unlink()


def _reference(step: Step, function: Any) -> tuple[str, str]:
    """Return where another process finds a function.

    Raises:
        UsageError: It finds none, or another one.
    """
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", None) or ""
    try:
        is_there = bool(name) and module in sys.modules and find_function(module, name) is function
    except UnknownTask:
        is_there = False
    if not is_there:
        name = name or step.task.task_id
        message = f"{step.place}: step {step.name} executes elsewhere, where {name} is not found"
        raise UsageError(message, hint="define the task at the top of a file, under its own name")
    return module, name


def _culprit(
    args: tuple[Any, ...], kwargs: dict[str, Any], spec: AttemptSpec, values_root: str
) -> str:
    """Name the argument that cannot be sent, and its type."""
    named = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    named += [(f"argument {name!r}", value) for name, value in kwargs.items()]
    for name, value in named:
        try:
            encode_value(ARGUMENTS, [value], spec, values_root)
        except ValueNotSerialisable:
            return f"{name}, a {type(value).__qualname__},"
    return "what it is called with"

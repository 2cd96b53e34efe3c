"""This module executes one recorded task run again, in this process, under a debugger."""

import bdb
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ostinato.authoring import signals
from ostinato.authoring.function_flows import FlowBody
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.references import resolve
from ostinato.authoring.steps import StepTask, executing_flow
from ostinato.clock import Clock
from ostinato.errors import UnknownTask, UsageError
from ostinato.model.identity import MapPath
from ostinato.runtime.context import Port, TaskContext, current_context
from ostinato.runtime.inputs import InputResolver, Tasks
from ostinato.runtime.messages import AttemptSpec, RunInfo
from ostinato.runtime.recorded_steps import RecordedSteps
from ostinato.runtime.step_session import StepSession
from ostinato.runtime.templates import Renderer, resolve_arguments
from ostinato.runtime.values import Containers

#: What a module of a debugger must have, as ``pdb`` does.
_PARTS = ("runcall", "set_trace", "post_mortem")

#: No debugger.
NONE = "none"


@contextmanager
def _noting_quit() -> Iterator[Callable[[], bool]]:
    """Tell a function that was left in the middle from one that returned None.

    Debuggers for Python are made of ``bdb.Bdb``, whose ``runcall`` returns None for both.
    """
    quits: list[bdb.Bdb] = []
    before = bdb.Bdb.set_quit

    def set_quit(self: bdb.Bdb) -> None:
        quits.append(self)
        before(self)

    bdb.Bdb.set_quit = set_quit  # type: ignore[method-assign]  # there is no other way to know
    try:
        yield lambda: bool(quits)
    finally:
        bdb.Bdb.set_quit = before  # type: ignore[method-assign]  # as it was


class Debugger:
    """A debugger: the module ``pdb``, or another one that can be used like it.

    Args:
        name: Of the module, or ``none``.

    Raises:
        UsageError: There is no such module, or it is no debugger.
    """

    def __init__(self, name: str) -> None:
        self._module: Any = None
        if name == NONE:
            return
        try:
            self._module = importlib.import_module(name)
        except ImportError:
            message = f"there is no debugger {name!r}"
            raise UsageError(message, hint="install it, or use pdb or none") from None
        if not all(hasattr(self._module, part) for part in _PARTS):
            message = f"module {name!r} is no debugger: it lacks one of {', '.join(_PARTS)}"
            raise UsageError(message, hint="use one such as pdb, or none")

    def stopping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that stops where another one begins.

        Args:
            function: The other one; in an ``async`` one, a step into it is needed.
        """
        module = self._module
        if module is None:
            return function

        @functools.wraps(function)
        async def stop_and_await(*args: Any, **kwargs: Any) -> Any:
            module.set_trace()
            return await function(*args, **kwargs)

        @functools.wraps(function)
        def stop(*args: Any, **kwargs: Any) -> Any:
            with _noting_quit() as is_left:
                result = module.runcall(function, *args, **kwargs)
            if is_left():
                raise bdb.BdbQuit
            return result

        return stop_and_await if inspect.iscoroutinefunction(function) else stop

    def look_at(self, error: BaseException) -> None:
        """Look at where an error was raised.

        Args:
            error: What was raised.
        """
        if self._module is None:
            return
        try:
            self._module.post_mortem(error.__traceback__)
        except bdb.BdbQuit:
            # That is how some end.
            return


def execute_again(
    spec: AttemptSpec,
    dag: BuiltFlow,
    info: RunInfo,
    *,
    port: Port,
    clock: Clock,
    debugger: Debugger,
    step: MapPath | None = None,
) -> Any:
    """Execute a task run, or a step of a flow's body, and return or raise what it does.

    Args:
        spec: The attempt; of the body, where a step is meant.
        dag: The flow's code.
        info: What the run's attempts share.
        port: Answers from what is recorded.
        clock: The time.
        debugger: Stops where the task's code begins.
        step: Place of the step; None for a task run.

    Raises:
        UnknownTask: The flow has no such task, or the body never came to the step.
    """
    operator = dag.operators.get(spec.task_id)
    if operator is None:
        raise UnknownTask(f"flow {dag.name!r} has no task {spec.task_id!r} in this process")
    context = TaskContext(spec, info, dag, port, clock)
    token = current_context.set(context)
    try:
        arguments = _arguments(operator, spec, dag, info, port, context)
        bound = operator.bind(arguments)
        if step is not None:
            return _execute_step(bound, step, spec, info, port, context, clock, debugger)
        if not isinstance(bound, FunctionOperator):
            return debugger.stopping(bound.execute)(context)
        # On the copy for this attempt; the flow keeps its own function.
        bound.python_callable = debugger.stopping(bound.python_callable)
        if not isinstance(bound, FlowBody):
            return bound.execute(context)
        session = _Untraced(spec, info, port, clock)
        with session, executing_flow(session, info.flow):
            return bound.execute(context)
    finally:
        context.close()
        current_context.reset(token)


def _arguments(
    operator: Any,
    spec: AttemptSpec,
    dag: BuiltFlow,
    info: RunInfo,
    port: Port,
    context: TaskContext,
) -> Mapping[str, Any]:
    arguments = operator.arguments()
    resolver = InputResolver(spec, info, Tasks(dag.definition), port, Containers())
    if operator.template_arguments:
        return resolve_arguments(operator, arguments, resolver, Renderer(operator, dag, context))
    return {name: resolve(value, resolver) for name, value in arguments.items()}


class _Reached(BaseException):
    """Leave the body: the step that is meant has ended. No ``except Exception`` catches it."""


class _Untraced(StepSession):
    """Replay the steps of a body; what is executed is neither taken from other runs nor kept."""

    def _find_cached(self, *_: Any) -> None:
        return None

    def _claim_key(self, *_: Any, **__: Any) -> bool:
        return True

    def _execute_elsewhere(self, *_: Any) -> None:
        return None


class _RecordedUpTo(RecordedSteps):
    """What is recorded of steps, but for one of them, which is executed again."""

    target: MapPath = ()
    #: What the step returned, or raised.
    result: Any = None
    error: Exception | None = None
    is_reached = False

    def replay(self, step: Any, told: Any) -> Any:
        # What is compared is compared; what was recorded of the target is not wanted.
        replayed = super().replay(step, told)
        return None if step.path == self.target else replayed

    def succeed(self, step: Any, told: Any, result: Any, *more: Any, **rest: Any) -> Any:
        if step.path == self.target:
            self.result, self.is_reached = result, True
            raise _Reached
        return super().succeed(step, told, result, *more, **rest)

    def fail(self, step: Any, told: Any, error: Exception, *more: Any, **rest: Any) -> Any:
        if step.path == self.target:
            self.error, self.is_reached = error, True
            raise _Reached
        return super().fail(step, told, error, *more, **rest)


class _StepsUpTo(_Untraced):
    """Replay the steps of a body, and execute one of them."""

    target: MapPath = ()
    debugger: Debugger

    def _step(self, task: StepTask, *call: Any) -> Any:
        step = super()._step(task, *call)
        if step.path != self.target:
            return step
        return _with_task(step, _Stopping(task, self.debugger))

    def _retry_delay_s(self, step: Any, error: Exception, failures: int) -> float | None:
        if step.path == self.target:
            return None
        return super()._retry_delay_s(step, error, failures)


class _Stopping:
    """A task whose function stops where it begins."""

    def __init__(self, task: StepTask, debugger: Debugger) -> None:
        self.function = debugger.stopping(task.function)
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


def _with_task(step: Any, task: _Stopping) -> Any:
    fields = {name: getattr(step, name) for name in step.__struct_fields__}
    return type(step)(**{**fields, "task": task})


def _execute_step(
    body: Any,
    step: MapPath,
    spec: AttemptSpec,
    info: RunInfo,
    port: Port,
    context: TaskContext,
    clock: Clock,
    debugger: Debugger,
) -> Any:
    recorded = _RecordedUpTo(spec, info, port, clock)
    session = _StepsUpTo(spec, info, port, clock, recorded)
    recorded.target = session.target = step
    session.debugger = debugger
    try:
        with session, executing_flow(session, info.flow):
            body.execute(context)
    except _Reached:
        pass
    except (Exception, signals.TaskSignal):
        # What the body makes of a future that was left says nothing.
        if not recorded.is_reached:
            raise
    if recorded.error is not None:
        raise recorded.error
    if not recorded.is_reached:
        number = ".".join(map(str, step))
        raise UnknownTask(f"flow {info.flow!r} ended before it came to step {number}")
    return recorded.result

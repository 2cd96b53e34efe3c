"""This module executes one attempt: inputs, the call, values, and what is reported."""

import asyncio
import inspect
import logging
import math
import os
import resource
import signal
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec

from ostinato.authoring import signals
from ostinato.authoring.function_flows import FlowBody
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.references import resolve
from ostinato.authoring.steps import executing_flow
from ostinato.clock import Clock, SystemClock
from ostinato.errors import (
    AttemptTimeout,
    MemoryLimitExceeded,
    ParameterError,
    Place,
    TemplateError,
    TriggerFailed,
    UnknownFlow,
    UnknownTask,
    ValueNotSerialisable,
)
from ostinato.model.deferral import Deferral, Outcome, Resumption
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import TaskKind
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime import messages as msg
from ostinato.runtime.capture import DescriptorCapture, current_log
from ostinato.runtime.conditions import check_conditions
from ostinato.runtime.context import Port, TaskContext, current_context
from ostinato.runtime.failures import describe_failure, plain_text
from ostinato.runtime.inputs import InputResolver, Tasks, render_inputs
from ostinato.runtime.interruption import Interruption
from ostinato.runtime.log_writer import AttemptLog
from ostinato.runtime.masking import masker
from ostinato.runtime.notices import NoticeContext, execute_notice
from ostinato.runtime.step_limits import time_limit
from ostinato.runtime.templates import Renderer, resolve_arguments
from ostinato.runtime.values import Containers, encode_value

logger = logging.getLogger(__name__)

_MAY_RETRY = "__ostinato_may_retry__"

if TYPE_CHECKING:
    from ostinato.runtime.task_cache import Found


MIB = 1024 * 1024

#: Longer names of indices are cut.
MAX_MAP_NAME = 200

_MOMENT_ALONE = Deferral()


class AttemptCancelled(BaseException):
    """Stop the user's code: the attempt was cancelled. No ``except Exception`` catches it."""


class Executing:
    """Executes attempts of one process, one after the other or in several threads.

    Args:
        port: The way to the coordinator.
        clock: Stamps start, end and log lines.
        descriptors: Capture of file descriptors, in a process of its own.
    """

    def __init__(
        self,
        port: Port,
        *,
        clock: Clock | None = None,
        descriptors: DescriptorCapture | None = None,
    ) -> None:
        self._port = port
        self._clock = clock or SystemClock()
        self._descriptors = descriptors
        self._tasks: dict[str, Tasks] = {}
        self._containers = Containers()
        self._pid = os.getpid()
        #: What stops the attempt of the main thread.
        self.interruption = Interruption()
        #: What takes back the limits of the attempt of the main thread, the last one first.
        self._limits: list[Callable[[], None]] = []

    def execute(self, spec: msg.AttemptSpec, dag: BuiltFlow | None, info: msg.RunInfo) -> msg.Ended:
        """Execute an attempt and return what is to be reported; user code never raises out of it.

        Args:
            spec: The attempt.
            dag: The flow's code; None where it could not be loaded.
            info: What the run's attempts share.
        """
        now_us = self._clock.now_us
        if dag is None and spec.step is not None:
            from ostinato.runtime.step_functions import find_flow  # noqa: PLC0415 - see above

            dag = find_flow(info.flow)
        if dag is None and (spec.notice is None or spec.notice.facts.callback >= 0):
            at_us = now_us()
            gone = UnknownFlow(f"the flow {info.flow!r} is not in this process")
            return msg.Failed(spec.token, at_us, at_us, describe_failure(gone), may_retry=False)
        log = AttemptLog(info.logs_root, spec, self._clock)
        context = self._context(spec, dag, info)
        log_token = current_log.set(log)
        context_token = current_context.set(context)
        if self._descriptors is not None:
            self._descriptors.begin(log)
        rendered: list[str | None] = [None]
        started_us = now_us()
        # In the user's own process only a time limit stops an attempt.
        is_stoppable = self._descriptors is not None or (
            spec.timeout_s and threading.current_thread() is threading.main_thread()
        )
        interruption = self.interruption
        try:
            try:
                if is_stoppable:
                    interruption.begin()
                if dag is None or spec.notice is not None:
                    report = self._tell(spec, dag, context, started_us)
                elif spec.step is not None:
                    report = self._call_step(spec, spec.step, info, started_us)
                else:
                    report = self._call(spec, dag, info, context, rendered, started_us)
            except BaseException as error:
                if os.getpid() != self._pid:
                    _leave_fork(error)
                if self._limits:
                    self._lift_limits()
                if isinstance(error, KeyboardInterrupt) and self._is_users_thread():
                    # In the user's own process this is the user, not the task.
                    raise
                report = self._ended_by(error, spec, started_us, rendered[0], log)
            if is_stoppable:
                interruption.end()
        except (AttemptCancelled, AttemptTimeout) as error:
            # It came when the task had ended, or while its failure was described.
            report = self._ended_by(error, spec, started_us, rendered[0], log)
        finally:
            if is_stoppable:
                interruption.end()
            if self._limits and is_stoppable:
                self._lift_limits()
            if self._descriptors is not None:
                self._descriptors.end()
            context.close()
            current_context.reset(context_token)
            current_log.reset(log_token)
            log.close()
        return report

    def _context(
        self, spec: msg.AttemptSpec, dag: BuiltFlow | None, info: msg.RunInfo
    ) -> TaskContext:
        if spec.notice is not None:
            return NoticeContext(spec, spec.notice, info, dag, self._port, self._clock)
        assert dag is not None
        if spec.step is not None:
            from ostinato.runtime.step_calls import as_of_the_body  # noqa: PLC0415 - as above

            spec = as_of_the_body(spec)
        return TaskContext(spec, info, dag, self._port, self._clock)

    def _tell(
        self, spec: msg.AttemptSpec, dag: BuiltFlow | None, context: TaskContext, started_us: int
    ) -> msg.Ended:
        assert isinstance(context, NoticeContext)
        if spec.timeout_s or spec.memory_bytes:
            self._set_limits(spec)
        message = execute_notice(spec, context, dag)
        return msg.Succeeded(spec.token, started_us, self._clock.now_us(), inputs=message)

    def _call(
        self,
        spec: msg.AttemptSpec,
        dag: BuiltFlow,
        info: msg.RunInfo,
        context: TaskContext,
        rendered: list[str | None],
        started_us: int,
    ) -> msg.Ended:
        operator = dag.operators.get(spec.task_id)
        if operator is None:
            raise UnknownTask(f"flow {dag.name!r} has no task {spec.task_id!r} in this process")
        arguments = operator.arguments()
        if dag.parameter_model is not None:
            # It may refuse what its JSON Schema accepts; no task works with such parameters.
            context.params  # noqa: B018 - it is validated when it is first read
        if spec.timeout_s or spec.memory_bytes:
            self._set_limits(spec)
        settings = operator.settings
        if (settings.when or settings.schedule) and spec.resumption is None:
            check_conditions(operator, dag, info, context)
        if arguments:
            resolver = InputResolver(spec, info, self._facts(dag), self._port, self._containers)
            if operator.template_arguments:
                renderer = Renderer(operator, dag, context)
                arguments = resolve_arguments(operator, arguments, resolver, renderer)
            else:
                arguments = {n: resolve(value, resolver) for n, value in arguments.items()}
            rendered[0] = render_inputs(arguments)
        if arguments or not isinstance(operator, FunctionOperator):
            # A copy for this attempt: what it sets on itself is gone with it. Calling a
            # function sets nothing, and is what most tasks do.
            operator = operator.bind(arguments)
        names_index = bool(spec.path and operator.settings.map_name)
        cached: Found | None = None
        if names_index:
            self._name_index(spec, dag, operator, arguments, context, is_final=False)
        try:
            try:
                if settings.caching is not None and not isinstance(operator, FlowBody):
                    cached = self._find_cached(spec, dag, info, operator, arguments, context)
                if cached is not None and cached.is_hit:
                    result = cached.result
                    operator.take_over(result, context)
                elif isinstance(operator, FlowBody):
                    result = self._execute_flow(operator, spec, info, context)
                elif spec.resumption is None:
                    result = operator.execute(context)
                else:
                    result = _go_on(operator, context, spec.resumption)
                if inspect.iscoroutine(result):
                    result = asyncio.run(result)
                if names_index:
                    self._name_index(spec, dag, operator, arguments, context, is_final=True)
            finally:
                if self.interruption.is_wanted and not _is_in_thread():
                    # It cancelled what an event loop ran, whatever became of that.
                    self.interruption.deliver()
        except (AttemptCancelled, AttemptTimeout):
            if os.getpid() == self._pid:
                _clean_up(operator)
            raise
        except BaseException as error:
            if not isinstance(error, signals.TaskSignal):
                _note_may_retry(error, operator.may_retry, operator.node_id)
            raise
        if os.getpid() != self._pid:
            _leave_fork(None)
        if self._limits:
            self._lift_limits()
        ended_us = self._clock.now_us()
        times = (started_us, ended_us)
        report = self._succeeded(spec, dag, info, operator, result, times, rendered[0])
        if cached is not None:
            return msgspec.structs.replace(report, caching=cached.note)
        return report

    def _find_cached(
        self,
        spec: msg.AttemptSpec,
        dag: BuiltFlow,
        info: msg.RunInfo,
        operator: Operator,
        arguments: Mapping[str, Any],
        context: TaskContext,
    ) -> "Found | None":
        # For the few tasks whose results are kept for other runs.
        from ostinato.runtime.task_cache import find_result  # noqa: PLC0415 - see above

        return find_result(
            operator,
            arguments,
            context,
            dag=dag,
            info=info,
            port=self._port,
            token=spec.token,
            is_resumed=spec.resumption is not None,
            # It was executed before, and is wanted anew.
            is_cleared=spec.generation > 0 and spec.attempt > spec.try_number,
        )

    def _name_index(
        self,
        spec: msg.AttemptSpec,
        dag: BuiltFlow,
        operator: Operator,
        arguments: Mapping[str, Any],
        context: TaskContext,
        *,
        is_final: bool,
    ) -> None:
        """Tell what people call this index: before it executes, and once more when it has.

        Before, the template may ask for what the task has yet to do; a template that fails
        afterwards too is said in the log and fails nothing.
        """
        names = ChainMap({"task": operator}, dict(arguments), cast("dict[str, Any]", context))
        renderer = Renderer(operator, dag, names, takes_files=False)
        renderer.field = "map_name"
        try:
            text = str(renderer.text(operator.settings.map_name))
        except TemplateError as error:
            if is_final:
                logger.warning("%s", error)
            return
        self._port.call(spec.token, "name", {"text": masker.mask(text)[:MAX_MAP_NAME]})

    def _execute_flow(
        self, body: FlowBody, spec: msg.AttemptSpec, info: msg.RunInfo, context: TaskContext
    ) -> Any:
        # Threads and pickles are for flows that are functions.
        from ostinato.runtime.step_session import StepSession  # noqa: PLC0415 - see above

        session = StepSession(spec, info, self._port, self._clock, interruption=self.interruption)
        limit = session.time.limit_body(spec.timeout_s, spec.task_id)
        with limit, session, executing_flow(session, info.flow):
            return body.execute(context)

    def _call_step(
        self, spec: msg.AttemptSpec, call: msg.StepCall, info: msg.RunInfo, started_us: int
    ) -> msg.Ended:
        """Call a step of a flow that is a function and that executes elsewhere."""
        from ostinato.runtime.step_calls import call_step, may_retry  # noqa: PLC0415 - see above

        if spec.timeout_s or spec.memory_bytes:
            self._set_limits(spec)
        try:
            try:
                if spec.timeout_s and _is_in_thread():
                    with time_limit(spec.timeout_s, spec.name):
                        result = call_step(spec, info, self._port, self._clock)
                else:
                    result = call_step(spec, info, self._port, self._clock, self.interruption)
            finally:
                if self.interruption.is_wanted and not _is_in_thread():
                    self.interruption.deliver()
        except Exception as error:
            if not isinstance(error, signals.TaskSignal):
                _note_may_retry(error, partial(may_retry, call), spec.name)
            raise
        if os.getpid() != self._pid:
            _leave_fork(None)
        if self._limits:
            self._lift_limits()
        ended_us = self._clock.now_us()
        values: tuple[StoredValue, ...] = ()
        if result is not None or call.is_known:
            values = (encode_value(RETURN_VALUE, result, spec, info.values_root),)
        return msg.Succeeded(spec.token, started_us, ended_us, values)

    def _succeeded(
        self,
        spec: msg.AttemptSpec,
        dag: BuiltFlow,
        info: msg.RunInfo,
        operator: Any,
        result: Any,
        times: tuple[int, int],
        rendered: str | None,
    ) -> msg.Succeeded:
        kind = operator.kind
        if result is None and kind is TaskKind.NORMAL:
            facts = self._tasks.get(dag.name)
            if facts is None or not facts.is_measured(spec.task_id):
                return msg.Succeeded(spec.token, *times, inputs=rendered)
        facts = self._facts(dag)
        values: tuple[StoredValue, ...] = ()
        length = facts.measure(spec.task_id, result) if facts.is_measured(spec.task_id) else None
        if result is not None:
            values = (self._encode(operator, result, spec, info),)
        chosen = facts.chosen(spec.task_id, result) if kind is TaskKind.BRANCH else None
        stop = kind is TaskKind.SHORT_CIRCUIT and not result
        return msg.Succeeded(spec.token, *times, values, length, chosen, stop, rendered)

    def _encode(
        self, operator: Operator, result: Any, spec: msg.AttemptSpec, info: msg.RunInfo
    ) -> StoredValue:
        try:
            return encode_value(RETURN_VALUE, result, spec, info.values_root)
        except ValueNotSerialisable as error:
            if not isinstance(operator, FlowBody):
                raise
            message = error.message.replace(f"task {spec.task_id!r}", f"flow {info.flow!r}")
            code = inspect.unwrap(operator.python_callable).__code__
            place = relative_place(Place(code.co_filename, code.co_firstlineno))
            raise ValueNotSerialisable(message, place=place, hint=error.hint) from error

    def _facts(self, dag: BuiltFlow) -> Tasks:
        facts = self._tasks.get(dag.name)
        if facts is None or facts.flow is not dag.definition:
            facts = self._tasks[dag.name] = Tasks(dag.definition)
        return facts

    # Ends that are no success

    def _ended_by(
        self,
        error: BaseException,
        spec: msg.AttemptSpec,
        started_us: int,
        rendered: str | None,
        log: AttemptLog,
    ) -> msg.Ended:
        report = self._end_of(error, spec, started_us, rendered, log)
        if spec.step is None or not isinstance(report, msg.Failed | msg.Skipped):
            return report
        from ostinato.runtime.step_errors import pickled_error  # noqa: PLC0415 - see above

        data = pickled_error(error) if isinstance(error, Exception) else b""
        return msgspec.structs.replace(report, error=data)

    def _end_of(
        self,
        error: BaseException,
        spec: msg.AttemptSpec,
        started_us: int,
        rendered: str | None,
        log: AttemptLog,
    ) -> msg.Ended:
        times = (started_us, self._clock.now_us())
        match error:
            case signals.Skip(reason=reason):
                return msg.Skipped(spec.token, *times, masker.mask(plain_text(reason)), rendered)
            case signals.Defer():
                deferral = error.deferral if error.deferral != _MOMENT_ALONE else None
                until_us = self._until_us(error)
                return msg.Deferred(spec.token, *times, until_us, deferral, rendered)
            case signals.Suspended(defer=defer):
                until_us = self._until_us(defer)
                return msg.Deferred(spec.token, *times, until_us, defer.deferral, rendered)
            case signals.Fail():
                failure = describe_failure(error)
                return msg.Failed(spec.token, *times, failure, may_retry=False, inputs=rendered)
            case signals.Retry(after_s=after_s):
                failure = describe_failure(error)
                return msg.Failed(
                    spec.token, *times, failure, retry_after_s=after_s, inputs=rendered
                )
            case _:
                return self._failed(error, spec, times, rendered, log)

    def _failed(
        self,
        error: BaseException,
        spec: msg.AttemptSpec,
        times: tuple[int, int],
        rendered: str | None,
        log: AttemptLog,
    ) -> msg.Failed:
        failure = self._failure(error, spec)
        log.write("ERROR", "ostinato", failure.summary)
        may_retry = error.__dict__.get(_MAY_RETRY, True)
        if isinstance(error, ParameterError | UnknownTask | ValueNotSerialisable):
            may_retry = False
        return msg.Failed(spec.token, *times, failure, may_retry=may_retry, inputs=rendered)

    def _failure(self, error: BaseException, spec: msg.AttemptSpec) -> Failure:
        if isinstance(error, AttemptCancelled):
            return describe_failure(error, FailureKind.CANCELLED)
        if isinstance(error, AttemptTimeout):
            return describe_failure(error, FailureKind.TIMEOUT)
        if isinstance(error, MemoryError) and spec.memory_bytes:
            exceeded = MemoryLimitExceeded(
                f"{spec.subject} needed more than its limit of {format_bytes(spec.memory_bytes)}"
            ).with_traceback(error.__traceback__)
            return describe_failure(exceeded, FailureKind.MEMORY)
        return describe_failure(error)

    def _until_us(self, deferral: signals.Defer) -> int:
        if deferral.until is not None:
            return math.ceil(deferral.until.timestamp() * 1e6)
        wait_s = deferral.timeout_s if deferral.delta_s is None else deferral.delta_s
        return 0 if wait_s is None else self._clock.now_us() + int(wait_s * 1e6)

    # Limits

    def _set_limits(self, spec: msg.AttemptSpec) -> None:
        with self.interruption.held():
            if spec.memory_bytes and self._descriptors is not None:
                # Only a process of its own may be limited: here it would be the user's script.
                self._limits.append(_limit_memory(spec.memory_bytes))
            if spec.timeout_s and threading.current_thread() is threading.main_thread():
                self._limits.append(_limit_time(spec, self.interruption))

    def _lift_limits(self) -> None:
        with self.interruption.held():
            while self._limits:
                self._limits.pop()()

    def _is_users_thread(self) -> bool:
        return self._descriptors is None and not _is_in_thread()


def _go_on(operator: Operator, context: TaskContext, resumption: Resumption) -> Any:
    """Call what a task goes on with after a deferral.

    Raises:
        TriggerFailed: What it was deferred for went wrong.
    """
    if resumption.outcome is Outcome.ERROR:
        raise TriggerFailed(resumption.error)
    if resumption.outcome is Outcome.TIMEOUT:
        return operator.on_deferral_timeout(context)
    method = getattr(operator, resumption.method, None)
    if method is None:
        message = f"{type(operator).__name__} has no method {resumption.method!r} to go on with"
        hint = "Defer(method=…) names it; a function has none: write an Operator"
        raise UnknownTask(message, hint=hint)
    return method(context, resumption.payload)


def format_bytes(size: int) -> str:
    """Write a size as people would: in MB or MiB, whichever is even.

    >>> format_bytes(64_000_000), format_bytes(64 * 1024 * 1024)
    ('64 MB', '64 MiB')
    """
    if size % 1_000_000 == 0:
        return f"{size // 1_000_000} MB"
    return f"{size / MIB:g} MiB"


def _note_may_retry(
    error: BaseException, condition: Callable[[BaseException], bool | None], name: str
) -> None:
    """Keep with an error what the task's ``retry_if`` says of it."""
    try:
        may_retry = condition(error)
    except Exception:
        # Users' code; the error of the task is what counts, and its policy decides.
        logger.exception("retry_if of %s raised", name)
        return
    if may_retry is not None:
        # Not by the way of users' classes, whose __setattr__ may refuse.
        object.__setattr__(error, _MAY_RETRY, bool(may_retry))


def _is_in_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def _clean_up(operator: Operator) -> None:
    try:
        operator.on_kill()
    except Exception:
        # Users' code; that the attempt was stopped is what counts.
        logger.exception("on_kill of %s raised", operator.node_id)


def _leave_fork(error: BaseException | None) -> NoReturn:
    """End a process that a task has forked and that came back here: it is no second child."""
    code = 0 if error is None else 1
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    os._exit(code & 0xFF)


def _limit_time(spec: msg.AttemptSpec, interruption: Interruption) -> Callable[[], None]:
    """Raise ``AttemptTimeout`` in the user's code when its time is over; return how to stop it."""
    message = f"{spec.subject} ran longer than its timeout of {spec.timeout_s:g} s"

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        interruption.post(AttemptTimeout(message))
        interruption.deliver()

    def stop() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, spec.timeout_s)
    return stop


def _limit_memory(limit_bytes: int) -> Callable[[], None]:
    """Let this process ask for so much more memory than it has; then it gets a ``MemoryError``.

    ``RLIMIT_DATA`` counts private writable memory (Linux 4.7 and later), so memory that is
    shared with the code host costs nothing. Returns how to take the limit back.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit_bytes, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0

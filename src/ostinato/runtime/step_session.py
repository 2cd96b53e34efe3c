"""This module executes the steps of a flow that is a function, and never one of them twice."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Struct

from ostinato.authoring import signals
from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.futures import StepFuture, StepState, resolve_futures, settled
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.references import resolve
from ostinato.authoring.step_scopes import Scope, current_scope
from ostinato.authoring.steps import Question, StepFlow, StepTask, Waiting, executing_flow
from ostinato.authoring.transactions import (
    TRANSACTION,
    Enlisted,
    Transaction,
    current_transaction,
)
from ostinato.clock import Clock, VirtualClock, draw_chance
from ostinato.engine.events import AttemptFailed
from ostinato.engine.retry import retry_delay_s
from ostinato.errors import (
    AttemptTimeout,
    FlowDiverged,
    InternalError,
    OstinatoError,
    Place,
    StepFailed,
    UsageError,
    ValueMissing,
    ValueNotSerialisable,
)
from ostinato.model.deferral import Deferral, Resumption
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.identity import MapPath, format_path
from ostinato.model.state import TaskRunState
from ostinato.model.step import StepInfo
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime.capture import current_log
from ostinato.runtime.context import Port, TaskContext, current_context
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.inputs import render_inputs
from ostinato.runtime.interruption import Interruption
from ostinato.runtime.log_writer import AttemptLog
from ostinato.runtime.messages import (
    AttemptSpec,
    Deferred,
    Ended,
    Failed,
    KeptResult,
    RunInfo,
    Succeeded,
)
from ostinato.runtime.own_steps import OwnTask
from ostinato.runtime.recorded_steps import RecordedSteps, Step, Told, converted
from ostinato.runtime.step_answers import answer_of, converted_answer
from ostinato.runtime.step_cache import cache_key
from ostinato.runtime.step_digest import Digest
from ostinato.runtime.step_time import time_of
from ostinato.runtime.step_watch import StepWatch
from ostinato.runtime.subflow_access import SubflowParameters, SubflowPort
from ostinato.runtime.values import decode_value, encode_value

S = TypeVar("S", bound=Struct)

#: Seconds until it is looked again whether an equal call has ended: at first, and at most.
CACHE_DELAY_S = 0.02
MAX_CACHE_DELAY_S = 1.0


class StepSession:
    """The steps of one attempt to execute a flow's body; implements ``authoring.steps.Steps``.

    Args:
        spec: The attempt of the body.
        info: What the run's attempts share.
        port: Asks the coordinator; safe in all threads.
        clock: Stamps steps.
        recorded: What is recorded of steps, where it is not what the coordinator gives.
        interruption: Says where the main thread must not be left.
    """

    def __init__(
        self,
        spec: AttemptSpec,
        info: RunInfo,
        port: Port,
        clock: Clock,
        recorded: RecordedSteps | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self._spec = spec
        self._info = info
        self._port = port
        self._clock = clock
        self._interruption = interruption
        self._recorded = recorded or RecordedSteps(spec, info, port, clock)
        self._watch = None if isinstance(clock, VirtualClock) else StepWatch(self._tell_of)
        self._recorded.watch = self._watch
        #: As people write them; a loop calls a task from one place.
        self._places: dict[Place, str] = {}
        #: How time passes.
        self.time = time_of(clock, interruption)
        self.new_loop = self.time.new_loop
        self._futures: list[tuple[Step, StepFuture[Any]]] = []
        #: Steps that are coroutines of which nobody has asked for the result.
        self._unawaited: dict[MapPath, Step] = {}

    def __enter__(self) -> Self:
        self._scope_token = current_scope.set(Scope())
        # One around a subflow is its caller's, whose replay does not execute the subflow again.
        self._transaction_token = current_transaction.set(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        current_transaction.reset(self._transaction_token)
        current_scope.reset(self._scope_token)
        forgotten = self.close()
        if kind is not None:
            # That is what is to be told.
            return
        for step in self._unawaited.values():
            message = f"{step.place}: step {step.name} is never awaited, and was not executed"
            raise UsageError(message, hint=f"write: await {step.task.task_id}(...)")
        for step, error in forgotten:
            message = f"{step.place}: step {step.name} failed, and nobody waited for it: {error!r}"
            raise StepFailed(message, hint="wait for it: .result(), or .wait() to go on") from error

    def close(self) -> list[tuple[Step, Exception]]:
        """Wait for submitted steps; return those that failed and that nobody waited for."""
        self.time.close()
        if self._watch is not None:
            self._watch.close()
        forgotten = []
        log = current_log.get()
        for step, future in self._futures:
            state = future.state
            if not future.is_awaited and state is not None and state.error is not None:
                forgotten.append((step, state.error))
                if log is not None:
                    message = f"{step.place}: nobody waited for {step.name}: {state.error!r}"
                    log.write("WARNING", "ostinato", message)
        return forgotten

    def _tell_of(self, task_id: str, path: MapPath, at_us: int) -> None:
        args = {"task_id": task_id, "path": path, "at_us": at_us}
        self._port.call(self._spec.token, "step_lasts", args)

    # What calls of tasks mean

    def call(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> Any:
        """Execute a task as a step and return its result; of an ``async`` one, an awaitable."""
        step = self._step(task, args, kwargs, wait_for)
        if task.is_async:
            self._unawaited[step.path] = step
            return self._await_result(step)
        return self._perform(step).result()

    def call_for_state(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> Any:
        """Execute a task as a step and return how it ended; of an ``async`` one, an awaitable."""
        step = self._step(task, args, kwargs, wait_for)
        return self._perform_async(step) if task.is_async else self._perform(step)

    def submit(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> StepFuture[Any]:
        """Begin a step in a thread of its own and return a future of its result."""
        step = self._step(task, args, kwargs, wait_for)
        inner = self.time.begin(partial(self._perform_beside, step))
        future: StepFuture[Any] = StepFuture(step.name, inner)
        self._futures.append((step, future))
        transaction = current_transaction.get()
        if transaction is not None:
            transaction.watch(future)
        return future

    def call_flow(self, flow: StepFlow, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a subflow, which has a run of its own, and return its result."""
        scope = current_scope.get()
        if scope is None:
            message = f"subflow {flow.name!r} has no scope"
            raise InternalError(message)
        place = str(relative_place(calling_place()))
        run = partial(self._run_flow, flow, scope.take(), tuple(args), dict(kwargs), place)
        # In a loop, the subflow has a thread and a loop of its own.
        return asyncio.to_thread(run) if flow.is_async else run()

    def ask(self, question: Question) -> Any:
        """Ask a person and return the answer, as an object of its type."""
        request = question.request
        named = {"title": request.title, "schema": request.schema}
        step = self._step(OwnTask(question.waiting.value), (), named, ())
        told = Told(
            Digest(step.task.task_id, named), render_inputs({"title": request.title}), (), {}
        )
        replayed = self._recorded.replay(step, told)
        if replayed is not None:
            return converted_answer(question, replayed.result(), step.name, step.place)
        started_us = self._clock.now_us()
        found = self._resumption(step, told, question, started_us)
        try:
            payload = answer_of(question, found, step.name, step.place)
            answer = converted_answer(question, payload, step.name, step.place)
        except OstinatoError as error:
            return self._recorded.fail(step, told, error, 1, started_us).result()
        self._recorded.succeed(step, told, payload, 1, started_us, by=found.by)
        return answer

    def _resumption(
        self, step: Step, told: Told, question: Question, started_us: int
    ) -> Resumption:
        """Return how the wait for an answer ended.

        Raises:
            Suspended: It has not.
        """
        method = f"step:{format_path(step.path)}"
        known = self._spec.resumption
        if known is not None and known.method == method:
            return known
        timeout_s = question.timeout_s
        if question.waiting is not Waiting.PAUSE:
            raise signals.Suspended(
                signals.Defer(
                    request=question.request,
                    method=method,
                    timeout=timeout_s,
                    holds_nothing=question.waiting is Waiting.SUSPEND,
                )
            )
        info = StepInfo(told.digest.value, told.digest.is_exact, step.place)
        args = {
            "record": self._recorded.row(step, told, TaskRunState.DEFERRED, 1, started_us, info),
            "deferral": Deferral(method, None, question.request),
            "until_us": 0 if timeout_s is None else started_us + int(timeout_s * 1e6),
        }
        return converted(self._port.call(self._spec.token, "pause", args), Resumption)

    def _run_flow(
        self,
        flow: StepFlow,
        path: MapPath,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        place: str,
    ) -> Any:
        named = flow.name_arguments(resolve_futures(args), resolve_futures(kwargs))
        step = Step(
            OwnTask(flow.name, flow.function, is_async=flow.is_async), path, (), named, place, ()
        )
        told = Told(Digest(flow.name, named), render_inputs(named) if named else None, (), named)
        replayed = self._recorded.replay(step, told)
        if replayed is not None:
            return replayed.result()
        again = self._spec.attempt if path in self._recorded else 0
        started_us = self._clock.now_us()
        definition = msgspec.msgpack.encode(flow.dag.definition)
        answer = self._port.call(
            self._spec.token,
            "subflow",
            {
                "definition": definition,
                "params": named,
                "place": path,
                "again": again,
                "token": self._spec.token,
            },
        )
        value: Any = None
        error: Exception | None = None
        is_executed = "spec" in answer
        while "spec" in answer:
            spec = converted(answer["spec"], AttemptSpec)
            info = converted(answer["info"], RunInfo)
            report, value, error = self._execute_flow(flow, spec, info)
            args_ = {"run_id": spec.run_id, "report": report}
            answer = self._port.call(self._spec.token, "subflow_ended", args_)
        run_id = int(answer["run_id"])
        if answer["state"] == "succeeded":
            if not is_executed and answer["value"] is not None:
                stored = converted(answer["value"], StoredValue)
                value = decode_value(stored, self._info.values_root)
            self._recorded.succeed(step, told, value, 1, started_us, run_id=run_id)
            return value
        if error is None:
            message = f"subflow {flow.name!r} {answer['state']}: {answer['reason']}"
            error = StepFailed(message)
        self._recorded.fail(step, told, error, 1, started_us, run_id=run_id)
        raise error

    def _execute_flow(
        self, flow: StepFlow, spec: AttemptSpec, info: RunInfo
    ) -> tuple[Ended, Any, Exception | None]:
        """Execute an attempt of a subflow's body, inside of this one."""
        port = SubflowPort(self._port, self._spec.token)
        log = AttemptLog(info.logs_root, spec, self._clock)
        context = TaskContext(spec, info, flow.dag, port, self._clock)
        log_token = current_log.set(log)
        context_token = current_context.set(context)
        started_us = self._clock.now_us()
        body = flow.dag.operators[spec.task_id]
        try:
            session = StepSession(spec, info, port, self._clock, interruption=self._interruption)
            arguments = {
                name: resolve(value, SubflowParameters(info))
                for name, value in body.arguments().items()
            }
            limit = session.time.limit_body(spec.timeout_s, spec.task_id)
            with limit, session, executing_flow(session, info.flow):
                value = body.bind(arguments).execute(context)
            values: tuple[StoredValue, ...] = ()
            if value is not None:
                values = (encode_value(RETURN_VALUE, value, spec, info.values_root),)
            times = (started_us, self._clock.now_us())
            inputs = render_inputs(arguments) if arguments else None
            return Succeeded(spec.token, *times, values, inputs=inputs), value, None
        except signals.Suspended as suspended:
            now_us = self._clock.now_us()
            limit_s = suspended.defer.timeout_s
            until_us = 0 if limit_s is None else now_us + int(limit_s * 1e6)
            deferral = suspended.defer.deferral
            return Deferred(spec.token, started_us, now_us, until_us, deferral), None, None
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            times = (started_us, self._clock.now_us())
            failure = describe_failure(error)
            log.write("ERROR", "ostinato", failure.summary)
            may_retry = not isinstance(error, signals.Fail | FlowDiverged | ValueNotSerialisable)
            return Failed(spec.token, *times, failure, may_retry=may_retry), None, error
        finally:
            context.close()
            current_context.reset(context_token)
            current_log.reset(log_token)
            log.close()

    # Transactions

    def begin_transaction(self, path: MapPath, place: str) -> None:
        """Open a transaction; what was rolled back is executed again in a retry."""
        self._recorded.begin_transaction(path, place)

    def open_key(
        self, key: str, path: MapPath, begin: MapPath, place: str, *, is_exclusive: bool
    ) -> bool:
        """Return whether a transaction of a key was committed before this one began.

        Args:
            key: As the user wrote it.
            path: Of the transaction.
            begin: Of the step that looks.
            place: Of the transaction.
            is_exclusive: Whether no other transaction of the key may be open meanwhile.
        """
        full = Digest("transaction", {"project": self._info.project, "key": key}).value.hex()
        is_claimed = False

        def look() -> bool:
            nonlocal is_claimed
            is_claimed = self._claim_key(full, is_exclusive=is_exclusive)
            return not is_claimed

        task = OwnTask(f"{TRANSACTION}.begin", lambda **_: look())
        step = Step(task, begin, (), {"key": key}, place, ())
        was_committed: bool = self._perform(step).result()
        if not was_committed:
            if is_exclusive and not is_claimed:
                # A replay: what was claimed before is claimed again.
                self._claim_key(full, is_exclusive=True, is_refreshed=True)
            self._recorded.claims[path] = KeptResult(full)
        return was_committed

    def _claim_key(self, key: str, *, is_exclusive: bool, is_refreshed: bool = False) -> bool:
        """Claim a key; return False if a result is kept under it."""
        args = {"key": key, "token": self._spec.token, "is_refreshed": is_refreshed}
        delay_s = CACHE_DELAY_S
        while True:
            answer = self._port.call(self._spec.token, "cached", args)
            if "source" in answer:
                return False
            if not is_exclusive:
                if answer["is_claimed"]:
                    release = {"key": key, "token": self._spec.token}
                    self._port.call(self._spec.token, "cache_release", release)
                return True
            if answer["is_claimed"]:
                return True
            self.time.sleep(delay_s)
            delay_s = min(delay_s * 1.5, MAX_CACHE_DELAY_S)

    def call_hook(
        self, name: str, function: Callable[[], Any], path: MapPath, place: str
    ) -> StepState[Any]:
        """Call a hook of a transaction as a step, and return how it ended."""
        return self._perform(Step(OwnTask(name, function), path, (), {}, place, ()))

    def end_transaction(self, path: MapPath, place: str, *, is_committed: bool) -> None:
        """Record how a transaction ended."""
        self._recorded.end_transaction(path, place, is_committed=is_committed)

    # A step

    def _step(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any],
    ) -> Step:
        scope = current_scope.get()
        if scope is None:
            message = f"step {task.task_id!r} has no scope"
            raise InternalError(message)
        called_at = calling_place()
        place = self._places.get(called_at)
        if place is None:
            place = self._places[called_at] = str(relative_place(called_at))
        has_hooks = task.commit_hooks or task.rollback_hooks
        transaction = current_transaction.get() if has_hooks else None
        if transaction is not None and not transaction.is_of(scope):
            raise UsageError(
                f"{place}: step {task.task_id!r} has hooks of transactions and is called in step "
                f"{scope.task_id!r}, but the transaction was begun outside of that",
                hint="call it where the transaction begins, or begin one in the step: a replay "
                "does not execute the step again, and would not know of its hooks",
            )
        arguments = (tuple(args), dict(kwargs), place, tuple(wait_for), transaction)
        return Step(task, scope.take(), *arguments)

    def _perform(self, step: Step) -> StepState[Any]:
        state = self._execute(step)
        if step.transaction is not None:
            _enlist(step, step.transaction, state)
        return state

    async def _perform_async(self, step: Step) -> StepState[Any]:
        state = await self._execute_async(step)
        if step.transaction is not None:
            _enlist(step, step.transaction, state)
        return state

    def _execute(self, step: Step) -> StepState[Any]:
        """Replay a step, or execute it until it has ended for good, and record how."""
        told = self._tell(step)
        replayed = self._recorded.replay(step, told)
        if replayed is not None:
            return replayed
        if step.task.caching is not None and not self._recorded.is_under_way(step.path):
            cached = self._find_cached(step, told, step.task.caching)
            if cached is not None:
                return cached
        if step.task.is_placed:
            elsewhere = self._execute_elsewhere(step, told)
            if elsewhere is not None:
                return elsewhere
        log_token = scope_token = None
        failures = 0
        while True:
            log = self._log(step, failures + 1)
            log_token = current_log.set(log)
            scope_token = current_scope.set(Scope(step.path, step.task.task_id))
            started_us = self._clock.now_us()
            try:
                with self.time.limit(step.task.policy.timeout_s, step.name):
                    result = settled(step.task.function(*told.args, **told.kwargs))
                return self._recorded.succeed(step, told, result, failures + 1, started_us)
            except Exception as error:  # noqa: BLE001 - users' code may raise anything
                failures += 1
                delay_s = self._retry_delay_s(step, error, failures)
                if delay_s is None:
                    return self._recorded.fail(step, told, error, failures, started_us)
                log.write("WARNING", "ostinato", f"tried again in {delay_s:g} s: {error}")
            finally:
                current_scope.reset(scope_token)
                current_log.reset(log_token)
                log.close()
            self.time.sleep(delay_s)

    async def _await_result(self, step: Step) -> Any:
        self._unawaited.pop(step.path, None)
        return (await self._perform_async(step)).result()

    async def _execute_async(self, step: Step) -> StepState[Any]:
        told = self._tell(step)
        replayed = self._recorded.replay(step, told)
        if replayed is not None:
            return replayed
        if step.task.caching is not None and not self._recorded.is_under_way(step.path):
            find = partial(self._find_cached, step, told, step.task.caching)
            cached = await asyncio.to_thread(find)
            if cached is not None:
                return cached
        if step.task.is_placed:
            elsewhere = await asyncio.to_thread(self._execute_elsewhere, step, told)
            if elsewhere is not None:
                return elsewhere
        failures = 0
        while True:
            log = self._log(step, failures + 1)
            log_token = current_log.set(log)
            scope_token = current_scope.set(Scope(step.path, step.task.task_id))
            started_us = self._clock.now_us()
            try:
                limit_s = step.task.policy.timeout_s or None
                result = await _within(limit_s, step.task.function(*told.args, **told.kwargs), step)
                end = partial(self._recorded.succeed, step, told, result, failures + 1, started_us)
                return await asyncio.to_thread(end)
            except Exception as error:  # noqa: BLE001 - users' code may raise anything
                failures += 1
                delay_s = self._retry_delay_s(step, error, failures)
                if delay_s is None:
                    end = partial(self._recorded.fail, step, told, error, failures, started_us)
                    return await asyncio.to_thread(end)
            finally:
                current_scope.reset(scope_token)
                current_log.reset(log_token)
                log.close()
            await asyncio.sleep(delay_s)

    def _execute_elsewhere(self, step: Step, told: Told) -> StepState[Any] | None:
        """Have a step executed as attempts of its own; None if it is to be executed here."""
        # Most flows have no such steps.
        from ostinato.runtime.step_placing import StepPlacing  # noqa: PLC0415 - see above

        placing = StepPlacing(self._spec, self._info, self._port, self._recorded)
        return placing.execute(step, told)

    def _perform_beside(self, step: Step) -> StepState[Any]:
        """Perform a step in a thread of its own."""
        try:
            if step.task.is_async:
                with asyncio.Runner(loop_factory=self.new_loop) as runner:
                    return runner.run(self._perform_async(step))
            return self._perform(step)
        except Exception as error:  # noqa: BLE001 - it is for whoever waits for the future
            return StepState("failed", error=error)

    def _find_cached(self, step: Step, told: Told, caching: Caching) -> StepState[Any] | None:
        """Return the result that is kept for a call; None if it is to be executed.

        Of several equal calls, in all runs, one is executed, and the others wait for it.
        """
        key = cache_key(step.task, caching, told.args, told.kwargs, self._info)
        if key is None:
            return None
        # Who holds a claim never waits for another, or two could wait for each other.
        claims = self._recorded.claims
        may_wait = not any(step.path[:size] in claims for size in range(1, len(step.path)))
        is_refreshed = caching.is_refreshed or self._recorded.was_reset(step.path)
        args = {"key": key, "token": self._spec.token, "is_refreshed": is_refreshed}
        delay_s = CACHE_DELAY_S
        while True:
            started_us = self._clock.now_us()
            answer = self._port.call(self._spec.token, "cached", args)
            if "source" in answer:
                value = answer["value"]
                stored = None if value is None else converted(value, StoredValue)
                try:
                    result = decode_value(stored, self._info.values_root)
                except ValueMissing:
                    args["is_refreshed"] = True
                    continue
                source = answer["source"]
                succeeded = TaskRunState.SUCCEEDED
                self._recorded.record(
                    step, told, succeeded, 1, started_us, value=stored, source=source
                )
                return StepState("succeeded", result)
            if answer["is_claimed"]:
                claims[step.path] = KeptResult(key, caching.expires_s)
                return None
            if not may_wait:
                return None
            self.time.sleep(delay_s)
            delay_s = min(delay_s * 1.5, MAX_CACHE_DELAY_S)

    def _tell(self, step: Step) -> Told:
        for each in step.wait_for:
            if isinstance(each, StepFuture):
                each.result()
        args = resolve_futures(step.args)
        kwargs = resolve_futures(step.kwargs)
        named = step.task.name_arguments(args, kwargs)
        digest = Digest(step.task.task_id, named)
        return Told(digest, render_inputs(named) if named else None, args, kwargs)

    def _log(self, step: Step, number: int) -> AttemptLog:
        spec = AttemptSpec(
            self._spec.token,
            self._spec.run_id,
            step.task.task_id,
            step.path,
            self._recorded.attempt(number),
            generation=self._spec.generation,
        )
        if self._watch is not None:
            self._watch.begin(step.task.task_id, step.path, self._clock.now_us())
        return AttemptLog(self._info.logs_root, spec, self._clock)

    def _retry_delay_s(self, step: Step, error: Exception, failures: int) -> float | None:
        may_retry = not isinstance(error, signals.Skip | signals.Fail | ValueNotSerialisable)
        if may_retry and not isinstance(error, signals.TaskSignal):
            may_retry = step.task.may_retry(error) is not False
        after_s = error.after_s if isinstance(error, signals.Retry) else None
        unknown = Failure(FailureKind.ERROR, type(error).__name__, "")
        event = AttemptFailed(
            0, step.task.task_id, step.path, failures, unknown, may_retry, after_s, draw_chance()
        )
        policy = step.task.policy
        return retry_delay_s(policy, failures, event)


async def _within(limit_s: float | None, call: Awaitable[Any], step: Step) -> Any:
    """Await a step's function, no longer than it may take."""
    if limit_s is None:
        return await call
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            return await call
    except TimeoutError:
        if not limit.expired():
            # Its own.
            raise
        message = f"step {step.name!r} ran longer than its timeout of {limit_s:g} s"
        raise AttemptTimeout(message) from None


def _enlist(step: Step, transaction: Transaction, state: StepState[Any]) -> None:
    if state.error is None:
        task = step.task
        transaction.enlist(
            Enlisted(step.path, task.task_id, task.commit_hooks, task.rollback_hooks)
        )

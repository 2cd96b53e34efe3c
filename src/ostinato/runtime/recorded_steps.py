"""This module is what is recorded of a flow's steps: compared with what is called, and written."""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ostinato.authoring import signals
from ostinato.authoring.futures import StepState
from ostinato.authoring.steps import StepTask
from ostinato.authoring.transactions import TRANSACTION, Transaction
from ostinato.clock import Clock
from ostinato.errors import FlowDiverged, ValueNotSerialisable
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.identity import MapPath, TaskRunKey
from ostinato.model.state import TaskRunState
from ostinato.model.step import StepInfo
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime.capture import current_log
from ostinato.runtime.context import Port
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.messages import (
    AttemptSpec,
    KeptResult,
    PlacedStep,
    RecordedStep,
    RunInfo,
    StepCall,
)
from ostinato.runtime.own_steps import OwnTask
from ostinato.runtime.step_digest import Digest
from ostinato.runtime.step_errors import pickled_error, recorded_error
from ostinato.runtime.step_names import step_name
from ostinato.runtime.step_watch import StepWatch
from ostinato.runtime.values import decode_value, encode_value

S = TypeVar("S", bound=Struct)

#: Numbers of tries of a step in one attempt of the body.
ATTEMPTS_OF_STEP = 1_000

#: States of steps that execute elsewhere, or are about to.
_UNDER_WAY = (TaskRunState.QUEUED, TaskRunState.RUNNING, TaskRunState.RETRYING)

#: Recorded steps that are fetched at a time.
PAGE = 2_000


class Step(Struct, frozen=True):
    """A call of a task: what is executed, and where it stands in the flow."""

    task: StepTask
    path: MapPath
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    place: str
    wait_for: tuple[Any, ...]
    #: In which it is, if its task has hooks for it.
    transaction: Transaction | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(TaskRunKey(self.task.task_id, self.path))


class Told(Struct, frozen=True):
    """What a step's arguments amount to."""

    digest: Digest
    inputs: str | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class RecordedSteps:
    """The steps of one run that are recorded, seen from an attempt to execute its body.

    Args:
        spec: The attempt of the body.
        info: What the run's attempts share.
        port: Asks the coordinator; safe in all threads.
        clock: Stamps steps.

    Attributes:
        watch: Tells people of steps that take long; None where time does not pass.
        claims: Of steps that execute: where their results are to be kept for other runs.
        is_retry: Whether the body failed before: then what failed in it is executed again.
    """

    def __init__(self, spec: AttemptSpec, info: RunInfo, port: Port, clock: Clock) -> None:
        self._spec = spec
        self._info = info
        self._port = port
        self._clock = clock
        self.claims: dict[MapPath, KeptResult] = {}
        self.watch: StepWatch | None = None
        self.is_retry = spec.try_number > 1 or spec.generation > 0
        self._found = self._fetch()
        #: Whether a step has been executed that was recorded otherwise; then others may follow.
        self._is_rewriting = False

    def __contains__(self, path: MapPath) -> bool:
        """Whether a step is recorded in a place."""
        return path in self._found

    def _fetch(self) -> dict[MapPath, RecordedStep]:
        found: dict[MapPath, RecordedStep] = {}
        cursor = ""
        while True:
            args = {"cursor": cursor, "limit": PAGE}
            rows, cursor = self._port.call(self._spec.token, "steps", args)
            for row in rows:
                step = row if isinstance(row, RecordedStep) else msgspec.convert(row, RecordedStep)
                found[step.path] = step
            if not cursor:
                return found

    def replay(self, step: Step, told: Told) -> StepState[Any] | None:
        """Return how a step ended in an earlier attempt, None if it is to be executed.

        Raises:
            FlowDiverged: Another step was recorded in this place.
        """
        recorded = self._found.get(step.path)
        if recorded is None:
            return None
        if recorded.state == TaskRunState.REMOVED:
            # It was reset; what follows may be called with other arguments now.
            self._is_rewriting = True
            return None
        if recorded.task_id != step.task.task_id or recorded.info.digest != told.digest.value:
            if self._is_rewriting:
                # Behind a step that went another way than before, others may follow.
                return None
            raise self._divergence(step, told, recorded)
        if recorded.state == TaskRunState.SUCCEEDED:
            return StepState("succeeded", decode_value(recorded.value, self._info.values_root))
        state = TaskRunState(recorded.state)
        if state is TaskRunState.CANCELLED or not state.is_terminal:
            # It executed elsewhere, or was waiting for a person, when its process ended.
            return None
        if self.is_retry:
            self._is_rewriting = True
            return None
        return StepState(state.label, error=recorded_error(recorded))

    def _divergence(self, step: Step, told: Told, recorded: RecordedStep) -> FlowDiverged:
        number = ".".join(map(str, step.path))
        return FlowDiverged(
            f"{step.place}: the flow went another way than before at step {number}: recorded is "
            f"{recorded.task_id}({recorded.inputs or ''}) of {recorded.info.place}, called is "
            f"{step.task.task_id}({told.inputs or ''})",
            hint=f"ostinato retry '{self._info.flow}#{self._info.number}' --from {number} runs "
            f"it and what follows anew, --reset {number} only it",
        )

    def succeed(
        self,
        step: Step,
        told: Told,
        result: Any,
        number: int,
        started_us: int,
        *,
        run_id: int = 0,
        by: str = "",
    ) -> StepState[Any]:
        """Record that a step returned."""
        value = None
        if result is not None or step.path in self._found:
            # A result of None has no value, unless it takes the place of another one.
            value = self._encode(step, result, number)
        self.record(
            step,
            told,
            TaskRunState.SUCCEEDED,
            number,
            started_us,
            value=value,
            run_id=run_id,
            by=by,
        )
        return StepState("succeeded", result)

    def _encode(self, step: Step, result: Any, number: int) -> StoredValue:
        spec = AttemptSpec(
            self._spec.token,
            self._spec.run_id,
            step.task.task_id,
            step.path,
            self.attempt(number),
            generation=self._spec.generation,
        )
        try:
            return encode_value(RETURN_VALUE, result, spec, self._info.values_root)
        except ValueNotSerialisable as error:
            message = f"{step.place}: step {step.name}: {error.message}"
            raise ValueNotSerialisable(message, hint=error.hint) from error

    def fail(
        self,
        step: Step,
        told: Told,
        error: Exception,
        number: int,
        started_us: int,
        *,
        run_id: int = 0,
    ) -> StepState[Any]:
        """Record that a step raised, and log it."""
        state = TaskRunState.FAILED
        if isinstance(error, signals.Skip):
            state = TaskRunState.SKIPPED
        failure = describe_failure(error)
        log = current_log.get()
        if log is not None and state is TaskRunState.FAILED:
            log.write("ERROR", "ostinato", failure.summary)
        pickled = pickled_error(error)
        self.record(
            step,
            told,
            state,
            number,
            started_us,
            failure=failure,
            error=pickled,
            run_id=run_id,
        )
        return StepState(state.label, error=error)

    def record(
        self,
        step: Step,
        told: Told,
        state: TaskRunState,
        number: int,
        started_us: int,
        *,
        value: StoredValue | None = None,
        failure: Failure | None = None,
        error: bytes = b"",
        run_id: int = 0,
        source: str = "",
        by: str = "",
    ) -> None:
        """Have a step recorded; durable when this returns."""
        digest = told.digest
        if self.watch is not None:
            self.watch.end(step.path)
        info = StepInfo(digest.value, digest.is_exact, step.place, error, source, run_id, by)
        kept = self.claims.pop(step.path, None)
        if kept is not None and state is not TaskRunState.SUCCEEDED:
            args = {"key": kept.key, "token": self._spec.token}
            self._port.call(self._spec.token, "cache_release", args)
            kept = None
        record = self.row(step, told, state, number, started_us, info, value, failure, kept)
        self._port.call(self._spec.token, "step", {"record": record})

    def is_under_way(self, path: MapPath) -> bool:
        """Whether a step was executing elsewhere when the body was executed before."""
        recorded = self._found.get(path)
        return recorded is not None and recorded.state in _UNDER_WAY

    def was_reset(self, path: MapPath) -> bool:
        """Whether somebody wants a step, which was recorded, executed anew."""
        recorded = self._found.get(path)
        return recorded is not None and recorded.state == TaskRunState.REMOVED

    def placed(self, step: Step, told: Told, call: StepCall) -> PlacedStep:
        """Return what is asked for of a step that is executed elsewhere."""
        digest = told.digest
        return PlacedStep(
            step.path,
            step.task.task_id,
            step.task.policy,
            call,
            StepInfo(digest.value, digest.is_exact, step.place),
            self.attempt(1),
            told.inputs,
            step_name(step.task, told.args, told.kwargs) if step.task.map_name else "",
            self.claims.get(step.path),
        )

    def take(self, step: Step, *, is_kept: bool) -> None:
        """Note that a step has ended elsewhere, where it was recorded."""
        kept = self.claims.pop(step.path, None)
        if kept is not None and not is_kept:
            args = {"key": kept.key, "token": self._spec.token}
            self._port.call(self._spec.token, "cache_release", args)

    def row(
        self,
        step: Step,
        told: Told,
        state: TaskRunState,
        number: int,
        started_us: int,
        info: StepInfo,
        value: StoredValue | None = None,
        failure: Failure | None = None,
        kept: KeptResult | None = None,
    ) -> RecordedStep:
        """Return what is written of a step."""
        return RecordedStep(
            step.path,
            step.task.task_id,
            int(state),
            self.attempt(number),
            started_us,
            self._clock.now_us(),
            info,
            value,
            failure,
            told.inputs,
            kept,
            step_name(step.task, told.args, told.kwargs) if step.task.map_name else "",
        )

    def attempt(self, number: int) -> int:
        """Return by which number the files of a step's n-th try are named."""
        # A step that is executed again by another attempt of the body keeps its earlier logs.
        return (self._spec.attempt - 1) * ATTEMPTS_OF_STEP + number

    # Transactions

    def begin_transaction(self, path: MapPath, place: str) -> None:
        """Open a transaction; what was rolled back is executed again in a retry."""
        recorded = self._found.get(path)
        if recorded is None:
            return
        if recorded.task_id != TRANSACTION:
            if self._is_rewriting:
                return
            step, told = _transaction_step(path, place)
            raise self._divergence(step, told, recorded)
        if recorded.state != TaskRunState.SUCCEEDED and self.is_retry:
            self._is_rewriting = True
            # What a later attempt of the body has recorded since is not undone.
            last = recorded.attempt // ATTEMPTS_OF_STEP
            for inner, step_ in list(self._found.items()):
                is_within = inner[: len(path)] == path
                if is_within and step_.attempt // ATTEMPTS_OF_STEP <= last:
                    del self._found[inner]

    def end_transaction(self, path: MapPath, place: str, *, is_committed: bool) -> None:
        """Record how a transaction ended."""
        state = TaskRunState.SUCCEEDED if is_committed else TaskRunState.FAILED
        recorded = self._found.get(path)
        if recorded is not None and (recorded.task_id, recorded.state) == (TRANSACTION, state):
            return
        step, told = _transaction_step(path, place)
        failure = None
        if not is_committed:
            failure = Failure(FailureKind.ERROR, "RolledBack", "the transaction was rolled back")
        self.record(step, told, state, 1, self._clock.now_us(), failure=failure)


def _transaction_step(path: MapPath, place: str) -> tuple[Step, Told]:
    step = Step(OwnTask(TRANSACTION, Transaction), path, (), {}, place, ())
    return step, Told(Digest(TRANSACTION, {}), None, (), {})


def converted(value: Any, kind: type[S]) -> S:
    """Return an answer as the type that it had before it travelled."""
    return value if isinstance(value, kind) else msgspec.convert(value, kind)

"""This module drives subflows: runs whose bodies execute inside the body of another flow."""

import selectors
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ostinato.client.parameters import validate_params
from ostinato.coordinator.live_run import LiveRun
from ostinato.coordinator.triggered_runs import Asked, Starter
from ostinato.engine.task_run import TaskRun
from ostinato.errors import ExecutionError
from ostinato.executors.protocol import Later
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import RunId, format_path
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.state import RunState
from ostinato.model.step import BODY
from ostinato.runtime.messages import AttemptSpec, Ended, Lost, Report, Revoked, RunInfo
from ostinato.store.protocol import Store

#: Executor of the bodies of subflows: the process of the flow that calls them.
NESTED = "nested"

#: What ``trigger`` says of the run of a subflow.
TRIGGER = "flow"

_decode_flow = msgspec.msgpack.Decoder(FlowDefinition).decode


class NestedRuns:
    """Hand the attempts of subflows to the bodies that call them; an executor of its own kind.

    A body asks for a subflow's run and gets its attempt to execute, executes it, reports how it
    ended, and gets the next attempt, or how the run ended.

    Args:
        store: Where definitions lie.
        starter: Creates and drives the runs.
    """

    def __init__(self, store: Store, starter: Starter) -> None:
        self._store = store
        self._starter = starter
        #: Bodies that wait for the next attempt of a run, or for its end.
        self._waiting: dict[int, Later] = {}
        #: Which body, by the token of its attempt, calls a run.
        self._callers: dict[int, int] = {}
        #: Attempts by token that a body executes, and those for which no body has asked yet.
        self._active: dict[int, int] = {}
        self._held: dict[int, tuple[AttemptSpec, RunInfo]] = {}
        #: Whose subflow a run is.
        self._parents: dict[int, int] = {}
        self._reports: list[Report] = []
        self.answers: dict[str, Callable[..., Any]] = {
            "subflow": self._begin,
            "subflow_ended": self._end,
        }

    # Calls

    def _begin(
        self,
        run: LiveRun,
        body: TaskRun,
        *,
        definition: bytes,
        params: dict[str, Any],
        place: list[int] | tuple[int, ...],
        again: int,
        token: int,
    ) -> Later:
        """Start the run of a subflow; answered by its first attempt, or by how it ended."""
        flow = _decode_flow(definition)
        data = encode_manifest(Manifest(run.row.project, (flow,)))
        version = version_of(data)
        self._store.save_manifest(version, run.row.project, data)
        path = format_path(tuple(place))
        tag = f"from:{run.row.flow}#{run.row.number}/{path}"
        key = f"subflow:{run.id}:{body.generation}:{path}:{again}"
        nested = msgspec.structs.replace(flow, executor=NESTED)
        values = validate_params(flow, params)
        asked = Asked(nested, values, run.row.logical_date_us, key, tag, version, TRIGGER)
        row = self._starter.start_asked(run.row, asked)
        if not row.state.is_terminal:
            return self.await_attempt(row.id, parent=run.id, caller=token)
        # The process of the caller ended between the end of the subflow and its record.
        later = Later(_nothing)
        later.settle(self._ending(row.id, row.state, row.reason))
        return later

    def _end(
        self, _: LiveRun, __: TaskRun, *, run_id: int, report: dict[str, Any] | Ended
    ) -> Later:
        """Take the report of a subflow's attempt; answered by the next one, or by the end."""
        told: Ended = msgspec.convert(report, Ended) if isinstance(report, dict | list) else report
        if self._active.pop(told.token, None) is None:
            message = "this subflow's attempt was given up"
            raise ExecutionError(message)
        self._reports.append(told)
        later = self._waiting[run_id] = Later(_nothing)
        return later

    def await_attempt(self, run_id: int, *, parent: int, caller: int) -> Later:
        """Return what a body waits with for the next attempt of a run, or for its end.

        Args:
            run_id: Of the subflow.
            parent: The run that calls it.
            caller: Token of the attempt that calls it.
        """
        self._parents[run_id] = parent
        self._callers[run_id] = caller
        later = self._waiting[run_id] = Later(_nothing)
        if run_id in self._held:
            self._give(*self._held.pop(run_id))
        return later

    # What the coordinator tells

    def check_caller(self, token: int, caller: int) -> None:
        """Refuse a call on behalf of a subflow by anybody but the attempt that executes it.

        Args:
            token: Of the subflow's attempt.
            caller: Of the attempt that asks.

        Raises:
            ExecutionError: That attempt was given up, or is another's.
        """
        run_id = self._active.get(token)
        if run_id is None or self._callers.get(run_id) != caller:
            message = "this subflow's attempt was given up; its call is refused"
            raise ExecutionError(message)

    def caller_of(self, run_id: int) -> int:
        """Return the token of the attempt that executes a run inside of it, 0 if none does."""
        return self._callers.get(run_id, 0)

    def run_ended(self, run: LiveRun) -> list[int]:
        """Tell the body that waits for a run how it ended; return its own live subflows."""
        self._parents.pop(run.id, None)
        self._callers.pop(run.id, None)
        later = self._waiting.pop(run.id, None)
        if later is not None:
            machine = run.machine
            later.settle(self._ending(run.id, machine.state, machine.reason))
        return [run_id for run_id, parent in self._parents.items() if parent == run.id]

    def caller_ended(self, token: int) -> None:
        """Give up the attempts of subflows that a body was executing when it ended itself."""
        if not self._callers:
            return
        for run_id in [run_id for run_id, caller in self._callers.items() if caller == token]:
            del self._callers[run_id]
            self._waiting.pop(run_id, None)
            for nested, owner in list(self._active.items()):
                if owner == run_id:
                    del self._active[nested]
                    self._reports.append(Lost(nested, "the flow that called it ended"))

    def _ending(self, run_id: int, state: RunState, reason: str) -> dict[str, Any]:
        """Return how a run ended, with its result for a body that has not executed it itself."""
        values = self._store.values(RunId(run_id), BODY, path="")
        value = values[0][1] if values and state is RunState.SUCCEEDED else None
        return {"run_id": run_id, "state": state.label, "reason": reason, "value": value}

    # As an executor

    def credits(self) -> int:
        """Return how many attempts it takes: each has a body that waits for it."""
        return 1_000

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Give an attempt to the body that waits for it, now or once one asks."""
        for spec in attempts:
            if run.run_id in self._waiting:
                self._give(spec, run)
            else:
                self._held[run.run_id] = (spec, run)

    def _give(self, spec: AttemptSpec, run: RunInfo) -> None:
        self._active[spec.token] = run.run_id
        self._waiting.pop(run.run_id).settle({"spec": spec, "info": run})

    def cancel(self, token: int, reason: str) -> None:
        """Take back an attempt for which no body has asked; others end with their body."""
        del reason
        for run_id, (spec, _) in list(self._held.items()):
            if spec.token == token:
                del self._held[run_id]
                self._reports.append(Revoked(token))

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register nothing: all comes by calls."""

    def poll(self) -> list[Report]:
        """Return the reports that have come."""
        reports, self._reports = self._reports, []
        return reports

    def has_work(self) -> bool:
        """Whether reports wait."""
        return bool(self._reports)

    def next_check_s(self) -> float | None:
        """Return None: nothing happens by itself."""
        return None

    def close(self) -> None:
        """Forget everything; bodies end with their coordinator."""
        self._waiting.clear()


def _nothing() -> None:
    """Hasten nothing: a run ends when it ends."""

"""This module makes one tick of an event sensor: its function is called, its runs are made."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ostinato.authoring.suggestions import did_you_mean
from ostinato.client.local import LocalClient
from ostinato.client.parameters import validate_params
from ostinato.client.records import NewRun
from ostinato.client.service_runs import ServiceRuns
from ostinato.clock import Clock
from ostinato.errors import OstinatoError, SensorError, StoreError
from ostinato.executors.evaluators import Evaluation, NotEvaluable
from ostinato.executors.served_code import InForce
from ostinato.model.event_sensor import SensorDefinition
from ostinato.model.sensor_state import SensorState, TickOutcome, TickRow
from ostinato.model.sensor_tick import AskedRun, EndedRun, TickInput, TickResult
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: What ``trigger`` says of the runs.
TRIGGER = "sensor"

#: Ids of new runs that a tick names; a tick may ask for thousands.
MAX_NAMED_RUNS = 20

#: How often the function of a ``run_status`` sensor is called for a run before it goes on.
TRIES_PER_RUN = 3

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TickResult).decode


class Evaluate(Protocol):
    """Call a user's function; ``Evaluators.evaluate`` does."""

    def __call__(self, kind: str, name: str, payload: bytes, *, timeout_s: float) -> Evaluation:
        """Call it, or raise ``NotEvaluable``."""
        ...


class Made(NamedTuple):
    """What became of the runs that were asked for.

    Attributes:
        runs: How many are new.
        known: How many were asked for before.
        run_ids: Ids of the first new ones, with commas between them.
        last_key: The last run key, or empty.
    """

    runs: int = 0
    known: int = 0
    run_ids: str = ""
    last_key: str = ""


class SensorTicks:
    """Make ticks, in any thread.

    What a tick has written can be written twice: the keys of its runs are made of their run key,
    or of the number of the tick. So a process that is killed between its runs and its cursor
    doubles nothing when it is made again.

    Args:
        client: Where sensors and runs are.
        project: Whose.
        flows: Finds the flows in force.
        clock: The time.
    """

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        flows: Callable[[], Mapping[str, InForce]],
        clock: Clock,
    ) -> None:
        self._client = client
        self._project = project
        self._flows = flows
        self._clock = clock
        self._runs = ServiceRuns(project)

    def tick(
        self,
        definition: SensorDefinition,
        state: SensorState,
        evaluate: Evaluate,
        *,
        run: EndedRun | None = None,
        cursor: str | None = None,
    ) -> TickRow:
        """Make a tick, keep what it came to, and return it.

        Args:
            definition: The sensor.
            state: What was kept of it.
            evaluate: Calls its function.
            run: Which a ``run_status`` sensor ticks for.
            cursor: Where that one goes on behind the run; its function has no cursor then.

        Raises:
            StoreError: It could not be kept.
        """
        started_us = self._clock.now_us()
        result, reason = TickResult(), ""
        made = Made()
        try:
            evaluation = self._evaluate(definition, state, evaluate, run)
            result = msgspec.structs.replace(_decode(evaluation.payload), output=evaluation.output)
            made = self._make_runs(definition, state, result.asked, started_us, run)
        except NotEvaluable as error:
            reason = error.failure.summary.removeprefix(f"{self._project.root}/")
            result = TickResult(output=error.output)
        except StoreError:
            raise
        except OstinatoError as error:
            reason = str(error)
        has_failed = bool(reason)
        told_of = f"told of {run.name}" if run is not None else ""
        if has_failed:
            logger.warning("sensor %r failed: %s", definition.name, reason)
        ended_us = self._clock.now_us()
        outcome = TickOutcome.REQUESTED if made.runs or made.known else TickOutcome.SKIPPED
        row = TickRow(
            state.number + 1,
            started_us,
            ended_us,
            1,
            TickOutcome.FAILED if has_failed else outcome,
            (reason or result.reason or told_of).replace("\0", "\N{REPLACEMENT CHARACTER}"),
            made.runs,
            made.known,
            made.run_ids,
            result.output,
        )
        failures = state.failures + 1 if has_failed else 0
        is_over = run is not None and (not has_failed or failures >= TRIES_PER_RUN)
        if run is not None:
            kept = cursor if is_over else state.cursor
        else:
            kept = state.cursor if has_failed or result.cursor is None else result.cursor
        after = state._replace(
            cursor=kept,
            ticked_us=ended_us,
            succeeded_us=state.succeeded_us if has_failed else ended_us,
            last_run_key=made.last_key or state.last_run_key,
            failures=0 if is_over else failures,
        )
        if not self._client.sensors.keep_tick(state, after, row):
            logger.info("a tick of sensor %r was overtaken", definition.name)
        return row

    def _evaluate(
        self,
        definition: SensorDefinition,
        state: SensorState,
        evaluate: Evaluate,
        run: EndedRun | None,
    ) -> Evaluation:
        given = TickInput(
            state.cursor if run is None else None, state.succeeded_us, state.last_run_key, run
        )
        timeout_s = definition.timeout_s
        return evaluate("sensor", definition.name, _encode(given), timeout_s=timeout_s)

    def _make_runs(
        self,
        definition: SensorDefinition,
        state: SensorState,
        asked: Sequence[AskedRun],
        now_us: int,
        run: EndedRun | None,
    ) -> Made:
        """Make runs in one commit; those with a key that is known are there already."""
        if not asked:
            return Made()
        # Whoever makes the tick again asks for the same.
        occasion = f"#{state.number + 1}" if run is None else f"#{run.id}.{run.ended_us}"
        new = [
            self._run(definition, one, now_us, key=one.run_key or f"{occasion}.{index}")
            for index, one in enumerate(asked)
        ]
        before_us = self._clock.now_us()
        rows = self._client.create_runs(new)
        fresh = list(dict.fromkeys(row.id for row in rows if row.created_us >= before_us))
        keys = [one.run_key for one in asked if one.run_key]
        named = ",".join(map(str, fresh[:MAX_NAMED_RUNS]))
        known = len({row.id for row in rows}) - len(fresh)
        return Made(len(fresh), known, named, keys[-1] if keys else "")

    def _run(
        self, definition: SensorDefinition, asked: AskedRun, now_us: int, *, key: str
    ) -> NewRun:
        flow = self._flow(asked.flow)
        return self._runs.new(
            flow.definition,
            flow.version,
            validate_params(flow.definition, asked.params),
            trigger=TRIGGER,
            date_us=now_us if asked.date_us is None else asked.date_us,
            tags=(f"sensor:{definition.name}", *definition.tags, *asked.tags),
            logical_key=f"sensor:{definition.name}:{key}",
        )

    def _flow(self, name: str) -> InForce:
        flows = self._flows()
        found = flows.get(name)
        if found is None:
            raise SensorError(f"there is no flow {name!r}", hint=did_you_mean(name, flows))
        return found

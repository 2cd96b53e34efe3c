"""This module drives event sensors: it calls each when it is due, several at a time."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from ostinato.automation.sensor_ticks import SensorTicks
from ostinato.client.local import LocalClient
from ostinato.clock import Clock, SystemClock
from ostinato.errors import StoreError
from ostinato.executors.code_host import CodeHost
from ostinato.executors.evaluators import Evaluators
from ostinato.executors.served_code import CodeChange, InForce, SensorInForce
from ostinato.model.event_sensor import SensorKind
from ostinato.model.health import PartHealth
from ostinato.model.sensor_state import SensorState, TickOutcome
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)

#: Sensors whose functions are called at a time.
MAX_AT_A_TIME = 8

#: Seconds between two looks at what ended, for sensors of the ends of runs.
FOLLOW_S = 0.25

#: Seconds between two looks at whether people have paused or resumed a sensor, where nobody
#: says so.
LOOK_S = 5.0

#: Seconds between two looks of one that is not active.
IDLE_S = 2.0

#: A sensor that fails is called after its interval, then twice that, up to this many seconds.
MAX_PAUSE_S = 600.0

#: Seconds until it is tried again after the store has failed.
STORE_FAILED_S = 2.0

#: Runs that one sensor is called for in a row, before others have their turn.
_ENDS_IN_A_ROW = 20

#: Seconds between two writes of how far the log was read, where nothing in it counted.
_KEEP_CURSOR_S = 30.0


class Code(Protocol):
    """What is in force of a project's code; ``ServedCode`` is it."""

    @property
    def flows(self) -> Mapping[str, InForce]:
        """The flows in force by name."""
        ...

    @property
    def sensors(self) -> Mapping[str, SensorInForce]:
        """The event sensors in force by name."""
        ...

    def hold(self, version: str) -> CodeHost | None:
        """Return the host of a version and keep it until ``release``; None if it is gone."""
        ...

    def release(self, version: str) -> None:
        """Let go of what ``hold`` has given."""
        ...

    def subscribe(self, tell: Callable[[CodeChange], None]) -> None:
        """Have a function told of each change."""
        ...


class _Watched:
    """A sensor as it is driven.

    Attributes:
        due_s: When it is to be called, monotonic.
        pending: Its tick that goes on.
        scanned: Cursor up to which the log holds nothing for it; empty for what is kept.
        kept_s: When that was written last.
    """

    def __init__(self) -> None:
        self.due_s = 0.0
        self.pending: Future[None] | None = None
        self.scanned = ""
        self.kept_s = 0.0


class SensorDriver:
    """Drive the event sensors of a project; a part of a scheduler.

    Args:
        client: Where sensors and runs are.
        project: Whose.
        code: What is in force of its code.
        answer: Answers what functions ask, such as for connections.
        clock: The time.
        is_active: Whether it is this one that drives them, of several.
    """

    name = "sensors"

    def __init__(
        self,
        client: LocalClient,
        project: Project,
        code: Code,
        *,
        answer: Callable[[str, dict[str, Any]], Any] | None = None,
        clock: Clock | None = None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._project = project
        self._code = code
        self._answer = answer
        self._clock = clock or SystemClock()
        self._is_active = is_active
        self._ticks = SensorTicks(client, project, lambda: code.flows, self._clock)
        self._watched: dict[str, _Watched] = {}
        self._evaluators: dict[int, tuple[CodeHost, Evaluators]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._wake = threading.Event()
        self._is_draining = False
        self._is_stopped = False
        self._problem = ""
        #: Behind the newest event, at the last look.
        self._log_end = ""
        code.subscribe(lambda _change: self.wake())

    # The part

    def serve(self) -> None:
        """Call sensors when they are due, until it is stopped."""
        try:
            while not self._is_stopped and not self._is_draining:
                self._wake.wait(self.turn())
                self._wake.clear()
        finally:
            self._end()

    def stop(self) -> None:
        """Have ``serve`` return soon; functions that are being called are killed."""
        self._is_stopped = True
        self._close_evaluators()
        self._wake.set()

    def drain(self) -> None:
        """Have ``serve`` return once the functions that are being called have returned."""
        self._is_draining = True
        self._wake.set()

    def wake(self) -> None:
        """Have it look at once; safe in all threads."""
        self._wake.set()

    def health(self) -> PartHealth:
        """Return how it is."""
        return PartHealth(is_ready=not self._problem, detail=self._problem)

    # Driving

    def turn(self) -> float:
        """Begin the ticks that are due, and return the seconds until the next look."""
        sensors = self._code.sensors
        self._forget(sensors)
        if not sensors:
            # A change of the code wakes it.
            return LOOK_S * 12
        try:
            if not self._is_active():
                return IDLE_S
            states = {state.name: state for state in self._client.sensors.states(self._name)}
            self._log_end = self._end_of_log(sensors)
            due = [self._consider(sensor, states) for sensor in sensors.values()]
        except StoreError as error:
            self._note_problem(error)
            return STORE_FAILED_S
        self._problem = ""
        now_s = self._clock.monotonic_s()
        return max(min([LOOK_S, *(due_s - now_s for due_s in due)]), 0.0)

    def _end_of_log(self, sensors: Mapping[str, SensorInForce]) -> str:
        """Return the cursor behind the newest event, empty where nobody follows the log."""
        kinds = {sensor.definition.kind for sensor in sensors.values()}
        return self._client.sensors.event_cursor() if SensorKind.RUN_STATUS in kinds else ""

    def settle(self) -> None:
        """Return once no tick goes on."""
        for watched in list(self._watched.values()):
            if watched.pending is not None:
                watched.pending.result()

    @property
    def _name(self) -> str:
        return self._project.name

    def _consider(self, sensor: SensorInForce, states: Mapping[str, SensorState]) -> float:
        """Begin a tick of a sensor if it is due; return when to look at it again."""
        name = sensor.definition.name
        state = states.get(name)
        if state is None:
            state = self._begin(sensor)
        watched = self._watched.get(name)
        now_s = self._clock.monotonic_s()
        if watched is None:
            watched = self._watched[name] = _Watched()
            watched.due_s = now_s + self._left_s(sensor, state)
        if watched.pending is not None:
            if not watched.pending.done():
                return now_s + LOOK_S
            error = watched.pending.exception()
            if error is not None:
                # Such as no room for another process: it is tried again when it is due.
                logger.error("sensor %r could not be called: %s", name, error)
            watched.pending = None
        if state.is_paused:
            # Resumed, it is called at once.
            watched.due_s = now_s
            return now_s + LOOK_S
        if watched.scanned and watched.scanned == self._log_end:
            # Nothing was written since it has looked.
            watched.due_s = max(watched.due_s, now_s + FOLLOW_S)
        if watched.due_s > now_s:
            return watched.due_s
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_AT_A_TIME, thread_name_prefix="sensor")
        watched.pending = self._pool.submit(self._tick, sensor, watched)
        return now_s + LOOK_S

    def _begin(self, sensor: SensorInForce) -> SensorState:
        """Begin to keep a sensor: the ends of runs count from this moment on."""
        definition = sensor.definition
        follows = definition.kind is SensorKind.RUN_STATUS
        cursor = self._client.sensors.event_cursor() if follows else None
        return self._client.sensors.ensure(
            self._name, definition.name, is_paused=definition.is_paused, cursor=cursor
        )

    def _left_s(self, sensor: SensorInForce, state: SensorState) -> float:
        """Return in how many seconds a sensor is due that was driven before."""
        pause_s = _pause_s(sensor, state.failures)
        left_s = pause_s - (self._clock.now_us() - state.ticked_us) / 1e6
        return min(max(left_s, 0.0), pause_s)

    # In the threads of the pool

    def _tick(self, sensor: SensorInForce, watched: _Watched) -> None:
        """Make a tick, and say when the next one is due."""
        pause_s = STORE_FAILED_S
        # Code that is replaced meanwhile lives on until its functions have returned.
        if self._code.hold(sensor.version) is None:
            return
        try:
            state = self._client.sensors.state(self._name, sensor.definition.name)
            if sensor.definition.kind is SensorKind.RUN_STATUS:
                pause_s = self._follow(sensor, state, watched)
            elif not state.is_paused:
                row = self._ticks.tick(
                    sensor.definition, state, self._evaluators_of(sensor).evaluate
                )
                has_failed = row.outcome == TickOutcome.FAILED
                pause_s = _pause_s(sensor, state.failures + 1 if has_failed else 0)
        except StoreError as error:
            self._note_problem(error)
        finally:
            self._code.release(sensor.version)
            watched.due_s = self._clock.monotonic_s() + pause_s
            self._wake.set()

    def _follow(self, sensor: SensorInForce, state: SensorState, watched: _Watched) -> float:
        """Call a sensor for runs that have ended; return the seconds until the next look."""
        definition = sensor.definition
        sensors = self._client.sensors
        kept = state.cursor or ""
        ends, scanned = sensors.ends_of_runs(
            self._name,
            watched.scanned or kept,
            states=definition.states,
            flows=definition.monitored,
            but=() if definition.monitored else definition.flows,
            limit=_ENDS_IN_A_ROW,
        )
        evaluators = self._evaluators_of(sensor)
        for end in ends:
            if self._is_stopped:
                return 0.0
            row = self._ticks.tick(
                definition, state, evaluators.evaluate, run=end.run, cursor=end.cursor
            )
            state = sensors.state(self._name, definition.name)
            # Paused by somebody, or the run is to be told again.
            if state.is_paused or state.cursor != end.cursor:
                watched.scanned = ""
                has_failed = row.outcome == TickOutcome.FAILED
                return _pause_s(sensor, state.failures) if has_failed else 0.0
        watched.scanned = scanned
        now_s = self._clock.monotonic_s()
        if scanned != state.cursor and now_s - watched.kept_s > _KEEP_CURSOR_S:
            watched.kept_s = now_s
            sensors.move_cursor(state, scanned)
        return 0.0 if len(ends) == _ENDS_IN_A_ROW else FOLLOW_S

    # Evaluators: one set for each host that has code in force

    def _evaluators_of(self, sensor: SensorInForce) -> Evaluators:
        host = sensor.host
        found = self._evaluators.get(id(host))
        if found is None:
            made = Evaluators(host, self._answer, clock=self._clock)
            # Another thread may be quicker: what it made is used.
            found = self._evaluators.setdefault(id(host), (host, made))
        return found[1]

    def _forget(self, sensors: Mapping[str, SensorInForce]) -> None:
        """Let go of what is in force no more."""
        for name in self._watched.keys() - sensors.keys():
            pending = self._watched[name].pending
            if pending is None or pending.done():
                del self._watched[name]
        hosts = {id(sensor.host) for sensor in sensors.values()}
        for key in list(self._evaluators):
            _, evaluators = self._evaluators[key]
            evaluators.reap()
            if key not in hosts:
                del self._evaluators[key]
                evaluators.retire()

    def _close_evaluators(self) -> None:
        for _, evaluators in list(self._evaluators.values()):
            evaluators.close()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._close_evaluators()

    def _note_problem(self, error: StoreError) -> None:
        if not self._problem:
            logger.error("sensors wait for the store: %s", error)
        self._problem = str(error)


def _pause_s(sensor: SensorInForce, failures: int) -> float:
    """Return the seconds until the next tick, after so many failures in a row."""
    interval_s = sensor.definition.minimum_interval_s or FOLLOW_S
    most_s = max(MAX_PAUSE_S, interval_s)
    return min(interval_s * 2.0 ** min(failures, 20), most_s)

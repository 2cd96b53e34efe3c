"""This module holds sensors: operators that wait for a condition."""

import math
import time
from datetime import timedelta
from typing import Any, Literal, NamedTuple, NoReturn

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.signals import Defer, Fail, Skip
from ostinato.authoring.triggers import Trigger
from ostinato.errors import InvalidArgument
from ostinato.model.flow import TaskKind

#: Seconds between pokes, and over all pokes, as in Airflow.
DEFAULT_POKE_INTERVAL_S = 60.0
DEFAULT_TIMEOUT_S = 7 * 24 * 3600.0

#: Seconds that a single poke may take where no policy says: one that hangs must not hold a worker.
POKE_LIMIT_S = 600.0


class PokeReturn(NamedTuple):
    """What a poke found.

    Attributes:
        is_done: Whether the condition is met.
        value: The sensor's result then.
    """

    is_done: bool
    value: Any = None

    def __bool__(self) -> bool:
        return self.is_done


class Sensor(Operator):
    """Wait for a condition: subclass it and write ``poke``.

    Between pokes a sensor is deferred and holds no worker and no slot, unless ``mode="poke"``.
    A sensor that writes ``trigger`` too waits on the trigger host, which thousands share.

    Args:
        task_id: Unique in its group.
        poke_interval: Between pokes.
        timeout: Over all pokes, from the first one; then the task fails, with no retry.
            The limit of a single poke is ``execution_timeout``, by default ten minutes.
        soft_fail: Whether the task is skipped instead of failed when the time is over.
        mode: ``reschedule`` defers between pokes, ``poke`` waits inside the attempt.
        exponential_backoff: Factor on the interval per poke; True for 2.
        max_wait: Upper bound of the interval. Airflow's name.
        policies: How it is run, see ``Policies``.
    """

    operator_name = "sensor"
    kind = TaskKind.SENSOR
    attempt_limit_s = POKE_LIMIT_S

    def __init__(
        self,
        task_id: str,
        *,
        poke_interval: float | timedelta | str = DEFAULT_POKE_INTERVAL_S,
        timeout: float | timedelta | str = DEFAULT_TIMEOUT_S,
        soft_fail: bool = False,
        mode: Literal["reschedule", "poke"] = "reschedule",
        exponential_backoff: bool | float = False,
        max_wait: float | timedelta | str | None = None,
        **policies: Any,
    ) -> None:
        if mode == "poke":
            self.attempt_limit_s = 0.0
        super().__init__(task_id, **policies)
        self.poke_interval_s = self._duration("poke_interval", poke_interval)
        self.timeout_s = self._duration("timeout", timeout)
        self.soft_fail = soft_fail
        self.mode = mode
        self.backoff = 2.0 if exponential_backoff is True else float(exponential_backoff or 1)
        self.max_wait_s = None if max_wait is None else self._duration("max_wait", max_wait)
        problem = ""
        if mode not in ("reschedule", "poke"):
            problem = f"mode of {self.node_id!r} is {mode!r}, neither 'reschedule' nor 'poke'"
        elif self.backoff < 1:
            problem = f"exponential_backoff of {self.node_id!r} is {self.backoff:g}, less than 1"
        if problem:
            raise InvalidArgument(problem, place=relative_place(self.place))

    def poke(self, context: Context) -> bool | PokeReturn:
        """Return whether the condition is met.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def trigger(self, context: Context) -> Trigger | None:
        """Return what waits in place of further pokes; None to poke again after the interval.

        Args:
            context: Of the attempt whose poke found nothing.
        """
        del context
        return None

    def execute(self, context: Context) -> Any:
        """Poke once, or in the mode ``poke`` until the condition is met.

        Args:
            context: Of the attempt.

        Raises:
            Defer: If the condition is not met yet.
            Fail: If the time is over.
            Skip: If the time is over, and ``soft_fail`` says so.
        """
        while True:
            found = self.poke(context)
            if found:
                return found.value if isinstance(found, PokeReturn) else None
            waited_s = self._waited_s(context)
            if waited_s >= self.timeout_s:
                self._give_up(waited_s)
            left_s = self.timeout_s - waited_s
            # Where time is virtual, waiting inside the attempt would be waiting in earnest.
            if self.mode == "reschedule" or context.test_mode:
                trigger = self.trigger(context)
                if trigger is not None:
                    raise Defer(trigger=trigger, timeout=left_s)
                # The last poke is at the time-out itself.
                raise Defer(delta=min(self._interval_s(waited_s), left_s))
            time.sleep(min(self._interval_s(waited_s), left_s))

    def execute_complete(self, context: Context, event: Any) -> Any:
        """Return the sensor's result, once its trigger has found the condition met.

        Args:
            context: Of the attempt.
            event: What the trigger returned.
        """
        del context
        return event

    def on_deferral_timeout(self, context: Context) -> Any:
        """Give up: the trigger has waited as long as the sensor may.

        Args:
            context: Of the attempt.

        Raises:
            Fail: Without retries.
            Skip: If ``soft_fail`` says so.
        """
        self._give_up(self._waited_s(context))

    def _waited_s(self, context: Context) -> float:
        return (context.now - context.first_started_at).total_seconds()

    def _interval_s(self, waited_s: float) -> float:
        """Return how long to wait for the next poke.

        How many there were follows from the time since the first one, so nothing is counted:
        after n of them it is the sum of n terms of a geometric series.
        """
        factor, first_s = self.backoff, self.poke_interval_s
        interval_s = first_s
        if factor > 1 and first_s > 0:
            pokes = round(math.log1p(waited_s * (factor - 1) / first_s) / math.log(factor))
            interval_s = first_s * factor**pokes
        return interval_s if self.max_wait_s is None else min(interval_s, self.max_wait_s)

    def _give_up(self, waited_s: float) -> NoReturn:
        reason = (
            f"{self.node_id!r} waited {waited_s:.0f} s in vain; its timeout is {self.timeout_s:g} s"
        )
        raise Skip(reason) if self.soft_fail else Fail(reason)

    def _duration(self, name: str, value: float | timedelta | str) -> float:
        try:
            return seconds_of(value)
        except ValueError as err:
            raise InvalidArgument(f"{name}: {err}", place=relative_place(self.place)) from None


#: Airflow's name.
BaseSensorOperator = Sensor


class PythonSensor(FunctionOperator, Sensor):
    """Wait until a function returns something true.

    Args:
        task_id: Unique in its group.
        python_callable: Takes what the function of a ``PythonOperator`` takes; returns whether
            the condition is met, or a ``PokeReturn`` with the task's result.
        op_args: Positional arguments.
        op_kwargs: Arguments by name.
        options: What ``Sensor`` takes, and policies.
    """

    operator_name = "sensor"

    def poke(self, context: Context) -> bool | PokeReturn:
        """Call the function.

        Args:
            context: Of the attempt.
        """
        found = self.call(context)
        return found if isinstance(found, PokeReturn) else bool(found)

"""This module holds sensors: operators that wait for a condition."""

import time
from datetime import timedelta
from typing import Any, ClassVar, Literal, NamedTuple

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.python import FunctionOperator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.signals import Defer, Fail, Skip
from ostinato.clock import Clock, SystemClock
from ostinato.errors import InvalidArgument
from ostinato.model.flow import TaskKind

#: Seconds between pokes, and over all pokes, as in Airflow.
DEFAULT_POKE_INTERVAL_S = 60.0
DEFAULT_TIMEOUT_S = 7 * 24 * 3600.0


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

    Between pokes a sensor is deferred and holds no worker, unless ``mode="poke"``.

    Args:
        task_id: Unique in its group.
        poke_interval: Between pokes.
        timeout: Over all pokes, from the first one; then the task fails, with no retry.
            The limit of a single poke is ``execution_timeout``.
        soft_fail: Whether the task is skipped instead of failed when the time is over.
        mode: ``reschedule`` defers between pokes, ``poke`` waits inside the attempt.
        policies: How it is run, see ``Policies``.
    """

    operator_name = "sensor"
    kind = TaskKind.SENSOR
    clock: ClassVar[Clock] = SystemClock()

    def __init__(
        self,
        task_id: str,
        *,
        poke_interval: float | timedelta | str = DEFAULT_POKE_INTERVAL_S,
        timeout: float | timedelta | str = DEFAULT_TIMEOUT_S,
        soft_fail: bool = False,
        mode: Literal["reschedule", "poke"] = "reschedule",
        **policies: Any,
    ) -> None:
        super().__init__(task_id, **policies)
        self.poke_interval_s = self._duration("poke_interval", poke_interval)
        self.timeout_s = self._duration("timeout", timeout)
        self.soft_fail = soft_fail
        self.mode = mode
        if mode not in ("reschedule", "poke"):
            message = f"mode of {self.node_id!r} is {mode!r}, neither 'reschedule' nor 'poke'"
            raise InvalidArgument(message, place=relative_place(self.place))

    def poke(self, context: Context) -> bool | PokeReturn:
        """Return whether the condition is met.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

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
            waited_s = self.clock.now_us() / 1e6 - context.first_started_at.timestamp()
            if waited_s >= self.timeout_s:
                self._give_up(waited_s)
            # The last poke is at the time-out itself.
            delay_s = min(self.poke_interval_s, self.timeout_s - waited_s)
            if self.mode == "reschedule":
                raise Defer(delta=delay_s)
            time.sleep(delay_s)

    def _give_up(self, waited_s: float) -> None:
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

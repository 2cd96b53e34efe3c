"""This module holds the sensors that wait for a moment."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from ostinato.authoring.operators.sensor import Sensor
from ostinato.authoring.ports import Context
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Defer
from ostinato.authoring.templates import is_template
from ostinato.authoring.weekdays import WeekDay, weekdays_of


class MomentSensor(Sensor):
    """Wait until a moment that is known beforehand: write ``moment``.

    It is deferred once, until that moment. Its ``timeout`` counts as that of any sensor.

    Args:
        task_id: Unique in its group.
        options: What ``Sensor`` takes, and policies.
    """

    def moment(self, context: Context) -> datetime:
        """Return what to wait for, with a time zone.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Succeed if the moment has come, else defer until it does.

        Args:
            context: Of the attempt.

        Raises:
            Defer: If the moment is still to come.
            Fail: If the time is over before it.
            Skip: If the time is over, and ``soft_fail`` says so.
        """
        now, moment = context.now, self.moment(context).astimezone(UTC)
        if now >= moment:
            return
        limit = context.first_started_at + timedelta(seconds=self.timeout_s)
        if now >= limit:
            self.on_deferral_timeout(context)
        until = min(moment, limit)
        if self.mode == "reschedule" or context.test_mode:
            raise Defer(until=until)
        time.sleep((until - now).total_seconds())
        self.execute(context)


class TimeSensor(MomentSensor):
    """Wait until a time of the day on which the sensor starts.

    Args:
        task_id: Unique in its group.
        target_time: The time, read in the flow's zone if it has none.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``TimeSensor(task_id="morning", target_time=time(6, 30))``
    """

    operator_name = "time_sensor"

    def __init__(self, task_id: str, *, target_time: time_of_day, **options: Any) -> None:
        self.target_time = target_time
        super().__init__(task_id, **options)
        if not isinstance(target_time, time_of_day):
            raise self.refusal(f"target_time is {target_time!r}; write datetime.time(6, 30)")

    def moment(self, context: Context) -> datetime:
        """Return the time on the day of the first attempt.

        Args:
            context: Of the attempt.
        """
        zone = self.target_time.tzinfo or context.logical_date.tzinfo
        day = context.first_started_at.astimezone(zone)
        return datetime.combine(day, self.target_time, tzinfo=zone)


class TimeDeltaSensor(MomentSensor):
    """Wait until some time after the end of the run's data interval.

    Args:
        task_id: Unique in its group.
        delta: How long: seconds, a timedelta, or text such as ``"2h"``.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``TimeDeltaSensor(task_id="settle", delta="2h")``
    """

    operator_name = "time_delta_sensor"

    def __init__(self, task_id: str, *, delta: float | timedelta | str, **options: Any) -> None:
        super().__init__(task_id, **options)
        try:
            self.delta = timedelta(seconds=seconds_of(delta))
        except ValueError as err:
            raise self.refusal(f"delta: {err}") from None

    def moment(self, context: Context) -> datetime:
        """Return the moment so long after the interval.

        Args:
            context: Of the attempt.
        """
        # In UTC, for a day that is added to a local time may have 23 hours.
        return context.data_interval_end.astimezone(UTC) + self.delta


class DateTimeSensor(MomentSensor):
    """Wait until a moment.

    Args:
        task_id: Unique in its group.
        target_time: The moment: a datetime, or ISO 8601 text that may be a template; read in the
            flow's zone if it has none.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``DateTimeSensor(task_id="later", target_time="{{ ds }}T18:00")``
    """

    operator_name = "date_time_sensor"
    template_fields = ("target_time",)

    def __init__(
        self, task_id: str, *, target_time: datetime | str | Reference, **options: Any
    ) -> None:
        self.target_time: Any = target_time
        super().__init__(task_id, **options)
        if not isinstance(target_time, Reference) and not (
            isinstance(target_time, str) and is_template(target_time)
        ):
            self._read()

    def _read(self) -> datetime:
        value = self.target_time
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                hint = "such as 2025-01-31T06:00"
                raise self.refusal(f"target_time {value!r} is no moment", hint=hint) from None
        if not isinstance(value, datetime):
            raise self.refusal(f"target_time is {value!r}, neither a datetime nor text")
        return value

    def moment(self, context: Context) -> datetime:
        """Return the moment.

        Args:
            context: Of the attempt.
        """
        moment = self._read()
        return moment.replace(tzinfo=moment.tzinfo or context.logical_date.tzinfo)


class DayOfWeekSensor(MomentSensor):
    """Wait until it is one of some days of the week, in the flow's zone.

    Args:
        task_id: Unique in its group.
        week_day: Days: ``"monday"``, ``"Mon"``, ``WeekDay.MONDAY``, or several.
        use_task_logical_date: Whether the first such day from the run's logical date on is
            meant, instead of from the start of the sensor on.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``DayOfWeekSensor(task_id="workday", week_day=["Mon", "Tue", "Wed", "Thu", "Fri"])``
    """

    operator_name = "day_of_week_sensor"

    def __init__(
        self,
        task_id: str,
        *,
        week_day: str | WeekDay | Iterable[str | WeekDay],
        use_task_logical_date: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        self.use_task_logical_date = use_task_logical_date
        try:
            self.week_day = weekdays_of(week_day)
        except ValueError as err:
            raise self.refusal(f"week_day: {err}") from None

    def moment(self, context: Context) -> datetime:
        """Return the beginning of the next such day, or the start if that is one.

        Args:
            context: Of the attempt.
        """
        zone = context.logical_date.tzinfo
        start = context.logical_date if self.use_task_logical_date else context.first_started_at
        local = start.astimezone(zone)
        days = min((day - local.isoweekday()) % 7 for day in self.week_day)
        if not days:
            return start
        midnight = datetime.combine(local, time_of_day(), tzinfo=zone)
        return midnight + timedelta(days=days)

"""This module skips tasks whose condition is false or whose own schedule has no tick."""

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.signals import Skip
from ostinato.engine.timetable import ticks_of
from ostinato.runtime.context import TaskContext
from ostinato.runtime.messages import RunInfo
from ostinato.runtime.templates import Renderer

#: What a condition that is rendered to text says if it is false.
_FALSE = frozenset({"", "false", "0", "no", "off", "none"})


def check_conditions(
    operator: Operator, dag: BuiltFlow, info: RunInfo, context: TaskContext
) -> None:
    """Skip the attempt unless its task's condition and schedule say that it runs.

    Args:
        operator: The task.
        dag: Its flow.
        info: Of the run.
        context: Of the attempt.

    Raises:
        Skip: One of them says no.
        TemplateError: The condition cannot be rendered.
    """
    schedule, when = operator.settings.schedule, operator.settings.when
    if schedule and not _has_tick(schedule, info):
        start = context.data_interval_start.isoformat()
        end = context.data_interval_end.isoformat()
        raise Skip(f"{schedule!r} has no tick after {start} up to {end}")
    if when:
        renderer = Renderer(operator, dag, context, takes_files=False)
        renderer.field = "when"
        if not is_true(renderer.text(when)):
            raise Skip(f"{when} is false")


def is_true(value: object) -> bool:
    r"""Return whether a rendered condition says yes.

    >>> is_true("True"), is_true(" no\n"), is_true([]), is_true("2025-01-31")
    (True, False, False, True)
    """
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE
    return bool(value)


def _has_tick(schedule: str, info: RunInfo) -> bool:
    start_us, end_us = info.interval_start_us, info.interval_end_us
    # A run is fired by the tick at the end of its interval; that one counts.
    if start_us >= end_us:
        return True
    tick_us = ticks_of(schedule, info.timezone).next_us(start_us)
    return tick_us is not None and tick_us <= end_us

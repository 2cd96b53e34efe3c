"""This module reads the callbacks of tasks and flows from what users write."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ostinato.model.notice import Callback, Moment

#: A function that is told of a moment; it receives the context.
CallbackFunction = Callable[[Any], Any]

#: The policy of a task that names what is called, by moment.
TASK_MOMENTS = {
    "on_start": Moment.START,
    "on_success": Moment.SUCCESS,
    "on_failure": Moment.FAILURE,
    "on_retry": Moment.RETRY,
    "on_skip": Moment.SKIP,
}

#: The argument of a flow that names what is called, by moment.
FLOW_MOMENTS = {
    "on_success": Moment.RUN_SUCCESS,
    "on_failure": Moment.RUN_FAILURE,
    "on_deadline": Moment.DEADLINE,
}

#: Airflow's spellings by ours.
CALLBACK_ALIASES = {
    "on_execute_callback": "on_start",
    "on_success_callback": "on_success",
    "on_failure_callback": "on_failure",
    "on_retry_callback": "on_retry",
    "on_skipped_callback": "on_skip",
}

#: Airflow's names for service levels that are not there, with what to use instead.
LATE = {
    "sla": "use deadline= and on_deadline= of the flow",
    "sla_miss_callback": "use deadline= and on_deadline= of the flow",
}


class WrittenCallback(NamedTuple):
    """A callback as the user wrote it.

    Attributes:
        declared: What the definition says of it.
        function: What is called.
    """

    declared: Callback
    function: CallbackFunction


def read_callbacks(moment: Moment, value: object) -> tuple[WrittenCallback, ...]:
    """Return what is called at a moment.

    Args:
        moment: When.
        value: A callable or a list of them, None for none.

    Raises:
        ValueError: It is neither.
    """
    if value is None:
        return ()
    functions = value if isinstance(value, list | tuple) else (value,)
    for function in functions:
        if not callable(function):
            message = f"{function!r} is neither a function of the context nor a list of them"
            raise ValueError(message)
    return tuple(WrittenCallback(_declared(moment, each), each) for each in functions)


def read_all(
    moments: Mapping[str, Moment], given: Mapping[str, object]
) -> tuple[WrittenCallback, ...]:
    """Return what is called at all moments, in their order.

    Args:
        moments: By the argument that names what is called.
        given: Values by argument.

    Raises:
        ValueError: A value is no callback; the message begins with its argument.
    """
    found: tuple[WrittenCallback, ...] = ()
    for name, moment in moments.items():
        try:
            found += read_callbacks(moment, given.get(name))
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
    return found


def _declared(moment: Moment, function: CallbackFunction) -> Callback:
    declare = getattr(function, "declare", None)
    if declare is not None:
        declared: Callback = declare(moment)
        return declared
    return Callback(moment, _name_of(function))


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__name__)).rpartition("<locals>.")[
        2
    ]

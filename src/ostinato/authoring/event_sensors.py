"""This module holds ``@sensor``: functions with a cursor that ask for runs."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, overload

import msgspec

from ostinato.authoring import session
from ostinato.authoring.groups import check_id
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import Duration
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.schedule_checks import moment_us
from ostinato.authoring.signatures import name_of, signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, Place, SensorError
from ostinato.model.event_sensor import (
    DEFAULT_INTERVAL_S,
    DEFAULT_TIMEOUT_S,
    SensorDefinition,
    SensorKind,
)
from ostinato.model.flow import Source
from ostinato.model.sensor_tick import AskedRun, EndedRun, TickInput, TickResult
from ostinato.model.state import RunState

#: States that a run status sensor can tick for.
_ENDS = tuple(state.label for state in RunState if state.is_terminal)

#: Characters of a run key or a tag, which are looked up, and of a cursor, which is kept.
MAX_KEY, MAX_CURSOR = 500, 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RunRequest(NamedTuple):
    """Ask for a run.

    Attributes:
        run_key: There is one run of the flow for it, however often it is asked for; None for a
            run each time.
        params: Values of the flow's parameters, by name.
        tags: Of the run, beside those of the flow: texts, or values by name.
        date: Logical date; the moment of the tick by default.
        flow: The flow or its name; by default the sensor's only one.

    Example:
        >>> from ostinato import RunRequest
        >>> RunRequest(run_key="orders-7.csv", params={"path": "in/orders-7.csv"}).run_key
        'orders-7.csv'
    """

    run_key: str | None = None
    params: Mapping[str, Any] = {}
    tags: Sequence[str] | Mapping[str, str] = ()
    date: datetime | date | str | None = None
    flow: Any = None


class SkipReason(NamedTuple):
    """Say why a tick asks for no run.

    Attributes:
        reason: For people.
    """

    reason: str = ""


class SensorResult(NamedTuple):
    """All that a tick gives, in one value.

    Attributes:
        run_requests: Runs that are asked for.
        skip_reason: Why none is.
        cursor: What is kept for the next tick; None to keep what there is.
    """

    run_requests: Sequence[RunRequest] = ()
    skip_reason: SkipReason | str | None = None
    cursor: str | None = None


class SensorContext:
    """What a sensor's function is told, and where it keeps its cursor.

    Make one to test a sensor: ``my_sensor(SensorContext(cursor="7"))``.

    Args:
        cursor: What it kept last, None before the first time.
        last_tick: When its last tick that did not fail ended, None for never.
        last_run_key: Of the newest run that it asked for with a key.
        run: The run that a run status sensor ticks for.
        sensor_name: Its name.
    """

    def __init__(
        self,
        cursor: str | None = None,
        *,
        last_tick: datetime | None = None,
        last_run_key: str | None = None,
        run: EndedRun | None = None,
        sensor_name: str = "",
    ) -> None:
        self.cursor = cursor
        self.last_tick = last_tick
        self.last_run_key = last_run_key
        self.sensor_name = sensor_name
        self._run = run

    @property
    def run(self) -> EndedRun:
        """The run that a run status sensor ticks for.

        Raises:
            SensorError: The sensor ticks by time.
        """
        if self._run is None:
            message = "context.run is of sensors for the ends of runs"
            raise SensorError(message, hint="decorate it with @run_status_sensor")
        return self._run

    def update_cursor(self, cursor: str | None) -> None:
        """Keep a text for the next tick; it is kept once the runs of this one are there.

        Args:
            cursor: The text; None for an empty one.

        Raises:
            SensorError: It is no text.
        """
        given: object = cursor
        if not isinstance(given, str | None):
            message = f"a cursor is text, not {type(given).__name__}"
            raise SensorError(message, hint="write it with str() or json.dumps()")
        if cursor:
            _check_text("a cursor", cursor, most=MAX_CURSOR)
        self.cursor = cursor or ""


class EventSensor:
    """A function with a cursor that asks for runs; calling it calls the function.

    Args:
        function: Takes the context, or nothing.
        definition: What is declared of it.
        place: Where that is.
    """

    def __init__(
        self, function: Callable[..., Any], definition: SensorDefinition, place: Place
    ) -> None:
        self.function = function
        self.definition = definition
        self.name = definition.name
        self.place = place
        self._takes_context = _takes_context(function, place)
        functools.update_wrapper(self, function, updated=())
        registry = session.registry.get()
        if registry is not None:
            registry.register_sensor(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def tick(self, given: TickInput) -> TickResult:
        """Call the function for a tick and return what it asks for.

        Args:
            given: What it is told.

        Raises:
            SensorError: What it returns is nothing that a sensor can return.
        """
        moment = _EPOCH + timedelta(microseconds=given.last_tick_us)
        context = SensorContext(
            given.cursor,
            last_tick=moment if given.last_tick_us else None,
            last_run_key=given.last_run_key or None,
            run=given.run,
            sensor_name=self.name,
        )
        returned = self.function(context) if self._takes_context else self.function()
        if inspect.iscoroutine(returned):
            returned = asyncio.run(returned)
        elif inspect.isasyncgen(returned):
            returned = asyncio.run(_collected(returned))
        asked: list[AskedRun] = []
        reason = ""
        for item in _items(returned):
            if isinstance(item, RunRequest):
                asked.append(self._asked(item))
            elif isinstance(item, SensorResult):
                asked += [self._asked(request) for request in item.run_requests]
                reason = _reason(item.skip_reason) or reason
                if item.cursor is not None:
                    context.update_cursor(item.cursor)
            elif isinstance(item, SkipReason):
                reason = item.reason
            elif item is not None:
                raise self._nonsense(item)
        cursor = None if context.cursor == given.cursor else context.cursor
        return TickResult(tuple(asked), cursor, reason)

    def _asked(self, request: object) -> AskedRun:
        if not isinstance(request, RunRequest):
            raise self._nonsense(request)
        key: object = request.run_key
        if not isinstance(key, str | None):
            message = f"run_key {key!r} is no text"
            raise SensorError(message, hint="write it with str()")
        if key is not None:
            _check_text("run_key", key)
        tags = _tags(request.tags)
        for tag in tags:
            _check_text("a tag", tag)
        try:
            params = msgspec.json.decode(msgspec.json.encode(dict(request.params)))
        except (TypeError, ValueError) as err:
            raise SensorError(f"params of a RunRequest are no JSON: {err}") from None
        return AskedRun(
            self._flow(request),
            key,
            params,
            tags,
            moment_us(request.date, "date", ""),
        )

    def _flow(self, request: RunRequest) -> str:
        flows = self.definition.flows
        if request.flow is None:
            if len(flows) == 1:
                return flows[0]
            message = f"a RunRequest of sensor {self.name!r} names no flow"
            hint = f"say flow=, one of {', '.join(flows)}" if flows else "name one in the decorator"
            raise SensorError(message, hint=hint)
        name = _flow_name(request.flow, self.place)
        if flows and name not in flows:
            message = f"sensor {self.name!r} asks for a run of {name!r}, which it does not name"
            raise SensorError(message, hint=did_you_mean(name, flows))
        return name

    def _nonsense(self, item: object) -> SensorError:
        message = f"sensor {self.name!r} returned {_shortened(item)}"
        hint = "return or yield RunRequest, SkipReason, SensorResult or nothing"
        return SensorError(message, hint=hint)

    def __repr__(self) -> str:
        return f"<sensor {self.name!r}>"


@overload
def sensor(function: Callable[..., Any], /) -> EventSensor: ...


@overload
def sensor(
    function: None = None,
    /,
    *,
    name: str = ...,
    flow: Any = ...,
    flows: Sequence[Any] = ...,
    job: Any = ...,
    jobs: Sequence[Any] = ...,
    job_name: str = ...,
    minimum_interval: Duration | None = ...,
    minimum_interval_seconds: float | None = ...,
    timeout: Duration = ...,
    paused: bool = ...,
    tags: Sequence[str] | Mapping[str, str] = ...,
    description: str = ...,
) -> Callable[[Callable[..., Any]], EventSensor]: ...


def sensor(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    flow: Any = None,
    flows: Sequence[Any] = (),
    job: Any = None,
    jobs: Sequence[Any] = (),
    job_name: str = "",
    minimum_interval: Duration | None = None,
    minimum_interval_seconds: float | None = None,
    timeout: Duration = DEFAULT_TIMEOUT_S,
    paused: bool = False,
    tags: Sequence[str] | Mapping[str, str] = (),
    description: str = "",
) -> Any:
    """Make an event sensor of a function: the scheduler calls it again and again.

    The function looks for what is new and asks for runs, by returning or yielding ``RunRequest``
    values, a ``SkipReason``, or one ``SensorResult``. What it keeps by
    ``context.update_cursor(text)`` is what ``context.cursor`` is at the next tick; a tick that
    fails keeps nothing. A run key asks for one run, however often it is given. The function is
    executed in a process of its own, which is killed when a tick takes too long.

    Args:
        function: The function, where the decorator is written without parentheses. It takes the
            context or nothing.
        name: Unique in its project; the function's by default.
        flow: The flow whose runs it asks for, or its name. Dagster: ``job``.
        flows: Several of them; each request names one then. Dagster: ``jobs``.
        job: As ``flow``.
        jobs: As ``flows``.
        job_name: As ``flow``.
        minimum_interval: Time between the end of a tick and the next one.
        minimum_interval_seconds: The same.
        timeout: How long a tick may take.
        paused: Whether it waits for ``ostinato sensors resume`` when it is first seen.
        tags: Of the runs that it asks for.
        description: One line for people; the function's docstring by default.

    Raises:
        InvalidArgument: An argument has a wrong value.

    Example:
        >>> from ostinato import RunRequest, sensor
        >>> @sensor(flow="load", minimum_interval="1m")
        ... def new_orders(context):
        ...     newest = int(context.cursor or 0) + 1
        ...     context.update_cursor(str(newest))
        ...     return RunRequest(run_key=f"order-{newest}", params={"order": newest})
    """
    place = calling_place()
    interval = minimum_interval if minimum_interval_seconds is None else minimum_interval_seconds
    definition = SensorDefinition(
        name,
        flows=_flow_names([flow, job, job_name or None, *flows, *jobs], place),
        minimum_interval_s=_seconds("minimum_interval", interval, DEFAULT_INTERVAL_S, place),
        timeout_s=_seconds("timeout", timeout, DEFAULT_TIMEOUT_S, place),
        is_paused=bool(paused),
        tags=_tags(tags),
        doc=description,
    )
    return _decorated(function, definition, place)


@overload
def run_status_sensor(function: Callable[..., Any], /) -> EventSensor: ...


@overload
def run_status_sensor(
    function: None = None,
    /,
    *,
    run_status: Any = ...,
    monitored_flows: Sequence[Any] = ...,
    monitored_jobs: Sequence[Any] = ...,
    name: str = ...,
    flow: Any = ...,
    flows: Sequence[Any] = ...,
    request_job: Any = ...,
    timeout: Duration = ...,
    paused: bool = ...,
    tags: Sequence[str] | Mapping[str, str] = ...,
    description: str = ...,
) -> Callable[[Callable[..., Any]], EventSensor]: ...


def run_status_sensor(
    function: Callable[..., Any] | None = None,
    /,
    *,
    run_status: Any = _ENDS,
    monitored_flows: Sequence[Any] = (),
    monitored_jobs: Sequence[Any] = (),
    name: str = "",
    flow: Any = None,
    flows: Sequence[Any] = (),
    request_job: Any = None,
    timeout: Duration = DEFAULT_TIMEOUT_S,
    paused: bool = False,
    tags: Sequence[str] | Mapping[str, str] = (),
    description: str = "",
) -> Any:
    """Make a sensor that is called once for each run that ends.

    It follows the event log from the moment at which it is first seen: none is missed while no
    scheduler runs, and none comes twice unless its process was killed at work. ``context.run``
    tells of the run; what else it can do is as for ``@sensor``.

    Args:
        function: The function, where the decorator is written without parentheses.
        run_status: Ends to tick for, one or several of ``succeeded``, ``failed``, ``cancelled``.
        monitored_flows: Flows whose runs it ticks for; all by default, but for those that it
            asks for itself. Dagster: ``monitored_jobs``.
        monitored_jobs: The same.
        name: Unique in its project; the function's by default.
        flow: The flow whose runs it asks for, or its name. Dagster: ``request_job``.
        flows: Several of them; each request names one then.
        request_job: As ``flow``.
        timeout: How long a tick may take.
        paused: Whether it waits for ``ostinato sensors resume`` when it is first seen.
        tags: Of the runs that it asks for.
        description: One line for people; the function's docstring by default.

    Raises:
        InvalidArgument: An argument has a wrong value.

    Example:
        >>> from ostinato import RunRequest, run_status_sensor
        >>> @run_status_sensor(run_status="succeeded", monitored_flows=["load"], flow="report")
        ... def after_load(context):
        ...     return RunRequest(run_key=context.run.id, params={"of": context.run.name})
    """
    place = calling_place()
    definition = SensorDefinition(
        name,
        kind=SensorKind.RUN_STATUS,
        flows=_flow_names([flow, request_job, *flows], place),
        minimum_interval_s=0.0,
        timeout_s=_seconds("timeout", timeout, DEFAULT_TIMEOUT_S, place),
        is_paused=bool(paused),
        states=_states(run_status, place),
        monitored=_flow_names([*monitored_flows, *monitored_jobs], place),
        tags=_tags(tags),
        doc=description,
    )
    return _decorated(function, definition, place)


@overload
def run_failure_sensor(function: Callable[..., Any], /) -> EventSensor: ...


@overload
def run_failure_sensor(
    function: None = None, /, **options: Any
) -> Callable[[Callable[..., Any]], EventSensor]: ...


def run_failure_sensor(function: Any = None, /, **options: Any) -> Any:
    """Make a sensor that is called once for each run that fails; see ``run_status_sensor``.

    Args:
        function: The function, where the decorator is written without parentheses.
        options: What ``run_status_sensor`` takes, but for ``run_status``.

    Example:
        >>> from ostinato import run_failure_sensor
        >>> @run_failure_sensor
        ... def tell(context):
        ...     print(context.run.name, context.run.reason)
    """
    if "run_status" in options:
        message = "run_failure_sensor ticks for failed runs: run_status is for run_status_sensor"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    return run_status_sensor(function, run_status="failed", **options)


# How the pieces are read


def _decorated(
    function: Callable[..., Any] | None, definition: SensorDefinition, place: Place
) -> Any:
    def decorate(decorated: Callable[..., Any]) -> EventSensor:
        if isinstance(decorated, type):
            message = f"@sensor makes sensors of functions, not of {decorated!r}"
            raise InvalidArgument(message, place=relative_place(place))
        name = definition.name or name_of(decorated)
        check_id(name, "sensor", place)
        source = Source(*relative_place(place, session.source_root.get())[:2])
        doc = definition.doc or inspect.getdoc(decorated) or ""
        complete = msgspec.structs.replace(definition, name=name, doc=doc, source=source)
        return EventSensor(decorated, complete, place)

    return decorate if function is None else decorate(function)


def _takes_context(function: Callable[..., Any], place: Place) -> bool:
    signature = signature_of(function)
    required = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty
    ]
    if len(required) > 1:
        message = f"{name_of(function)}() takes {len(required)} arguments, a sensor the context"
        raise InvalidArgument(message, place=relative_place(place))
    return bool(signature.parameters) or signature.takes_any_positional


def _flow_names(flows: Iterable[Any], place: Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_flow_name(flow, place) for flow in flows if flow is not None))


def _flow_name(flow: Any, place: Place) -> str:
    if isinstance(flow, str) and flow:
        return flow
    # A function that declares a flow is called by nobody yet: its options may name it.
    name = getattr(flow, "flow_name", None) or getattr(flow, "name", None)
    if isinstance(name, str) and name:
        return name
    message = f"{_shortened(flow)} is no flow"
    hint = "give a flow, a function decorated with @flow or @dag, or a name"
    raise InvalidArgument(message, place=relative_place(place), hint=hint)


def _seconds(name: str, value: Any, default: float, place: Place) -> float:
    if value is None:
        return default
    try:
        seconds = seconds_of(value)
    except ValueError as err:
        raise InvalidArgument(f"{name}: {err}", place=relative_place(place)) from None
    if not seconds:
        raise InvalidArgument(f"{name}: must be above 0", place=relative_place(place))
    return seconds


def _states(given: Any, place: Place) -> tuple[str, ...]:
    states = [given] if isinstance(given, str | RunState) else list(given)
    labels = []
    for state in states:
        label = state.label if isinstance(state, RunState) else str(state).lower()
        # Dagster's words.
        label = {"success": "succeeded", "failure": "failed", "canceled": "cancelled"}.get(
            label, label
        )
        if label not in _ENDS:
            message = f"run_status {state!r} is no end of a run"
            hint = did_you_mean(label, _ENDS) or f"ends are {', '.join(_ENDS)}"
            raise InvalidArgument(message, place=relative_place(place), hint=hint)
        labels.append(label)
    return tuple(dict.fromkeys(labels))


def _tags(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, Mapping):
        return tuple(f"{name}:{value}" for name, value in tags.items())
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise SensorError(f"tags: {tags!r} is not a list of texts")
    return tuple(str(tag) for tag in tags)


def _check_text(what: str, text: str, *, most: int = MAX_KEY) -> None:
    if len(text) > most:
        message = f"{what} has {len(text)} characters: {_shortened(text)}"
        raise SensorError(message, hint=f"at most {most}; a digest of it would do")
    if "\0" in text:
        raise SensorError(f"{what} holds the character NUL: {_shortened(text)}")


def _items(returned: Any) -> Iterator[Any]:
    """Yield what a function returned one by one: a generator's items as they come."""
    if isinstance(returned, RunRequest | SkipReason | SensorResult):
        yield returned
    elif isinstance(returned, list | tuple) or inspect.isgenerator(returned):
        yield from returned
    else:
        yield returned


async def _collected(items: Any) -> list[Any]:
    return [item async for item in items]


def _reason(reason: SkipReason | str | None) -> str:
    return reason.reason if isinstance(reason, SkipReason) else reason or ""


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"

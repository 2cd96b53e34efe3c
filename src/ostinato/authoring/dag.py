"""This module holds flows made of objects."""

import os
from collections.abc import Mapping, Sequence
from contextvars import Token
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Never, Self

import msgspec

from ostinato.authoring import session
from ostinato.authoring.callbacks import (
    FLOW_MOMENTS,
    LATE,
    CallbackFunction,
    WrittenCallback,
    read_all,
)
from ostinato.authoring.default_args import check_default_args
from ostinato.authoring.definitions import WrittenEdge, build_parts, resolved_edges
from ostinato.authoring.event_sources import event_sources
from ostinato.authoring.flow_json import flow_json
from ostinato.authoring.groups import TaskGroup, check_id, open_group
from ostinato.authoring.not_run import NotRun
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.parameter_models import is_model, parameters_of_model
from ostinato.authoring.parameters import converter_of, parameter_of
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.policies import PolicyReader
from ostinato.authoring.ports import RunHandle
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.references import ParameterReference
from ostinato.authoring.run_names import check_name_template, name_template
from ostinato.authoring.schedule_checks import (
    check_bounds,
    check_timezone,
    moment_us,
    reading_of,
    zone_name_of,
)
from ostinato.authoring.schedules import schedule_text
from ostinato.authoring.signatures import UNTYPED, signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.template_checks import check_templates
from ostinato.authoring.templates import FlowTemplates
from ostinato.authoring.timetables import Schedule, Timetable
from ostinato.authoring.wiring import Node
from ostinato.errors import DefinitionError, DuplicateTask, InvalidArgument, Place
from ostinato.model.event_source import EventSource
from ostinato.model.flow import FlowDefinition, Parameter, Source
from ostinato.model.graph import check_graph

#: Arguments of `default_args` that Airflow's users give there, though they are the flow's.
_OF_THE_FLOW = ("start_date", "end_date")

#: The highest priority of a flow, and how far it may be below 0: a share of a million to one.
MAX_PRIORITY = 20

#: The model's own default, which is told by identity when it is written.
NO_LIMIT_S = FlowDefinition("").timeout_s

Moment = datetime | date | str

#: What a schedule may be: one of these, or several.
OneSchedule = str | timedelta | datetime | date | Schedule
Scheduled = OneSchedule | Timetable | Sequence[OneSchedule] | Mapping[str, Any] | None

Callbacks = CallbackFunction | Sequence[CallbackFunction] | None


class DAG:
    """Declare a flow: ``with DAG("etl", schedule="@daily"): ...``.

    Args:
        name: Unique in its project. Airflow: ``dag_id``.
        dag_id: The same.
        description: One line for people.
        doc_md: Markdown for people.
        schedule: Cron expression, preset such as ``@daily``, timedelta, an object of
            ``ostinato.schedules``, several of them, datetimes, or None for none. Airflow 2:
            ``schedule_interval``.
        schedule_interval: The same.
        on: Whose messages start runs, such as ``Webhook("orders")``; one or several.
        start_date: First moment that it is scheduled for.
        end_date: Last moment.
        catchup: Whether missed schedules run afterwards.
        schedule_reading: ``tick`` where a scheduled run stands for the moment at which it is due,
            ``interval_start`` for the begin of its data interval, as in Airflow 2.
        schedule_params: Parameters of scheduled runs, by name.
        jitter: By how much a scheduled run starts later at most: seconds, a timedelta, ``"5m"``.
        timezone: IANA name; by default that of ``start_date``, else the project's.
        default_args: Policies of its tasks where they say nothing, and arguments of their
            operators; each takes those that it knows.
        params: Parameters of a run: values or ``Param`` by name, or a Pydantic model, whose
            instance is ``context.params`` then.
        tags: For searching.
        owner: Who looks after it.
        max_active_runs: Runs at a time; 0 for no limit.
        max_active_tasks: Task runs at a time within a run; 0 for no limit.
        priority: Flows that contend for slots take turns; each level above 0 doubles a flow's
            share, each level below halves it. From -20 to 20.
        timeout: How long a run may take. Airflow: ``dagrun_timeout``.
        dagrun_timeout: The same.
        deadline: How long after its start a run that has not ended is late; it goes on.
        fail_fast: Whether any failure cancels the rest at once.
        executor: Executor of tasks that name none.
        resources: Configured objects that tasks receive by annotation or name.
        run_name: What people call its runs: a template of their parameters, such as
            ``"{day}"`` or ``"{{ day }}"``. Prefect: ``flow_run_name``.
        flow_run_name: The same.
        on_success: Called with the context when a run has succeeded; a function or a list of
            them. Airflow: ``on_success_callback``.
        on_success_callback: The same.
        on_failure: Called when a run has failed. Airflow: ``on_failure_callback``.
        on_failure_callback: The same.
        on_deadline: Called when a run has passed its ``deadline``.
        template_searchpath: Folders of template files, relative ones from that of the flow's file.
        user_defined_macros: Names that templates may use.
        user_defined_filters: Functions for ``{{ value | name }}`` in templates.
        render_template_as_native_obj: Whether templates give Python objects instead of text.
        jinja_environment_kwargs: Further arguments of ``jinja2.Environment``.
        unknown: Refused.

    Raises:
        InvalidArgument: If an argument is unknown or has a wrong value.
    """

    def __init__(
        self,
        name: str = "",
        *,
        dag_id: str = "",
        description: str = "",
        doc_md: str | None = None,
        schedule: Scheduled = None,
        schedule_interval: Scheduled = None,
        on: EventSource | Sequence[EventSource] | None = None,
        start_date: Moment | None = None,
        end_date: Moment | None = None,
        catchup: bool = False,
        schedule_reading: str = "",
        schedule_params: Mapping[str, Any] | None = None,
        jitter: float | timedelta | str | None = None,
        timezone: str = "",
        default_args: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | type | None = None,
        tags: Sequence[str] = (),
        owner: str = "",
        max_active_runs: int = 0,
        max_active_tasks: int = 0,
        priority: int = 0,
        timeout: float | timedelta | str | None = None,
        dagrun_timeout: float | timedelta | str | None = None,
        deadline: float | timedelta | str | None = None,
        fail_fast: bool = False,
        executor: str | None = None,
        resources: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        flow_run_name: str | None = None,
        on_success: Callbacks = None,
        on_success_callback: Callbacks = None,
        on_failure: Callbacks = None,
        on_failure_callback: Callbacks = None,
        on_deadline: Callbacks = None,
        template_searchpath: str | Sequence[str] | None = None,
        user_defined_macros: Mapping[str, Any] | None = None,
        user_defined_filters: Mapping[str, Any] | None = None,
        render_template_as_native_obj: bool = False,
        jinja_environment_kwargs: Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> None:
        self.place = calling_place(self)
        place = relative_place(self.place)
        if unknown:
            wrong = next(iter(unknown))
            known = signature_of(DAG.__init__).names
            message = f"DAG takes no argument {wrong!r}"
            hint = LATE.get(wrong) or did_you_mean(wrong, known)
            raise InvalidArgument(message, place=place, hint=hint)
        self.name: str = _either("name", name, "dag_id", dag_id)
        check_id(self.name, "flow", self.place)
        defaults = dict(default_args or {})
        moments = {key: defaults.pop(key) for key in _OF_THE_FLOW if key in defaults}
        start = start_date or moments.get("start_date")
        end = end_date or moments.get("end_date")
        zone = timezone or zone_name_of(start, end)
        if zone:
            check_timezone(zone, place)
        start_us = moment_us(start, "start_date", zone, place)
        end_us = moment_us(end, "end_date", zone, place)
        check_bounds(start_us, end_us, place)
        fired = _either("schedule", schedule, "schedule_interval", schedule_interval)
        #: What computes its moments, if that is code of the user.
        self.timetable = fired if isinstance(fired, Timetable) else None
        limit = _either("timeout", timeout, "dagrun_timeout", dagrun_timeout)
        self.source_root = session.source_root.get()
        inherited = session.defaults_for(self.place.file)
        around = PolicyReader(inherited) if inherited else None
        if owner:
            defaults = {"owner": owner, **defaults}
        self.root = TaskGroup.of_flow(self, defaults, self.place, inherited=around)
        self.default_args: Mapping[str, Any] = defaults
        self.resources: Mapping[str, Any] = dict(resources or {})
        #: The Pydantic model of the parameters, None if there is none.
        self.parameter_model: Any = params if is_model(params) else None
        self.parameters = _parameters(params, place)
        #: What is called at its moments.
        self.callbacks = _flow_callbacks(
            {
                "on_success": _either(
                    "on_success", on_success, "on_success_callback", on_success_callback
                ),
                "on_failure": _either(
                    "on_failure", on_failure, "on_failure_callback", on_failure_callback
                ),
                "on_deadline": on_deadline,
            },
            has_deadline=deadline is not None,
        )
        searchpath = template_searchpath or ()
        #: What the templates of its tasks share.
        self.templates = FlowTemplates(
            os.path.dirname(os.path.abspath(self.place.file)),
            searchpath=(searchpath,) if isinstance(searchpath, str) else searchpath,
            macros=user_defined_macros,
            filters=user_defined_filters,
            is_native=render_template_as_native_obj,
            options=jinja_environment_kwargs,
        )
        #: The definition without its tasks.
        self._shell = FlowDefinition(
            self.name,
            schedule=schedule_text(fired, place, timezone=zone),
            timezone=zone,
            start_at_us=start_us,
            end_at_us=end_us,
            catchup=catchup,
            schedule_reading=reading_of(schedule_reading, place),
            schedule_params=dict(schedule_params or {}),
            jitter_s=0.0 if jitter is None else _seconds("jitter", jitter),
            max_active_runs=_count("max_active_runs", max_active_runs),
            max_active_tasks=_count("max_active_tasks", max_active_tasks),
            priority=_priority(priority, place),
            timeout_s=NO_LIMIT_S if limit is None else _seconds("timeout", limit),
            deadline_s=NO_LIMIT_S if deadline is None else _seconds("deadline", deadline),
            fail_fast=fail_fast,
            executor=executor or "",
            tags=tuple(dict.fromkeys([*(around.default.tags if around else ()), *_tags(tags)])),
            owner=owner or self.root.policies.default.owner,
            doc=doc_md or description,
            source=Source(*relative_place(self.place, self.source_root)[:2]),
            callbacks=tuple(callback.declared for callback in self.callbacks),
            run_name=name_template(_either("run_name", run_name, "flow_run_name", flow_run_name)),
            on=event_sources(on, place),
        )
        #: What it was made of, if that is a folder of files.
        self.folder: Any = None
        #: Whether a task may be called like a group somewhere else, as in folders.
        self.shares_ids = False
        self._operators: dict[str, Operator] = {}
        self._groups: dict[str, TaskGroup] = {}
        self._edges: list[WrittenEdge] = []
        self._definition: FlowDefinition | None = None
        self._suffixes: dict[str, int] = {}
        self._neighbours: tuple[int, dict[str, list[str]], dict[str, list[str]]] = (-1, {}, {})
        self._tokens: list[Token[TaskGroup | None]] = []
        self._announce()

    @property
    def dag_id(self) -> str:
        """Its name, as Airflow calls it."""
        return self.name

    @property
    def operators(self) -> Mapping[str, Operator]:
        """The tasks by id."""
        return MappingProxyType(self._operators)

    @property
    def groups(self) -> Mapping[str, TaskGroup]:
        """The groups by id."""
        return MappingProxyType(self._groups)

    @property
    def definition(self) -> FlowDefinition:
        """What is declared; built and checked when it is first asked for, and final from then on.

        Raises:
            DefinitionError: If it cannot be run.
        """
        if self._definition is None:
            parts = build_parts(self._operators, self._groups, self._edges, self.source_root)
            definition = msgspec.structs.replace(
                self._shell,
                tasks=parts.tasks,
                groups=parts.groups,
                edges=parts.edges,
                parameters=tuple(self.parameters.values()),
            )
            check_graph(definition)
            check_default_args([self.root, *self._groups.values()])
            check_templates(self._operators.values(), self.templates)
            place = relative_place(self.place)
            check_name_template(definition.run_name, self.parameters, place)
            self._definition = definition
        return self._definition

    def to_json(self) -> str:
        """Return what it is made of as JSON, in the form of ``ostinato graph --format json``.

        Raises:
            DefinitionError: If it cannot be run.
        """
        return flow_json(self)

    def param(self, name: str) -> ParameterReference:
        """Return what stands for a parameter in the arguments of tasks.

        Args:
            name: Of the parameter.

        Raises:
            InvalidArgument: If the flow has none of that name.
        """
        if name not in self.parameters:
            raise InvalidArgument(
                f"flow {self.name!r} has no parameter {name!r}",
                place=relative_place(calling_place()),
                hint=did_you_mean(name, self.parameters),
            )
        return ParameterReference(name, annotation=UNTYPED)

    def add_parameter(self, name: str, default: Any, annotation: Any) -> ParameterReference:
        """Declare a parameter; return what stands for it in the arguments of tasks.

        Args:
            name: As callers write it.
            default: A value, a ``Param``, or ``REQUIRED``.
            annotation: Its type, ``UNTYPED`` if nothing is known.
        """
        self._check_open(f"parameter {name!r}")
        self.parameters[name] = parameter_of(
            name, default, annotation=annotation, place=relative_place(self.place)
        )
        return ParameterReference(name, converter_of(annotation), annotation=annotation)

    def run(
        self,
        *,
        executor: str | None = None,
        date: datetime | str | None = None,
        resources: Mapping[str, Any] | None = None,
        select: str = "",
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> RunHandle:
        """Run the flow to its end, here and now, recorded.

        Args:
            executor: Default executor of this run; by default the flow's or the project's.
            date: Logical date; now by default.
            resources: Objects that replace the flow's resources, by name.
            select: Which tasks to run, such as ``clean+``; all by default.
            params: Parameters by name; for names that this method takes itself.
            more_params: Parameters by name.

        While a file is loaded nothing runs; to use what is returned then is an error.

        Raises:
            DefinitionError: If the flow cannot be run.
            ParameterError: If the parameters do not fit the flow.

        Example:
            ``my_dag().run(day="2025-01-01").raise_for_state().result("load")``
        """
        if session.registry.get() is not None:
            return NotRun(self.name)
        # Tasks that are executed in this process call functions; they declare nothing.
        token = open_group.set(None)
        try:
            return session.local_session().run(
                self,
                params={**(params or {}), **more_params},
                date=date,
                executor=executor or "",
                resources=resources or {},
                select=select,
            )
        finally:
            open_group.reset(token)

    def start(
        self,
        *,
        date: datetime | str | None = None,
        key: str = "",
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> RunHandle:
        """Ask for a run of the flow and do not wait for it; see ``start_flow``.

        Args:
            date: Logical date; now by default.
            key: Whoever asks for a run of the flow with it gets the same run.
            params: Parameters by name; for names that this method takes itself.
            more_params: Parameters by name.
        """
        # 25 ms, which few flows need.
        from ostinato.authoring.started_runs import start_flow  # noqa: PLC0415 - see above

        return start_flow(self, params={**(params or {}), **more_params}, date=date, key=key)

    def test(
        self,
        *,
        date: datetime | str | None = None,
        resources: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> RunHandle:
        """Run the flow in this very process, so that a debugger stops in its tasks.

        Args:
            date: Logical date; now by default.
            resources: Objects that replace the flow's resources, by name.
            params: Parameters by name.
        """
        return self.run(executor="inline", date=date, resources=resources, **params)

    def __enter__(self) -> Self:
        self._tokens.append(open_group.set(self.root))
        return self

    def __exit__(self, *_: object) -> None:
        open_group.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"<DAG {self.name!r}>"

    # What tasks and groups call while they are declared

    def add_task(self, task: Node) -> None:
        """Take in a task.

        Raises:
            DuplicateTask: If its id is taken.
            DefinitionError: If the flow is built already.
        """
        assert isinstance(task, Operator)
        self._claim(task, f"task {task.node_id!r}")
        self._operators[task.node_id] = task

    def add_group(self, group: TaskGroup) -> None:
        """Take in a group.

        Raises:
            DuplicateTask: If its id is taken.
            DefinitionError: If the flow is built already.
        """
        self._claim(group, f"group {group.node_id!r}")
        self._groups[group.node_id] = group

    def adopt(self, node: Node) -> None:
        """Take in a task that was made outside of any flow."""
        if isinstance(node, Operator):
            node.join(self.root)

    def connect(self, upstream: Node, downstream: Node, label: str) -> None:
        """Let one task or group wait for another."""
        if self._definition is not None:
            self._check_open(f"edge {upstream.node_id!r} >> {downstream.node_id!r}")
        self._edges.append((upstream, downstream, label))

    def known_ids(self) -> Mapping[str, Node]:
        """Return all tasks and groups by id."""
        return {**self._groups, **self._operators}

    def neighbours(self, task_id: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the ids of the tasks that a task waits for, and of those that wait for it."""
        size = len(self._edges) + len(self._operators)
        if self._neighbours[0] != size:
            upstream: dict[str, list[str]] = {}
            downstream: dict[str, list[str]] = {}
            for up, down in resolved_edges(self._operators, self._groups, self._edges):
                upstream.setdefault(down, []).append(up)
                downstream.setdefault(up, []).append(down)
            self._neighbours = (size, upstream, downstream)
        return self._neighbours[1].get(task_id, ()), self._neighbours[2].get(task_id, ())

    def free_id(self, wanted: str) -> str:
        """Return the id itself, or one with ``__1``, ``__2`` ... where it is taken."""
        free = wanted
        while free in self._operators or free in self._groups:
            number = self._suffixes[wanted] = self._suffixes.get(wanted, 0) + 1
            free = f"{wanted}__{number}"
        return free

    def _claim(self, node: Operator | TaskGroup, what: str) -> None:
        if self._definition is not None:
            self._check_open(what, node)
        taken = node.node_id
        if taken in self._operators or taken in self._groups:
            first = self._operators.get(taken) or self._groups[taken]
            if self.shares_ids and isinstance(first, TaskGroup) != isinstance(node, TaskGroup):
                return
            raise DuplicateTask(
                f"id {taken!r} is taken in flow {self.name!r}",
                place=relative_place(node.place),
                hint=f"first used at {relative_place(first.place)}",
            )

    def _check_open(self, what: str, node: Operator | TaskGroup | None = None) -> None:
        if self._definition is None:
            return
        raise DefinitionError(
            f"{what} comes too late: flow {self.name!r} is built",
            place=relative_place(node.place if node else calling_place()),
            hint="declare everything before the flow is run or its definition is read",
        )

    def _announce(self) -> None:
        registry = session.registry.get()
        if registry is not None:
            registry.register(self)


def _either(name: str, value: Any, alias: str, aliased: Any) -> Any:
    if value and aliased and value != aliased:
        message = f"{name} and {alias} mean the same: {value!r} and {aliased!r}"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    return aliased if value in (None, "") and aliased is not None else value


def _parameters(params: Any, place: Place) -> dict[str, Parameter]:
    if is_model(params):
        return parameters_of_model(params, place)
    if isinstance(params, type):
        message = f"params: {params!r} is neither a dict nor a Pydantic model"
        raise InvalidArgument(message, place=place)
    for key in params or {}:
        if not isinstance(key, str):
            message = f"params: the name of a parameter is {key!r}, not text"
            raise InvalidArgument(message, place=place)
    return {key: parameter_of(key, value, place=place) for key, value in (params or {}).items()}


def _priority(level: object, place: Place | None) -> int:
    if not isinstance(level, int) or isinstance(level, bool) or abs(level) > MAX_PRIORITY:
        message = f"priority {level!r} of a flow is no whole number"
        hint = f"from -{MAX_PRIORITY} to {MAX_PRIORITY}; each level doubles its share"
        raise InvalidArgument(message, place=place, hint=hint)
    return level


def _count(name: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    message = f"{name}: {value!r} is not a whole number of zero or more"
    raise InvalidArgument(message, place=relative_place(calling_place()))


def _seconds(name: str, value: object) -> float:
    try:
        return seconds_of(value)
    except ValueError as err:
        message = f"{name}: {err}"
        raise InvalidArgument(message, place=relative_place(calling_place())) from None


def _flow_callbacks(
    given: Mapping[str, object], *, has_deadline: bool
) -> tuple[WrittenCallback, ...]:
    place = relative_place(calling_place())
    if given["on_deadline"] and not has_deadline:
        message = "on_deadline is never called without a deadline"
        raise InvalidArgument(message, place=place, hint='say deadline="1h" too')
    try:
        return read_all(FLOW_MOMENTS, given)
    except ValueError as err:
        raise InvalidArgument(str(err), place=place) from None


def _tags(tags: object) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Sequence | set | frozenset):
        message = f"tags: {tags!r} is not a list of texts"
        raise InvalidArgument(message, place=relative_place(calling_place()))
    return tuple(sorted(tags) if isinstance(tags, set | frozenset) else tags)

"""This module writes a flow down as a DAG file of Airflow 3.

The file needs Airflow and its standard provider, and nothing of Ostinato: functions are cut out
of the files that they stand in. What Airflow has no word for is an error that names the task.
"""

import ast
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ostinato.authoring.groups import TaskGroup
from ostinato.authoring.operators.file_sensor import FileSensor
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import InternalError, NotInAirflow, Place
from ostinato.model.flow import FlowDefinition, TaskKind
from ostinato.model.graph import topological_order
from ostinato.model.schedule import CronPart, IntervalPart, parts_of
from ostinato.model.step import BODY
from ostinato.translation import preamble
from ostinato.translation.literals import duration, moment, quoted, written
from ostinato.translation.models import ModelWriter
from ostinato.translation.operators import ROWS
from ostinato.translation.policies import check_policies, policy_arguments
from ostinato.translation.sources import Sources
from ostinato.translation.tasks import TaskWriter, Written, call

#: What the file imports from Airflow whatever it holds.
_ALWAYS = ("DAG",)

#: Presets whose runs have no data interval.
_POINTS = ("@once", "@continuous")

#: Data interval of the presets, where it has the same length each time.
_INTERVALS = {
    "@hourly": 3_600,
    "@daily": 86_400,
    "@midnight": 86_400,
    "@weekly": 7 * 86_400,
}

#: Policies that describe one task.
_OF_A_TASK = ("doc_md", "map_index_template", "params", "trigger_rule")

#: Width that lists of edges are filled to.
_WIDTH = 100


def compile_flow(flow: BuiltFlow, connection_types: Mapping[str, str] | None = None) -> str:
    """Return the text of a DAG file that does what a flow does.

    Args:
        flow: A flow that is a graph, built.
        connection_types: Type of each connection that is known, such as ``sqlite``, by id.

    Raises:
        ExceptionGroup: Of ``NotInAirflow``: everything that Airflow has no word for.
    """
    return _Compiler(flow, connection_types or {}).text()


class _Compiler:
    """Put a file together from the code of functions, tasks, groups and edges."""

    def __init__(self, flow: BuiltFlow, connection_types: Mapping[str, str]) -> None:
        self._flow = flow
        self._models = ModelWriter(flow, dict(connection_types))
        self._definition: FlowDefinition = flow.definition
        self._tasks = {task.id: task for task in self._definition.tasks}
        self._imports: dict[tuple[str, str], None] = {}
        self._problems: list[NotInAirflow] = []
        reserved = {row.name for row in ROWS.values()} | preamble.NAMES
        self._sources = Sources(reserved)

    def text(self) -> str:
        definition = self._definition
        place = Place(definition.source.file, definition.source.line)
        if any(task.id == BODY for task in definition.tasks):
            problem = f"flow {definition.name!r} is a function, whose tasks are known when it runs"
            hint = "Airflow needs a graph: declare it by @dag"
            raise ExceptionGroup("", [NotInAirflow(problem, place=place, hint=hint)])
        # The names of variables must differ from those of the functions that are cut out,
        # which are known once they are: everything is written twice.
        self._write(frozenset())
        if self._problems:
            raise ExceptionGroup("", self._problems)
        taken = frozenset(self._sources.names())
        text = self._write(taken)
        try:
            ast.parse(text)
        except SyntaxError as err:  # pragma: no cover - a broken invariant
            raise InternalError(f"the DAG file of {definition.name!r} is no Python: {err}") from err
        return text

    def _write(self, taken: frozenset[str]) -> str:
        self._imports.clear()
        names = self._variables(taken)
        writer = TaskWriter(
            self._flow, self._sources, names, self._use, self._defaults(), self._models
        )
        for name in _ALWAYS:
            self._use("airflow.sdk", name)
        head = self._head()
        groups = list(self._groups(names))
        tasks: dict[str, Written] = {}
        for task_id in topological_order(self._definition):
            tasks_written = self._task(task_id, writer)
            if tasks_written is not None:
                tasks[task_id] = tasks_written
        if self._problems:
            return ""
        if self._sources.has_scripts:
            writer.helpers.add("script")
        marks = list(self._marks(names))
        edges = list(self._edges(names, tasks))
        body = [*groups, *(each.statement for each in tasks.values()), *marks]
        if edges:
            body += ["", *edges]
        indented = "\n".join(_indented(line) for line in body) or "    pass"
        parts = [
            f'"""{self._title()}"""',
            self._import_lines(writer.helpers),
            *(text for name, text in preamble.PARTS.items() if name in writer.helpers),
            self._sources.text(),
        ]
        text = "\n\n\n".join(part for part in parts[1:] if part)
        return f"{parts[0]}\n\n{text}\n\n\n{head} as dag:\n{indented}\n"

    def _defaults(self) -> dict[str, str]:
        """Return the policies that all tasks share, where there are several tasks."""
        several = [policy_arguments(operator) for operator in self._flow.operators.values()]
        if len(several) < 2:
            return {}
        return {
            name: value
            for name, value in several[0].items()
            if name not in _OF_A_TASK and all(each.get(name) == value for each in several)
        }

    def _needs(self) -> list[str]:
        """Return what must be there where Airflow runs, as lines for people."""
        operators = self._flow.operators.values()
        connections = {
            str(value)
            for operator in operators
            for value in [getattr(operator, "conn_id", None), *_file_systems(operator)]
            if value
        }
        pools = {operator.policy.pool for operator in operators if operator.policy.pool}
        lines = []
        if connections:
            lines.append(f"Connections: {', '.join(sorted(connections))}.")
        if pools:
            lines.append(f"Pools: {', '.join(sorted(pools))}.")
        if self._sources.own_modules:
            lines.append(f"Modules of the project: {', '.join(sorted(self._sources.own_modules))}.")
        return lines

    def _use(self, module: str, name: str) -> str:
        self._imports[module, name] = None
        return name

    def _variables(self, taken: frozenset[str]) -> dict[str, str]:
        """Return the variable of each task and group, by id."""
        used = {*taken, *preamble.NAMES, *(row.name for row in ROWS.values())}
        variables: dict[str, str] = {}
        for kind, ids in (("task", self._flow.operators), ("group", _groups_of(self._flow))):
            for name in ids:
                plain = re.sub(r"\W", "_", name)
                if plain[0].isdigit():
                    plain = f"{kind}_{plain}"
                free, number = plain, 1
                while free in used or keyword.iskeyword(free) or free in dir(__builtins__):
                    free = f"{plain}_{kind}" + (f"_{number}" if number > 1 else "")
                    number += 1
                used.add(free)
                variables[name] = free
        return variables

    # The flow

    def _title(self) -> str:
        source = self._definition.source.file
        origin = f" of {source}" if source else ""
        return (
            f"Flow {self._definition.name}{origin}, as an Airflow DAG.\n\n"
            "Written by `ostinato compile airflow`: change the flow, and write it again.\n"
            + "".join(f"{line}\n" for line in self._needs())
        )

    def _import_lines(self, helpers: set[str]) -> str:
        plain = {"import pendulum", *self._sources.imports()}
        if "types.SimpleNamespace" in self._sources.text():
            plain.add("import types")
        for helper in helpers:
            plain.update(preamble.IMPORTS[helper])
        by_module: dict[str, list[str]] = {}
        for module, name in self._imports:
            by_module.setdefault(module, []).append(name)
        if helpers & {"context", "given"}:
            by_module.setdefault("airflow.sdk", []).append("get_current_context")
        if "tables" in helpers:
            by_module.setdefault("airflow.sdk", []).append("BaseHook")
        froms = [
            f"from {module} import {', '.join(sorted(set(names)))}"
            for module, names in sorted(by_module.items())
        ]
        return "\n".join(["from __future__ import annotations", "", *sorted(plain), *froms])

    def _head(self) -> str:
        flow, arguments = self._definition, {"dag_id": quoted(self._definition.name)}
        arguments["schedule"] = self._schedule()
        if flow.start_at_us is not None:
            arguments["start_date"] = moment(flow.start_at_us, flow.timezone)
        if flow.end_at_us is not None:
            arguments["end_date"] = moment(flow.end_at_us, flow.timezone)
        arguments["catchup"] = repr(flow.catchup)
        if flow.doc:
            arguments["doc_md"] = written(flow.doc)
        if flow.tags:
            arguments["tags"] = written(list(flow.tags))
        for name, value in (
            ("max_active_runs", flow.max_active_runs),
            ("max_active_tasks", flow.max_active_tasks),
        ):
            if value:
                arguments[name] = repr(value)
        if flow.timeout_s:
            arguments["dagrun_timeout"] = duration(flow.timeout_s)
        if flow.fail_fast:
            arguments["fail_fast"] = "True"
        templates = self._flow.templates
        if templates.is_native:
            arguments["render_template_as_native_obj"] = "True"
        try:
            for name, values in (
                ("user_defined_macros", templates.macros),
                ("user_defined_filters", templates.filters),
                ("jinja_environment_kwargs", templates.options),
            ):
                if values:
                    arguments[name] = written(values, self._sources.other)
            self._check_flow()
        except NotInAirflow as problem:
            self._note(problem, f"flow {flow.name!r}", None)
        if flow.parameters:
            arguments["params"] = self._parameters()
        # Airflow's own default may say otherwise.
        defaults = {"retries": "0", **self._defaults()}
        said = ", ".join(f"{quoted(name)}: {value}" for name, value in defaults.items())
        arguments["default_args"] = f"{{{said}}}"
        return "with " + call("DAG", arguments)

    def _check_flow(self) -> None:
        flow = self._definition
        if flow.deadline_s:
            raise NotInAirflow("Airflow has no deadline that lets a run go on", hint="use timeout")
        if flow.jitter_s:
            raise NotInAirflow("Airflow has no jitter of schedules", hint="leave it out")
        if flow.schedule_params:
            hint = "make them the defaults of its parameters"
            raise NotInAirflow("Airflow has no parameters of a schedule", hint=hint)
        if flow.on:
            hint = "have something post to Airflow's API"
            raise NotInAirflow("messages start its runs", hint=hint)
        if flow.callbacks:
            hint = "put what they do into a task with a trigger rule"
            raise NotInAirflow("its callbacks take a context that Airflow lacks", hint=hint)
        if self._flow.parameter_model is not None:
            hint = "declare params= as a dict"
            raise NotInAirflow("its parameters are a Pydantic model", hint=hint)
        for group in flow.groups:
            if group.expansion is not None:
                hint = "map the tasks in it"
                raise NotInAirflow(f"group {group.id!r} is mapped", hint=hint)

    def _schedule(self) -> str:
        flow = self._definition
        if not flow.schedule:
            return "None"
        if flow.schedule in _POINTS:
            return quoted(flow.schedule)
        part = self._plain_schedule()
        is_older = flow.schedule_reading == "interval_start"
        if isinstance(part, IntervalPart):
            length = duration(part.every_us / 1_000_000)
            if is_older:
                name = self._use("airflow.timetables.interval", "DeltaDataIntervalTimetable")
                return f"{name}({length})"
            name = self._use("airflow.sdk", "DeltaTriggerTimetable")
            return f"{name}({length}, interval={length})"
        text, zone = part.expression, part.timezone or flow.timezone or "UTC"
        if is_older:
            name = self._use("airflow.timetables.interval", "CronDataIntervalTimetable")
            return f"{name}({quoted(text)}, timezone={quoted(zone)})"
        name = self._use("airflow.sdk", "CronTriggerTimetable")
        arguments = {"cron": quoted(text), "timezone": quoted(zone)}
        seconds = _INTERVALS.get(text) or _interval_of(text)
        if seconds:
            arguments["interval"] = duration(seconds)
        return call(name, arguments, positional=("cron",))

    def _plain_schedule(self) -> CronPart | IntervalPart:
        """Return the schedule, if Airflow has it too; else tell of it."""
        parts = parts_of(self._definition.schedule)
        part = parts[0]
        problem = ""
        if len(parts) > 1:
            problem = "Airflow has no schedule of several parts with intervals like these"
        elif isinstance(part, IntervalPart) and part.anchor_us is not None:
            problem = "Airflow's intervals begin with the start date"
        elif isinstance(part, CronPart | IntervalPart):
            return part
        else:
            problem = f"Airflow has no schedule like {str(part)!r}"
        hint = "use one cron expression or a timedelta"
        self._note(NotInAirflow(problem, hint=hint), f"flow {self._definition.name!r}", None)
        # Nothing is written of a flow with a problem.
        return CronPart("@daily")

    def _parameters(self) -> str:
        param = self._use("airflow.sdk", "Param")
        items = []
        for parameter in self._definition.parameters:
            arguments: dict[str, Any] = dict(parameter.schema)
            if parameter.description:
                arguments["description"] = parameter.description
            given = {key: written(value) for key, value in arguments.items() if key.isidentifier()}
            if not parameter.is_required:
                given = {"default": written(parameter.default), **given}
            items.append(f"{quoted(parameter.name)}: {call(param, given, positional=('default',))}")
        return "{" + ", ".join(items) + "}"

    # Groups, tasks, edges

    def _groups(self, names: Mapping[str, str]) -> Iterable[str]:
        for group in _groups_of(self._flow).values():
            if group.parent is None:  # pragma: no cover - the root is not listed
                continue
            arguments = {"group_id": quoted(group.label)}
            if not group.child_prefix:
                arguments["prefix_group_id"] = "False"
            if group.parent.parent is not None:
                arguments["parent_group"] = names[group.parent.node_id]
            if group.tooltip:
                arguments["tooltip"] = quoted(group.tooltip)
            made = call(self._use("airflow.sdk", "TaskGroup"), arguments, positional=("group_id",))
            if "." in group.label:
                hint = "rename it"
                self._note(
                    NotInAirflow("Airflow's groups have no '.' in their ids", hint=hint),
                    f"group {group.node_id!r}",
                    None,
                )
            yield f"{names[group.node_id]} = {made}"

    def _task(self, task_id: str, writer: TaskWriter) -> Written | None:
        operator: Operator = self._flow.operators[task_id]
        found: Written | None = None
        before = len(self._problems)
        for problem in check_policies(operator):
            self._note(problem, f"task {task_id!r}", operator)
        try:
            found = writer.write(operator)
        except NotInAirflow as problem:
            self._note(problem, f"task {task_id!r}", operator)
        except KeyError:
            # It takes the result of a task that could not be written.
            if not self._problems:
                raise
        return None if len(self._problems) > before else found

    def _note(self, problem: NotInAirflow, subject: str, operator: Operator | None) -> None:
        place = relative_place(operator.place) if operator is not None else problem.place
        noted = NotInAirflow(f"{subject}: {problem.message}", place=place, hint=problem.hint)
        self._problems.append(noted)

    def _marks(self, names: Mapping[str, str]) -> Iterable[str]:
        for task in self._definition.tasks:
            if task.kind is TaskKind.SETUP:
                yield f"{names[task.id]}.as_setup()"
            elif task.kind is TaskKind.TEARDOWN:
                fails = task.policy.on_failure_fail_run
                options = "on_failure_fail_dagrun=True" if fails else ""
                yield f"{names[task.id]}.as_teardown({options})"

    def _edges(self, names: Mapping[str, str], tasks: Mapping[str, Written]) -> Iterable[str]:
        downstream: dict[str, list[str]] = {}
        for edge in self._definition.edges:
            if edge.label:
                label = self._use("airflow.sdk", "Label")
                up, down = names[edge.upstream], names[edge.downstream]
                yield f"{up} >> {label}({quoted(edge.label)}) >> {down}"
            elif edge.upstream not in tasks[edge.downstream].implied:
                downstream.setdefault(edge.upstream, []).append(names[edge.downstream])
        yield from _filled({names[up]: downs for up, downs in downstream.items()})


def _file_systems(operator: Operator) -> list[str]:
    """Return the connection of a sensor of files, which Airflow wants even for plain paths."""
    if not isinstance(operator, FileSensor):
        return []
    return [operator.fs_conn_id or "fs_default"]


def _groups_of(flow: BuiltFlow) -> dict[str, TaskGroup]:
    groups: dict[str, TaskGroup] = getattr(flow, "groups", {})
    return dict(groups)


def _filled(edges: Mapping[str, list[str]]) -> Iterable[str]:
    """Yield statements of edges; several tasks stand together on one side, where they can."""
    together: dict[tuple[str, ...], list[str]] = {}
    for upstream, downstream in edges.items():
        together.setdefault(tuple(downstream), []).append(upstream)
    for downs, ups in together.items():
        # Of two lists, neither would be a task that knows what the sign between them means.
        pairs = [([up], downs) for up in ups] if len(downs) > 1 else [(ups, downs)]
        for left, right in pairs:
            line = f"{_side(left)} >> {_side(right)}"
            if len(line) <= _WIDTH - 4:
                yield line
            else:
                yield from (f"{up} >> {down}" for up in left for down in right)


def _side(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _interval_of(cron: str) -> int:
    """Return the seconds between two moments of a plain cron expression, 0 where they vary.

    >>> _interval_of("0 6 * * *"), _interval_of("*/15 * * * *"), _interval_of("0 0 1 * *")
    (86400, 900, 0)
    """
    minute, hour, *days = cron.split()
    if days[:2] != ["*", "*"]:
        return 0
    if days[2] != "*":
        plain = minute.isdecimal() and hour.isdecimal() and re.fullmatch(r"\w+", days[2])
        return 7 * 86_400 if plain else 0
    if minute.isdecimal() and hour.isdecimal():
        return 86_400
    if minute.isdecimal() and hour == "*":
        return 3_600
    step = re.fullmatch(r"\*/(\d+)", minute)
    if step and hour == "*" and 60 % int(step[1]) == 0:
        return int(step[1]) * 60
    return 60 if (minute, hour) == ("*", "*") else 0


def _indented(line: str) -> str:
    return "\n".join(f"    {part}" if part else "" for part in line.split("\n"))

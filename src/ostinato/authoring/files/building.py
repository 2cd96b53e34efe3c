"""This module builds a flow from what was read of its folder."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ostinato.authoring.dag import DAG
from ostinato.authoring.files.arguments import accepted_by, chosen_arguments, made_task
from ostinato.authoring.files.codes import problem, strictly
from ostinato.authoring.files.connections import named_connections
from ostinato.authoring.files.flow_arguments import (
    flow_arguments,
    group_arguments,
    misspelt_defaults,
)
from ostinato.authoring.files.keys.asset_keys import ASSET_KEYS
from ostinato.authoring.files.keys.key import TASK
from ostinato.authoring.files.keys.known import wrong_names, wrong_types
from ostinato.authoring.files.operator_names.resolution import (
    OperatorNames,
    OperatorNotFound,
    written_class,
)
from ostinato.authoring.files.operator_names.translation import translate_airflow
from ostinato.authoring.files.reading.folder_reading import without_consequences
from ostinato.authoring.files.spec import FileProblem, FolderSpec, Position
from ostinato.authoring.files.sql.queries import KeptQueries, QueryReader, QuerySurroundings
from ostinato.authoring.files.task_specs import TaskSpec, names_in, specs_of_dict, specs_of_file
from ostinato.authoring.files.types.assets import Assets
from ostinato.authoring.files.types.callables import set_callables
from ostinato.authoring.files.types.defaults import Scope, default_for
from ostinato.authoring.files.types.file_values import EXPAND, Built, FileValues, mapped_arguments
from ostinato.authoring.files.types.table_results import keep_frames
from ostinato.authoring.files.types.tables import Tables
from ostinato.authoring.files.wiring.dependencies import (
    Made,
    Names,
    cycle_in,
    cycle_problem,
    wire_groups,
    wire_implied,
    wire_tasks,
)
from ostinato.authoring.files.wiring.ends import Ends
from ostinato.authoring.files.wiring.externals import DEFAULTS, External, Sensors, externals_in
from ostinato.authoring.files.wiring.levels import Level, files_of, levels_of
from ostinato.authoring.files.wiring.plan import Implied, Plan
from ostinato.authoring.files.wiring.units import GroupUnit, Origins, TaskUnit, Unit
from ostinato.authoring.groups import TaskGroup
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.places import ascribed_to, relative_place
from ostinato.authoring.policies import POLICY_NAMES
from ostinato.authoring.template_checks import broken_templates
from ostinato.errors import FolderProblems, OstinatoError, Place
from ostinato.model.manifest import NamedConnection

#: Keys that say what a task makes, and of which no policy is made.
_OF_ASSETS = frozenset(
    key.name for key in ASSET_KEYS if TASK in key.scopes and key.name not in POLICY_NAMES
) - {EXPAND}


class BuildOptions(Struct, frozen=True, kw_only=True):
    """What a folder is built with, besides its files.

    Attributes:
        task_group_defaults: Where the METADATA of a group says nothing.
        wait_for_defaults: Settings of sensors that wait for other flows.
        wait_for_class: Their class; None for the built-in one.
        latest_only: Whether runs for past dates are skipped, where METADATA does not say.
        extra_tags: Added to those of the flow.
        leaf_tasks_from_dict: Further leaf tasks, by id.
        flow_arguments: Of the flow, where METADATA says nothing.
        operator_folders: Where ``local`` operators are looked for.
        only_gusty: Whether files are no more than gusty makes of them.
        kept_queries: File that keeps what was read of queries; empty for none.
    """

    task_group_defaults: Mapping[str, Any] = {}
    wait_for_defaults: Mapping[str, Any] = {}
    wait_for_class: Any = None
    latest_only: bool = False
    extra_tags: Sequence[str] = ()
    leaf_tasks_from_dict: Mapping[str, Mapping[str, Any]] = {}
    flow_arguments: Mapping[str, Any] = {}
    operator_folders: Sequence[str] = ()
    only_gusty: bool = False
    kept_queries: str = ""


def build(
    folder: FolderSpec, problems: list[FileProblem], options: BuildOptions | None = None
) -> DAG:
    """Return the flow that a folder is.

    Args:
        folder: As it was read.
        problems: What was wrong with it already; takes what else is.
        options: What it is built with.

    Raises:
        FolderProblems: Something is an error; it holds all of them, and the warnings too.
    """
    building = _Building(folder, problems, options or BuildOptions())
    try:
        flow = building.flow()
    except OstinatoError as error:
        place = error.place or Place(folder.shown)
        problems.append(
            problem("F026", error.message, Position(place.file, place.line), error.hint)
        )
        raise FolderProblems(folder.name, tuple(building.all_problems())) from error
    found = tuple(building.all_problems())
    if any(one.severity == "error" for one in found):
        raise FolderProblems(folder.name, found)
    flow.folder = building.origin(found)
    return flow


class FolderOrigin(Struct, frozen=True):
    """What a flow that is a folder was made of.

    Attributes:
        path: Of the folder.
        digests: Hash of each file that was read, by absolute path.
        warnings: What may be wrong with it, though it can run.
        connections: Those that its files name.
    """

    path: str
    digests: Mapping[str, str]
    warnings: tuple[FileProblem, ...] = ()
    connections: tuple[NamedConnection, ...] = ()


class _Building:
    """One pass over a folder."""

    def __init__(
        self, folder: FolderSpec, problems: list[FileProblem], options: BuildOptions
    ) -> None:
        self._options = options
        self._problems = problems
        defaults = {"latest_only": options.latest_only, **options.flow_arguments}
        self._levels = levels_of(folder, defaults, options.task_group_defaults)
        self._root = self._levels[0]
        self._names = OperatorNames(options.operator_folders)
        self._paths = {file.shown: file.path for file in files_of(self._levels)}
        self._own_dependencies: dict[str, Sequence[str]] = {}
        self._built: list[Built] = []
        self._implied: list[tuple[Unit, Sequence[Implied]]] = []
        self._origins: Origins = {}
        self._first: dict[str, Position] = {}
        self._accepted: set[str] = set()

    def all_problems(self) -> list[FileProblem]:
        """Return what is wrong, as it counts in this flow."""
        own = without_consequences(dict.fromkeys(self._problems), self._root.folder)
        found = sorted(own, key=lambda one: one.position)
        return strictly(found) if self._root.metadata.get("strict") is True else found

    def origin(self, found: tuple[FileProblem, ...]) -> FolderOrigin:
        """Return what the flow is made of."""
        digests = {file.path: file.digest for file in files_of(self._levels) if file.digest}
        connections = tuple(named_connections(self._levels))
        return FolderOrigin(self._root.folder.path, digests, found, connections)

    def flow(self) -> DAG:
        """Return the flow; what is wrong with it is among the problems."""
        self._flow = self._make_flow()
        for level in self._levels:
            self._make_specs(level)
        reader = self._query_reader()
        self._tables = Tables(self._levels, reader, _defaults_of(self._root.metadata.get("params")))
        for level in self._levels:
            self._make_tasks(level)
        for level in self._levels:
            self._problems.extend(misspelt_defaults(level, self._accepted))
        self._wire()
        self._describe_assets(reader)
        reader.kept.save()
        return self._flow

    # Structures

    def _make_flow(self) -> DAG:
        root = self._root
        if self._options.extra_tags:
            tags = root.metadata.get("tags") or []
            root.metadata["tags"] = list(dict.fromkeys([*tags, *self._options.extra_tags]))
        given = flow_arguments(root, self._problems)
        if self._options.only_gusty:
            # As its users' templates read dates.
            given.setdefault("schedule_reading", "interval_start")
        with ascribed_to(self._place(root.keys.position())):
            flow = self._try_flow(given)
        flow.templates.folder = root.folder.path
        flow.shares_ids = True
        root.group = flow.root
        root.unit = GroupUnit("")
        # Of folders of one name, the outermost keeps it.
        for level in sorted(self._levels[1:], key=lambda level: len(list(level.around()))):
            self._make_group(level, flow)
        return flow

    def _try_flow(self, given: Mapping[str, Any]) -> DAG:
        root = self._root
        try:
            return DAG(root.name, **given)
        except OstinatoError as error:
            path = _key_in(error.message, root.metadata)
            code = "F014" if path else "F015"
            position = root.keys.position(*path) if path else Position(root.folder.shown)
            self._problems.append(problem(code, error.message, position, error.hint))
            if path and path[0] in given:
                # Others may be wrong too.
                return self._try_flow({k: v for k, v in given.items() if k != path[0]})
        except Exception as error:  # noqa: BLE001 - values of any type, which may be users' own
            message = f"the flow refuses its arguments: {type(error).__name__}: {error}"
            self._problems.append(problem("F014", message, root.keys.position()))
        # Whatever it is, tasks are looked at too.
        return DAG("broken")

    def _make_group(self, level: Level, flow: DAG) -> None:
        assert level.parent is not None
        parent = level.parent.group
        wanted = str(level.metadata.get("group_id") or level.name)
        if parent.child_id(wanted) in flow.groups:
            wanted = flow.free_id(f"{parent.node_id}.{wanted}" if parent.node_id else wanted)
        given = group_arguments(level, self._problems)
        try:
            with ascribed_to(self._place(level.keys.position())):
                group = TaskGroup(wanted, level.is_prefixed, parent_group=parent, dag=flow, **given)
        except OstinatoError as error:
            position = level.keys.position(*_key_in(error.message, level.metadata))
            self._problems.append(problem("F015", error.message, position, error.hint))
            group = parent
        level.group = group
        level.unit = GroupUnit(group.node_id)
        level.parent.unit.members.append(level.unit)

    # Tasks

    def _make_specs(self, level: Level) -> None:
        for file in level.folder.files:
            if file.is_broken:
                continue
            level.specs.extend(specs_of_file(file, self._problems))
        if level.parent is None:
            taken = {spec.task_id for spec in level.specs}
            declared = specs_of_dict(self._options.leaf_tasks_from_dict, level.folder.shown)
            level.specs.extend(spec for spec in declared if spec.task_id not in taken)

    def _query_reader(self) -> QueryReader:
        templates = self._flow.templates
        around = QuerySurroundings(tuple(templates.folders()), templates.macros, templates.filters)
        return QueryReader(around, KeptQueries(self._options.kept_queries))

    def _describe_assets(self, reader: QueryReader) -> None:
        assets = Assets(self._tables, reader, self._problems)
        for first, second in self._tables.twice():
            message = f"table {second.table} is made by two files"
            hint = f"the first is {first.shown}; asset: calls one of them otherwise"
            position = second.spec.position("asset")
            self._problems.append(problem("F016", message, position, hint))
        for maker in self._tables.makers.values():
            task = self._flow.operators.get(maker.task_id)
            if isinstance(task, Operator):
                assets.describe(maker, task, self._tables.inherited(maker))

    def _make_tasks(self, level: Level) -> None:
        inherited = level.inherited()
        defaults = inherited.get("default_args")
        scope = Scope(
            self._flow.name,
            self._names,
            inherited,
            self._problems,
            self._tables,
            self._options.only_gusty,
        )
        for spec in level.specs:
            unit = self._make_task(level, spec, scope, defaults or {})
            if unit is not None:
                level.tasks[level.named(spec.task_id)] = unit
                level.unit.members.append(unit)

    def _make_task(
        self, level: Level, spec: TaskSpec, scope: Scope, defaults: Mapping[str, Any]
    ) -> Unit | None:
        label = level.named(spec.task_id)
        if self._is_taken(level, level.group.child_id(label), spec):
            return None
        translate_airflow(spec)
        is_wrong = self._drop_wrong_policies(spec)
        plan = self._plan(spec, scope)
        is_wrong |= self._has_wrong_asset(spec, plan)
        mapped = mapped_arguments(spec, self._problems)
        has_callables = set_callables(spec, self._problems)
        if plan is None or not has_callables:
            return None
        if spec.file is not None:
            spec.values.setdefault("file_path", spec.file.path)
            if spec.file.suffix.lower() == ".sql":
                spec.values["sql"] = spec.file.body
        arguments = {**plan.arguments, **chosen_arguments(spec, plan.operator, self._problems)}
        own = _defaults_for(plan.operator, defaults, arguments)
        self._accepted.update(own)
        connection = scope.inherited.get("connection")
        if connection is not None and "conn_id" in accepted_by(plan.operator):
            own.setdefault("conn_id", connection)
        arguments, operator = {**own, **arguments}, plan.operator
        if mapped is None:
            # Its arguments cannot be known; how it is run can.
            arguments = {name: arguments[name] for name in arguments if name in POLICY_NAMES}
            is_wrong, mapped, operator = True, {}, Operator
        labelled = _relabelled(spec, label)
        made = made_task(
            labelled,
            operator,
            arguments,
            mapped=mapped,
            group=level.group,
            problems=self._problems,
        )
        if made is None:
            return None
        if isinstance(made, Operator):
            made.text_places = _text_places(spec)
            made.written_class = written_class(spec.values.get("operator"))
        if is_wrong:
            # It was made for the sake of what else is wrong with it.
            return None
        named = getattr(made, "dependencies", None)
        if named:
            self._own_dependencies[made.node_id] = names_in(named) or ()
        unit = _unit_of(made, self._flow)
        if plan.implied:
            self._implied.append((unit, plan.implied))
        if isinstance(made, Operator):
            self._built.append(Built(spec, made, unit))
        return unit

    def _drop_wrong_policies(self, spec: TaskSpec) -> bool:
        """Note policies of wrong types and go on without them; return whether there are any."""
        policies = (POLICY_NAMES & spec.values.keys()) - spec.translated
        return self._drop_wrong(spec, policies)

    def _has_wrong_asset(self, spec: TaskSpec, plan: Plan | None) -> bool:
        """Note what is said of an asset in words of a wrong type; return whether there is any."""
        if self._options.only_gusty or (plan is None and spec.values.get("operator") is not None):
            return False
        # Arguments of operators may have the same names and be of other types.
        others = accepted_by(plan.operator) if plan is not None else frozenset()
        return self._drop_wrong(spec, _OF_ASSETS - others - spec.translated)

    def _drop_wrong(self, spec: TaskSpec, names: Collection[str]) -> bool:
        found = wrong_types(spec.keys, TASK, only=names)
        if not found:
            return False
        self._problems.extend(found)
        for name in wrong_names(spec.keys, names):
            spec.values.pop(name, None)
        return True

    def _is_taken(self, level: Level, task_id: str, spec: TaskSpec) -> bool:
        position = spec.position()
        first = self._first.setdefault(task_id, position)
        if first is not position:
            message = f"task id {task_id!r} is taken"
            self._problems.append(problem("F016", message, position, f"first used in {first}"))
            return True
        group = self._flow.groups.get(task_id)
        if group is not None and group.parent is level.group:
            message = f"id {task_id!r} is that of a group"
            self._problems.append(problem("F016", message, position, "rename the file"))
            return True
        return False

    def _plan(self, spec: TaskSpec, scope: Scope) -> Plan | None:
        operator = spec.values.get("operator")
        if operator is None:
            return default_for(spec, scope)
        if not isinstance(operator, str):
            if callable(operator):
                return Plan(operator)
            message = f"operator is {operator!r}, which is no name"
            self._problems.append(spec.problem("F014", message, "operator"))
            return None
        try:
            return Plan(self._names.find(operator.strip()))
        except OperatorNotFound as error:
            self._problems.append(
                spec.problem(error.problem_code, error.message, "operator", hint=error.hint)
            )
            return None

    # Edges

    def _wire(self) -> None:
        levels, origins, problems = self._levels, self._origins, self._problems
        broken = [file.task_id for level in levels for file in level.folder.broken]
        broken += [
            name
            for level in levels
            for spec in level.specs
            for name in (spec.task_id, level.named(spec.task_id))
            if level.named(spec.task_id) not in level.tasks
        ]
        names = Names(levels, broken)
        wire_groups(levels, origins, problems)
        wire_tasks(levels, names, self._own_dependencies, origins, problems)
        made = Made(levels)
        for reader, implied in self._implied:
            wire_implied(reader, implied, made, origins)
        values = FileValues(self._flow, made, names, origins, problems)
        for task in self._built:
            values.fill(task)
            keep_frames(task, self._tables)
        sensors = self._make_sensors()
        for level in levels:
            for spec in level.specs:
                unit = level.tasks.get(level.named(spec.task_id))
                if unit is not None:
                    value = spec.values.get("external_dependencies")
                    at = _below("external_dependencies", spec.position)
                    self._wait_outside(unit, externals_in(value, at, problems), sensors)
        for level in levels[1:]:
            self._wait_outside(level.unit, self._externals_of(level), sensors)
        ends = Ends(
            self._root,
            levels,
            more_leaves=list(self._options.leaf_tasks_from_dict),
            origins=origins,
            problems=problems,
        )
        ends.tie_leaves()
        known = dict(sensors.units)
        flow_sensors = {
            external.sensor_id: unit
            for external in self._externals_of(self._root)
            if (unit := sensors.unit(external)) is not None
        }
        ends.tie_roots(known, flow_sensors, self._latest_only())
        self._check_templates()
        cycle = cycle_in(origins)
        if cycle:
            problems.append(cycle_problem(cycle))
            return
        nodes = self._flow.known_ids()
        for above, below in origins:
            self._flow.connect(nodes[above], nodes[below], "")

    def _check_templates(self) -> None:
        templates = self._flow.templates
        try:
            broken = list(broken_templates(self._flow.operators.values(), templates))
        except Exception as error:  # noqa: BLE001 - options of Jinja may be of any kind
            position = self._root.keys.position("jinja_environment_kwargs")
            message = f"Jinja refuses its options: {type(error).__name__}: {error}"
            self._problems.append(problem("F023", message, position))
            return
        for found in broken:
            place = relative_place(found.place or self._place(self._root.keys.position()))
            position = Position(place.file, place.line or 1, 1)
            self._problems.append(problem("F023", found.message, position, found.hint))

    def _make_sensors(self) -> Sensors:
        chosen = {**DEFAULTS, **_wait_settings(self._options.wait_for_defaults)}
        said = self._root.metadata.get("wait_for_defaults")
        if isinstance(said, Mapping) and said is not self._options.wait_for_defaults:
            chosen.update(said)
        sensor = self._options.wait_for_class or self._names.find("external_task_sensor")
        return Sensors(self._flow.root, sensor, chosen, self._place, self._problems)

    def _externals_of(self, level: Level) -> list[External]:
        said = {"dependencies", "external_dependencies"} & level.keys.values.keys()
        value = level.keys.get("external_dependencies")
        if level.parent is None and not said:
            value = level.metadata.get("external_dependencies")
        at = _below("external_dependencies", level.keys.position)
        return externals_in(value, at, self._problems)

    def _wait_outside(self, unit: Unit, externals: Sequence[External], sensors: Sensors) -> None:
        for external in externals:
            sensor = sensors.unit(external)
            if sensor is not None:
                unit.wait_for(sensor, self._origins, external.position)

    def _latest_only(self) -> Unit | None:
        if not self._root.metadata.get("latest_only"):
            return None
        if "latest_only" in self._flow.operators:
            position = self._first.get("latest_only", self._root.keys.position())
            message = "task id 'latest_only' is that of the check for the newest run"
            self._problems.append(problem("F016", message, position, "rename the file"))
            return None
        with ascribed_to(self._place(self._root.keys.position("latest_only"))):
            operator = self._names.find("latest_only")(
                task_id="latest_only", task_group=self._flow.root
            )
        return TaskUnit(operator.node_id)

    def _place(self, position: Position) -> Place:
        return Place(self._paths.get(position.file, self._root.folder.path), position.line)


def _unit_of(made: Any, flow: DAG) -> Unit:
    if isinstance(made, Operator):
        return TaskUnit(made.node_id)
    group = GroupUnit(made.node_id)
    for task in made.tasks():
        unit = TaskUnit(task.node_id)
        upstream, downstream = flow.neighbours(task.node_id)
        unit.upstream_task_ids.update(upstream)
        unit.downstream_task_ids.update(downstream)
        group.members.append(unit)
    return group


def _relabelled(spec: TaskSpec, label: str) -> TaskSpec:
    return TaskSpec(label, spec.values, spec.keys, spec.file, spec.partial, spec.translated)


def _defaults_for(
    operator: Any, defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return those of ``default_args`` that are arguments of an operator and no policies."""
    if not defaults or not isinstance(defaults, Mapping):
        return {}
    accepted = accepted_by(operator)
    return {
        name: value
        for name, value in defaults.items()
        if name in accepted and name not in POLICY_NAMES and name not in given
    }


#: Settings of sensors that ``wait_for_defaults`` of a call may hold; others are passed over.
_WAIT_SETTINGS = frozenset(
    {
        "poke_interval",
        "timeout",
        "retries",
        "mode",
        "soft_fail",
        "execution_delta",
        "execution_date_fn",
        "check_existence",
    }
)


def _defaults_of(params: object) -> dict[str, Any]:
    """Return the parameters that have a plain default."""
    if not isinstance(params, Mapping):
        return {}
    return {name: value for name, value in params.items() if isinstance(value, str | int | float)}


def _wait_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if k in _WAIT_SETTINGS or k in POLICY_NAMES}


def _text_places(spec: TaskSpec) -> dict[str, Place]:
    """Return where the texts among the keys of a file begin, for what is wrong within them."""
    if spec.file is None:
        return {}
    path = spec.file.path
    found: dict[str, Place] = {}
    for name, value in spec.values.items():
        line, _ = spec.keys.places.get((name,), (0, 0))
        if line and isinstance(value, str):
            # Text of several lines begins below its key: `sql: |`.
            found[name] = Place(path, line + (1 if "\n" in value else 0))
    if spec.file.body:
        found["sql"] = Place(path, spec.file.body_line)
    return found


def _below(name: str, position: Any) -> Any:
    return lambda *path: position(name, *path)


def _key_in(message: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    found = [(message.find(name), name) for name in values if name in message]
    # A message may show the value alone: there is no time zone 'Europe/Berln'.
    found = found or [(0, name) for name, value in values.items() if repr(value) in message]
    return (min(found)[1],) if found else ()

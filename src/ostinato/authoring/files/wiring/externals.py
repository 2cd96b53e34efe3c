"""This module makes the sensors by which tasks of a folder wait for other flows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.authoring.files.arguments import accepted_by
from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, KeyPath, Position
from ostinato.authoring.files.wiring.units import TaskUnit
from ostinato.authoring.groups import TaskGroup
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.places import ascribed_to
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import OstinatoError, Place

#: What every sensor is given where nothing else is said; seconds, seconds, times.
DEFAULTS: Mapping[str, Any] = {"poke_interval": 10, "timeout": 3600, "retries": 60}

#: Stands for the flow as a whole.
ALL = "all"

#: Begin the names of sensors.
PREFIX = "wait_for_"

#: Settings of which a sensor takes one.
_SHIFTS = ("execution_delta", "execution_date_fn")

#: Sensors that wait for nothing, for trying a flow out.
_EMPTY = ("EmptyOperator", "DummyOperator")


#: Returns where a path of keys stands.
Locate = Callable[..., Position]


class External(NamedTuple):
    """A task of another flow, or all of it, that is waited for.

    Attributes:
        flow: Its name.
        task: Of it, or ``all``.
        settings: Of the sensor.
        position: Where it is named.
        places: Where each of the settings stands.
    """

    flow: str
    task: str
    settings: Mapping[str, Any]
    position: Position
    places: Mapping[str, Position]

    @property
    def sensor_id(self) -> str:
        """The id of the sensor that waits for it."""
        if self.task == ALL:
            return f"{PREFIX}DAG_{self.flow}"
        return f"{PREFIX}{self.flow}_{self.task}"


def externals_in(value: object, position: Locate, problems: list[FileProblem]) -> list[External]:
    """Return what a value of ``external_dependencies`` names.

    Args:
        value: A list of ``flow: task``, or a mapping of flows to ``{tasks: [...]}``.
        position: Gives the place of a path of keys below it.
        problems: Takes what is written otherwise.
    """
    found: list[External] = []
    if value is None:
        return found
    items: list[tuple[KeyPath, object]]
    if isinstance(value, Mapping):
        items = [((), value)]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = [((index,), item) for index, item in enumerate(value)]
    else:
        items = [((), None)]
    for path, item in items:
        if not isinstance(item, Mapping):
            problems.append(problem("F036", _NOT_WRITTEN_SO, position(*path), _WRITE))
            continue
        for flow, said in item.items():
            found.extend(_of_flow(str(flow), said, (*path, flow), position, problems))
    return found


_NOT_WRITTEN_SO = "external_dependencies must name flows and their tasks"
_WRITE = "write `- flow: task`, `- flow: all`, or `flow: {tasks: [task]}`"


def _of_flow(
    flow: str, said: object, path: KeyPath, position: Locate, problems: list[FileProblem]
) -> Iterator[External]:
    settings: Mapping[str, Any] = {}
    tasks: object = said
    if isinstance(said, Mapping):
        settings = {name: value for name, value in said.items() if name != "tasks"}
        tasks = said.get("tasks")
    names = [tasks] if isinstance(tasks, str) else tasks
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        problems.append(problem("F036", f"flow {flow!r} names no tasks", position(*path), _WRITE))
        return
    for name in names:
        places = {setting: position(*path, setting) for setting in settings}
        yield External(flow, name, settings, position(*path), places)


class Sensors:
    """Make each sensor once; what names it first decides how it waits.

    Args:
        root: Group of the flow.
        sensor: Class of the sensors.
        defaults: Of their settings.
        place: Returns the file of a position with its absolute path.
        problems: Takes settings that conflict.

    Attributes:
        units: By id.
    """

    def __init__(
        self,
        root: TaskGroup,
        sensor: Any,
        defaults: Mapping[str, Any],
        place: Callable[[Position], Place],
        problems: list[FileProblem],
    ) -> None:
        self.units: dict[str, TaskUnit] = {}
        self._root = root
        self._sensor = sensor
        self._defaults = defaults
        self._place = place
        self._problems = problems
        self._failed: set[str] = set()

    def unit(self, external: External) -> TaskUnit | None:
        """Return the sensor that waits for a task of another flow; None if it cannot be made."""
        name = external.sensor_id
        if name in self.units:
            return self.units[name]
        if name in self._failed:
            return None
        made = self._make(external)
        if made is None:
            self._failed.add(name)
            return None
        unit = self.units[name] = TaskUnit(made.node_id)
        return unit

    def _make(self, external: External) -> Operator | None:
        name = external.sensor_id
        settings: dict[str, Any] = {}
        if self._sensor.__name__ not in _EMPTY:
            chosen = self._settings(external)
            if chosen is None:
                return None
            settings = chosen
        try:
            with ascribed_to(self._place(external.position)):
                sensor = self._sensor(task_id=name, task_group=self._root, **settings)
        except Exception as error:  # noqa: BLE001 - users' sensors may raise anything
            text = error.message if isinstance(error, OstinatoError) else str(error)
            hint = error.hint if isinstance(error, OstinatoError) else ""
            message = text if repr(name) in text else f"{name}: {text}"
            named = [name for name in external.settings if text.startswith(name)]
            position = external.places[named[0]] if named else external.position
            self._problems.append(problem("F022", message, position, hint))
            return None
        assert isinstance(sensor, Operator)
        return sensor

    def _settings(self, external: External) -> dict[str, Any] | None:
        defaults = dict(self._defaults)
        both = [name for name in _SHIFTS if name in external.settings]
        if both:
            for name in _SHIFTS:
                defaults.pop(name, None)
        settings = {**defaults, **external.settings}
        if all(name in settings for name in _SHIFTS):
            message = f"{external.sensor_id} takes execution_delta or execution_date_fn, not both"
            position = external.places[both[-1]] if both else external.position
            self._problems.append(problem("F022", message, position))
            return None
        accepted = accepted_by(self._sensor)
        for name in [*settings]:
            if name in accepted:
                continue
            del settings[name]
            if name in external.settings:
                hint = did_you_mean(name, accepted)
                message = f"{self._sensor.__name__} takes no argument {name!r}"
                self._problems.append(problem("F013", message, external.places[name], hint))
        return {
            **settings,
            "external_dag_id": external.flow,
            "external_task_id": None if external.task == ALL else external.task,
        }

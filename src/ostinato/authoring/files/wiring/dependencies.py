"""This module lets the tasks and groups of a folder wait for what their files name."""

from collections.abc import Iterable, Mapping, Sequence

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import TaskSpec, names_in
from ostinato.authoring.files.wiring.levels import Level
from ostinato.authoring.files.wiring.plan import Implied
from ostinato.authoring.files.wiring.units import Origins, Unit
from ostinato.authoring.suggestions import did_you_mean


class Names:
    """The tasks and groups of a folder by the names that dependencies use.

    Args:
        levels: With their tasks.
        broken: Ids of tasks that there would be, were their files sound.

    Attributes:
        tasks: By the names of files, with what their groups put before or behind them.
        by_id: By full id.
        groups: Names and ids of groups.
    """

    def __init__(self, levels: Sequence[Level], broken: Iterable[str]) -> None:
        self.tasks: dict[str, Unit] = {}
        self.by_id: dict[str, Unit] = {}
        self.groups: set[str] = set()
        self.broken = set(broken)
        for level in levels:
            self.tasks.update(level.tasks)
            if level.parent is not None:
                self.groups |= {level.name, level.unit.unit_id}
            for unit in level.tasks.values():
                self.by_id[unit.unit_id] = unit

    def known(self) -> set[str]:
        """Return all names."""
        return {*self.tasks, *self.by_id}


class Made:
    """What the tasks of a folder make, by the names that queries and arguments use.

    A task makes what is called like it, ``folder.task``, or what its key ``asset`` says.

    Args:
        levels: With their tasks.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        self._by_name: dict[str, Unit] = {}
        plain: dict[str, Unit] = {}
        for level in levels:
            for spec in level.specs:
                unit = level.tasks.get(level.named(spec.task_id))
                if unit is None:
                    continue
                plain.setdefault(spec.task_id.lower(), unit)
                plain.setdefault(unit.unit_id.lower(), unit)
                key = spec.values.get("asset")
                name = key if isinstance(key, str) else f"{level.name}.{spec.task_id}"
                self._by_name.setdefault(name.lower(), unit)
        self._by_name = {**plain, **self._by_name}

    def find(self, name: str) -> Unit | None:
        """Return what makes something, None if nothing does."""
        return self._by_name.get(name.lower())

    def names(self) -> set[str]:
        """Return the names of all that is made."""
        return set(self._by_name)


def wire_implied(unit: Unit, implied: Sequence[Implied], made: Made, origins: Origins) -> None:
    """Let a task wait for what makes what it reads.

    Args:
        unit: The task.
        implied: What it reads.
        made: By all tasks.
        origins: Takes the edges.
    """
    for one in implied:
        maker = made.find(one.name)
        if maker is not None and maker is not unit:
            unit.wait_for(maker, origins, one.position)


def wire_groups(levels: Sequence[Level], origins: Origins, problems: list[FileProblem]) -> None:
    """Let groups wait for tasks of the folder around them and for groups beside them."""
    for level in levels:
        if level.parent is None:
            continue
        beside = _groups_in(level.parent, levels)
        beside.pop(level.name, None)
        known = {**level.parent.tasks, **beside}
        for index, name in enumerate(_names_of(level, problems)):
            position = level.keys.position("dependencies", index)
            if name in known:
                level.unit.wait_for(known[name], origins, position)
            else:
                hint = did_you_mean(name, known) or "a group waits for tasks and groups beside it"
                message = f"group {level.name!r} depends on {name!r}, which is not there"
                problems.append(problem("F017", message, position, hint))


def wire_tasks(
    levels: Sequence[Level],
    names: Names,
    own_dependencies: Mapping[str, Sequence[str]],
    origins: Origins,
    problems: list[FileProblem],
) -> None:
    """Let tasks wait for the tasks and groups that they name.

    Args:
        levels: With their tasks.
        names: Of all tasks.
        own_dependencies: What tasks name as an attribute, by id.
        origins: Takes the edges.
        problems: Takes names that are unknown.
    """
    for level in levels:
        known = {**names.tasks, **_groups_in(level, levels)}
        for spec in level.specs:
            unit = level.tasks.get(level.named(spec.task_id))
            if unit is None:
                continue
            for name in own_dependencies.get(unit.unit_id, ()):
                if name in known:
                    unit.wait_for(known[name], origins, spec.position("operator"))
            _wire_task(level, spec, unit, known, names, origins, problems)


def _wire_task(
    level: Level,
    spec: TaskSpec,
    unit: Unit,
    known: Mapping[str, Unit],
    names: Names,
    origins: Origins,
    problems: list[FileProblem],
) -> None:
    for index, name in enumerate(_dependencies(spec, problems)):
        position = spec.position("dependencies", index)
        found = [known[alias] for alias in (name, _short(level, name)) if alias in known]
        if not found and name in names.by_id:
            found = [names.by_id[name]]
        for other in found:
            unit.wait_for(other, origins, position)
        if not found and name not in names.broken:
            hint = did_you_mean(name, {*known, *names.known()} - {name})
            if name in names.groups:
                hint = "a task waits for groups in its own folder only"
            message = f"{spec.task_id!r} depends on {name!r}, which is not in the flow"
            problems.append(problem("F017", message, position, hint))


def _short(level: Level, name: str) -> str:
    """Return what a name means that a task of the same group uses without its prefix or suffix."""
    if level.is_prefixed:
        return f"{level.name}_{name}"
    return f"{name}_{level.name}" if level.is_suffixed else name


def _groups_in(level: Level, levels: Sequence[Level]) -> dict[str, Unit]:
    return {inner.name: inner.unit for inner in levels if inner.parent is level}


def _names_of(level: Level, problems: list[FileProblem]) -> list[str]:
    value = level.keys.get("dependencies")
    names = names_in(value if value is not None else ())
    if names is None:
        message = "dependencies must be a list of names"
        problems.append(problem("F014", message, level.keys.position("dependencies")))
    return names or []


def _dependencies(spec: TaskSpec, problems: list[FileProblem]) -> list[str]:
    value = spec.values.get("dependencies")
    names = names_in(value if value is not None else ())
    if names is None:
        message = "dependencies must be a list of names"
        problems.append(spec.problem("F014", message, "dependencies"))
    return names or []


def cycle_in(origins: Origins) -> list[tuple[str, str, Position]]:
    """Return the edges of one cycle, from what is waited for to what waits; empty without any."""
    upstream: dict[str, list[str]] = {}
    waiting: dict[str, int] = {}
    downstream: dict[str, list[str]] = {}
    for above, below in origins:
        upstream.setdefault(below, []).append(above)
        downstream.setdefault(above, []).append(below)
        waiting[below] = waiting.get(below, 0) + 1
        waiting.setdefault(above, 0)
    free = [name for name, count in waiting.items() if not count]
    for name in free:
        for below in downstream.get(name, ()):
            waiting[below] -= 1
            if not waiting[below]:
                free.append(below)
    stuck = {name for name, count in waiting.items() if count}
    if not stuck:
        return []
    name = min(stuck)
    path: list[str] = []
    seen: dict[str, int] = {}
    # Whatever is stuck waits for something that is stuck too: going back ends in a cycle.
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = min(above for above in upstream[name] if above in stuck)
    around = path[seen[name] :]
    first = around.index(min(around))
    around = around[first:] + around[:first]
    pairs = zip([*around[1:], around[0]], around, strict=True)
    return [(above, below, origins[above, below]) for above, below in pairs]


def cycle_problem(cycle: Sequence[tuple[str, str, Position]]) -> FileProblem:
    """Return the problem that a cycle is, with the place of each edge."""
    if len(cycle) == 1:
        _, name, origin = cycle[0]
        return problem("F018", f"task {name!r} waits for itself", origin)
    parts = [f"{below} waits for {above} ({origin})" for above, below, origin in cycle]
    return problem("F018", f"tasks wait for each other: {', '.join(parts)}", cycle[0][2])

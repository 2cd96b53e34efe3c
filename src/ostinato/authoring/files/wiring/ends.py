"""This module puts root tasks above a flow, leaf tasks below it, and what comes before all."""

from collections.abc import Mapping, Sequence

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.files.task_specs import names_in
from ostinato.authoring.files.wiring.externals import PREFIX
from ostinato.authoring.files.wiring.levels import Level
from ostinato.authoring.files.wiring.units import GroupUnit, Origins, TaskUnit, Unit
from ostinato.authoring.suggestions import did_you_mean


class Ends:
    """The top of a flow, whose loose ends are tied.

    Args:
        root: The flow's own level.
        levels: All of them.
        more_leaves: Leaf tasks that were declared with the call.
        origins: Takes the edges.
        problems: Takes conflicts.
    """

    def __init__(
        self,
        root: Level,
        levels: Sequence[Level],
        *,
        more_leaves: Sequence[str],
        origins: Origins,
        problems: list[FileProblem],
    ) -> None:
        self._root = root
        self._groups = {level.name: level.unit for level in levels if level.parent is root}
        self._origins = origins
        self._problems = problems
        self._root_ids = self._ids("root_tasks")
        self._leaf_ids = [*self._ids("leaf_tasks"), *more_leaves]

    def tie_leaves(self) -> None:
        """Put the leaf tasks below all at the top that nothing waits for."""
        named = {name: unit for name, unit in self._root.tasks.items() if name in self._leaf_ids}
        leaves = self._alone(named, "leaf")
        for name, unit in {**self._root.tasks, **self._groups}.items():
            if unit.downstream_task_ids or name in named or name in self._root_ids:
                continue
            for leaf in leaves.values():
                leaf.wait_for(unit, self._origins, self._position("leaf_tasks"))

    def tie_roots(
        self,
        sensors: Mapping[str, TaskUnit],
        flow_sensors: Mapping[str, TaskUnit],
        latest_only: Unit | None,
    ) -> None:
        """Put root tasks, sensors of the flow, and the check for the newest run above the rest.

        Args:
            sensors: Those that tasks and groups wait for.
            flow_sensors: Those that the flow waits for.
            latest_only: Comes before all, if it is wanted.
        """
        ends = self._open_ends(sensors)
        named = {name: unit for name, unit in self._root.tasks.items() if name in self._root_ids}
        roots = self._alone(named, "root")
        for name, unit in ends.items():
            # What the whole flow waits for comes before its root tasks too.
            if name in named or name in flow_sensors:
                continue
            if all(above.startswith(PREFIX) for above in unit.upstream_task_ids):
                for root in roots.values():
                    unit.wait_for(root, self._origins, self._position("root_tasks"))
        fresh = {name: unit for name, unit in flow_sensors.items() if name not in sensors}
        for name, unit in ends.items():
            if unit.upstream_task_ids:
                continue
            above = fresh if name in flow_sensors else flow_sensors
            for sensor in above.values():
                unit.wait_for(sensor, self._origins, self._position("external_dependencies"))
        if latest_only is not None:
            for unit in {**ends, **flow_sensors}.values():
                if not unit.upstream_task_ids:
                    unit.wait_for(latest_only, self._origins, self._position("latest_only"))

    def _open_ends(self, sensors: Mapping[str, TaskUnit]) -> dict[str, Unit]:
        # A group that waits for a group needs nothing more.
        return {
            name: unit
            for name, unit in {**self._root.tasks, **self._groups, **sensors}.items()
            if not (isinstance(unit, GroupUnit) and unit.upstream_group_ids)
        }

    def _alone(self, units: Mapping[str, Unit], what: str) -> dict[str, Unit]:
        """Return those that nothing is tied to yet; the others are a conflict."""
        alone: dict[str, Unit] = {}
        for name, unit in units.items():
            others, relation = sorted(unit.upstream_task_ids), "waits for"
            if not others:
                others, relation = sorted(unit.downstream_task_ids), "is waited for by"
            if not others:
                alone[name] = unit
                continue
            names = ", ".join(map(repr, others))
            position = self._position_of(f"{what}_tasks", name)
            message = f"{what} task {name!r} {relation} {names}"
            hint = f"a {what} task has no dependencies of its own, and no task names it in its own"
            self._problems.append(problem("F020", message, position, hint))
        return alone

    def _ids(self, key: str) -> list[str]:
        value = self._root.metadata.get(key)
        names = names_in(value if value is not None else ())
        if names is None:
            message = f"{key} must be a list of names"
            self._problems.append(problem("F014", message, self._position(key)))
            return []
        known = self._root.tasks
        for index, name in enumerate(names):
            if name not in known:
                hint = did_you_mean(name, known) or "only tasks of the flow's own folder can be"
                message = f"{key} names {name!r}, which is not there"
                position = self._root.keys.position(key, index)
                self._problems.append(problem("F017", message, position, hint))
        return names

    def _position_of(self, key: str, name: str) -> Position:
        names = names_in(self._root.keys.get(key) or ()) or []
        return self._root.keys.position(key, *([names.index(name)] if name in names else []))

    def _position(self, *path: str) -> Position:
        return self._root.keys.position(*path)

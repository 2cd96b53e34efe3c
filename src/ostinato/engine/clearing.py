"""This module works out what a clear of task runs takes with it."""

from ostinato.engine.plan import Plan, PlanNode
from ostinato.model.flow import TaskKind
from ostinato.model.identity import MapPath

#: By position, the prefixes of indices below which all task runs are meant.
Areas = dict[int, set[MapPath]]


class Clearing:
    """Which parts of a run's graph are executed again.

    What is cleared *whole* takes all that depends on it with it: what waits for it, also at
    other indices, and what opens with it. What is cleared *alone* takes what is mapped over its
    result, whose indices would mean something else afterwards. Both take the setups in whose
    scope they lie, alone, and the teardowns of those: as in Airflow, other work in the scope
    stays as it was.

    Args:
        plan: The compiled flow.

    Attributes:
        forgotten: Mapped tasks and groups whose lengths are found anew.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._whole: Areas = {}
        self._alone: Areas = {}
        self.forgotten: Areas = {}

    def take(self, position: int, prefix: MapPath, *, is_alone: bool = False) -> None:
        """Clear the task runs of a task below a prefix of indices."""
        todo = [(position, prefix, is_alone)]
        while todo:
            position, prefix, is_alone = todo.pop()
            if covers(self._whole, position, prefix) or (
                is_alone and covers(self._alone, position, prefix)
            ):
                continue
            (self._alone if is_alone else self._whole).setdefault(position, set()).add(prefix)
            node = self._plan.nodes[position]
            for follower, depth in self._taken_by(node, is_alone=is_alone):
                self.forgotten.setdefault(follower, set()).add(prefix[:depth])
                todo.append((follower, prefix[:depth], False))
            todo.extend((setup, prefix[:depth], True) for setup, depth in node.guards)

    def __contains__(self, place: tuple[int, MapPath]) -> bool:
        return covers(self._whole, *place) or covers(self._alone, *place)

    def _taken_by(self, node: PlanNode, *, is_alone: bool) -> list[tuple[int, int]]:
        """Return what is cleared with a task or group, and how many indices it shares."""
        followers = [
            (dependent.position, depth)
            for depth, dependents in node.dependents.items()
            for dependent in dependents
        ]
        if not is_alone:
            return followers + [(member, len(node.scope)) for member in node.members]
        is_setup = node.task is not None and node.task.kind is TaskKind.SETUP
        nodes = self._plan.nodes
        return [
            (position, depth)
            for position, depth in followers
            if any(source == node.position for source, _ in nodes[position].sources)
            or (is_setup and nodes[position].is_teardown)
        ]


def covers(areas: Areas, position: int, path: MapPath) -> bool:
    """Whether a path lies below one of the prefixes of a position."""
    prefixes = areas.get(position)
    if not prefixes:
        return False
    return any(path[:size] in prefixes for size in range(len(path) + 1))

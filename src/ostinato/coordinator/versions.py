"""This module knows by which code a worker executes a run, and where."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ostinato.clock import Clock
from ostinato.coordinator.executor_set import ExecutorSet
from ostinato.coordinator.limits import Executors
from ostinato.coordinator.nested_runs import NESTED
from ostinato.coordinator.pinned import changed_shape
from ostinato.executors.code_host import CodeHost
from ostinato.executors.process import ProcessExecutor
from ostinato.executors.protocol import STEPS, Executor
from ostinato.executors.served_code import InForce, ServedManifest
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, decode_manifest
from ostinato.store.protocol import Store
from ostinato.store.records import CoordinatorLease

#: Characters of a version in the names of its executors.
_SHORT = 16

#: Seconds for which newer code is waited for that no worker has.
AWAIT_S = 60.0

#: Definitions that are not loaded and are remembered.
MAX_KEPT = 1_000

#: Executors that processes stand in for: users' code never runs in a worker itself.
_STOOD_IN = ("process", "inline", "thread", "caller")


class Code(Protocol):
    """The code of a project; ``ServedCode`` is one."""

    @property
    def flows(self) -> Mapping[str, InForce]:
        """The flows in force by name."""
        ...

    @property
    def manifests(self) -> tuple[ServedManifest, ...]:
        """The definitions that flows in force are of."""
        ...

    def hold(self, version: str) -> CodeHost | None:
        """Return the host of a version and keep it; None if it is gone."""
        ...

    def release(self, version: str) -> None:
        """Let go of what ``hold`` has given."""
        ...


class Serving(NamedTuple):
    """By what a run is executed.

    Attributes:
        flow: The definition.
        version: Of the code.
        is_changed: Whether that is another one than the run is pinned to.
    """

    flow: FlowDefinition
    version: str
    is_changed: bool


class Never(NamedTuple):
    """There is no code for a run any more.

    Attributes:
        reason: Why, in a line.
    """

    reason: str


class Place(NamedTuple):
    """The executors of a version.

    Attributes:
        host: Has its code.
        processes: Executes its tasks, callbacks and alerts.
        steps: Executes steps of its flows.
    """

    host: CodeHost
    processes: ProcessExecutor
    steps: Executor


class Versions:
    """The versions of a project's code by which a worker executes runs.

    A run is executed by the code that it is pinned to: here while that is loaded, by another
    worker while it is loaded there, which a role in the store tells. Else it goes on with the flow
    in force where its tasks and edges are the same; but what is newer than the code here is left
    for a while to those who are about to have it.

    Args:
        code: What is loaded.
        store: Where definitions are kept.
        lease: Of the worker.
        project: Whose definitions.
        clock: Measures how long others are waited for.
        loaded_us: When each version was last loaded.
        make: Makes the executors of a code host.
    """

    def __init__(
        self,
        code: Code,
        store: Store,
        lease: CoordinatorLease,
        project: str,
        *,
        clock: Clock,
        loaded_us: Mapping[str, int],
        make: Callable[[CodeHost], Place],
    ) -> None:
        self._code = code
        self._store = store
        self._lease = lease
        self._project = project
        self._clock = clock
        self._loaded_us = loaded_us
        self._make = make
        #: Versions of which others are told that they are loaded here.
        self._announced: set[str] = set()
        #: Since when newer code is waited for.
        self._awaited_s: dict[str, float] = {}
        self._open: dict[str, Place] = {}
        self._kept: dict[str, Manifest] = {}
        #: Versions that others have loaded, when that was last looked at.
        self._elsewhere: set[str] = set()
        #: Flows by name of the definitions that were looked into.
        self._flows: dict[str, dict[str, FlowDefinition]] = {}
        #: When versions were first kept.
        self._moments: dict[str, int] = {}

    def flow(self, name: str) -> FlowDefinition | None:
        """Return a flow as it is in force."""
        found = self._code.flows.get(name)
        return None if found is None else found.definition

    def look(self) -> None:
        """Learn what others have loaded; ``serving`` goes by that."""
        role = self._role("")
        held = self._store.held_roles(role)
        ours = self._lease.id
        self._elsewhere = {name.removeprefix(role) for name in held if held[name] != ours}

    def is_read(self, version: str) -> bool:
        """Whether ``serving`` tells of runs of a version without reading its definitions."""
        return version in self._kept or version in self._elsewhere or self._has(version)

    def serving(self, flow: str, version: str) -> Serving | Never | None:
        """Return by what a run is executed here; None if others have to.

        Args:
            flow: Whose run it is.
            version: That it is pinned to.
        """
        # Hot path: of a backlog that several versions of many flows have left, all are asked for.
        in_force = self._code.flows.get(flow)
        if in_force is not None and in_force.version == version:
            if not self._has(version):
                # Its process was killed; another load is about to bring its code back.
                return None
            return Serving(in_force.definition, version, is_changed=False)
        if version in self._elsewhere and not self._has(version):
            return None
        kept = self._manifest(version)
        pinned = None if kept is None else self._flow_of(kept, version, flow)
        if kept is None or pinned is None:
            return Never("its definitions are no longer kept")
        if self._has(version):
            return Serving(pinned, version, is_changed=False)
        if in_force is None:
            return self._why_gone(flow, kept)
        return self._other_code(version, kept, pinned, in_force)

    def _flow_of(self, kept: Manifest, version: str, name: str) -> FlowDefinition | None:
        flows = self._flows.get(version)
        if flows is None:
            flows = self._flows[version] = {flow.name: flow for flow in kept.flows}
        return flows.get(name)

    def _has(self, version: str) -> bool:
        """Whether the code of a version is loaded."""
        if version in self._open:
            return True
        if self._code.hold(version) is None:
            return False
        self._code.release(version)
        return True

    def _other_code(
        self, version: str, kept: Manifest, pinned: FlowDefinition, in_force: InForce
    ) -> Serving | Never | None:
        """Return whether a run may go on by the flow in force."""
        ours = self._manifest(in_force.version)
        is_same = ours is not None and ours.sources == kept.sources
        if kept.sources and not is_same and self._is_awaited(version, in_force.version):
            return None
        difference = changed_shape(pinned, in_force.definition)
        if difference:
            return Never(f"its code is gone, and that of today differs: {difference}")
        if not self._has(in_force.version):
            return None
        return Serving(in_force.definition, in_force.version, is_changed=not is_same)

    def _why_gone(self, flow: str, kept: Manifest) -> Never | None:
        newest = next(reversed(self._code.manifests), None)
        if newest is None or newest.manifest.unloaded or not kept.sources:
            # Its file may be mended, or is a script that serves it.
            return None
        return Never(f"its code is gone: there is no flow {flow!r} any more")

    def _is_awaited(self, version: str, ours: str) -> bool:
        """Whether a version came after ours was loaded, so that others are about to have it."""
        if version not in self._moments:
            self._moments = dict(self._store.manifest_versions(self._project))
        if self._moments.get(version, 0) <= self._loaded_us.get(ours, 0):
            return False
        now_s = self._clock.monotonic_s()
        return now_s - self._awaited_s.setdefault(version, now_s) < AWAIT_S

    # Who has which code

    def announce(self) -> None:
        """Tell other workers which versions are loaded here."""
        loaded = {flow.version for flow in self._code.flows.values()} | set(self._open)
        for version in loaded - self._announced:
            # Another one that has it tells of it as well; one of us is enough.
            if self._store.take_role(self._role(version), self._lease):
                self._announced.add(version)
        self._withdraw(self._announced - loaded)

    def withdraw(self) -> None:
        """Tell other workers that nothing is taken up here any more."""
        self._withdraw(set(self._announced))

    def _withdraw(self, versions: set[str]) -> None:
        for version in versions:
            self._announced.discard(version)
            self._store.release_role(self._role(version), self._lease)

    def _role(self, version: str) -> str:
        return f"code:{self._project}:{version}"

    def _manifest(self, version: str) -> Manifest | None:
        found = self._kept.get(version)
        if found is None:
            for served in self._code.manifests:
                if served.version == version:
                    found = served.manifest
                    break
            else:
                data = self._store.load_manifest(version)
                found = None if data is None else decode_manifest(data)
            if found is not None:
                self._kept[version] = found
        return found

    # Executors

    def places(self, version: str, default: str, floor: ExecutorSet) -> Executors | None:
        """Return where runs of a version execute; None if its code is gone.

        Args:
            version: Of the code.
            default: Executor of tasks that name none.
            floor: Where executors that are missing are put up.
        """
        processes, steps = _names(version)
        if version not in self._open:
            host = self._code.hold(version)
            if host is None:
                return None
            place = self._open[version] = self._make(host)
            floor.add(processes, place.processes)
            floor.add(steps, place.steps)
        aliases = dict.fromkeys(_STOOD_IN, processes)
        return Executors(frozenset({processes, NESTED}), aliases, default, steps)

    def busy(self, *, besides: ProcessExecutor) -> int:
        """Return how many children of other versions execute attempts."""
        places = self._open.values()
        return sum(each.processes.busy for each in places if each.processes is not besides)

    @property
    def hosts(self) -> list[CodeHost]:
        """The hosts in which something may run."""
        return [place.host for place in self._open.values()]

    @property
    def are_many(self) -> bool:
        """Whether there are executors of several versions, or of one that is not in force."""
        in_force = {flow.version for flow in self._code.flows.values()}
        return any(version not in in_force for version in self._open)

    def executor(self, places: Executors | None) -> Executor | None:
        """Return what executes callbacks and alerts of runs with these places, or of any run."""
        for version, place in reversed(self._open.items()):
            if places is None or _names(version)[1] == places.steps:
                return place.processes
        return None

    def retire(self, needed: set[str], floor: ExecutorSet) -> None:
        """End the executors of versions that no run needs and that are not in force.

        Args:
            needed: Names of the executors of steps of the runs that go on.
            floor: Where they are taken away.
        """
        in_force = {flow.version for flow in self._code.flows.values()}
        for version in [each for each in self._open if each not in in_force]:
            names = _names(version)
            if names[1] not in needed and not self._open[version].processes.is_busy:
                del self._open[version]
                for name in names:
                    floor.remove(name)
                self._code.release(version)
        if len(self._kept) > MAX_KEPT:
            self._kept.clear()
            self._flows.clear()

    def close(self) -> None:
        """Let go of all code; its executors have ended."""
        for version in self._open:
            self._code.release(version)
        self._open.clear()


def _names(version: str) -> tuple[str, str]:
    short = version[:_SHORT]
    return f"process@{short}", f"{STEPS}@{short}"

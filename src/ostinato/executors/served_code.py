"""This module is the code of a project in a process that goes on: what is in force of it.

Each load of the project makes a code host of its own. A flow is in force as the last load that
had it says; a load in which its file is broken leaves it at the version before, whose host lives
on while a flow of it is in force or somebody holds it for runs that are not over.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

from ostinato.errors import OstinatoError
from ostinato.executors.code_host import CodeHost
from ostinato.executors.nursery import HostSpec, Nursery
from ostinato.model.event_sensor import SensorDefinition
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import DefinitionProblem, Manifest, decode_manifest
from ostinato.project.discovery import Project

logger = logging.getLogger(__name__)


class InForce(Struct, frozen=True):
    """A flow as new runs of it are made.

    Attributes:
        definition: The flow.
        version: Of the manifest that it is of; runs are pinned to it.
        host: Process that has its code.
    """

    definition: FlowDefinition
    version: str
    host: CodeHost


class SensorInForce(Struct, frozen=True):
    """An event sensor as it ticks.

    Attributes:
        definition: The sensor.
        version: Of the manifest that it is of.
        host: Process that has its code.
    """

    definition: SensorDefinition
    version: str
    host: CodeHost


class CodeChange(Struct, frozen=True):
    """What a load has changed.

    Attributes:
        version: Of what was loaded; empty where nothing could be.
        added: Names of flows that were not in force before.
        changed: Names of flows of which another version is in force, changed or not.
        removed: Names of flows that are no longer there.
        kept: Names of flows that stay at an earlier version, their files being broken.
        problems: All that is wrong.
    """

    version: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    problems: tuple[DefinitionProblem, ...] = ()


class ServedManifest(Struct, frozen=True):
    """The definitions of one load, as the store keeps them.

    Attributes:
        version: Names them.
        data: Encoded.
        manifest: Decoded.
    """

    version: str
    data: bytes
    manifest: Manifest


#: Keeps definitions, with the versions of all flows that are to be in force.
Save = Callable[[ServedManifest, Mapping[str, str]], None]


class _Version:
    def __init__(self, served: ServedManifest, host: CodeHost) -> None:
        self.served = served
        self.host = host
        self.holders = 0


class ServedCode:
    """Keep the code of a project loaded; ask it in any thread.

    Args:
        project: Whose code it is.
        nursery: Forks the code hosts.
        target: What is loaded, as ``parse_target`` takes it; empty for the whole project.
        overrides: Settings from command-line flags.
        save: Keeps definitions before they come into force, so that runs may be pinned to them,
            with the versions of all flows that then are in force; what it raises leaves
            everything as it is.
    """

    def __init__(
        self,
        project: Project,
        nursery: Nursery,
        *,
        target: str = "",
        overrides: Mapping[str, str] | None = None,
        save: Save | None = None,
    ) -> None:
        self._save = save
        self._project = project
        self._nursery = nursery
        self._spec = HostSpec(target, str(project.root), dict(overrides or {}))
        self._lock = threading.Lock()
        self._versions: dict[str, _Version] = {}
        self._flows: Mapping[str, InForce] = {}
        self._sensors: Mapping[str, SensorInForce] = {}
        self._problems: tuple[DefinitionProblem, ...] = ()
        self._newest: Manifest | None = None
        self._told: list[Callable[[CodeChange], None]] = []

    # What is in force

    @property
    def flows(self) -> Mapping[str, InForce]:
        """The flows in force by name; a load replaces the mapping."""
        return MappingProxyType(self._flows)

    def flow(self, name: str) -> InForce | None:
        """Return the flow of that name as it is in force, None if there is none."""
        return self._flows.get(name)

    @property
    def sensors(self) -> Mapping[str, SensorInForce]:
        """The event sensors in force by name; a load replaces the mapping."""
        return MappingProxyType(self._sensors)

    @property
    def problems(self) -> tuple[DefinitionProblem, ...]:
        """What was wrong in the last load."""
        return self._problems

    @property
    def manifests(self) -> tuple[ServedManifest, ...]:
        """The definitions that flows and sensors in force are of; the newest last."""
        wanted = self._wanted()
        with self._lock:
            return tuple(v.served for v in self._versions.values() if v.served.version in wanted)

    def subscribe(self, tell: Callable[[CodeChange], None]) -> None:
        """Have a function told of each change, in the thread that loads; it must not block."""
        self._told.append(tell)

    # Hosts of versions that runs are pinned to

    def hold(self, version: str) -> CodeHost | None:
        """Return the host of a version and keep it until ``release``; None if it is gone."""
        with self._lock:
            found = self._versions.get(version)
            if found is None or not found.host.pid:
                # Once it was closed it does not come back.
                return None
            found.holders += 1
            return found.host

    def release(self, version: str) -> None:
        """Let go of what ``hold`` has given; the last one ends a host that nothing needs."""
        with self._lock:
            self._versions[version].holders -= 1
        self._retire()

    @property
    def has_lost_host(self) -> bool:
        """Whether a host has ended that nobody holds, who would start it again."""
        wanted = self._wanted()
        with self._lock:
            return any(
                not version.holders and version.host.has_ended
                for name, version in self._versions.items()
                if name in wanted
            )

    # Loading

    def load(self) -> CodeChange:
        """Load the project and put in force what could be loaded; tell what has changed.

        One thread loads. Nothing is raised: that nothing could be loaded is a problem too.
        """
        try:
            loading = self.begin()
            loading.loaded()
        except OstinatoError as error:
            return self.refuse(error)
        return self.accept(loading)

    def begin(self) -> CodeHost:
        """Begin to load the project in a code host; ``accept`` or ``refuse`` what becomes of it.

        Raises:
            LoadError: No process can be made for it.
        """
        return self._nursery.host(self._spec)

    def accept(self, host: CodeHost) -> CodeChange:
        """Put in force what a code host has loaded; tell what has changed."""
        data, version = host.loaded()
        served = ServedManifest(version, data, decode_manifest(data))
        try:
            return self._put_in_force(host, served)
        except OstinatoError as error:
            # It could not be saved.
            host.close()
            return self.refuse(error)

    def refuse(self, error: OstinatoError) -> CodeChange:
        """Leave everything in force, because nothing could be loaded; tell so."""
        place = error.place
        problem = DefinitionProblem(
            error.code,
            error.message,
            place.file if place else "",
            place.line if place else 0,
            error.hint,
        )
        self._problems = (problem,)
        self._newest = None
        return self._tell(CodeChange("", kept=tuple(self._flows), problems=self._problems))

    @property
    def newest(self) -> Manifest | None:
        """What the last load gave, None where it failed."""
        return self._newest

    def close(self) -> None:
        """End all code hosts."""
        with self._lock:
            versions, self._versions = list(self._versions.values()), {}
            self._flows, self._sensors = {}, {}
        for version in versions:
            version.host.close()

    def _put_in_force(self, host: CodeHost, served: ServedManifest) -> CodeChange:
        version, manifest = served.version, served.manifest
        before = self._flows
        names = {flow.name for flow in manifest.flows}
        kept = {
            name: flow
            for name, flow in before.items()
            if name not in names and self._may_stay(flow, manifest)
        }
        if self._save is not None:
            versions = dict.fromkeys(names, version)
            self._save(served, versions | {name: flow.version for name, flow in kept.items()})
        host = self._know(host, served)
        flows = {flow.name: InForce(flow, version, host) for flow in manifest.flows}
        sensors = {each.name: SensorInForce(each, version, host) for each in manifest.sensors}
        kept_sensors = {
            name: sensor
            for name, sensor in self._sensors.items()
            if name not in sensors and self._may_stay(sensor, manifest)
        }
        self._flows = flows | kept
        self._sensors = sensors | kept_sensors
        self._problems = manifest.problems
        self._newest = manifest
        change = CodeChange(
            version,
            added=tuple(name for name in flows if name not in before),
            changed=tuple(
                name for name in flows if name in before and before[name].version != version
            ),
            removed=tuple(name for name in before if name not in self._flows),
            kept=tuple(kept),
            problems=self._problems,
        )
        self._tell(change)
        self._retire()
        return change

    def _may_stay(self, before: InForce | SensorInForce, manifest: Manifest) -> bool:
        """Whether something stays as it was because its file is broken, and its code lives."""
        if not _is_in(before.definition.source.file, manifest.unloaded):
            return False
        with self._lock:
            version = self._versions.get(before.version)
            return version is not None and bool(version.holders or not version.host.has_ended)

    def _know(self, host: CodeHost, served: ServedManifest) -> CodeHost:
        """Return the host of a version: one that has loaded it before serves as well."""
        host.pin(served.version)
        with self._lock:
            known = self._versions.pop(served.version, None) or _Version(served, host)
            known.served = served
            unneeded = host
            if known.host.has_ended and not known.holders:
                known.host, unneeded = host, known.host
            # The newest is the last.
            self._versions[served.version] = known
        if known.host is not unneeded:
            unneeded.leave()
        return known.host

    def _tell(self, change: CodeChange) -> CodeChange:
        for tell in self._told:
            tell(change)
        return change

    def _retire(self) -> None:
        """End the hosts that nothing needs any more."""
        wanted = self._wanted()
        with self._lock:
            newest = next(reversed(self._versions), "")
            unwanted = [
                version
                for name, version in self._versions.items()
                if name not in wanted and name != newest and not version.holders
            ]
            for version in unwanted:
                del self._versions[version.served.version]
        for version in unwanted:
            version.host.close()

    def _wanted(self) -> set[str]:
        in_force: list[InForce | SensorInForce] = [*self._flows.values(), *self._sensors.values()]
        return {each.version for each in in_force}


def _is_in(file: str, places: tuple[str, ...]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)

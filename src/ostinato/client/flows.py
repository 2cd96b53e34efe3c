"""This module knows the flows that are served, and starts runs of them without their code."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ostinato.authoring.suggestions import did_you_mean
from ostinato.client.new_runs import SERVICE, code_version, run_to_create
from ostinato.client.parameters import parse_moment_us, validate_params
from ostinato.clock import Clock
from ostinato.errors import UnknownFlow
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest, decode_manifest
from ostinato.project.discovery import Project
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow, ServedFlowRow

#: Decoded definitions that are kept: those in force, and some that were.
_KEPT_MANIFESTS = 16


class ServedFlow(Struct, frozen=True):
    """A flow whose code is served.

    Attributes:
        definition: The flow.
        version: Of the definitions that it is part of.
        served_us: Since when.
    """

    definition: FlowDefinition
    version: str
    served_us: int


class Started(Struct, frozen=True):
    """A run that was asked for.

    Attributes:
        run: The run.
        is_new: Whether it was not there before.
    """

    run: RunRow
    is_new: bool


class FlowDirectory:
    """Find the flows of a project that are served.

    Whoever has loaded the code of a project says which version of each flow is in force, by
    ``publish``. Whoever has not, such as a server, starts runs of that version.

    Args:
        store: Where both are kept.
        project: Whose flows.
        clock: Gives the logical date of a run that is asked for without one.
    """

    def __init__(self, store: Store, project: Project, clock: Clock) -> None:
        self._store = store
        self._project = project
        self._clock = clock
        self._manifests: dict[str, Manifest] = {}

    def publish(self, versions: Mapping[str, str]) -> None:
        """Say which flows are in force, and in which version; others are served no more.

        Args:
            versions: Version of the definitions by the name of the flow.
        """
        self._store.served.replace(self._project.name, versions)

    def all(self) -> list[ServedFlow]:
        """Return all flows that are served, by name."""
        rows = self._store.served.all(self._project.name)
        return [flow for row in rows if (flow := self._flow(row)) is not None]

    def find(self, name: str) -> ServedFlow:
        """Return a flow that is served.

        Args:
            name: Of the flow.

        Raises:
            UnknownFlow: It is not.
        """
        row = self._store.served.find(self._project.name, name)
        flow = None if row is None else self._flow(row)
        if flow is not None:
            return flow
        known = [each.flow for each in self._store.served.all(self._project.name)]
        some = f"flows are {', '.join(known[:10])}" if known else "no worker has served any flow"
        message = f"project {self._project.name!r} serves no flow {name!r}"
        raise UnknownFlow(message, hint=did_you_mean(name, known) or some)

    def start(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        date: str = "",
        logical_key: str = "",
        tags: Sequence[str] = (),
        trigger: str = "api",
    ) -> Started:
        """Ask for a run, which a worker drives.

        Args:
            name: Of the flow.
            params: Values of its parameters.
            date: Logical date, in the flow's time zone; empty for now.
            logical_key: There is one run of the flow with it; empty for a run of its own.
            tags: For searching.
            trigger: What asks for it.

        Raises:
            ParameterError: The parameters do not fit.
            UnknownFlow: The flow is not served.
            UsageError: The date cannot be read.
        """
        served = self.find(name)
        flow = served.definition
        values = validate_params(flow, params)
        timezone = flow.timezone or self._project.settings.timezone
        now_us = self._clock.now_us()
        date_us = parse_moment_us(date or None, timezone)
        new = run_to_create(
            flow,
            served.version,
            values,
            project=self._project,
            date_us=now_us if date_us is None else date_us,
            code=code_version(self._project),
            trigger=trigger,
            home=SERVICE,
            tags=tuple(tags),
            logical_key=logical_key or None,
        )
        row = self._store.create_runs([new])[0]
        return Started(row, is_new=not logical_key or row.created_us >= now_us)

    def _flow(self, row: ServedFlowRow) -> ServedFlow | None:
        manifest = self._manifest(row.manifest_version)
        flow = None if manifest is None else manifest.flow(row.flow)
        return None if flow is None else ServedFlow(flow, row.manifest_version, row.served_us)

    def _manifest(self, version: str) -> Manifest | None:
        found = self._manifests.get(version)
        if found is None:
            data = self._store.load_manifest(version)
            if data is None:
                return None
            while len(self._manifests) >= _KEPT_MANIFESTS:
                # Another thread may be quicker.
                self._manifests.pop(next(iter(self._manifests)), None)
            found = self._manifests[version] = decode_manifest(data)
        return found

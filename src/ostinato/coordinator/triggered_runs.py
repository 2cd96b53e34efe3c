"""This module starts runs that tasks ask for."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from ostinato.client.parameters import validate_params
from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.task_run import TaskRun
from ostinato.errors import UnknownFlow
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import format_path
from ostinato.model.manifest import Manifest, decode_manifest, encode_manifest, version_of
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

_decode_flow = msgspec.msgpack.Decoder(FlowDefinition).decode

#: What ``trigger`` says of a run that a task asked for.
TRIGGER = "task"


class Asked(NamedTuple):
    """A run that a task asks for.

    Attributes:
        flow: What is to run.
        params: Values that were validated against its parameters.
        date_us: Logical date in microseconds since the epoch; None for now.
        logical_key: Asking again with it returns the first run.
        tag: Names the task run that asks.
        manifest_version: Of the definitions; empty for that of the run that asks.
        trigger: What ``trigger`` says of the run.
    """

    flow: FlowDefinition
    params: Mapping[str, Any]
    date_us: int | None
    logical_key: str
    tag: str
    manifest_version: str = ""
    trigger: str = TRIGGER


class Starter(Protocol):
    """Create runs and drive them; a ``Runner`` is one."""

    def start_asked(self, parent: RunRow, asked: Asked) -> RunRow:
        """Return the run that was asked for, which is created if it is not there."""
        ...

    def loaded_flow(self, name: str) -> FlowDefinition | None:
        """Return a flow whose code is here, None if it is not."""
        ...

    def leave_asked(self, asked: "Asked") -> RunRow:
        """Return the run that was asked for, which is left to who serves its flow."""
        ...


class TriggeredRuns:
    """Answer the call ``trigger_run``; what it means is said at ``runtime.messages.CALLS``.

    Args:
        store: Where the definitions lie.
        starter: Creates and drives the runs.
    """

    def __init__(self, store: Store, starter: Starter) -> None:
        self._store = store
        self._starter = starter
        self._manifests: dict[str, Manifest] = {}
        #: By method; each takes the run, the task run and the call's arguments by name.
        self.answers: Mapping[str, Callable[..., Any]] = {"trigger_run": self._trigger}

    def _trigger(
        self,
        run: LiveRun,
        task_run: TaskRun,
        *,
        flow: str,
        params: dict[str, Any],
        date_us: int | None,
        logical_key: str,
        definition: bytes = b"",
    ) -> dict[str, Any]:
        declared = self._manifest(run.row).flow(flow)
        version = ""
        if declared is None:
            # The version of a subflow's run holds the subflow alone.
            declared = self._starter.loaded_flow(flow)
            version = self._save(run.row.project, declared) if declared is not None else ""
        is_loaded = declared is not None or not definition
        if declared is None:
            declared = _decode_flow(definition) if definition else self._flow(run.row, flow)
        tag = f"from:{run.row.flow}#{run.row.number}/{task_run.task_id}"
        if task_run.path:
            tag = f"{tag}[{format_path(task_run.path)}]"
        values = validate_params(declared, params)
        asked = Asked(declared, values, date_us, logical_key, tag, version)
        if is_loaded:
            row = self._starter.start_asked(run.row, asked)
        else:
            row = self._starter.leave_asked(asked)
        return {
            "run_id": str(row.id),
            "name": f"{row.flow}#{row.number}",
            "is_own": tag in row.tags,
        }

    def _save(self, project: str, flow: FlowDefinition) -> str:
        """Save the definition of a flow alone, and return its version."""
        data = encode_manifest(Manifest(project=project, flows=(flow,)))
        version = version_of(data)
        self._store.save_manifest(version, project, data)
        return version

    def _flow(self, row: RunRow, name: str) -> FlowDefinition:
        """Return a flow of the version that the asking run is pinned to.

        Raises:
            UnknownFlow: It was not loaded together with that run's flow.
        """
        manifest = self._manifest(row)
        flow = manifest.flow(name)
        if flow is None:
            loaded = ", ".join(sorted(each.name for each in manifest.flows))
            message = f"there is no flow {name!r} here to be run"
            hint = f"loaded are {loaded}; run the project or a file that has both flows"
            raise UnknownFlow(message, hint=hint)
        return flow

    def _manifest(self, row: RunRow) -> Manifest:
        version = row.manifest_version
        if version not in self._manifests:
            data = self._store.load_manifest(version)
            assert data is not None, "the definitions of a run that is driven are in the store"
            self._manifests[version] = decode_manifest(data)
        return self._manifests[version]


def target_in_file(flow: FlowDefinition) -> str:
    """Return where the code of a flow is found by its file; empty where it has none."""
    file = flow.source.file
    return f"{file}:{flow.name}" if file else ""


def target_of(parent: RunRow, flow: str) -> str:
    """Return where the code of a flow is found that was loaded with another one.

    >>> from types import SimpleNamespace
    >>> target_of(SimpleNamespace(target="flows/etl.py:etl", flow="etl"), "report")
    'flows/etl.py:report'
    """
    place = parent.target.removesuffix(f":{parent.flow}")
    return f"{place}:{flow}" if place != parent.target else parent.target

"""This module reads what a person names to be run: a file, a module, a project, a flow."""

from pathlib import Path

from msgspec import Struct

from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import OstinatoError, UnknownFlow, UsageError
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import Manifest

#: Name of the file that makes a folder a project.
SETTINGS_FILE = "ostinato.yaml"


class Target(Struct, frozen=True):
    """What is to be loaded, and which of its flows is meant.

    Attributes:
        path: Absolute path of a file or folder; None for a module, or where nothing was named.
        module: Dotted name of a module, or empty.
        flow: Name of a flow, or empty.
    """

    path: Path | None = None
    module: str = ""
    flow: str = ""

    @property
    def start(self) -> Path:
        """The folder from which its project is looked for, upward."""
        if self.path is None:
            return Path.cwd()
        return self.path if self.path.is_dir() else self.path.parent


def parse_target(text: str) -> Target:
    """Read a target as people write it.

    ``flows/etl.py`` is a file, ``flows/etl.py:nightly`` a flow in it, ``shop.flows`` and
    ``shop:nightly`` name a module, a folder a project, and any other word a flow of the
    project around the working directory. Nothing means that project itself.

    Raises:
        UsageError: It looks like a path and is none.
    """
    if not text:
        return Target()
    if Path(text).exists():
        return Target(path=Path(text).resolve())
    before, colon, flow = text.rpartition(":")
    if colon and Path(before).exists():
        return Target(path=Path(before).resolve(), flow=flow)
    name = before if colon else text
    if name.endswith(".py") or "/" in name:
        raise UsageError(f"there is no file {name}", hint=_similar_file(Path(name)))
    if colon or "." in name:
        return Target(module=name, flow=flow if colon else "")
    return Target(flow=name)


def choose_flow(manifest: Manifest, target: Target) -> FlowDefinition:
    """Return the flow that a target means.

    Raises:
        UnknownFlow: No flow has that name, or none could be loaded.
        UsageError: There are several and none was named.
    """
    names = [flow.name for flow in manifest.flows]
    if target.flow:
        found = manifest.flow(target.flow)
        if found is None:
            raise UnknownFlow(f"there is no flow {target.flow!r}", hint=_flow_hint(target, names))
        return found
    if not names:
        raise _no_flow(manifest)
    if len(names) > 1:
        raise UsageError(
            f"there are {len(names)} flows, and none was named",
            hint=f"name one of {', '.join(sorted(names)[:10])}",
        )
    return manifest.flows[0]


def unloaded_flow(manifest: Manifest, target: Target) -> UnknownFlow:
    """Return the error of a flow that is not among those which could be loaded.

    Args:
        manifest: Of what could.
        target: Names the flow.
    """
    names = [flow.name for flow in manifest.flows]
    message = f"there is no flow {target.flow!r} in what could be loaded"
    return UnknownFlow(message, hint=_flow_hint(target, names) if names else "")


def _flow_hint(target: Target, names: list[str]) -> str:
    if not names:
        return "no flow is declared there"
    return did_you_mean(target.flow, names) or f"there are {', '.join(sorted(names)[:10])}"


def _no_flow(manifest: Manifest) -> OstinatoError:
    if manifest.problems:
        return UnknownFlow("no flow could be loaded")
    return UnknownFlow("no flow is declared there", hint="a @dag function must be called once")


def _similar_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    return did_you_mean(path.name, [entry.name for entry in folder.iterdir()])

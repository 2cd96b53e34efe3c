"""This module loads users' code in a child process and says what is wrong with it."""

import os
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from ostinato.errors import UsageError
from ostinato.executors.code_host import CodeHost
from ostinato.model.flow import FlowDefinition
from ostinato.model.manifest import DefinitionProblem, Manifest, decode_manifest
from ostinato.project.checks import problems_of_flow
from ostinato.project.discovery import Project, check_target, find_project
from ostinato.project.settings_file import ENVIRONMENT_VARIABLE
from ostinato.project.target import Target, choose_flow, parse_target, unloaded_flow

#: From how many on problems of other flows are counted instead of shown.
_MANY_PROBLEMS = 3

#: Tag of a run of some of a flow's tasks.
PARTIAL = "partial"


class Code(Struct, frozen=True):
    """The code of a target, being loaded in a child process.

    Attributes:
        text: The target as it was written.
        target: What that means.
        project: The project around it.
        host: The child process.
    """

    text: str
    target: Target
    project: Project
    host: CodeHost

    def graphs(self) -> tuple[Manifest, dict[str, str]]:
        """Return the manifest and the JSON of each flow; for what ``begin_drawing`` began.

        Raises:
            LoadError: The process did not survive the loading.
        """
        data, _ = self.host.loaded()
        manifest, graphs = msgspec.msgpack.decode(data, type=tuple[bytes, dict[str, str]])
        return decode_manifest(manifest), graphs

    def definitions(self) -> tuple[Manifest, bytes, str]:
        """Return the manifest, its encoded form and its version, once it is there.

        Raises:
            LoadError: The process did not survive the loading.
        """
        data, version = self.host.loaded()
        return decode_manifest(data), data, version


def begin_loading(text: str, *, overrides: dict[str, str] | None = None) -> Code:
    """Fork a code host that loads a target; call this before anything heavy is imported.

    Args:
        text: The target as it was written.
        overrides: Settings from command-line flags.
    """
    target = parse_target(text)
    project = find_project(target, overrides=overrides)
    check_target(project, target)
    return Code(text, target, project, CodeHost.fork(lambda: _load(project, target)))


def begin_drawing(text: str) -> Code:
    """Fork a code host that loads a target and writes its flows as JSON.

    Args:
        text: The target as it was written.
    """
    target = parse_target(text)
    project = find_project(target)
    check_target(project, target)
    return Code(text, target, project, CodeHost.fork(lambda: _draw(project, target)))


def _draw(project: Project, target: Target):  # type: ignore[no-untyped-def]  # a Loaded, which only the child imports
    from ostinato.authoring.flow_json import flow_json

    loaded = _load(project, target)
    graphs = {name: flow_json(flow) for name, flow in loaded.flows.items()}
    data = msgspec.msgpack.encode((loaded.data, graphs))
    return msgspec.structs.replace(loaded, data=data)


def _load(project: Project, target: Target):  # type: ignore[no-untyped-def]  # a Loaded, which only the child imports
    from ostinato.project.loading import load_project

    return load_project(project, target)


def choose(code: Code, manifest: Manifest) -> FlowDefinition:
    """Return the flow that is meant; print what else could not be loaded.

    Raises:
        UsageError: It cannot be told, because something could not be loaded.
        UnknownFlow: There is none of that name.
    """
    is_certain = bool(code.target.flow) and manifest.flow(code.target.flow) is not None
    errors = [problem for problem in manifest.problems if problem.is_error]
    # Of a folder that was named, what is wrong elsewhere is beside the point.
    errors = [each for each in errors if _is_in(each, code.target.flow)] or errors
    if errors and not is_certain:
        if code.target.flow and not _is_in(errors[0], code.target.flow):
            # It may be in what could not be loaded, or be misspelt.
            for problem in errors:
                click.echo(f"error: {problem}", err=True)
            raise unloaded_flow(manifest, code.target)
        for problem in errors[:-1]:
            click.echo(f"error: {problem}", err=True)
        raise UsageError(str(errors[-1]))
    flow = choose_flow(manifest, code.target)
    own = [problem for problem in manifest.problems if _is_in(problem, flow.name)]
    others = [problem for problem in manifest.problems if problem not in own]
    warn(own)
    if len(others) >= _MANY_PROBLEMS:
        click.echo(f"warning: {len(others)} problems elsewhere (see ostinato check)", err=True)
    else:
        warn(others)
    return flow


def _is_in(problem: DefinitionProblem, flow: str) -> bool:
    """Whether a problem is of a file in the folder of a flow."""
    return bool(flow) and flow.rpartition(".")[2] in problem.file.split("/")


def refuse_unsound(flow: FlowDefinition, project: Project) -> None:
    """Refuse a flow that a run would stumble over, before the run is made.

    Raises:
        UsageError: Its schedule, zone, a pool or an executor is wrong.
    """
    pools: dict[str, int] = {}
    # Most flows name no pool, and opening the store costs a start.
    if any(task.policy.pool for task in flow.tasks):
        from ostinato.cli.opening import stored_pools

        pools = stored_pools(project)
    problems = list(problems_of_flow(flow, project, pools=pools))
    for problem in problems[:-1]:
        click.echo(f"error: {problem}", err=True)
    if problems:
        raise UsageError(str(problems[-1]))


def warn(problems: Iterable[DefinitionProblem]) -> None:
    """Print problems that do not keep the command from its work."""
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)


def use_environment(name: str | None) -> None:
    """Let an environment of the settings hold, here and in child processes."""
    if name:
        os.environ[ENVIRONMENT_VARIABLE] = name


def portable(target: Target, project: Project, flow: str) -> str:
    """Return a target as a run keeps it: found again from any folder, and after a move."""
    if target.module:
        return f"{target.module}:{flow}"
    path = target.path
    if path is None or (path == project.root and not project.is_implicit):
        return ""
    if not project.is_implicit and path.is_relative_to(project.root):
        return f"{path.relative_to(project.root)}:{flow}"
    return f"{path}:{flow}"


def found_again(kept: str, project: Project) -> str:
    """Return a target as ``begin_loading`` takes it, from what a run has kept."""
    if not kept:
        return str(project.root)
    path, colon, flow = kept.rpartition(":") if ":" in kept else (kept, "", "")
    if not Path(path).is_absolute() and (project.root / path).exists():
        path = str(project.root / path)
    return f"{path}{colon}{flow}"

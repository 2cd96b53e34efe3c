"""This module loads a target's files and collects the flows that they declare.

It executes users' code, so it runs in a child process: a code host, which then forks the
processes of the attempts. Output of the code while it loads goes to standard error.
"""

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ostinato.authoring import session
from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import (
    DuplicateFlow,
    FolderProblems,
    LoadError,
    OstinatoError,
    Place,
    UnknownFlow,
)
from ostinato.model.flow import FlowDefinition, Source
from ostinato.model.identity import PRIVATE_MODULE_PREFIX
from ostinato.model.manifest import (
    DefinitionProblem,
    Manifest,
    NamedConnection,
    encode_manifest,
    version_of,
)
from ostinato.project.connection_types import connection_types
from ostinato.project.discovery import (
    Project,
    check_target,
    find_project,
    flow_around,
    is_folder_flow,
    names_folder_flow,
)
from ostinato.project.target import Target, parse_target

if TYPE_CHECKING:
    from ostinato.authoring.ports import BuiltFlow, BuiltSensor

#: Paths whose module names cannot clash: single underscores, inside words.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9]+([_/][A-Za-z0-9]+)*")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: Begin the names of files that are not the user's own: what has no file, Ostinato, Python.
_FOREIGN = ("<", _PACKAGE, os.path.join(os.path.dirname(os.__file__), ""))

#: Folders in which libraries are installed.
_INSTALLED = ("/site-packages/", "/dist-packages/")


class Loaded(Struct, frozen=True):
    """What a target declares.

    Attributes:
        flows: The flows by name, with the code of their tasks.
        manifest: Their definitions, and what could not be loaded.
        data: The manifest, encoded.
        version: Hash of the definitions and of the sources.
        sensors: The sensors by name, with their functions.
    """

    flows: "dict[str, BuiltFlow]"
    manifest: Manifest
    data: bytes
    version: str
    sensors: "dict[str, BuiltSensor]" = {}


def load_target(text: str) -> Loaded:
    """Load a file, a module or a project; see ``parse_target`` for how it is written.

    What cannot be loaded is a problem in the manifest, and the rest is loaded.

    Raises:
        UsageError: Nothing is there.
        SettingsError: The project's settings cannot be read.
    """
    target = parse_target(text)
    project = find_project(target)
    return load_project(project, target)


def load_project(project: Project, target: Target) -> Loaded:
    """Load what a target names of a project; all of its flows if it names no file or module.

    Raises:
        UsageError: It names none, and there is no project.
    """
    check_target(project, target)
    loading = _Loading(project)
    with _announced_to(loading, project), _stdout_on_stderr():
        _prepend_to_path(project.root)
        if target.module:
            _prepend_to_path(Path.cwd())
            loading.load_module(target.module)
        else:
            for file in _files(project, target, loading):
                if file.is_dir():
                    loading.load_folder(file)
                else:
                    loading.load_file(file)
        flows = loading.define()
    sensors = loading.sensors(flows, is_whole=not target.module and target.path is None)
    definitions = tuple(flow.definition for flow in flows.values())
    sources = loading.sources()
    # Problems carry places of this machine, which say nothing about what runs.
    version = version_of(encode_manifest(Manifest(project.name, definitions, sources=sources)))
    connections = (*loading.connections, *loading.listened(definitions))
    manifest = Manifest(
        project.name,
        definitions,
        tuple(loading.problems),
        sources,
        connections,
        tuple(sensor.definition for sensor in sensors.values()),
        loading.unloaded(),
    )
    return Loaded(flows, manifest, encode_manifest(manifest), version, sensors)


class _Loading:
    """One pass over the files of a target."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.problems: list[DefinitionProblem] = []
        self.connections: list[NamedConnection] = []
        #: Files and folders whose flows are unknown because something in them is wrong.
        self._unloaded: list[str] = []
        self._registered: list[BuiltFlow] = []
        self._sensors: list[BuiltSensor] = []
        self._digests: dict[str, str] = {}
        self._known = set(sys.modules)
        self._files: set[str | None] = set()

    def register(self, dag: "BuiltFlow") -> None:
        """Keep a flow that announced itself."""
        self._registered.append(dag)

    def register_sensor(self, sensor: "BuiltSensor") -> None:
        """Keep a sensor that announced itself."""
        self._sensors.append(sensor)

    def load_module(self, name: str) -> None:
        """Import a module by its dotted name."""
        before = len(self._registered)
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
            del self._registered[before:]
            self.problems.append(problem_of(error, name))

    def load_file(self, path: Path) -> None:
        """Import a file, unless another file has imported it already."""
        file = str(path)
        if file in self._imported_files():
            return
        before = len(self._registered)
        try:
            self._import(path)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
            # What the file had declared before it broke is half of what it means to declare.
            # Flows of other files, which it imported, are whole.
            whole = [dag for dag in self._registered[before:] if _file_of(dag) != file]
            self._registered[before:] = whole
            self._sensors = [one for one in self._sensors if _file_of(one) != file]
            self.problems.append(problem_of(error, file))
            self._unloaded.append(file)

    def load_folder(self, path: Path) -> None:
        """Make a flow of a folder."""
        from ostinato.authoring.files.folders import folder_flow

        before = len(self._registered)
        try:
            folder_flow(path)
        except FolderProblems as error:
            del self._registered[before:]
            self.problems.extend(map(problem_of_file, error.problems))
            self._unloaded.append(str(path))
        except Exception as error:  # noqa: BLE001 - users' operators may raise anything
            del self._registered[before:]
            self.problems.append(problem_of(error, str(path)))
            self._unloaded.append(str(path))

    def is_claimed(self, path: Path) -> bool:
        """Whether a folder belongs to a flow that a Python file has made of it."""
        folders = [getattr(dag, "folder", None) for dag in self._registered]
        return any(path.is_relative_to(folder.path) for folder in folders if folder)

    def _import(self, path: Path) -> ModuleType:
        package = _package_of(path)
        if package:
            # Relative imports need the real name.
            _prepend_to_path(path.parents[package.count(".")])
            return importlib.import_module(package)
        _prepend_to_path(path.parent)
        name = private_name(path, self.project.root)
        loader = _FreshLoader(name, str(path), self._digests)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        if spec is None:  # pragma: no cover - a loader was given
            raise LoadError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _imported_files(self) -> set[str | None]:
        # Only what came since the last call: a project of 1,000 files asks 1,000 times.
        new = sys.modules.keys() - self._known
        self._known |= new
        self._files |= {getattr(sys.modules[name], "__file__", None) for name in new}
        return self._files

    def define(self) -> "dict[str, BuiltFlow]":
        """Build the definitions; a broken or a second one is a problem, the rest stays."""
        flows: dict[str, BuiltFlow] = {}
        for dag in self._registered:
            try:
                definition = dag.definition
            except Exception as error:  # noqa: BLE001 - users' operators may raise anything
                self.problems.append(self._from_here(problem_of(error, dag.name)))
                self._unloaded.append(_file_of(dag))
                continue
            first = flows.get(dag.name)
            if first is None:
                flows[dag.name] = dag
                self._note_files(dag)
            elif first is not dag and first.definition.source != definition.source:
                # One file imported under two names declares its flows twice; that is no clash.
                self.problems.append(self._clash(first.definition, definition))
        return flows

    def listened(self, flows: Iterable[FlowDefinition]) -> Iterator[NamedConnection]:
        """Yield the connections by which flows listen to messages."""
        for flow in flows:
            for source in flow.on:
                conn_id = getattr(source, "conn_id", "")
                if conn_id:
                    place = self._place(flow.source)
                    yield NamedConnection(conn_id, place.file, place.line, 0)

    def sensors(
        self, flows: "Mapping[str, BuiltFlow]", *, is_whole: bool
    ) -> "dict[str, BuiltSensor]":
        """Return the sensors by name; a second one of a name is a problem.

        Args:
            flows: What was loaded.
            is_whole: Whether these are all flows of the project.
        """
        sensors: dict[str, BuiltSensor] = {}
        for sensor in self._sensors:
            definition = sensor.definition
            first = sensors.setdefault(sensor.name, sensor).definition
            if first.source != definition.source:
                problem = self._said_twice("sensor", sensor.name, first.source, definition.source)
                self.problems.append(problem)
                continue
            for name in definition.flows if is_whole else ():
                if name not in flows:
                    error = UnknownFlow(
                        f"sensor {sensor.name!r} asks for runs of {name!r}, which is no flow",
                        place=self._place(definition.source),
                        hint=did_you_mean(name, flows),
                    )
                    problem = problem_of(error, "")
                    self.problems.append(msgspec.structs.replace(problem, severity="warning"))
        return sensors

    def _note_files(self, dag: "BuiltFlow") -> None:
        folder = getattr(dag, "folder", None)
        if folder is not None:
            self._digests.update(folder.digests)
            self.problems.extend(map(problem_of_file, folder.warnings))
            self.connections.extend(folder.connections)

    def _clash(self, first: FlowDefinition, second: FlowDefinition) -> DefinitionProblem:
        return self._said_twice("flow", first.name, first.source, second.source)

    def _said_twice(self, what: str, name: str, first: Source, second: Source) -> DefinitionProblem:
        error = DuplicateFlow(
            f"{what} {name!r} is declared a second time",
            place=self._place(second),
            hint=f"the first is at {self._place(first)}",
        )
        return problem_of(error, "")

    def _from_here(self, problem: DefinitionProblem) -> DefinitionProblem:
        """Return a problem of a definition, whose file is relative to the project."""
        file = self.project.root / problem.file
        if not problem.file or not file.exists():
            return problem
        return msgspec.structs.replace(problem, file=self.project.readable(problem.file))

    def _place(self, source: Source) -> Place:
        return Place(self.project.readable(source.file), source.line)

    def unloaded(self) -> tuple[str, ...]:
        """Return the files and folders of which flows may be missing, by relative path."""
        below = os.path.join(self.project.root, "")
        return tuple(sorted({_relative(file, below) for file in self._unloaded if file}))

    def sources(self) -> dict[str, str]:
        """Return the content hashes of what was imported from the project, by relative path."""
        digests = dict(self._digests)
        below = os.path.join(self.project.root, "")
        for module in tuple(sys.modules.values()):
            file = getattr(module, "__file__", None) or ""
            if file.startswith(below) and file.endswith(".py") and is_users(file):
                digests.setdefault(file, _digest(Path(file).read_bytes()))
        names = {file: _relative(file, below) for file in digests}
        return {names[file]: digests[file] for file in sorted(digests, key=names.__getitem__)}


def _file_of(dag: "BuiltFlow | BuiltSensor") -> str:
    # Asking for its definition would end what may still be declared of it.
    place = getattr(dag, "place", None)
    return place.file if isinstance(place, Place) else ""


class _FreshLoader(SourceFileLoader):
    """Compile a file from its text and note its digest: what is hashed is what runs.

    Cached byte code is trusted by second and size, which two edits in a row may share.
    """

    def __init__(self, name: str, path: str, digests: dict[str, str]) -> None:
        super().__init__(name, path)
        self._digests = digests

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        self._digests[self.path] = _digest(source)
        code: CodeType = self.source_to_code(source, self.path)
        return code


def private_name(path: Path, root: Path) -> str:
    """Return the module name of a file: the same in every process, and on every machine.

    >>> private_name(Path("/p/flows/etl.py"), Path("/p"))
    '_ostinato_flows__etl'
    """
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    text = relative.with_suffix("").as_posix()
    plain = PRIVATE_MODULE_PREFIX + re.sub(r"\W", "_", text.replace("/", "__"))
    if _PLAIN_PATH.fullmatch(text):
        return plain
    # Other characters were replaced: keep names apart that became the same.
    return f"{plain}_{_digest(text.encode())[:8]}"


def problem_of_file(found: Any) -> DefinitionProblem:
    """Return a problem of a file of a folder as the manifest has it."""
    file, line, column = found.position
    return DefinitionProblem(
        found.code, found.message, file, line, found.hint, column, found.severity
    )


def problem_of(error: BaseException, subject: str) -> DefinitionProblem:
    """Describe why something cannot be loaded, at the user's own line.

    Args:
        error: What was raised.
        subject: File that was loaded, or a name for people; used where no line is known.
    """
    place = _place_of(error) or Place(readable(subject))
    if isinstance(error, OstinatoError):
        return DefinitionProblem(error.code, error.message, place.file, place.line, error.hint)
    message, hint = _explain(error)
    return DefinitionProblem(LoadError.code, message, place.file, place.line, hint)


def _explain(error: BaseException) -> tuple[str, str]:
    if isinstance(error, SystemExit):
        return "the file ended the process", 'put it under if __name__ == "__main__"'
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}", ""
    text = " ".join(str(error).split())
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return message, _module_hint(error.name)
    return message, ""


def _module_hint(name: str) -> str:
    import pkgutil

    top = name.partition(".")[0]
    if top == "airflow":
        return "import from ostinato what is called the same there"
    known = {module.name for module in pkgutil.iter_modules()} | set(sys.stdlib_module_names)
    if "." in name and top in known:
        return ""
    return did_you_mean(top, sorted(known - {top})) or "is it installed beside Ostinato?"


def _place_of(error: BaseException) -> Place | None:
    """Return the place that an error names, else the innermost line of the user's code."""
    if isinstance(error, OstinatoError) and error.place is not None:
        return error.place
    if isinstance(error, SyntaxError) and error.filename and is_users(error.filename):
        return Place(readable(error.filename), error.lineno or 0)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if is_users(frame.f_code.co_filename):
            return Place(readable(frame.f_code.co_filename), line)
    return None


def is_users(file: str) -> bool:
    """Whether a file is the user's own: no library, and not of Ostinato."""
    return not file.startswith(_FOREIGN) and not any(part in file for part in _INSTALLED)


def readable(file: str) -> str:
    """Return a file as the user would write it: relative to the working directory if below."""
    return file.removeprefix(os.path.join(os.getcwd(), ""))


def _files(project: Project, target: Target, loading: _Loading) -> Iterator[Path]:
    if target.path is not None and target.path.is_file():
        yield flow_around(target.path) or target.path
    elif target.path is not None and (
        target.path != project.root or (project.is_implicit and names_folder_flow(target.path))
    ):
        folder = _flow_around(target.path)
        if names_folder_flow(folder):
            yield folder
        else:
            yield from _entries_below(folder, loading)
    else:
        for name in project.settings.flows:
            entry = project.root / name
            if entry.is_file():
                yield entry
            elif entry.is_dir():
                yield from _entries_below(entry, loading)
            else:
                message = f"'flows' names {name!r}, which is not there"
                loading.problems.append(
                    DefinitionProblem("settings", message, readable(str(project.root / name)))
                )


def _entries_below(folder: Path, loading: _Loading) -> Iterator[Path]:
    """Yield Python files, and folders that are flows: these after the files beside them.

    A file may make a flow of the folder beside it, which is no flow of its own then.
    """
    if loading.is_claimed(folder):
        return
    if is_folder_flow(folder):
        yield folder
        return
    folders: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir():
            folders.append(entry)
        elif entry.suffix == ".py":
            yield entry
    for entry in folders:
        yield from _entries_below(entry, loading)


def _flow_around(folder: Path) -> Path:
    """Return the folder of the flow that a folder is a group of, else the folder itself."""
    while is_folder_flow(folder) and is_folder_flow(folder.parent):
        folder = folder.parent
    return folder


def _relative(file: str, below: str) -> str:
    # A target outside of the project is known by its name alone: versions hold no paths.
    return file.removeprefix(below) if file.startswith(below) else os.path.basename(file)


def _package_of(path: Path) -> str:
    """Return the dotted name of a file that lies in a package, else nothing."""
    folder, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    is_inside = False
    while (folder / "__init__.py").exists() and folder.name.isidentifier():
        is_inside = True
        parts.append(folder.name)
        folder = folder.parent
    return ".".join(reversed(parts)) if is_inside else ""


def _prepend_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def _announced_to(registry: session.Registry, project: Project) -> Iterator[None]:
    registry_token = session.registry.set(registry)
    root_token = session.source_root.set(str(project.root))
    defaults_token = session.defaults.set(project.settings.defaults)
    types = connection_types(project.settings.connections, os.environ)
    types_token = session.connection_types.set(types)
    try:
        yield
    finally:
        session.connection_types.reset(types_token)
        session.defaults.reset(defaults_token)
        session.source_root.reset(root_token)
        session.registry.reset(registry_token)


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Keep standard output for what the command itself says, also from users' subprocesses."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)

"""This module holds what was read of a folder of files, before it becomes a flow."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from ostinato.errors import Place

#: A warning stops nothing; an error keeps the flow from running.
Severity = Literal["error", "warning"]

#: Keys and indices from the top of a header to a value in it.
KeyPath = tuple[str | int, ...]


class Position(NamedTuple):
    """Where in a user's file something stands.

    Attributes:
        file: Path as the user would write it.
        line: 1-based; 0 when only the file is known.
        column: 1-based; 0 when only the line is known.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")

    @property
    def place(self) -> Place:
        """File and line, as errors carry them."""
        return Place(self.file, self.line)


class FileProblem(Struct, frozen=True):
    """What is wrong in a file.

    Attributes:
        code: One of ``codes.CODES``.
        message: What is wrong, without the place.
        position: Where.
        hint: What to do.
        severity: Whether the flow can run all the same.
    """

    code: str
    message: str
    position: Position
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.position} {self.code} {self.message}" + (
            f"; {self.hint}" if self.hint else ""
        )


class Keys(Struct, frozen=True):
    """What a header or a ``METADATA.yml`` says, and where each of its keys stands.

    Attributes:
        file: Path of the file as the user would write it.
        values: What it says, tags called and templates rendered.
        places: Line and column of each key and each item of a list, 1-based, by its path; of
            what tags and templates made there is none.
        line: Where the header begins.
        reads_surroundings: Whether the values come from more than the text, such as the time
            or the environment, and may be others at the next reading.
    """

    file: str
    values: dict[str, Any] = {}
    places: Mapping[KeyPath, tuple[int, int]] = {}
    line: int = 1
    reads_surroundings: bool = False

    def position(self, *path: str | int) -> Position:
        """Return where a key stands, or else the nearest key around it that stands in the file."""
        while path:
            if path in self.places:
                return Position(self.file, *self.places[path])
            path = path[:-1]
        return Position(self.file, self.line, 1)

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def get(self, name: str, default: Any = None) -> Any:
        """Return what a key says."""
        return self.values.get(name, default)


class PythonFunction(Struct, frozen=True):
    """A function at the top level of a ``.py`` file.

    Attributes:
        name: As in ``def name``.
        line, column: Of its name's ``def``, decorators aside; 1-based.
        parameters: Name of each parameter that can be given by name, and whether it has a
            default.
        decorators: As written, without arguments: ``task``, ``ostinato.task``.
        options: What ``@task`` is given by name, as far as it is plain values.
        unread: Names of what else it is given.
        is_async: Whether it is an ``async def``.
        takes_any: Whether it has ``**kwargs``.
    """

    name: str
    line: int
    column: int
    parameters: tuple[tuple[str, bool], ...] = ()
    decorators: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    is_async: bool = False
    takes_any: bool = False
    unread: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parameters without a default."""
        return tuple(name for name, has_default in self.parameters if not has_default)


class PythonFile(Struct, frozen=True):
    """What a ``.py`` file declares, read without importing it.

    Attributes:
        functions: At its top level, in the order of the file; a later one of the same name
            hides the earlier, which is not among them.
        names: All else that its top level assigns, imports or declares.
        called: Names of the functions that it calls while it is imported, as a statement.
        docstring: Of the module.
        dependencies: The TOML text of its PEP 723 block; None without one.
        dependencies_line: Where that begins, 0 without one.
        is_idle: Whether it only declares names, and as a script does nothing.
    """

    functions: tuple[PythonFunction, ...] = ()
    names: frozenset[str] = frozenset()
    docstring: str = ""
    dependencies: str | None = None
    dependencies_line: int = 0
    is_idle: bool = False
    called: frozenset[str] = frozenset()

    def function(self, name: str) -> PythonFunction | None:
        """Return the function of that name, or None."""
        return next((function for function in self.functions if function.name == name), None)


class FileSpec(Struct, frozen=True):
    """What was read of a task's file.

    Attributes:
        path: Absolute.
        shown: Path as the user would write it.
        task_id: Of its name: without the last extension, in lower case, stripped.
        suffix: Last extension with its dot, as written; empty without one.
        keys: Of its header.
        body: The text after the header; empty for the types whose operator reads the file.
        body_line: Where the body begins in the file, 1-based.
        python: What a ``.py`` file declares, None for other types.
        shebang: First line of the file without ``#!``, empty without one.
        digest: Hash of the file's bytes.
        stamp: What ``stat`` said of it when it was read.
        problems: What is wrong with it.
        is_hooked: Whether a parse hook read it, so that its keys have no places.
    """

    path: str
    shown: str
    task_id: str
    suffix: str
    keys: Keys
    body: str = ""
    body_line: int = 1
    python: PythonFile | None = None
    shebang: str = ""
    digest: str = ""
    stamp: tuple[int, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    is_hooked: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether no task can be made of it."""
        return any(problem.severity == "error" for problem in self.problems)


class FolderSpec(Struct, frozen=True):
    """What was read of a folder; ignored files and folders are left out.

    Attributes:
        path: Absolute.
        shown: Path as the user would write it.
        name: Of the folder.
        metadata: What its ``METADATA.yml`` says, None without one.
        metadata_file: That file as it was read, for its digest and stamp.
        files: The sound ones, in the order of their names.
        broken: Those of which no task can be made; their ids are not unknown, all the same.
        folders: Beneath it, in the order of their names.
        problems: Of the folder and its metadata, without those of its files.
    """

    path: str
    shown: str
    name: str
    metadata: Keys | None = None
    metadata_file: FileSpec | None = None
    files: tuple[FileSpec, ...] = ()
    broken: tuple[FileSpec, ...] = ()
    folders: "tuple[FolderSpec, ...]" = ()
    problems: tuple[FileProblem, ...] = ()

    @property
    def keys(self) -> Keys:
        """What its metadata says; nothing without any."""
        return self.metadata or Keys(self.shown)

"""This module reads a folder of files: what each says, and what is wrong with it.

No task's file is imported. What has not changed since a former reading is not read again.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.keys.key import FLOW, GROUP, TASK
from ostinato.authoring.files.keys.known import keys_in, without_wrong, wrong_types
from ostinato.authoring.files.keys.metadata_keys import AIRFLOW_ONLY
from ostinato.authoring.files.keys.task_keys import WIRING
from ostinato.authoring.files.reading.file_content import (
    MAX_CODE_BYTES,
    MAX_NOTEBOOK_BYTES,
    MAX_TEXT_BYTES,
    Content,
    UnreadableFileError,
    read_content,
    read_large,
    stamp_of,
    text_of,
)
from ostinato.authoring.files.reading.headers import Header, UnclosedHeaderError, find_header
from ostinato.authoring.files.reading.hooks import HookTools, ParseHook
from ostinato.authoring.files.reading.kept_files import KeptFiles, files_in
from ostinato.authoring.files.reading.listing import (
    SEED_SUFFIXES,
    ListedFile,
    list_folder,
    shown_path,
)
from ostinato.authoring.files.reading.notebooks import NoNotebookError, find_notebook_header
from ostinato.authoring.files.reading.python_files import read_python
from ostinato.authoring.files.reading.rendering import render_keys
from ostinato.authoring.files.reading.tags import Constructors, TagFunctions
from ostinato.authoring.files.reading.yaml_text import read_yaml
from ostinato.authoring.files.spec import (
    FileProblem,
    FileSpec,
    FolderSpec,
    Keys,
    Position,
    PythonFile,
)
from ostinato.authoring.groups import check_id
from ostinato.authoring.suggestions import did_you_mean
from ostinato.clock import Clock, SystemClock
from ostinato.errors import InvalidArgument

#: Folders within folders that are read; nobody nests so many by intent.
MAX_LEVELS = 50

#: What METADATA may have said, where something is wrong for want of it.
_SAID_BY_METADATA = frozenset({"F031"})

#: Begins every Parquet file.
_PARQUET = b"PAR1"

#: A file that was changed so shortly before it was read may change again unseen: file systems do
#: not tell moments apart that are nearer. Microseconds.
_UNSEEN_US = 50_000


def read_folder(
    path: str,
    *,
    hooks: Mapping[str, ParseHook] | None = None,
    constructors: Constructors | None = None,
    macros: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    render_on_create: bool = False,
    only_gusty: bool = False,
    root: str = "",
    clock: Clock | None = None,
    previous: FolderSpec | None = None,
    kept: KeptFiles | None = None,
) -> tuple[FolderSpec, list[FileProblem]]:
    """Read a folder with all beneath it.

    Args:
        path: Of the folder.
        hooks: Functions that read types of files, by suffix; they go before the built-in ways.
        constructors: What further YAML tags call.
        macros: Of the flow's templates, which are YAML tags too.
        defaults: Arguments of the flow, which METADATA.yml beats.
        render_on_create: Whether templates in headers are rendered too.
        only_gusty: Whether only the types that gusty knows are tasks, beside those of hooks.
        root: Folder from which files are shown; empty for the working directory.
        clock: Tells tags and templates what day it is.
        previous: What a reading with the same arguments gave; unchanged files are taken from it.
        kept: What readings in other processes gave; takes what this one gives.

    Returns:
        The folder and all problems in it, those of unchanged files too, in the order of the files.
    """
    functions = TagFunctions(constructors, macros, clock)
    kept = kept or KeptFiles()
    known = dict(kept.load(f"render_on_create={render_on_create}"))
    known.update((file.path, file) for file in files_in(previous))
    reading = _Reading(
        hooks or {},
        functions,
        render_on_create=render_on_create,
        only_gusty=only_gusty,
        root=root or os.getcwd(),
        now_us=(clock or SystemClock()).now_us(),
        known=known,
    )
    folder = reading.flow(os.path.abspath(path), defaults or {})
    kept.save(folder)
    return folder, list(problems_in(folder))


def problems_in(folder: FolderSpec) -> Iterator[FileProblem]:
    """Iterate over all that is wrong in a folder and beneath, in the order of the files."""
    yield from folder.problems
    for file in sorted((*folder.files, *folder.broken), key=lambda file: file.path):
        yield from file.problems
    for child in folder.folders:
        yield from problems_in(child)


def without_consequences(
    problems: Iterable[FileProblem], folder: FolderSpec
) -> Iterator[FileProblem]:
    """Iterate over problems, less those that are there since METADATA around cannot be read.

    Args:
        problems: Of a flow.
        folder: That the flow is.
    """
    unread = tuple(_unread_below(folder))
    for one in problems:
        if one.code not in _SAID_BY_METADATA or not one.position.file.startswith(unread):
            yield one


def _unread_below(folder: FolderSpec) -> Iterator[str]:
    """Iterate over the folders, as they are shown, about whose METADATA nothing is known."""
    file = folder.metadata_file
    if file is not None and file.is_broken and not file.keys.values:
        yield os.path.join(os.path.dirname(file.shown), "")
    for child in folder.folders:
        yield from _unread_below(child)


class _Reading:
    """One pass over a folder."""

    def __init__(
        self,
        hooks: Mapping[str, ParseHook],
        functions: TagFunctions,
        *,
        render_on_create: bool,
        only_gusty: bool,
        root: str,
        now_us: int,
        known: Mapping[str, FileSpec],
    ) -> None:
        self._hooks = hooks
        self._functions = functions
        self._renders = render_on_create
        self._tools = HookTools(functions, render_on_create=render_on_create)
        self._only_gusty = only_gusty
        self._root = root
        self._now_us = now_us
        self._ignores_folders = False
        self._known = known

    # -- Folders ----------------------------------------------------------------------------

    def flow(self, path: str, defaults: Mapping[str, Any]) -> FolderSpec:
        """Return the folder of a flow, whose METADATA may leave out the folders beneath."""
        self._ignores_folders = bool(defaults.get("ignore_subfolders"))
        folder = self._folder(path, FLOW, has_seeds=bool(defaults.get("seeds")), level=0)
        return folder or FolderSpec(path, shown_path(path, self._root), os.path.basename(path))

    def _folder(self, path: str, scope: str, *, has_seeds: bool, level: int) -> FolderSpec | None:
        shown = shown_path(path, self._root)
        name = os.path.basename(path)
        listing = list_folder(
            path, self._root, hooks=self._hooks, has_seeds=True, only_gusty=self._only_gusty
        )
        if listing is None:
            return None
        problems = list(listing.problems)
        metadata_file = self._metadata(listing.metadata, scope) if listing.metadata else None
        metadata = metadata_file.keys if metadata_file else None
        if metadata_file:
            problems += metadata_file.problems
        has_seeds = bool((metadata or Keys(shown)).get("seeds", has_seeds))
        if scope == GROUP and not (metadata and "group_id" in metadata):
            problems += _id_problems(name, "group", Position(shown))
        files = [
            file
            for listed in listing.files
            if has_seeds or listed.suffix not in SEED_SUFFIXES or listed.is_hooked
            if (file := self._file(listed))
        ]
        folders = [
            child
            for folder in self._beneath(listing.folders, metadata, scope)
            if (child := self._child(folder, problems, has_seeds=has_seeds, level=level + 1))
        ]
        return FolderSpec(
            path,
            shown,
            name,
            metadata,
            metadata_file,
            tuple(file for file in files if not file.is_broken),
            tuple(file for file in files if file.is_broken),
            tuple(folders),
            tuple(problems),
        )

    def _child(
        self, path: str, problems: list[FileProblem], *, has_seeds: bool, level: int
    ) -> FolderSpec | None:
        if level > MAX_LEVELS:
            message = f"folders are nested deeper than {MAX_LEVELS} levels"
            problems.append(problem("F038", message, Position(shown_path(path, self._root))))
            return None
        return self._folder(path, GROUP, has_seeds=has_seeds, level=level)

    def _beneath(
        self, folders: tuple[str, ...], metadata: Keys | None, scope: str
    ) -> tuple[str, ...]:
        is_ignored = scope == FLOW and (metadata or Keys("")).get(
            "ignore_subfolders", self._ignores_folders
        )
        return () if is_ignored else folders

    # -- Files ------------------------------------------------------------------------------

    def _metadata(self, path: str, scope: str) -> FileSpec | None:
        name = os.path.basename(path)
        return self._read_unless_known(ListedFile(path, name, ".yml"), scope)

    def _file(self, listed: ListedFile) -> FileSpec | None:
        return self._read_unless_known(listed, TASK)

    def _read_unless_known(self, listed: ListedFile, scope: str) -> FileSpec | None:
        """Return a file, as it was before if it has not changed; None if it is no task."""
        known = self._known.get(listed.path)
        if known is not None and not self._is_alike(known, listed):
            known = None
        try:
            if known is not None and known.stamp and known.stamp == stamp_of(os.stat(listed.path)):
                return known
            content = self._content(listed)
        except FileNotFoundError:
            if not os.path.islink(listed.path):
                return None  # It vanished since the folder was listed.
            return self._broken(listed, UnreadableFileError("F006", "is a link to nothing"))
        except UnreadableFileError as error:
            return self._broken(listed, error)
        if known is not None and known.digest == content.digest:
            return replace(known, stamp=self._trusted(content.stamp))
        return self._parsed(listed, content, scope)

    def _is_alike(self, known: FileSpec, listed: ListedFile) -> bool:
        """Whether a file would be read in the way in which it was."""
        return (
            not known.keys.reads_surroundings
            and (known.suffix, known.is_hooked) == (listed.suffix, listed.is_hooked)
            and known.shown == shown_path(listed.path, self._root)
        )

    def _content(self, listed: ListedFile) -> Content:
        if listed.suffix in SEED_SUFFIXES and not listed.is_hooked:
            # A table is as large as it is, and its rows are read when its task runs.
            return read_large(listed.path)
        limit = MAX_TEXT_BYTES
        if listed.suffix == ".ipynb" or listed.is_hooked:
            limit = MAX_NOTEBOOK_BYTES
        elif listed.suffix in (".py", ".yml", ".yaml"):
            limit = MAX_CODE_BYTES
        return read_content(listed.path, limit)

    def _trusted(self, stamp: tuple[int, ...]) -> tuple[int, ...]:
        """Return a stamp, or nothing if the file may change again without changing it."""
        return stamp if max(stamp[:2]) // 1000 < self._now_us - _UNSEEN_US else ()

    def _broken(self, listed: ListedFile, error: UnreadableFileError) -> FileSpec:
        shown = shown_path(listed.path, self._root)
        return FileSpec(
            listed.path,
            shown,
            task_id_of(listed.name),
            listed.suffix,
            Keys(shown),
            problems=(error.problem(shown),),
        )

    def _parsed(self, listed: ListedFile, content: Content, scope: str) -> FileSpec | None:
        shown = shown_path(listed.path, self._root)
        problems: list[FileProblem] = []
        parsing = _Parsing(listed, shown, self._functions, problems)
        if listed.is_hooked:
            hook = self._hooks[listed.suffix]
            parsing.keys = self._tools.run(hook, listed.path, shown, problems) or parsing.keys
        elif listed.suffix in SEED_SUFFIXES:
            problems += _seed_problems(content.data, listed.suffix, Position(shown, 1, 1))
        else:
            if not parsing.read(content.data):
                return None
            if scope != TASK or self._renders:
                names = self._functions.of_templates
                parsing.keys = render_keys(parsing.keys, names, problems)
        if scope == TASK:
            problems += _id_problems(task_id_of(listed.name), "task", Position(shown, 1, 1))
            problems += wrong_types(parsing.keys, TASK, only=WIRING)
            problems += _callable_problems(parsing.keys, parsing.python)
        else:
            problems += _metadata_problems(parsing.keys, scope)
            if problems:
                parsing.keys = without_wrong(parsing.keys, scope)
        return FileSpec(
            listed.path,
            shown,
            task_id_of(listed.name),
            listed.suffix,
            parsing.keys,
            parsing.header.body if listed.suffix == ".sql" else "",
            parsing.header.body_line,
            parsing.python,
            parsing.shebang,
            content.digest,
            self._trusted(content.stamp),
            tuple(problems),
            listed.is_hooked,
        )


class _Parsing:
    """What is found in the text of a file."""

    def __init__(
        self,
        listed: ListedFile,
        shown: str,
        functions: TagFunctions,
        problems: list[FileProblem],
    ) -> None:
        self._suffix = listed.suffix
        self._shown = shown
        self._functions = functions
        self._problems = problems
        self.keys = Keys(shown)
        self.header = Header(is_there=False)
        self.python: PythonFile | None = None
        self.shebang = ""

    def read(self, data: bytes) -> bool:
        """Read a file's bytes; False if it is no task after all."""
        try:
            if self._suffix == ".ipynb":
                self.header = find_notebook_header(data)
            else:
                text = text_of(data)
                self.header = find_header(text, self._suffix)
                if text.startswith("#!"):
                    self.shebang = text[2:].partition("\n")[0].strip()
                if self._suffix == ".py":
                    self.python = read_python(text, self._shown, self._problems)
        except UnclosedHeaderError as error:
            self._problems.append(error.problem(self._shown))
            return True
        except UnreadableFileError as error:
            self._problems.append(error.problem(self._shown))
            return True
        except NoNotebookError as error:
            self._problems.append(problem("F028", str(error), Position(self._shown, 1, 1)))
            return True
        if self.header.is_there:
            keys = read_yaml(
                self.header.text,
                self._shown,
                functions=self._functions.with_r() if self._suffix == ".Rmd" else self._functions,
                problems=self._problems,
                origin=self.header.origin,
            )
            self.keys = keys or self.keys
        # Markdown is for people, unless it says what runs it.
        return self._suffix != ".md" or "operator" in self.keys


def task_id_of(name: str) -> str:
    """Return the id of the task that a file of this name is.

    >>> task_id_of("Clean.Orders.SQL")
    'clean.orders'
    """
    return os.path.splitext(name)[0].lower().strip()


# -- Checks ---------------------------------------------------------------------------------


def _id_problems(label: str, what: str, position: Position) -> Iterator[FileProblem]:
    if what == "task" and label == "all":
        message = "no task may be called 'all', which stands for all tasks of a flow"
        yield problem("F015", message, position, "rename the file")
        return
    try:
        check_id(label, what, position.place)
    except InvalidArgument as error:
        kind = "file" if what == "task" else "folder"
        yield problem("F015", error.message, position, f"rename the {kind}")


def _seed_problems(first: bytes, suffix: str, position: Position) -> Iterator[FileProblem]:
    """Iterate over what its first bytes say against a table in a file."""
    if suffix == ".parquet":
        if not first.startswith(_PARQUET):
            yield problem("F039", "the file is no Parquet file", position)
    elif not first.strip():
        yield problem("F039", "the file is empty", position, "its first line names the columns")


def _callable_problems(keys: Keys, python: PythonFile | None) -> Iterator[FileProblem]:
    """Iterate over the callables that the header names and the file does not have."""
    if python is None:
        return
    named: list[tuple[tuple[str, ...], Any]] = [(("python_callable",), keys.get("python_callable"))]
    extra = keys.get("extra_callables")
    if isinstance(extra, Mapping):
        named += [(("extra_callables", name), value) for name, value in extra.items()]
    for path, name in named:
        if isinstance(name, str) and not python.function(name) and name not in python.names:
            functions = [function.name for function in python.functions]
            hint = did_you_mean(name, functions)
            if not hint and functions:
                hint = f"it has {', '.join(functions[:5])}"
            message = f"{'.'.join(path)} {name!r} is no function of this file"
            yield problem("F019", message, keys.position(*path), hint)


def _metadata_problems(keys: Keys, scope: str) -> Iterator[FileProblem]:
    yield from wrong_types(keys, scope)
    known = keys_in(scope)
    elsewhere = keys_in(GROUP if scope == FLOW else FLOW)
    what = "flow" if scope == FLOW else "group"
    for name in keys.values:
        if name in known or name.startswith(("_", "x-")):
            continue
        hint = ""
        if name in AIRFLOW_ONLY:
            message = f"key {name!r} has no effect here"
        elif name in elsewhere:
            message = f"key {name!r} has no effect on a {what}"
        else:
            message = f"key {name!r} of METADATA is unknown"
            hint = did_you_mean(name, known)
        yield problem("F021", message, keys.position(name), hint)

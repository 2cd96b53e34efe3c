"""This module finds the project around a target, and where its data lies."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from ostinato.errors import UsageError
from ostinato.model.layout import DATA_FOLDER
from ostinato.project.settings import Settings
from ostinato.project.settings_file import read_settings
from ostinato.project.target import SETTINGS_FILE, Target

#: Name of the project of files that lie in none.
IMPLICIT_NAME = "default"

#: Mark a folder as a flow made of files, or as a group of one.
FOLDER_FLOW_FILES = ("METADATA.yml", "METADATA.yaml")

_TASK_SUFFIXES = frozenset({".yml", ".yaml", ".sql", ".Rmd"})
_OPERATOR = re.compile(rb"^operator:\s", re.MULTILINE)

#: Of a file, in which its header is looked for.
_HEAD_BYTES = 4096


class Project(Struct, frozen=True):
    """What is loaded, versioned and stored together.

    Attributes:
        name: Of the project; ``default`` for the implicit one.
        root: Folder with its ``ostinato.yaml``; of an implicit one the folder of the target.
        settings: What holds for it, environment and flags included.
        data_dir: Folder of its data.
        store_path: SQLite file of its durable state.
        values_root: Folder of large values.
        logs_root: Folder of logs.
        is_implicit: Whether there is no ``ostinato.yaml``.
    """

    name: str
    root: Path
    settings: Settings
    data_dir: Path
    store_path: Path
    values_root: Path
    logs_root: Path
    is_implicit: bool

    @property
    def store_url(self) -> str:
        """The URL of the database with its durable state; empty for the SQLite file.

        Raises:
            SettingsError: It names a variable that is not set.
        """
        url = self.settings.store.url
        if "${" not in url:
            return url
        # Few projects say it so, and each command finds its project.
        from ostinato.project.interpolation import fill_uri  # noqa: PLC0415 - see above

        return fill_uri(url, os.environ, subject="store.url")

    @property
    def has_store(self) -> bool:
        """Whether there may be something in the store: a file that is not there holds nothing."""
        return bool(self.settings.store.url) or self.store_path.exists()

    def readable(self, file: str) -> str:
        """Return a file of the project as one would write it here.

        Args:
            file: Relative to the project, as definitions have it; empty stays empty.
        """
        if not file:
            return ""
        return str(self.root / file).removeprefix(os.path.join(os.getcwd(), ""))


def find_project(
    target: Target | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Project:
    """Return the project around a target, else around the working directory.

    It is the folder with the nearest ``ostinato.yaml``, upward. Where there is none, it is
    the implicit project, whose data lie in ``$OSTINATO_HOME``.

    Args:
        target: What is to be run; None for the working directory.
        overrides: Settings from command-line flags, the strongest.
        environ: Environment variables.

    Raises:
        SettingsError: ``ostinato.yaml`` or a variable says something unknown.
        UsageError: The target is a folder outside of any project.
    """
    start = Path.cwd() if target is None else target.start
    root = _root_above(start) or _root_above(Path.cwd())
    file = None if root is None else root / SETTINGS_FILE
    settings = read_settings(file, overrides=overrides or {}, environ=environ)
    if root is None:
        folder = None if target is None else target.path
        if folder is not None and folder.is_dir() and not names_folder_flow(folder):
            raise UsageError(
                f"there is no {SETTINGS_FILE} in {folder} or above",
                hint="ostinato init makes a project",
            )
        if folder is not None and folder.is_file():
            start = flow_around(folder) or start
        return _project(IMPLICIT_NAME, start, settings, data_dir=home(environ), is_implicit=True)
    name = settings.name or root.name or IMPLICIT_NAME
    return _project(name, root, settings, data_dir=root / DATA_FOLDER, is_implicit=False)


def defaults_near(file: str) -> Mapping[str, Any]:
    """Return the policies that the project around a file gives to all tasks.

    Args:
        file: Where a flow is declared; for what is no file the working directory counts.

    Raises:
        SettingsError: The settings of that project are wrong.
    """
    start = Path.cwd() if file.startswith("<") else Path(file).absolute().parent
    root = _root_above(start) or _root_above(Path.cwd())
    if root is None:
        return {}
    # Most projects say nothing of the kind, and reading YAML takes its time.
    is_said = "defaults" in (root / SETTINGS_FILE).read_text(encoding="utf-8")
    if not is_said and not any(name.startswith("OSTINATO_DEFAULTS__") for name in os.environ):
        return {}
    settings = read_settings(root / SETTINGS_FILE, overrides={}, environ=os.environ)
    return settings.defaults


def check_target(project: Project, target: Target) -> None:
    """Refuse a target that names no file or module where there is no project to mean.

    Raises:
        UsageError: There is nothing to load.
    """
    if not project.is_implicit or target.path is not None or target.module:
        return
    where = f"there is no {SETTINGS_FILE} in this folder or above"
    if target.flow:
        message = f"{target.flow!r} is no file, and {where} whose flow it could be"
        raise UsageError(message, hint=f"for a module write {target.flow}:flow")
    raise UsageError(where, hint="name a file, or make a project by ostinato init")


def is_folder_flow(folder: Path) -> bool:
    """Return whether a folder says by its METADATA that it is a flow, or a group of one."""
    return any((folder / name).is_file() for name in FOLDER_FLOW_FILES)


def flow_around(file: Path) -> Path | None:
    """Return the folder of the flow in which a file is a task, None if it is none.

    It is the outermost folder with METADATA around the file, up to that of the project.
    """
    if file.name.startswith(("_", ".")) or file.name in FOLDER_FLOW_FILES:
        return None
    found = None
    for folder in file.parents:
        if is_folder_flow(folder):
            found = folder
        if (folder / SETTINGS_FILE).is_file():
            break
    return found


def names_folder_flow(folder: Path) -> bool:
    """Return whether a folder that somebody names is a flow: by its METADATA, or by its files.

    A file beside it that is no Python and names an operator is a task.
    """
    return is_folder_flow(folder) or any(
        _names_operator(entry)
        for entry in sorted(folder.iterdir())
        if entry.suffix in _TASK_SUFFIXES and not entry.name.startswith(("_", "."))
    )


def _names_operator(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _OPERATOR.search(opened.read(_HEAD_BYTES)) is not None
    except OSError:
        return False


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of what belongs to no project."""
    return Path(environ.get("OSTINATO_HOME") or "~/.local/share/ostinato").expanduser().absolute()


def _root_above(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    return None


def _project(
    name: str, root: Path, settings: Settings, *, data_dir: Path, is_implicit: bool
) -> Project:
    return Project(
        name=name,
        root=root,
        settings=settings,
        data_dir=data_dir,
        store_path=_place(root, settings.store.path, data_dir / "store.db"),
        values_root=_place(root, settings.storage.values, data_dir / "values"),
        logs_root=_place(root, settings.storage.logs, data_dir / "logs"),
        is_implicit=is_implicit,
    )


def _place(root: Path, setting: str, default: Path) -> Path:
    # An absolute setting wins over the root by the rule of ``/``.
    return root / Path(setting).expanduser() if setting else default

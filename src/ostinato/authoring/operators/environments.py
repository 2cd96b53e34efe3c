"""This module makes Python environments by uv and keeps them for later attempts."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.authoring.operators.command import Command
from ostinato.errors import ExecutionError

#: Folder of the environments below a project's data.
ENVIRONMENTS = "environments"

#: Written last: an environment without it was left behind half made.
_COMPLETE = "ostinato-complete"

#: Block of a script that says what it needs, as PEP 723 has it.
_METADATA = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")

#: Runs a command of uv; the operator whose attempt it is can end it.
Run = Callable[[Command], None]


class EnvironmentSpec(NamedTuple):
    """What an environment consists of.

    Attributes:
        requirements: As pip reads them.
        python: Version or path of the interpreter; empty for the one that runs.
        system_site_packages: Whether the packages of the running interpreter are there too.
    """

    requirements: tuple[str, ...] = ()
    python: str = ""
    system_site_packages: bool = False

    def key(self) -> str:
        """Return a name that equal environments share."""
        interpreter = self.python or sys.executable
        parts: list[Any] = [sorted(self.requirements), interpreter, self.system_site_packages]
        if not self.python or self.system_site_packages:
            parts.append(sys.version)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def script_metadata(script: str) -> EnvironmentSpec | None:
    """Return the environment that a script asks for, None if it asks for none.

    The format is that of PEP 723 (https://peps.python.org/pep-0723/).

    Args:
        script: Its text.

    Raises:
        ValueError: If the block cannot be read.
    """
    blocks = [match for match in _METADATA.finditer(script) if match["type"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        message = "the script has more than one block '# /// script'"
        raise ValueError(message)
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:]
        for line in blocks[0]["content"].splitlines(keepends=True)
    )
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as err:
        message = f"the block '# /// script' is no TOML: {err}"
        raise ValueError(message) from None
    dependencies = table.get("dependencies", [])
    python = table.get("requires-python", "")
    if not isinstance(dependencies, list) or not all(isinstance(d, str) for d in dependencies):
        message = f"dependencies of the script are {dependencies!r}, not a list of texts"
        raise ValueError(message)
    if not isinstance(python, str):
        message = f"requires-python of the script is {python!r}, not text"
        raise ValueError(message)
    return EnvironmentSpec(tuple(dependencies), python)


def python_of(spec: EnvironmentSpec, root: Path, run: Run) -> Path:
    """Return the interpreter of an environment, which is made if it is not there.

    Whoever needs an environment that another process is making waits for it.

    Args:
        spec: What it consists of.
        root: Folder of all environments.
        run: Runs a command; raises if it fails.

    Raises:
        ExecutionError: If there is no uv.
    """
    folder = root / spec.key()
    python = folder / "bin" / "python"
    if (folder / _COMPLETE).exists() and python.exists():
        return python
    uv = find_uv()
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{folder.name}.lock"):
        if (folder / _COMPLETE).exists() and python.exists():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        _make(spec, folder, uv, run)
        (folder / _COMPLETE).touch()
    return python


def find_uv() -> str:
    """Return the path of uv: beside the interpreter, else on the search path.

    Raises:
        ExecutionError: If there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if found is None:
        message = "Python environments are made by uv, which is not installed"
        raise ExecutionError(message, hint=f"{sys.executable} -m pip install uv")
    return found


def _make(spec: EnvironmentSpec, folder: Path, uv: str, run: Run) -> None:
    arguments = [uv, "venv", "--quiet", "--no-project", "--python", spec.python or sys.executable]
    if spec.system_site_packages:
        arguments.append("--system-site-packages")
    run(Command("uv", [*arguments, str(folder)], env=_environment()))
    if spec.system_site_packages and not spec.python:
        _add_own_packages(folder)
    if spec.requirements:
        requirements = folder / "requirements.txt"
        requirements.write_text("\n".join(spec.requirements) + "\n")
        install = ["pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
        command = [uv, *install, "--requirements", str(requirements)]
        run(Command("uv", command, env=_environment()))


def _environment() -> dict[str, str]:
    # An activated environment is not the one that is meant.
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}


def _add_own_packages(folder: Path) -> None:
    """Let an environment see the packages of a virtual environment that Ostinato runs in.

    To Python the "system" of a virtual environment is the interpreter below it, which has
    hardly any packages.
    """
    own = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # Added as site folders, so that what is installed for editing is found too.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in own]
    for packages in (folder / "lib").glob("python*/site-packages"):
        (packages / "_ostinato_own.pth").write_text("".join(lines))


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_requirements(requirements: str | Sequence[str]) -> tuple[str, ...]:
    """Return requirements as a list, without comments.

    Args:
        requirements: Several, or text with one on each line.
    """
    lines = requirements.splitlines() if isinstance(requirements, str) else requirements
    plain = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines)
    return tuple(line for line in plain if line)

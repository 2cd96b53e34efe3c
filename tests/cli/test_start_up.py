"""This module holds what commands import, which is what their start costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: What takes more than 10 ms to import.
HEAVY = {"asyncio", "cloudpickle", "msgspec", "pydantic", "rich", "sqlite3", "yaml"}


def imported(
    arguments: list[str], folder: Path, environ: dict[str, str], heavy: set[str] = HEAVY
) -> set[str]:
    """Return which heavy packages a command has imported."""
    code = (
        "import atexit, sys\n"
        "from ostinato.cli import main\n"
        "atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.stderr))\n"
        f"main({arguments!r})\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(process.stderr.splitlines()[-1].split()) & heavy


def test_version_and_help_import_nothing_but_click(folder: Path, environ: dict[str, str]) -> None:
    for arguments in (["--version"], ["--help"], ["run", "--help"], ["rnu"]):
        assert imported(arguments, folder, environ) == set()


def test_command_imports_only_its_own_module(folder: Path, environ: dict[str, str]) -> None:
    modules = {f"ostinato.cli.commands.{name}" for name in ("init", "run", "runs", "show")}

    assert imported(["init", "x"], folder, environ, modules) == {"ostinato.cli.commands.init"}


def test_run_of_a_file_imports_no_yaml_and_no_rich(folder: Path, environ: dict[str, str]) -> None:
    (folder / "hello.py").write_text(
        "from ostinato import dag, task\n\n@dag\ndef hello():\n    task(print)('x')\n\nhello()\n"
    )

    assert imported(["run", "hello.py"], folder, environ) == {"msgspec", "sqlite3"}


def test_list_of_runs_imports_no_engine(project: Path, environ: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "ostinato", "run", "etl"],
        cwd=project,
        env=environ,
        capture_output=True,
        check=True,
    )
    engine = {"ostinato.engine.machine", "ostinato.coordinator.loop", "ostinato.authoring.dag"}

    assert imported(["runs"], project, environ, engine) == set()


def test_closed_standard_output_is_no_traceback(project: Path, environ: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    process = subprocess.run(
        [sys.executable, "-m", "ostinato", "graph", "etl"],
        cwd=project,
        env=environ,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    os.close(writer)
    assert process.returncode == 1
    assert process.stderr == ""

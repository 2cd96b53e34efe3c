"""This module runs the command line as its users do: in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"

#: A process that takes longer hangs.
TIMEOUT_S = 60


class Result:
    """What a command said, and how it ended."""

    def __init__(self, process: "subprocess.CompletedProcess[str]") -> None:
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ostinato = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of the commands: the sources are found, and the home folder is a test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OSTINATO_")}
    path = os.pathsep.join([str(SOURCES), *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "OSTINATO_HOME": str(tmp_path / "home"), "TZ": "UTC"}


@pytest.fixture
def ostinato(folder: Path, environ: dict[str, str]) -> Ostinato:
    """Run a command to its end; it must end with the given code."""

    def run(
        *arguments: str, code: int = 0, cwd: Path = folder, variables: dict[str, str] | None = None
    ) -> Result:
        process = subprocess.run(
            [sys.executable, "-m", "ostinato", *arguments],
            cwd=cwd,
            env={**environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        result = Result(process)
        assert result.code == code, (
            f"{arguments} ended with {result.code}:\n{result.out}{result.err}"
        )
        assert "Traceback" not in result.err, result.err
        return result

    return run


@pytest.fixture
def begin(folder: Path, environ: dict[str, str]) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a command and return its process."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "ostinato", *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture
def project(folder: Path) -> Path:
    """A project with two flows."""
    (folder / "ostinato.yaml").write_text("name: shop\n")
    (folder / "flows").mkdir()
    (folder / "flows" / "etl.py").write_text(ETL)
    (folder / "flows" / "steps.py").write_text(STEPS)
    return folder


ETL = '''\
"""A flow with most of what there is."""

from datetime import date

from ostinato import Skip, dag, task, task_group


@dag(schedule="@daily", tags=["nightly"])
def etl(rows: int = 3, day: date = date(2025, 1, 1), bad_row: int = -1, words: str = "x"):
    @task
    def extract(rows):
        print("extracting", rows)
        return list(range(rows))

    @task
    def double(row, bad_row):
        if row == bad_row:
            raise ValueError(f"row {row} is bad")
        return row * 2

    @task
    def load(doubled):
        return sum(doubled)

    @task
    def never():
        raise Skip("nothing to do")

    @task_group
    def report(total):
        @task
        def draw(total):
            return {"total": total}

        draw(total)

    never()
    report(load(double.partial(bad_row=bad_row).expand(row=extract(rows))))


etl()
'''

#: Its second task waits as long as there is a pipe named ``started``.
STEPS = """\
import time
from pathlib import Path

from ostinato import dag, task

FOLDER = Path(__file__).parents[1]


def note(name):
    with open(FOLDER / "ledger.txt", "a") as ledger:
        ledger.write(name + "\\n")


@dag
def steps():
    @task
    def first():
        note("first")
        return 1

    @task
    def second(value):
        note("second")
        if (FOLDER / "started").exists():
            (FOLDER / "started").write_text("")
            time.sleep(60)
        return value + 1

    @task
    def third(value):
        note("third")
        return value + 1

    third(second(first()))


steps()
"""

"""Tasks that misbehave: each gives one clear message, and the rest of the run goes on."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.survival

FLOW = """
import os
import subprocess
import sys
import time

from ostinato import BashOperator, dag, task


@dag
def bad():
    @task(lost_attempts=1)
    def exits():
        os._exit(3)

    @task(compute={"memory": "64MB"})
    def greedy():
        return len(bytearray(500_000_000))

    @task
    def floods():
        line = "x" * 999
        for _ in range(1_000_000):
            print(line)

    @task(timeout=0.3)
    def endless():
        while True:
            pass

    @task(timeout=0.3)
    def stubborn():
        while True:
            try:
                time.sleep(1)
            except BaseException:
                pass

    @task
    def odd():
        return (n for n in range(3))

    @task
    def leaves():
        sys.exit(4)

    @task(isolation="fork")
    def alone():
        return os.getpid()

    @task
    def speaks():
        print("first")
        subprocess.run(["echo", "second"])
        os.write(2, b"third\\n")
        return "said"

    @task
    def fine():
        return 1

    exits(), greedy(), floods(), endless(), stubborn(), odd(), leaves(), alone(), speaks(), fine()
    BashOperator(task_id="shell", bash_command="sleep 345 & sleep 345", timeout=0.3)


bad()
"""

MESSAGES = {
    "exits": "exited with code 3",
    "greedy": "task 'greedy' needed more than its limit of 64 MB",
    "endless": "task 'endless' ran longer than its timeout of 0.3 s",
    "stubborn": "did not end when told to, and was killed",
    "odd": "the result of task 'odd' cannot be stored: generator",
    "leaves": "the task called sys.exit(4)",
    "shell": "task 'shell' ran longer than its timeout of 0.3 s",
}


def ostinato(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ostinato", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "ostinato.yaml").write_text("name: bad\nflows: [bad.py]\n")
    (folder / "bad.py").write_text(FLOW)
    done = ostinato(folder, "run", "bad")
    assert done.returncode == 1, done.stderr
    return folder


def task_run(folder: Path, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        ostinato(folder, "show", "last", name, "--format", "json").stdout
    )
    return shown


@pytest.mark.parametrize("name", MESSAGES)
def test_a_misbehaving_task_is_explained(name: str, finished: Path) -> None:
    shown = json.dumps(task_run(finished, name))

    assert MESSAGES[name] in json.dumps(json.loads(shown), ensure_ascii=False)
    assert '"failed"' in shown


@pytest.mark.parametrize("name", ["floods", "alone", "speaks", "fine"])
def test_the_others_go_on(name: str, finished: Path) -> None:
    assert '"succeeded"' in json.dumps(task_run(finished, name))


def test_the_users_line_is_named(finished: Path) -> None:
    text = json.dumps(task_run(finished, "greedy"))

    assert "return len(bytearray(500_000_000))" in text


def test_a_flood_is_cut_and_says_so(finished: Path) -> None:
    (log,) = (finished / ".ostinato" / "logs").glob("*/floods/*/*.jsonl")

    lines = log.read_text().splitlines()

    assert log.stat().st_size < 80 * 1024 * 1024
    assert "the rest is dropped" in json.loads(lines[-1])["message"]
    numbers = [json.loads(line)["seq"] for line in lines]
    assert numbers == list(range(1, len(lines) + 1))


def test_what_subprocesses_and_native_code_write_is_kept(finished: Path) -> None:
    (log,) = (finished / ".ostinato" / "logs").glob("*/speaks/*/*.jsonl")

    messages = {json.loads(line)["message"] for line in log.read_text().splitlines()}

    assert messages == {"first", "second", "third"}


def test_what_a_killed_task_has_started_is_gone(finished: Path) -> None:
    running = subprocess.run(
        ["pgrep", "-f", "sleep 345"], capture_output=True, text=True, check=False
    )

    assert running.stdout == "", finished


COUNTS = """
from ostinato import dag, task


@dag
def counts():
    @task
    def numbers():
        return list(range(500))

    @task
    def text(n):
        return "x" * 2000

    text.expand(n=numbers())


counts()
"""


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "ostinato.yaml").write_text("name: full\nflows: [counts.py]\n")
    (tmp_path / "counts.py").write_text(COUNTS)

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    full = subprocess.run(
        [sys.executable, "-m", "ostinato", "run", "counts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=no_room,
    )
    resumed = ostinato(tmp_path, "resume", "last")

    assert full.returncode not in (0, 1)
    assert "Traceback" not in full.stderr
    assert "store.db" in full.stderr.strip().splitlines()[-1]
    assert resumed.returncode == 0, resumed.stderr
    assert "succeeded" in resumed.stdout


def test_a_living_run_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "ostinato.yaml").write_text("name: owned\nflows: [wait.py]\n")
    (tmp_path / "wait.py").write_text(
        "import time\nfrom ostinato import dag, task\n\n@dag\ndef wait():\n    @task\n"
        "    def pause():\n        print('here')\n        time.sleep(60)\n    pause()\n\nwait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "run", "wait"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "here" in process.stdout.readline()

    second = ostinato(tmp_path, "resume", "last")
    cancelled = ostinato(tmp_path, "cancel", "last")
    process.communicate(timeout=60)

    assert second.returncode == 2
    assert str(process.pid) in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert cancelled.returncode == 0, cancelled.stderr
    assert process.returncode == 130

"""A process is killed at a random moment of a run of 300 tasks; nothing may be lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.survival

#: Kills in a normal test run, over all chunks; many more with --soak.
KILLS, SOAK_KILLS, CHUNKS = 50, 2000, 10

FLOW = '''
import os
from pathlib import Path

from ostinato import dag, get_current_context, task

LEDGER = Path(__file__).with_name("ledger.txt")


def note():
    """Append a line that no other process can tear: the record outside of the store."""
    context = get_current_context()
    path = ".".join(map(str, context.map_path))
    line = f"{context.task_id} {path or '-'} {context.attempt}\\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@dag(default_args={"lost_attempts": 10})
def ledger():
    @task
    def numbers():
        note()
        return list(range(200))

    @task
    def double(number):
        note()
        return number * 2

    @task
    def total(doubled):
        note()
        return sum(doubled)

    @task
    def step(value):
        note()
        return value + 1

    value = total(double.expand(number=numbers()))
    for _ in range(98):
        value = step(value)


ledger()
'''

EXPECTED_TASK_RUNS = 1 + 200 + 1 + 98
EXPECTED_RESULT = sum(range(200)) * 2 + 98


def ostinato(folder: Path, *arguments: str) -> list[str]:
    """Return the command of the tool in a folder's project."""
    return [sys.executable, "-m", "ostinato", *arguments]


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Poll until something holds or the process has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.0005)


def ledger_lines(folder: Path) -> list[str]:
    """Return what the tasks themselves wrote."""
    file = folder / "ledger.txt"
    return file.read_text().splitlines() if file.exists() else []


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one, from the kernel's tables."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ostinato.yaml").write_text("name: survival\nflows: [ledger.py]\n")
    (tmp_path / "ledger.py").write_text(FLOW)
    return tmp_path


def kill_somebody(folder: Path, chance: random.Random) -> str:
    """Start a run, kill one of its processes at a random moment, and say which."""
    with open(folder / "output.txt", "ab") as output:
        process = subprocess.Popen(
            ostinato(folder, "run", "ledger.py"),
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    moment = chance.randrange(EXPECTED_TASK_RUNS)
    wait_until(lambda: len(ledger_lines(folder)) >= moment, process)
    below = list(descendants(process.pid))
    victims = {"coordinator": process.pid}
    if below:
        victims["code host"] = below[0]
    if below[1:]:
        victims["child"] = chance.choice(below[1:])
    name = chance.choice(sorted(victims))
    try:
        os.kill(victims[name], signal.SIGKILL)
    except ProcessLookupError:
        name += " (had ended)"
    process.wait(timeout=60)
    return f"{name} after {moment} tasks"


def finish(folder: Path) -> None:
    """Resume what is unfinished, as a user would."""
    runs = json.loads(
        subprocess.check_output(ostinato(folder, "runs", "--format", "json"), cwd=folder)
    )
    for run in runs:
        if run["state"] not in ("succeeded", "failed", "cancelled"):
            subprocess.run(
                ostinato(folder, "resume", run["id"]),
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=120,
            )


def check(folder: Path, story: str) -> None:
    """Compare the store with the ledger that the tasks wrote themselves."""
    from ostinato.store.sqlite import open_store

    store = open_store(folder / ".ostinato" / "store.db")
    try:
        assert store.check_integrity() == [], story
        run = store.find_run("last")
        assert run is not None, story
        rows = list(store.all_task_runs(run.id))
        values = store.values(run.id, "step__97", path="")
    finally:
        store.close()
    assert run.state.label == "succeeded", f"{story}: {run.reason}"
    assert len(rows) == EXPECTED_TASK_RUNS, story
    assert json.loads(values[0][1].data or b"") == EXPECTED_RESULT, story
    final = {(row.task_id, row.path or "-"): row.attempt for row in rows}
    executions: Counter[tuple[str, str, int]] = Counter()
    for line in ledger_lines(folder):
        task_id, path, attempt = line.split()
        executions[task_id, path, int(attempt)] += 1
    twice = {key: count for key, count in executions.items() if count > 1}
    assert not twice, f"{story}: an attempt number ran twice: {twice}"
    for (task_id, path), last in final.items():
        # The recorded success is the last attempt: nothing ran after it.
        assert executions[task_id, path, last] == 1, f"{story}: {task_id}[{path}]"
    late = [key for key in executions if key[2] > final[key[0], key[1]]]
    assert not late, f"{story}: ran again after its result was recorded: {late}"


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_killed_run_finishes_and_repeats_nothing_recorded(
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
    scale: Callable[[int, int], int],
) -> None:
    for number in range(scale(KILLS, SOAK_KILLS) // CHUNKS):
        seed = chunk * 1_000_000 + number
        folder = tmp_path_factory.mktemp("killed")
        (folder / "ostinato.yaml").write_text("name: survival\nflows: [ledger.py]\n")
        (folder / "ledger.py").write_text(FLOW)

        story = f"seed {seed}: {kill_somebody(folder, random.Random(seed))}"
        finish(folder)

        check(folder, story)


def test_a_run_killed_again_and_again_finishes(project: Path) -> None:
    chance = random.Random(7)
    story = kill_somebody(project, chance)

    for _ in range(5):
        process = subprocess.Popen(
            ostinato(project, "resume", "last"),
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        before = len(ledger_lines(project))
        more = chance.randrange(60)
        wait_until(lambda: len(ledger_lines(project)) >= before + more, process)  # noqa: B023 - called at once
        process.kill()
        process.wait()
    finish(project)

    check(project, story)

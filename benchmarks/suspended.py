"""This module measures what flows cost that are suspended: processes, memory and place on disk."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.result import Figure

#: Flows that run before memory is read for the first time: what is imported is not theirs.
WARM = 10

FLOW = """
import json
import sys
from pathlib import Path

from ostinato import flow, suspend, task
from ostinato.errors import FlowSuspended


@task
def prepare(number):
    return {"number": number, "rows": list(range(100))}


@flow
def order(number: int):
    prepared = prepare(number)
    suspend("Release it?")
    return prepared["number"]


def memory_kb():
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])


def start(numbers):
    for number in numbers:
        try:
            order(number)
        except FlowSuspended:
            pass


if __name__ == "__main__":
    count, warm = int(sys.argv[1]), int(sys.argv[2])
    start(range(warm))
    before = memory_kb()
    start(range(warm, count))
    print(json.dumps((memory_kb() - before) / 1024))
"""


def suspended(scale: float) -> Iterator[Figure]:
    """Measure 1,000 flows that are suspended, and one of them that goes on."""
    count = max(int(1_000 * scale), WARM + 5)
    work = f"{count:,} suspended flows"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "order.py").write_text(FLOW)
        environment = os.environ | {"OSTINATO_HOME": name}
        process = subprocess.Popen(
            [sys.executable, "order.py", str(count), str(WARM)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        out, _ = process.communicate()
        left = _processes_of_session(process.pid)
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        began = time.perf_counter()
        target = f"order#{count // 2}"
        for command in (["answer", target, "@body", "--approve"], ["resume", target]):
            _ostinato(folder, environment, *command)
        seconds = time.perf_counter() - began
    yield Figure(f"{work}: on disk", stored / 1024**2, "MB", 50)
    memory_mb = float(json.loads(out))
    yield Figure(f"{work}: memory that whoever started them keeps", memory_mb, "MB", 50)
    yield Figure(f"{work}: processes", left, "", 0)
    yield Figure("one of them is answered and has ended after", seconds, "s", 1)


def _processes_of_session(session: int) -> int:
    """Return how many processes are left of what a process has started."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            # It has ended meanwhile.
            continue
        count += int(fields[3]) == session
    return count


def _ostinato(folder: Path, environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "ostinato", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )

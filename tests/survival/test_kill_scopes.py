"""Processes are killed while setups, mapped groups, pools, waits and clears are under way."""

import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ostinato.model.state import TaskRunState
from ostinato.store.records import TaskRunRow
from ostinato.store.sqlite import open_store
from tests.survival.test_kill_anything import (
    descendants,
    finish,
    ledger_lines,
    ostinato,
    wait_until,
)

pytestmark = pytest.mark.survival

#: Kills in a normal test run, over all chunks; many more with --soak.
KILLS, SOAK_KILLS, CHUNKS = 12, 600, 4

SLOTS = 3

#: What an attempt of a task takes of the pool.
TAKES = {"region.work": 2, "region.page": 1}

REGIONS, PAGES = 5, 3

FLOW = f"""
import os
from contextlib import contextmanager
from pathlib import Path

from ostinato import dag, get_current_context, setup, task, task_group, teardown

LEDGER = Path(__file__).with_name("ledger.txt")


def write(kind):
    context = get_current_context()
    path = ".".join(map(str, context.map_path))
    where = f"{{context.run_id}} {{context.task_id}} {{path or '-'}}"
    line = f"{{kind}} {{where}} {{context.attempt}} {{os.getpid()}}\\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    return LEDGER.read_text().count(f"enter {{where}} ")


@contextmanager
def noted():
    try:
        yield write("enter")
    finally:
        write("leave")


@dag(default_args={{"lost_attempts": 20}})
def regions():
    @setup
    def create():
        with noted():
            return "cluster"

    @teardown(on_failure_fail_run=True)
    def delete(name):
        with noted():
            pass

    @task(depends_on_past=True)
    def numbers(name):
        with noted():
            return list(range({REGIONS}))

    @task_group
    def region(number):
        @setup
        def prepare(number):
            with noted():
                return number

        @task(pool="desk", pool_slots=2, retries=1)
        def work(number, try_number=None):
            with noted():
                if number % 2 and try_number == 1:
                    raise ValueError(number)
                return number

        @task.sensor(poke_interval=0.02)
        def arrived():
            with noted() as times:
                return times > 1

        @task(pool="desk", priority=3)
        def page(number, n):
            with noted():
                return number * n

        @teardown(on_failure_fail_run=True)
        def clean(number):
            with noted():
                pass

        prepared = prepare(number)
        with clean(prepared):
            worked = work(prepared)
            pages = page.partial(number=worked).expand(n=list(range({PAGES})))
            arrived() >> pages
        return pages

    @task
    def total(sizes):
        with noted():
            return sum(sizes)

    name = create()
    with delete(name):
        total(region.expand(number=numbers(name)))


regions()
"""

Execution = tuple[str, str, str]


def project_in(folder: Path) -> Path:
    settings = f"name: survival\nflows: [regions.py]\npools: {{desk: {SLOTS}}}\n"
    (folder / "ostinato.yaml").write_text(settings)
    (folder / "regions.py").write_text(FLOW)
    return folder


def kill_during(folder: Path, chance: random.Random, most: int, *arguments: str) -> str:
    """Begin a command, kill one of its processes at a random moment, and say which."""
    before = len(ledger_lines(folder))
    with open(folder / "output.txt", "ab") as output:
        process = subprocess.Popen(
            ostinato(folder, *arguments),
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # With the first line there is a run.
    moment = 1 + chance.randrange(most)
    wait_until(lambda: len(ledger_lines(folder)) >= before + moment, process)
    victims = [process.pid, *descendants(process.pid)]
    victim = chance.choice(victims)
    write_line(folder, " ".join(["killed", *map(str, [victim, *descendants(victim)])]))
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    process.wait(timeout=60)
    write_mark(folder)
    return f"{arguments} after {moment} lines"


def write_mark(folder: Path) -> None:
    """Note that what entered before has left, by itself or with its process."""
    write_line(folder, "mark")


def write_line(folder: Path, line: str) -> None:
    with open(folder / "ledger.txt", "a") as ledger:
        ledger.write(f"{line}\n")


def run(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ostinato(folder, *arguments), cwd=folder, check=True, capture_output=True, timeout=120
    )
    write_mark(folder)


def rows_of_newest(folder: Path, story: str) -> list[TaskRunRow]:
    store = open_store(folder / ".ostinato" / "store.db")
    try:
        assert store.check_integrity() == [], story
        found = store.find_run("last")
        assert found is not None, story
        assert found.state.label == "succeeded", f"{story}: {found.reason}"
        return list(store.all_task_runs(found.id))
    finally:
        store.close()


def check(folder: Path, story: str) -> list[TaskRunRow]:
    """Compare the store with what the tasks wrote themselves."""
    rows = [row for row in rows_of_newest(folder, story) if row.state != TaskRunState.REMOVED]
    assert len(rows) == 4 + REGIONS * (4 + PAGES), story
    assert {row.state for row in rows} == {TaskRunState.SUCCEEDED}, story
    run_id = str(rows[0].run_id)
    entered: Counter[tuple[str, str, int]] = Counter()
    last_line: dict[tuple[str, str], int] = {}
    taken: Counter[str] = Counter()
    # A process that is killed leaves nothing, and its slots are free again.
    killed: set[str] = set()
    owners: dict[str, str] = {}
    for number, line in enumerate(ledger_lines(folder)):
        if line == "mark":
            taken.clear()
            continue
        if line.startswith("killed "):
            killed.update(line.split()[1:])
            taken = Counter({key: n for key, n in taken.items() if owners[key] not in killed})
            continue
        kind, of_run, task_id, path, attempt, pid = line.split()
        if of_run != run_id:
            continue
        key = f"{task_id}[{path}]"
        if kind == "enter":
            entered[task_id, path, int(attempt)] += 1
            last_line[task_id, path] = number
            owners[key] = pid
            taken[key] = 0 if pid in killed else TAKES.get(task_id, 0)
            assert taken.total() <= SLOTS, f"{story}: {dict(+taken)}"
        else:
            taken.pop(key, None)
    final = {(row.task_id, row.path or "-"): row.attempt for row in rows}
    assert max(entered.values()) == 1, story
    for (task_id, path), last in final.items():
        assert entered[task_id, path, last] == 1, f"{story}: {task_id}[{path}]"
    late = [key for key in entered if key[2] > final[key[0], key[1]]]
    assert not late, f"{story}: ran again after its result was recorded: {late}"
    for index in map(str, range(REGIONS)):
        end = last_line["region.clean", index]
        work = [("region.work", index), *(("region.page", f"{index}.{n}") for n in range(PAGES))]
        assert all(last_line[key] < end for key in work), f"{story}: {index} was torn down early"
    assert max(last_line, key=last_line.__getitem__) == ("delete", "-"), story
    return rows


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_scopes_groups_and_pools_outlive_their_processes(
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
    scale: Callable[[int, int], int],
) -> None:
    for number in range(scale(KILLS, SOAK_KILLS) // CHUNKS):
        seed = chunk * 1_000_000 + number
        chance = random.Random(seed)
        folder = project_in(tmp_path_factory.mktemp("scopes"))

        story = f"seed {seed}: {kill_during(folder, chance, 90, 'run', '--date', '2025-01-01')}"
        finish(folder)
        write_mark(folder)
        check(folder, story)
        # What depends on the run before goes on, for it went well in the end.
        run(folder, "run", "--date", "2025-01-02")
        check(folder, story)
        again = kill_during(folder, chance, 20, "retry", "last", "--from", "region.work[2]")
        story += f", {again}"
        finish(folder)
        write_mark(folder)
        rows = check(folder, story)

        cleared = {f"{row.task_id}[{row.path}]" for row in rows if row.generation == 1}
        assert cleared == {
            "create[]", "delete[]", "total[]", "region.prepare[2]", "region.work[2]",
            "region.clean[2]", *(f"region.page[2.{n}]" for n in range(PAGES)),
        }, story  # fmt: skip

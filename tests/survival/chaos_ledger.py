"""This module is the record that tasks themselves keep of what they did, and what it proves.

It knows nothing of Ostinato's tables: tasks append lines to a file, and hold locked files while
they execute, which the kernel lets go with their process. So two of them that execute at once,
though they must not, notice it themselves.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

#: Slots of the pool that flows share, of the task that has a limit over all runs, and of the
#: flow that has a limit of runs.
POOL_SLOTS, TASK_SLOTS, RUN_SLOTS = 3, 2, 1

#: Steps of a flow that is a function.
STEPS = 4

#: What every module of flows begins with.
NOTES = f'''\
import fcntl
import os
import select
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from ostinato import dag, flow, get_current_context, task

HERE = Path(__file__).resolve().parents[1]
POOL_SLOTS, TASK_SLOTS, RUN_SLOTS = {POOL_SLOTS}, {TASK_SLOTS}, {RUN_SLOTS}


def note(word, place):
    context = get_current_context()
    at = datetime.now().strftime("%H:%M:%S.%f")
    words = [word, context.flow, context.run_id, place, context.attempt, os.getpid(), at]
    line = " ".join(map(str, words)) + "\\n"
    file = os.open(HERE / "ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def work():
    # Not time.sleep, which fails where libfaketime shows another time.
    select.select([], [], [], int.from_bytes(os.urandom(1), "big") / 255 * WORK_S)


@contextmanager
def one_of(name, slots, word):
    """Hold one of the locks of a name; where none is free, somebody executes who must not."""
    held = None
    for number in range(slots):
        file = os.open(HERE / "locks" / f"{{name}}.{{number}}", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        held = file
        break
    else:
        others = [(HERE / "locks" / f"{{name}}.{{number}}").read_text() for number in range(slots)]
        note(word, f"{{name}}:{{'+'.join(others)}}")
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def alone():
    return one_of(f"run-{{get_current_context().run_id}}", 1, "twice")
'''

#: A flow of three tasks, one after the other; nobody but its owner may execute one.
CHAIN = """

@dag({options})
def {name}():
    @task
    def first():
        with alone():
            note("ran", "0")
            work()
        return 1

    @task
    def second(value):
        with alone():
            note("ran", "1")
            work()
        return value + 1

    @task
    def third(value):
        with alone():
            note("ran", "2")
            work()
        return value + 1

    third(second(first()))


{name}()
"""

#: A flow whose mapped tasks share a pool with those of others.
POOLED = """

@dag({options})
def {name}():
    @task(pool="narrow")
    def load(number):
        with one_of("narrow", POOL_SLOTS, "over"):
            note("ran", f"load.{{number}}")
            work()

    load.expand(number=list(range(4)))


{name}()
"""

#: A flow whose task has a limit over all runs.
LIMITED = """

@dag({options})
def {name}():
    @task(max_active_over_runs=TASK_SLOTS)
    def call():
        with one_of("{name}-call", TASK_SLOTS, "over"):
            note("ran", "0")
            work()

    call()


{name}()
"""

#: A flow of which one run is active at a time.
SERIAL = """

@dag({options}, max_active_runs=RUN_SLOTS)
def {name}():
    @task
    def alone_():
        with alone(), one_of("{name}", RUN_SLOTS, "over"):
            note("ran", "0")
            work()

    alone_()


{name}()
"""

#: A flow that is a function: each step is recorded before the next one.
FUNCTION = """

@task
def {name}_step(number):
    note("ran", f"{{number}}")
    work()
    return number


@flow({options})
def {name}():
    with alone():
        for number in range({steps}):
            {name}_step(number)
            note("got", f"{{number}}")


if __name__ == "__main__":
    {name}()
"""

KINDS = {"chain": CHAIN, "pooled": POOLED, "limited": LIMITED, "serial": SERIAL, "saga": FUNCTION}


class Line(NamedTuple):
    """One line of the ledger."""

    word: str
    flow: str
    run: str
    place: str
    attempt: int
    pid: int


def read_ledger(path: Path) -> list[Line]:
    """Return the lines in the order in which they were written."""
    if not path.exists():
        return []
    found = []
    for text in path.read_text().splitlines():
        word, flow, run, place, attempt, pid, _ = text.split()
        found.append(Line(word, flow, run, place, int(attempt), int(pid)))
    return found


def findings(lines: Iterable[Line], succeeded: Mapping[str, str]) -> list[str]:
    """Return what must not be, by the words of the tasks alone.

    Args:
        lines: Of the ledger.
        succeeded: Flows of the runs that are said to have succeeded, by id.
    """
    found: list[str] = []
    ran: dict[str, list[int]] = defaultdict(list)
    places: dict[str, set[str]] = defaultdict(set)
    got: dict[str, int] = {}
    for line in lines:
        if line.word == "twice":
            found.append(f"two processes execute run {line.run} of {line.flow}: {line}")
        elif line.word == "over":
            found.append(f"a limit was passed: {line}")
        elif line.word == "got":
            got[line.run] = max(got.get(line.run, -1), int(line.place))
        else:
            places[line.run].add(line.place)
            found += _order(line, ran[line.run], got)
    for run, name in succeeded.items():
        missing = _expected(name) - places[run]
        if missing:
            found.append(f"run {run} of {name} succeeded without {sorted(missing)}")
    return found


def _order(line: Line, ran: list[int], got: Mapping[str, int]) -> list[str]:
    """Return what is wrong about a task's having begun after all that came before it."""
    if not line.place.isdigit():
        return []
    number = int(line.place)
    if line.flow.startswith("saga") and number <= got.get(line.run, -1):
        return [f"a recorded step ran again: {line}"]
    if line.flow.startswith("chain") and ran and number < max(ran):
        return [f"a recorded task ran again: {line}, after {max(ran)}"]
    ran.append(number)
    return []


def _expected(flow: str) -> set[str]:
    kind = flow.partition("_")[0]
    if kind == "pooled":
        return {f"load.{number}" for number in range(4)}
    count = {"chain": 3, "saga": STEPS}.get(kind, 1)
    return {str(number) for number in range(count)}

"""A flow that is a function under faults, in memory: real engine, coordinator, store and steps.

What executes a body, or the coordinator with everything, is lost at points that a seed decides:
before and after each call of the coordinator, each commit and inside of each task. Nothing has
threads, so a seed gives the same story each time.
"""

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ostinato import flow, pause, suspend, task, transaction, wait_for_input
from ostinato.authoring.ports import BuiltFlow
from ostinato.cache_policies import INPUTS
from ostinato.clock import VirtualClock
from ostinato.coordinator.here import Runner
from ostinato.executors.inline import InlineExecutor
from ostinato.model.deferral import Deferral, Resumption
from ostinato.model.identity import RunId
from ostinato.model.manifest import Manifest, encode_manifest, version_of
from ostinato.model.state import TaskRunState
from ostinato.model.value import StoredValue
from ostinato.project.discovery import Project
from ostinato.project.settings import Settings
from ostinato.runtime.messages import AttemptSpec, Lost, Report, RunInfo
from ostinato.store.protocol import RunFilter, Store
from ostinato.store.records import Batch, CoordinatorLease, TaskRunRow
from ostinato.store.sqlite import open_store

START_US = 1_700_000_000_000_000

#: What a program does at one place: kind, a number of its own, and what lies within.
Op = tuple[str, int, list[Any]]

#: Numbers that an operation may use beside its own.
ROOM = 10

#: What has nothing within, and what has.
SIMPLE = (
    "call", "call", "call", "retry", "keep", "away", "fail", "submit", "map", "gather", "suspend",
    "pause", "ask",
)  # fmt: skip
NESTING = ("nest", "nest", "submit_nest", "flow", "transaction")


class Killed(BaseException):
    """The process that executes an attempt is gone."""


class Crashed(BaseException):
    """The process of the coordinator is gone, and all that executes in it."""


class World:
    """What lies outside of the store: what was executed, and who dies when.

    Args:
        faults: By number of the point: whether all is lost there, or what executes.
    """

    def __init__(self, faults: Mapping[int, str]) -> None:
        self.faults = faults
        self.points = 0
        self.is_dead = False
        #: Attempts that execute, the innermost last, and those whose process is gone.
        self.executing: list[int] = []
        self.lost: set[int] = set()
        self.executed: Counter[int] = Counter()
        self.failures: Counter[int] = Counter()
        #: Numbers of operations whose steps have a recorded end.
        self.recorded: set[int] = set()
        self.story: list[str] = []

    def revive(self) -> None:
        """Begin anew with other processes."""
        self.is_dead = False
        self.executing, self.lost = [], set()

    def point(self, what: str, *, in_coordinator: bool = False) -> None:
        """Something may go wrong here.

        Args:
            what: Happens here.
            in_coordinator: Whether it does where only the loss of all is noticed at once.
        """
        if self.is_dead:
            raise Crashed
        if self.executing and self.executing[-1] in self.lost and not in_coordinator:
            raise Killed
        fault = self.faults.get(self.points)
        self.points += 1
        if fault is None:
            return
        self.story.append(f"{fault} at {self.points - 1}: {what}")
        if fault == "crash" or not self.executing:
            self.is_dead = True
            raise Crashed
        victim = self.executing[0] if fault == "kill first" else self.executing[-1]
        self.lost.add(victim)
        if victim == self.executing[-1] and not in_coordinator:
            raise Killed

    def execute(self, number: int) -> int:
        """Do what a task does that has a number."""
        self.point(f"in {number}")
        self.executed[number] += 1
        assert number not in self.recorded, f"{self.story}: {number} is executed again"
        self.point(f"after {number}")
        return number


#: The one of the simulation that happens.
worlds: list[World] = []


@task
def leaf(number: int) -> int:
    return worlds[-1].execute(number)


@task(retries=2, retry_delay="1h")
def retried(number: int) -> int:
    world = worlds[-1]
    world.failures[number] += 1
    if world.failures[number] < 2:
        world.point(f"before the failure of {number}")
        message = "not yet"
        raise ConnectionError(message)
    return world.execute(number)


@task(cache=INPUTS)
def kept(number: int) -> int:
    return worlds[-1].execute(number)


@task(executor="process", retries=1)
def away(number: int) -> int:
    return worlds[-1].execute(number)


@task
def failing(number: int) -> int:
    worlds[-1].execute(number)
    message = str(number)
    raise ValueError(message)


@task
async def awaited(number: int) -> int:
    await asyncio.sleep(3600)
    return worlds[-1].execute(number)


@task
def committed(number: int) -> int:
    return worlds[-1].execute(number)


@committed.on_commit
def publish(work: Any) -> None:
    worlds[-1].execute(work.get("number") + 1)


@task
def parent(number: int, program: list[Any]) -> int:
    return perform(program)


@flow(lost_attempts=100)
def inner(number: int, program: list[Any]) -> int:
    return perform(program)


@flow(lost_attempts=100)
async def beside(number: int) -> int:
    return sum(await asyncio.gather(*(awaited(number + each) for each in range(3))))


@flow(lost_attempts=100)
def outer(program: list[Any]) -> int:
    return perform(program)


def perform(program: list[Any]) -> int:
    """Do what a program says, and return the sum of what came of it."""
    return sum(_perform(*operation) for operation in program)


def _perform(kind: str, number: int, within: list[Any]) -> int:
    total: Any = 0
    match kind:
        case "call":
            total = leaf(number)
        case "retry":
            total = retried(number)
        case "keep":
            total = kept(number) + kept(number)
        case "away":
            total = away(number) + away.submit(number + 1).result()
        case "fail":
            try:
                failing(number)
            except ValueError as error:
                total = -int(str(error))
        case "submit":
            futures = [leaf.submit(number + each) for each in range(3)]
            total = sum(future.result() for future in futures)
        case "map":
            total = sum(retried.map([number, number + 1]).result())
        case "gather":
            total = asyncio.run(beside(number))
        case "suspend":
            suspend(f"May {number}?", timeout="2d")
        case "pause":
            pause(f"May {number}?", timeout="2d")
        case "ask":
            total = wait_for_input(int, f"How many {number}?", timeout="2d", default=number)
        case "nest":
            total = parent(number, within)
        case "submit_nest":
            total = parent.submit(number, within).result()
        case "flow":
            total = inner(number, within)
        case "transaction":
            with transaction() as work:
                work.set("number", number)
                total = committed(number) + perform(within)
        case _:
            pass
    return int(total)


class Program(NamedTuple):
    """What a flow does, and what comes of it."""

    operations: list[Op]
    result: int
    numbers: frozenset[int]


def random_program(chance: random.Random) -> Program:
    """Return a program that a seed decides."""
    numbers: list[int] = []

    def operations(depth: int, size: int) -> list[Op]:
        found = []
        for _ in range(size):
            kinds = SIMPLE + (NESTING if depth < 3 else ())
            number = (len(numbers) + 1) * ROOM
            numbers.append(number)
            kind = chance.choice(kinds)
            within = operations(depth + 1, chance.randint(1, 3)) if kind in NESTING else []
            found.append((kind, number, within))
        return found

    program = operations(0, chance.randint(3, 6))
    executed: list[int] = []
    result = sum(_expected(operation, executed) for operation in program)
    return Program(program, result, frozenset(executed))


def _expected(operation: Op, executed: list[int]) -> int:
    kind, number, within = operation
    inside = sum(_expected(each, executed) for each in within)
    used = {"away": 2, "submit": 3, "map": 2, "gather": 3, "transaction": 2}
    if kind not in ("suspend", "pause", "ask", "nest", "submit_nest", "flow"):
        executed.extend(range(number, number + used.get(kind, 1)))
    match kind:
        case "keep":
            return 2 * number
        case "fail":
            return -number
        case "away" | "map":
            return 2 * number + 1
        case "submit" | "gather":
            return 3 * number + 3
        case "transaction":
            return number + inside
        case "suspend" | "pause" | "nest" | "submit_nest" | "flow":
            return inside
        case _:
            return number


class MortalStore:
    """A store as a coordinator sees it that may die before and after each commit."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    def commit(self, batch: Batch, lease: CoordinatorLease) -> None:
        """Write a batch, and note which steps have ended with it."""
        self._world.point("before a commit", in_coordinator=True)
        ended = [number for row in batch.task_runs for number in _numbers_of(row)]
        self._store.commit(batch, lease)
        self._world.recorded.update(ended)
        self._world.point("after a commit", in_coordinator=True)

    def unregister_coordinator(self, lease: CoordinatorLease) -> None:
        """Sign a coordinator off, or let it go as if its process had been killed."""
        if self._world.is_dead:
            self._store.abandon_coordinator(lease)
        else:
            self._store.unregister_coordinator(lease)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _numbers_of(row: TaskRunRow) -> list[int]:
    """Return the number of what a step has done for good, none for what it only holds."""
    if row.step is None or row.state not in (TaskRunState.SUCCEEDED, TaskRunState.FAILED):
        return []
    if row.task_id in ("parent", "inner", "beside"):
        return []
    number = msgspec.json.decode(row.inputs or "{}").get("number")
    return [] if number is None else [number]


class MortalExecutor(InlineExecutor):
    """Executes attempts whose processes may die."""

    def __init__(self, world: World, flows: Any, answer: Any, **options: Any) -> None:
        super().__init__(flows, answer, **options)
        self._world = world
        self._execute = self._executing.execute
        self._executing.execute = self._execute_mortal  # type: ignore[method-assign]  # see there

    def _execute_mortal(self, spec: AttemptSpec, dag: BuiltFlow | None, info: RunInfo) -> Any:
        """Execute an attempt in what is a process of its own."""
        world = self._world
        around, world.executing = world.executing, [*world.executing, spec.token]
        report: Report = self._execute(spec, dag, info)
        world.executing = around
        return Lost(spec.token, "it was killed") if spec.token in world.lost else report

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator, and die before it has heard, or before its answer is heard."""
        self._world.point(f"before {method}")
        answer = super().call(token, method, args)
        self._world.point(f"after {method}")
        return answer


class MortalRunner(Runner):
    """Drives runs until everything dies."""

    def __init__(self, world: World, *args: Any, **options: Any) -> None:
        self._world = world
        super().__init__(*args, **options)

    def _make_executors(self, host: Any, flows: Any, resources: Any) -> dict[str, Any]:
        def turn() -> None:
            self._coordinator.turn_within()

        options: dict[str, Any] = {"clock": self._clock, "turn": turn, "gate": self._gate}
        return {"inline": MortalExecutor(self._world, flows, self._answer, **options)}


class StepSimulation:
    """One flow under faults.

    Args:
        program: What it does.
        faults: By number of the point: ``crash``, ``kill`` or ``kill first``.
    """

    def __init__(self, program: Program, faults: Mapping[int, str]) -> None:
        self.program = program
        self.world = World(faults)

    def play(self) -> dict[tuple[str, str, str], Any]:
        """Let the flow come to its end, check it, and return what is recorded of its steps."""
        folder = Path(tempfile.mkdtemp(prefix="ostinato-simulation-"))
        clock = VirtualClock(START_US)
        store = open_store(":memory:", clock=clock)
        worlds.append(self.world)
        try:
            run_id = self._drive(folder, store, clock, self._create)
            while self.world.is_dead and not store.runs(RunFilter())[0][-1].state.is_terminal:
                self.world.revive()
                self._drive(folder, store, clock, _going_on(run_id))
            return self._check(store, run_id)
        finally:
            worlds.pop()
            store.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _drive(
        self,
        folder: Path,
        store: Store,
        clock: VirtualClock,
        begin: "Callable[[Runner, Store], RunId]",
    ) -> RunId:
        """Have a coordinator take the run up, until its end or that of the run."""
        world = self.world
        project = Project(
            name="simulation",
            root=folder,
            settings=Settings(executor="inline"),
            data_dir=folder,
            store_path=folder / "store.db",
            values_root=folder,
            logs_root=folder / "logs",
            is_implicit=True,
        )
        with MortalRunner(
            world,
            project,
            MortalStore(store, world),
            None,
            executor="inline",
            clock=clock,
            flows={each.name: each for each in (outer.dag, inner.dag, beside.dag)},
            inline_for=("process", "thread"),
            answers=_answer,
            is_sending=False,
        ) as runner:
            run_id = begin(runner, store)
            try:
                runner.drive()
            except Crashed:
                assert world.is_dead
        return run_id

    def _create(self, runner: Runner, store: Store) -> RunId:
        data = encode_manifest(Manifest(project="simulation", flows=(DEFINITION,)))
        version = version_of(data)
        store.save_manifest(version, "simulation", data)
        params = {"program": self.program.operations}
        return runner.create(DEFINITION, version, params=params).id

    def _check(self, store: Store, run_id: RunId) -> dict[tuple[str, str, str], Any]:
        story = self.world.story
        runs, _ = store.runs(RunFilter())
        assert {run.state.label for run in runs} == {"succeeded"}, f"{story}: {runs}"
        value = store.values(run_id, "@body", path="")[0][1]
        assert msgspec.json.decode(value.data or b"") == self.program.result, story
        assert self.world.executed.keys() == self.program.numbers, story
        found = {}
        for run in runs:
            for row, result in store.steps(run.id, limit=10_000)[0]:
                key = (run.flow, run.params.decode(), f"{row.task_id} {row.path}")
                found[key] = (TaskRunState(row.state), _content(result))
        return found


DEFINITION = outer.dag.definition


def _going_on(run_id: RunId) -> Callable[[Runner, Store], RunId]:
    def begin(runner: Runner, _: Store) -> RunId:
        return runner.resume(run_id, DEFINITION).id

    return begin


def _content(value: StoredValue | None) -> bytes | None:
    return None if value is None else value.data


def _answer(name: str, deferral: Deferral) -> Resumption | None:
    assert deferral.request is not None
    title = deferral.request.title
    del name
    number = int(title.rstrip("?").split()[-1])
    if number % (2 * ROOM):
        # Nobody does; the time-out has a default, or a question is answered all the same.
        return None if title.startswith("How") else Resumption(deferral.method, payload=True)
    return Resumption(deferral.method, payload=number if title.startswith("How") else True)

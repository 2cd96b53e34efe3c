"""This module is a service of many processes that is hurt at random, and then asked to go on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ostinato.client.flows import FlowDirectory
from ostinato.clock import SystemClock
from ostinato.errors import OstinatoError, StoreError, UnknownFlow
from ostinato.model.state import RunState
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from ostinato.store.opening import open_store_of
from ostinato.store.protocol import RunFilter
from ostinato.store.records import RunRow
from tests.survival.chaos_ledger import KINDS, NOTES, POOL_SLOTS, STEPS, findings, read_ledger
from tests.survival.hurt_postgres import HurtPostgres

SOURCES = Path(__file__).resolve().parents[2] / "src"

#: Seconds that a process that has ended stays away, as under a supervisor that starts it again.
AWAY_S = 0.3

#: What a process says once it is up: from then on it ends only if it is told to.
UP = (" is ready", " is up", "followed as files change")

#: Seconds for which nothing may end once nothing is hurt any more, while runs are open.
SETTLE_S = 120.0

#: Runs that were asked for and may be open at a time before more are, and seconds between two looks
#: at that. Those of schedules come whatever is open.
MAX_OPEN, COUNT_EVERY_S = 200, 3.0

#: Puts a process where it sees no others, and they see nothing of it: as on a machine of its own.
APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")

#: Where Debian puts the library by which a process is shown another time.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class Shape(NamedTuple):
    """How a world is made up.

    Attributes:
        roles: Command of each process by its name.
        flows: How many flows there are.
        scheduled: Every n-th of them has a schedule.
        is_clock_false: Whether processes can be shown another time.
        is_apart: Whether each process is as on a machine of its own.
        tick_s: Seconds between two ticks of a flow that has a schedule.
    """

    roles: Mapping[str, Sequence[str]]
    flows: int
    scheduled: int = 3
    is_clock_false: bool = False
    is_apart: bool = False
    tick_s: int = 4


class Process:
    """One process of the service.

    Args:
        name: Of it.
        command: What it is.
        world: Whose it is.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        clock: Path | None,
        is_apart: bool,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._is_apart = is_apart
        around = APART if is_apart else ()
        self._command = [*around, sys.executable, "-m", "ostinato", *command]
        self._folder = folder
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._away_until_s = 0.0
        #: Monotonic moment at which it goes on, if it was stopped.
        self.stopped_until_s: float | None = None
        #: Length of its log when it was started.
        self._said_before = 0
        self._is_hurt = False
        #: How it ended though nobody told it to, once it was up.
        self.ends: list[str] = []

    @property
    def pid(self) -> int | None:
        """Its id, None if it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        if self._is_apart:
            return next(descendants(self._process.pid), None)
        return self._process.pid

    def tend(self) -> None:
        """Start it if it does not run, and let it go on if it was stopped for long enough."""
        now_s = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            said = self.log.read_text(errors="replace")[self._said_before :]
            if not self._is_hurt and any(word in said for word in UP):
                self.ends.append(f"with {self._process.returncode}: {said[-300:]}")
            self._process = None
            self.stopped_until_s = None
            self._away_until_s = now_s + AWAY_S
        if self._process is None and now_s >= self._away_until_s:
            self._is_hurt = False
            if self.log.exists():
                self._said_before = len(self.log.read_text(errors="replace"))
            with open(self.log, "ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    env=self._variables(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        if self.stopped_until_s is not None and now_s >= self.stopped_until_s:
            self.go_on()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._is_hurt |= number in (signal.SIGKILL, signal.SIGTERM)
        if (pid := self.pid) is not None:
            _signal(pid, number)

    def stop_for(self, seconds: float) -> None:
        """Stop it for some seconds, without ending it."""
        self.send(signal.SIGSTOP)
        self.stopped_until_s = time.monotonic() + seconds

    def go_on(self) -> None:
        """Let it go on."""
        self.stopped_until_s = None
        self.send(signal.SIGCONT)

    def show_time(self, offset_s: int) -> None:
        """Show it another time than it is."""
        assert self._clock is not None
        self._clock.write_text(f"{offset_s:+d}\n")

    def end(self) -> None:
        """End it and all that it has started."""
        pid = self.pid
        if pid is not None:
            below = [*descendants(pid)]
            self.send(signal.SIGKILL)
            self.send(signal.SIGCONT)
            for each in below:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)
        if self._process is not None:
            self._process.wait(timeout=30)

    def _variables(self) -> dict[str, str]:
        kept = {key: text for key, text in os.environ.items() if not key.startswith("OSTINATO_")}
        kept |= {"PYTHONPATH": str(SOURCES), "TZ": "UTC", "PYTHONFAULTHANDLER": "1"}
        if self._clock is not None:
            self._clock.write_text("+0\n")
            kept |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_CACHE_DURATION": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return kept


class World:
    """A project whose processes are hurt.

    Args:
        folder: Of the project.
        shape: What it is made up of.
        seed: Of all chance.
        server: Where its store is; None for SQLite.
        lease_s: How long a coordinator is believed alive that says nothing.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        seed: int,
        *,
        server: HurtPostgres | None = None,
        settings: str = "",
        lease_s: float = 15.0,
    ) -> None:
        self.folder = folder
        self._shape = shape
        self._server = server
        self._chance = random.Random(seed)
        self._lease_s = lease_s
        self._begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
        self._end = self._begin
        self._settings = settings
        clocks = shape.is_clock_false
        self._processes = [
            Process(
                name,
                command,
                folder,
                clock=folder / f"{name}.clock" if clocks else None,
                is_apart=shape.is_apart,
            )
            for name, command in shape.roles.items()
        ]
        #: Ends of what was done that lasts, by moment.
        self._ends: list[tuple[float, str, Callable[[], None]]] = []
        self._asked = 0
        self._open, self._count_at_s = 0, 0.0
        self._pending: list[tuple[str, str]] = []
        #: Ids of runs by the key by which they were asked for and accepted.
        self.accepted: dict[str, int] = {}
        self.faults: Counter[str] = Counter()
        self._changes = 0

    # Its life

    def make(self, lasts_s: float) -> None:
        """Write the project, and start all processes.

        Args:
            lasts_s: For how long schedules fire.
        """
        ticks = int(lasts_s / self._shape.tick_s)
        self._end = self._begin + timedelta(seconds=ticks * self._shape.tick_s)
        store = ""
        if self._server:
            store = f"store:\n  url: {self._server.url!r}\n  lease_s: {self._lease_s}\n"
        pools = f"pools: {{narrow: {POOL_SLOTS}}}\n"
        (self.folder / "locks").mkdir()
        (self.folder / "flows").mkdir()
        (self.folder / "ostinato.yaml").write_text(
            f"name: chaos\n{store}{pools}max_children: 3\n{self._settings}"
        )
        for number, name in enumerate(self._names()):
            (self.folder / "flows" / f"{name}.py").write_text(self._source(number, name))
        self.tend()

    def wait(self, seconds: float) -> None:
        """Let it live for some seconds."""
        self._live(time.monotonic() + seconds)

    def hurt(self, count: int, *, pause_s: float, until_s: float) -> None:
        """Do harm at random.

        Args:
            count: How often.
            pause_s: Seconds between two, on average.
            until_s: Monotonic moment at which it is to be done.

        Raises:
            AssertionError: It is not.
        """
        chances = self._faults()
        while count:
            assert time.monotonic() < until_s, f"{count} faults were not done in time"
            wait_s = self._chance.expovariate(1 / pause_s)
            self._live(time.monotonic() + min(wait_s, 4 * pause_s))
            names = [*chances]
            weights = [chances[name][0] for name in names]
            [name] = self._chance.choices(names, weights)
            if chances[name][1]():
                self.faults[name] += 1
                count -= 1

    def settle(self) -> None:
        """Undo all harm and wait until everything that was asked for has ended.

        Raises:
            AssertionError: It does not.
        """
        for _, _, end in self._ends:
            end()
        self._ends.clear()
        if self._server is not None:
            self._server.heal()
        for process in self._processes:
            process.stopped_until_s = 0.0
        last_tick_s = (self._end - datetime.now(UTC)).total_seconds()
        self._live(time.monotonic() + max(last_tick_s, 0) + 2)
        until_s, left = time.monotonic() + SETTLE_S, -1
        while time.monotonic() < until_s:
            self._live(time.monotonic() + 0.5)
            before, left = left, len(self.open_runs())
            if not self._pending and not left:
                return
            if left < before:
                until_s = time.monotonic() + SETTLE_S
        open_ = [f"{row.flow}#{row.number} {row.state.label}" for row in self.open_runs()]
        raise AssertionError(f"not ended: {open_[:20]}; not accepted: {self._pending[:5]}")

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.end()

    # What is to hold

    def findings(self) -> list[str]:
        """Return what must not be."""
        runs = self._runs()
        found = [
            f"{row.flow}#{row.number} is {row.state.label}: {row.reason}"
            for row in runs
            if row.state is not RunState.SUCCEEDED
        ]
        succeeded = {str(row.id): row.flow for row in runs if row.state is RunState.SUCCEEDED}
        found += findings(read_ledger(self.folder / "ledger.txt"), succeeded)
        found += self._missing(runs)
        found += self._complaints()
        return found

    def open_runs(self) -> list[RunRow]:
        """Return the runs that have not ended."""
        return self._runs(RunFilter(states=tuple(s for s in RunState if not s.is_terminal)))

    def logs(self) -> str:
        """Return the end of what each process said."""
        ends = []
        for process in self._processes:
            if process.log.exists():
                text = process.log.read_text(errors="replace")[-1500:]
                ends.append(f"--- {process.name}\n{text}")
        return "\n".join(ends)

    def _missing(self, runs: Sequence[RunRow]) -> Iterator[str]:
        """Yield what was accepted or was to be fired, and has not one run."""
        by_id = {row.id for row in runs}
        for key, run_id in self.accepted.items():
            if run_id not in by_id:
                yield f"the run of {key} was accepted and is gone"
        fired = Counter(
            (row.flow, row.logical_date_us) for row in runs if row.trigger == "schedule"
        )
        for number, name in enumerate(self._names()):
            if not self._is_scheduled(number):
                continue
            expected = {*self._ticks()}
            there = {at_us for flow, at_us in fired if flow == name}
            for at_us in sorted(expected - there):
                yield f"{name} did not fire at {datetime.fromtimestamp(at_us / 1e6, UTC)}"
            for at_us in sorted(there - expected):
                yield f"{name} fired at {datetime.fromtimestamp(at_us / 1e6, UTC)}"
        for (name, at_us), count in fired.items():
            if count > 1:
                yield f"{name} fired {count} times at {datetime.fromtimestamp(at_us / 1e6, UTC)}"

    def _complaints(self) -> Iterator[str]:
        """Yield what processes say that nobody should ever read."""
        for process in self._processes:
            text = process.log.read_text(errors="replace") if process.log.exists() else ""
            for end in process.ends:
                yield f"{process.name} ended by itself {end}"
            for word in ("Traceback", "InternalError", "report it"):
                if word in text:
                    start = text.index(word)
                    yield f"{process.name} says: {text[max(start - 300, 0) : start + 1500]}"
                    break

    def _ticks(self) -> Iterator[int]:
        at = self._begin
        while at <= self._end:
            yield int(at.timestamp()) * 1_000_000
            at += timedelta(seconds=self._shape.tick_s)

    # Its load

    def _live(self, until_s: float) -> None:
        """Tend the processes and ask for runs for a while."""
        while True:
            self.tend()
            now_s = time.monotonic()
            for each in [each for each in self._ends if each[0] <= now_s]:
                self._ends.remove(each)
                each[2]()
                self._tell(f"over: {each[1]}")
            if now_s >= until_s:
                return
            if datetime.now(UTC) < self._end:
                self._ask()
            elif self._pending:
                self._ask_again()
            time.sleep(min(0.05, max(until_s - now_s, 0)))

    def tend(self) -> None:
        """Start what has ended."""
        for process in self._processes:
            process.tend()

    def _ask(self) -> None:
        if self._chance.random() < 0.3 and not self._has_enough():
            self._asked += 1
            name = self._chance.choice(self._names())
            self._pending.append((name, f"api:{self._asked}"))
        self._ask_again()

    def _has_enough(self) -> bool:
        """Whether so many asked for are open that more would only wait."""
        now_s = time.monotonic()
        if now_s >= self._count_at_s:
            self._count_at_s = now_s + COUNT_EVERY_S
            with suppress(StoreError, OstinatoError):
                live = tuple(state for state in RunState if not state.is_terminal)
                if not self._is_out():
                    self._open = self._count(RunFilter(states=live, trigger="api"))
        return self._open >= MAX_OPEN

    def _ask_again(self) -> None:
        """Ask for what is not accepted yet, until it is: with the same key, as a client would."""
        if not self._pending or (self._server is not None and self._is_out()):
            return
        with suppress(StoreError, UnknownFlow, OstinatoError):
            project = find_project(Target(path=self.folder))
            store = open_store_of(project)
            try:
                directory = FlowDirectory(store, project, SystemClock())
                while self._pending:
                    name, key = self._pending[0]
                    started = directory.start(name, {}, logical_key=key)
                    self.accepted[key] = started.run.id
                    del self._pending[0]
            finally:
                store.close()

    def _runs(self, which: RunFilter = RunFilter()) -> list[RunRow]:  # noqa: B008 - immutable
        store = open_store_of(find_project(Target(path=self.folder)))
        try:
            found: list[RunRow] = []
            cursor = ""
            while True:
                page, cursor = store.runs(which, cursor=cursor, limit=1000)
                found += page
                if not cursor:
                    return found
        finally:
            store.close()

    def _count(self, which: RunFilter) -> int:
        """Return how many runs there are, up to as many as may be open."""
        store = open_store_of(find_project(Target(path=self.folder)))
        try:
            return len(store.runs(which, limit=MAX_OPEN)[0])
        finally:
            store.close()

    def _names(self) -> list[str]:
        kinds = [*KINDS]
        return [f"{kinds[i % len(kinds)]}_{i}" for i in range(self._shape.flows)]

    def _is_scheduled(self, number: int) -> bool:
        return number % self._shape.scheduled == 0

    def _source(self, number: int, name: str) -> str:
        kind = name.partition("_")[0]
        options = [f"name={name!r}"] if kind == "saga" else []
        if kind == "saga":
            options.append("lost_attempts=1000")
        else:
            options.append("default_args={'lost_attempts': 1000}")
        if self._is_scheduled(number):
            options += [
                f"schedule=timedelta(seconds={self._shape.tick_s})",
                f"start_date=datetime.fromisoformat({self._begin.isoformat()!r})",
                f"end_date=datetime.fromisoformat({self._end.isoformat()!r})",
                "catchup=True",
            ]
        body = KINDS[kind].format(name=name, options=", ".join(options), steps=STEPS)
        return NOTES.replace("WORK_S", "0.2") + body

    # Harm

    def _faults(self) -> dict[str, tuple[float, Callable[[], bool]]]:
        """Return what can be done, by name, with how often it is."""
        found: dict[str, tuple[float, Callable[[], bool]]] = {
            "process killed": (6, self._kill_process),
            "child killed": (6, self._kill_child),
            "process told to end": (1, self._end_process),
            "process stopped": (1, lambda: self._stop_process(self._lease_s * 2)),
            "process stopped shortly": (1, lambda: self._stop_process(self._lease_s / 2)),
            "child stopped": (1, self._stop_child),
            "code changed": (0.5, self._change_code),
            "code broken": (0.2, self._break_code),
        }
        if self._shape.is_clock_false:
            found["clock set"] = (1, self._set_clock)
        server = self._server
        if server is not None:
            found |= {
                "server restarted": (0.3, lambda: self._outage(server, "fast", 0.0)),
                "server crashed": (0.3, lambda: self._outage(server, "immediate", 1.0)),
                "server shut": (0.3, lambda: self._for_a_while(server.shut, server.open)),
                "server frozen": (0.3, lambda: self._freeze(server)),
                "connection ended": (2, lambda: self._backend(server.end_backend)),
                "backend killed": (0.5, lambda: self._backend(server.kill_backend)),
            }
            if server.has_disk:
                found["disk full"] = (0.3, lambda: self._for_a_while(server.fill, server.empty))
        return found

    def _tell(self, what: str) -> None:
        """Write down what was done, with its moment, for whoever looks for the cause."""
        with open(self.folder / "faults.log", "a") as file:
            file.write(f"{datetime.now(UTC).isoformat()} {what}\n")

    def _kill_process(self) -> bool:
        process = self._chance.choice(self._processes)
        if process.pid is None:
            return False
        self._tell(f"kill {process.name} {process.pid}")
        process.send(signal.SIGKILL)
        # It may be stopped.
        process.send(signal.SIGCONT)
        return True

    def _end_process(self) -> bool:
        process = self._chance.choice(self._processes)
        if process.pid is None or process.stopped_until_s is not None:
            return False
        self._tell(f"end {process.name} {process.pid}")
        process.send(signal.SIGTERM)
        return True

    def _kill_child(self) -> bool:
        process = self._chance.choice(self._processes)
        below = [*descendants(process.pid)] if process.pid is not None else []
        if not below:
            return False
        victim = self._chance.choice(below)
        self._tell(f"kill {victim} below {process.name} {process.pid}")
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        return True

    def _stop_process(self, seconds: float) -> bool:
        awake = [each for each in self._processes if each.pid and each.stopped_until_s is None]
        if len(awake) < 2:
            return False
        process = self._chance.choice(awake)
        self._tell(f"stop {process.name} {process.pid} for {seconds} s")
        process.stop_for(seconds)
        return True

    def _stop_child(self) -> bool:
        """Stop a process that executes attempts, or waits for some."""
        process = self._chance.choice(self._processes)
        below = [*descendants(process.pid)] if process.pid is not None else []
        leaves = [pid for pid in below[1:] if not [*descendants(pid)]]
        if not leaves:
            return False
        victim = self._chance.choice(leaves)
        self._tell(f"stop {victim} below {process.name} {process.pid}")
        _signal(victim, signal.SIGSTOP)
        seconds = self._chance.uniform(0.1, 2 * self._lease_s)
        self._later(seconds, "child", lambda: _signal(victim, signal.SIGCONT))
        return True

    def _change_code(self) -> bool:
        """Change a file, and with it the version of all definitions."""
        file = self._chance.choice([*sorted((self.folder / "flows").glob("*.py"))])
        self._tell(f"change {file.name}")
        self._changes += 1
        text = file.read_text().partition("# change")[0]
        _write(file, f"{text}# change {self._changes}\n")
        return True

    def _break_code(self) -> bool:
        """Break a file for a while: what is in force stays."""
        if any(name == "code" for _, name, _ in self._ends):
            return False
        file = self._chance.choice([*sorted((self.folder / "flows").glob("*.py"))])
        self._tell(f"break {file.name}")
        text = file.read_text()
        _write(file, text + "def broken(:\n")
        self._later(self._chance.uniform(0.2, 2.0), "code", lambda: _write(file, text))
        return True

    def _set_clock(self) -> bool:
        process = self._chance.choice(self._processes)
        offset_s = self._chance.choice([-3600, -30, -3, 3, 30, 3600])
        self._tell(f"show {process.name} {offset_s}")
        process.show_time(offset_s)
        self._later(3.0, "clock", lambda: process.show_time(0))
        return True

    def _is_out(self) -> bool:
        return any(name == "server" for _, name, _ in self._ends)

    def _outage(self, server: HurtPostgres, mode: str, seconds: float) -> bool:
        if self._is_out():
            return False
        self._tell(f"stop the server {mode}")
        with suppress(subprocess.SubprocessError):
            server.stop(mode)
        self._later(seconds, "server", server.heal)
        return True

    def _for_a_while(self, begin: Callable[[], None], end: Callable[[], None]) -> bool:
        if self._is_out():
            return False
        self._tell(begin.__name__)
        try:
            begin()
        except subprocess.SubprocessError:
            return False
        self._later(self._chance.uniform(0.5, 3.0), "server", end)
        return True

    def _freeze(self, server: HurtPostgres) -> bool:
        if self._is_out():
            return False
        self._tell("freeze the server")
        stopped = server.freeze()
        self._later(
            self._chance.uniform(0.5, self._lease_s), "server", lambda: server.thaw(stopped)
        )
        return True

    def _backend(self, kill: Callable[[float], None]) -> bool:
        if self._is_out():
            return False
        self._tell(kill.__name__)
        kill(self._chance.random())
        return True

    def _later(self, seconds: float, name: str, action: Callable[[], None]) -> None:
        self._ends.append((time.monotonic() + seconds, name, action))


def may_be_apart() -> bool:
    """Whether this user may have processes that are as on a machine of their own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*APART, "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _write(file: Path, text: str) -> None:
    """Write a file as editors do: whoever reads it finds all of it."""
    aside = file.with_suffix(".tmp")
    aside.write_text(text)
    aside.rename(file)


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one, from the kernel's tables."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)

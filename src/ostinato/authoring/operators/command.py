"""This module runs commands whose output is that of the attempt."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ostinato.authoring.operators.handover import Handover
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Skip
from ostinato.authoring.signatures import UNTYPED
from ostinato.errors import ExecutionError, Place

#: Seconds between the request to end and the order, when a command is killed.
KILL_GRACE_S = 5.0

#: Seconds for which a start that was interrupted is awaited.
START_S = 5.0

#: Seconds for which output is awaited after the command has ended: what it left behind in the
#: background may hold its output open for ever.
DRAIN_S = 0.2

#: Lines of which the one is chosen that says why a command failed.
_TAIL = 100
_LINE_CHARACTERS = 2000

#: What languages write after the line that says what went wrong: R, node, Ruby, and what node
#: shows of an error's fields.
_EPILOGUE = re.compile(
    r"Execution halted$|Calls: |Quitting from |Node\.js v\d|\s+(at|from) "
    r"|[{}\]]+,?$|  \w+: |\s*\^+$"
)

#: Seconds between looks at the command where the system cannot announce its end.
_WATCH_S = 0.2
_CHUNK_BYTES = 65536


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        code: Exit code; that of a signal is negative.
        stdout: The last line that it wrote to its output and was not empty.
        stderr: The line of its errors that tells most.
        errors: The last lines of its errors.
    """

    code: int
    stdout: str
    stderr: str
    errors: tuple[str, ...] = ()

    def failure(self, name: str, script: Path | None = None) -> ExecutionError:
        """Return the error that says how the command failed.

        Args:
            name: Of the command.
            script: File that it ran; the error says in which of its lines it failed.
        """
        ended = (
            f"was ended by {_signal_name(-self.code)}"
            if self.code < 0
            else f"exited with code {self.code}"
        )
        line = 0 if script is None else failing_line(self.errors, script)
        place = relative_place(Place(str(script), line)) if line else None
        return ExecutionError(
            f"{name} {ended}{f': {self.stderr}' if self.stderr else ''}", place=place
        )


def telling_line(lines: Iterable[str]) -> str:
    r"""Return the line of a command's errors that tells most: the last one that is no epilogue.

    Args:
        lines: In their order, none of them empty.

    >>> telling_line(["Error in f() : no rows", "Calls: f", "Execution halted"])
    'Error in f() : no rows'
    >>> telling_line(["one.rb:1:in `f': no rows (RuntimeError)", "\tfrom one.rb:3:in `<main>'"])
    "one.rb:1:in `f': no rows (RuntimeError)"
    """
    last = ""
    for line in lines:
        if not last or not _EPILOGUE.match(line):
            last = line.strip()
    return last


def failing_line(lines: Iterable[str], script: Path) -> int:
    r"""Return the line of a script in which it failed, as its errors say it; 0 if they do not.

    Args:
        lines: Of its errors.
        script: The file.

    >>> failing_line(['File "/a.py", line 3, in f', 'File "/b.py", line 5'], Path("/a.py"))
    3
    >>> failing_line(["/a.rb:1:in `f': no rows", "\tfrom /a.rb:3:in `<main>'"], Path("/a.rb"))
    1
    """
    place = re.compile(re.escape(str(script)) + r'(?:", line |: line |:| line )(\d+)')
    found = [int(match[1]) for line in lines for match in place.finditer(line)]
    if not found:
        quitting = [re.search(r"Quitting from lines? (\d+)", line) for line in lines]
        return next((int(match[1]) for match in quitting if match), 0)
    # Python names the innermost line last, all others first.
    return found[-1] if script.suffix == ".py" else found[0]


class Command:
    """A command in a process group of its own, so that nothing of it outlives its attempt.

    Args:
        name: Shown in errors.
        arguments: The program and what it is called with.
        env: Its environment; None for that of the attempt.
        cwd: Its working directory; None for that of the attempt.
        script: The users' file that it runs, to say in which of its lines it failed.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        script: Path | None = None,
    ) -> None:
        self.name = name
        self.script = script
        self._arguments = list(arguments)
        self._env = env
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._is_spawned = threading.Event()

    def run(self) -> Outcome:
        """Run to the end, copying the output to that of the attempt.

        Raises:
            ExecutionError: If it cannot be started.
        """
        try:
            process = self._start()
            last = _copy_output(process)
            code = process.wait()
        finally:
            # A signal may interrupt anything of it; nothing outlives the attempt then.
            self._end()
        return Outcome(code, *last)

    def kill(self) -> None:
        """End the whole process group, gently first."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process in a thread, for a signal interrupts the main one anywhere.

        A start that is interrupted would leave behind a process that nobody knows.
        """
        failures: list[OSError] = []
        threading.Thread(target=self._spawn, args=(failures,)).start()
        self._is_spawned.wait()
        if self._process is None:
            raise ExecutionError(f"{self.name} cannot be started: {failures[0]}") from failures[0]
        return self._process

    def _spawn(self, failures: list[OSError]) -> None:
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        except OSError as err:
            failures.append(err)
        finally:
            self._is_spawned.set()

    def _end(self) -> None:
        self._is_spawned.wait(START_S)
        if self._process is not None:
            self.kill()
            _close_output(self._process)


class CommandOperator(Operator):
    """Run a command; the last line that it writes is the task's result.

    The command sees ``OSTINATO_DS``, ``OSTINATO_PARAMS`` and more of its attempt. If it writes
    JSON to the file ``$OSTINATO_RESULT``, that is the result; what it writes to the folder
    ``$OSTINATO_OUT`` is kept with the run.

    Args:
        task_id: Unique in its group.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default that of the attempt.
        skip_on_exit_code: Exit code, or several, that skips the task; None for none.
        output_processor: Makes the result of the last line.
        options: Policies and what other operators take.
    """

    def __init__(
        self,
        task_id: str,
        *,
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = False,
        cwd: str | Path | Reference | None = None,
        skip_on_exit_code: int | Container[int] | None = 99,
        output_processor: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        self.env: Any = env
        self.append_env = append_env
        self.cwd: Any = cwd
        codes = (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else skip_on_exit_code
        self.skip_on_exit_code: Any = codes or ()
        self.output_processor = output_processor
        self._command: Command | None = None
        self._handover: Handover | None = None
        super().__init__(task_id, **options)
        self._check_surroundings()

    def _check_surroundings(self) -> None:
        if not isinstance(self.env, Mapping | Reference | None):
            raise self.refusal(f"env is {self.env!r}, not a dict")
        if not isinstance(self.cwd, str | Path | Reference | None):
            raise self.refusal(f"cwd is {self.cwd!r}, no path")
        codes = self.skip_on_exit_code
        if isinstance(codes, str) or not isinstance(codes, Container):
            raise self.refusal(f"skip_on_exit_code is {codes!r}, neither a number nor several")
        if self.output_processor is not None and not callable(self.output_processor):
            raise self.refusal(f"output_processor is {self.output_processor!r}, no function")

    @property
    def result_type(self) -> Any:
        """Text, unless a function makes something else of it or it may write JSON."""
        if self.output_processor is not None or self.may_write_result():
            return UNTYPED
        return str

    def may_write_result(self) -> bool:
        """Return whether the result may come from the file ``$OSTINATO_RESULT``."""
        return True

    def is_told(self) -> bool:
        """Return whether it is told where to write its result and files."""
        return True

    def inputs_of_context(self, context: Context) -> dict[str, Any]:
        """Return what it reads of its run: other values of these may give another result.

        Args:
            context: Of the attempt.
        """
        return {}

    def command(self, context: Context) -> Command:
        """Return what to run.

        Args:
            context: Of the attempt.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Run the command, copying its output to that of the attempt.

        Args:
            context: Of the attempt.

        Raises:
            Skip: If it exits with a code of ``skip_on_exit_code``.
            ExecutionError: If it exits with another code than 0, cannot be started, or writes
                a result that is no JSON.
        """
        self._handover = handover = Handover(context, is_told=self.is_told())
        self._command = command = self.command(context)
        try:
            outcome = command.run()
        finally:
            # Also of what has run out of time.
            handover.keep()
        if outcome.code in self.skip_on_exit_code:
            raise Skip(f"exit code {outcome.code}")
        if outcome.code:
            raise outcome.failure(command.name, command.script)
        if handover.has_result:
            return handover.result(default=outcome.stdout)
        if self.output_processor is None:
            return outcome.stdout
        return self.output_processor(outcome.stdout)

    def found_file(self, named: str | Path) -> Path:
        """Return a file that an argument names, which is looked for beside the flow.

        Args:
            named: A relative path starts at the file that declares the task, at the flow's file,
                or at the working directory.

        Raises:
            InvalidArgument: There is none.
        """
        path = Path(named).expanduser()
        beside = Path(self.place.file).parent / path
        if beside.is_file():
            return beside.absolute()
        found = self.graph.templates.find(str(path)) if self.graph else path
        if found is None or not found.is_file():
            hint = "it is looked for beside the flow"
            raise self.refusal(f"there is no file {str(path)!r}", hint=hint)
        return found.absolute()

    def _prepare(self, command: Command) -> None:
        """Run a command that makes what the own one needs."""
        self._command = command
        outcome = command.run()
        if outcome.code:
            raise outcome.failure(command.name)

    def on_kill(self) -> None:
        """End the command's whole process group, gently first."""
        if self._command is not None:
            self._command.kill()

    def environment(self) -> dict[str, str]:
        """Return the command's environment."""
        told = {} if self._handover is None else self._handover.environment()
        if self.env is None:
            return {**os.environ, **told}
        own = {name: str(value) for name, value in self.env.items()}
        return {**os.environ, **told, **own} if self.append_env else {**told, **own}


class _Lines:
    """Put chunks of bytes together to lines, copy them, and remember the last ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Of the output the last line is the result; it may be large.
        self.last: deque[str] = deque(maxlen=_TAIL if name == "stderr" else 1)
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> None:
        # A line of many chunks is appended to, for joining it anew each time is quadratic.
        first, *others = chunk.split(b"\n")
        self._rest += first
        for begun in others:
            self._write(bytes(self._rest))
            self._rest[:] = begun

    def finish(self) -> None:
        if self._rest:
            self._write(bytes(self._rest))
            self._rest.clear()

    def _write(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if text:
            self.last.append(text[:_LINE_CHARACTERS] if self.name == "stderr" else text)
        # Looked up by each line, for an attempt replaces the streams to capture them.
        print(text, file=sys.stderr if self.name == "stderr" else sys.stdout, flush=True)


def _copy_output(process: subprocess.Popen[bytes]) -> tuple[str, str, tuple[str, ...]]:
    """Copy what a process writes until it has ended.

    Returns:
        The last line of its output, the line of its errors that tells most, and the last ones.
    """
    streams = {"stdout": _Lines("stdout"), "stderr": _Lines("stderr")}
    with selectors.DefaultSelector() as selector, _end_of(process) as end:
        for name, lines in streams.items():
            pipe: IO[bytes] = getattr(process, name)
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, lines)
        if end is not None:
            selector.register(end, selectors.EVENT_READ)
        is_over = False
        while any(key.data for key in selector.get_map().values()):
            ready = selector.select(DRAIN_S if is_over else None if end is not None else _WATCH_S)
            if is_over and not ready:
                break
            for key, _ in ready:
                if key.data is None or not _read(key.fd, key.data):
                    selector.unregister(key.fileobj)
            is_over = process.poll() is not None
    for lines in streams.values():
        lines.finish()
    output, errors = streams["stdout"].last, streams["stderr"].last
    return output[-1] if output else "", telling_line(errors), tuple(errors)


def _read(fd: int, lines: _Lines) -> bool:
    chunk = os.read(fd, _CHUNK_BYTES)
    lines.feed(chunk)
    return bool(chunk)


@contextlib.contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[int | None]:
    """Give a descriptor that is readable once a process has ended, None where there is none."""
    if not hasattr(os, "pidfd_open"):  # pragma: no cover - macOS
        yield None
        return
    descriptor = os.pidfd_open(process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _close_output(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

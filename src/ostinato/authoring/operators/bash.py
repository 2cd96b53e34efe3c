"""This module holds the operator that runs a shell command."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Unpack

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Skip
from ostinato.errors import ExecutionError, InvalidArgument

#: Seconds between the request to end and the order, when a command is killed.
KILL_GRACE_S = 5.0

#: Seconds for which output is awaited after the command has ended: what it left behind in the
#: background may hold its output open for ever.
DRAIN_S = 0.2

#: Seconds between looks at the command where the system cannot announce its end.
_WATCH_S = 0.2
_CHUNK_BYTES = 65536


class BashOperator(Operator):
    """Run a command with bash; the last line that it writes is the task's result.

    The command runs in a process group of its own, which is killed when the attempt ends
    before the command does.

    Args:
        task_id: Unique in its group.
        bash_command: The command or script, or the name of a file that ends in ``.sh``.
        env: Environment variables.
        append_env: Whether ``env`` adds to the environment of the attempt instead of replacing it.
        cwd: Working directory; by default that of the attempt.
        skip_on_exit_code: Exit code, or several, that skips the task; None for none.
        policies: How it is run, see ``Policies``.

    Example:
        ``BashOperator(task_id="count", bash_command="wc -l < data.csv")``
    """

    operator_name = "bash"
    template_fields = ("bash_command", "env", "cwd")
    template_ext: Sequence[str] = (".sh", ".bash")

    def __init__(
        self,
        task_id: str,
        *,
        bash_command: str | Reference,
        env: Mapping[str, Any] | Reference | None = None,
        append_env: bool = False,
        cwd: str | Path | Reference | None = None,
        skip_on_exit_code: int | Container[int] | None = 99,
        **policies: Unpack[Policies],
    ) -> None:
        self.bash_command: Any = bash_command
        self.env: Any = env
        self.append_env = append_env
        self.cwd: Any = cwd
        codes = (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else skip_on_exit_code
        self.skip_on_exit_code: Container[int] = codes or ()
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(task_id, **policies)

    @property
    def result_type(self) -> Any:
        """Text."""
        return str

    def execute(self, context: Context) -> str:
        """Run the command, copying its output to that of the attempt.

        Args:
            context: Of the attempt.

        Raises:
            Skip: If it exits with a code of ``skip_on_exit_code``.
            ExecutionError: If it exits with another code than 0, or cannot be started.
        """
        self._process = process = self._start()
        try:
            last = _copy_output(process)
            code = process.wait()
        finally:
            # A signal may interrupt the wait; nothing of the command outlives its attempt then.
            if process.poll() is None:
                self.on_kill()
            _close_output(process)
        if code in self.skip_on_exit_code:
            raise Skip(f"exit code {code}")
        if code:
            why = last["stderr"] or last["stdout"]
            ended = (
                f"was ended by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
            )
            raise ExecutionError(f"bash {ended}{f': {why}' if why else ''}")
        return last["stdout"]

    def on_kill(self) -> None:
        """End the command's whole process group, gently first."""
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
        if not isinstance(self.bash_command, str):
            message = f"bash_command of {self.node_id!r} is {self.bash_command!r}, not text"
            raise InvalidArgument(message)
        try:
            return subprocess.Popen(
                ["bash", "-c", self.bash_command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                cwd=self.cwd,
                start_new_session=True,
            )
        except OSError as err:
            raise ExecutionError(f"bash cannot be started: {err}") from err

    def _environment(self) -> dict[str, str] | None:
        if self.env is None:
            return None
        own = {name: str(value) for name, value in self.env.items()}
        return {**os.environ, **own} if self.append_env else own


class _Lines:
    """Put chunks of bytes together to lines, copy them, and remember the last one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.last = ""
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
        self.last = text or self.last
        # Looked up by each line, for an attempt replaces the streams to capture them.
        print(text, file=sys.stderr if self.name == "stderr" else sys.stdout, flush=True)


def _copy_output(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Copy what a process writes until it has ended; return the last line of each stream."""
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
    return {name: lines.last for name, lines in streams.items()}


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

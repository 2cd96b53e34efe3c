"""This module is what happens in a code host: users' code is loaded once, and children are forked.

It has one thread. When its parent is gone it ends its children and itself.
"""

import ctypes
import gc
import io
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ostinato.clock import SystemClock
from ostinato.errors import OstinatoError
from ostinato.executors.host_messages import (
    Beat,
    Exited,
    ForkChild,
    Forked,
    ForkEvaluator,
    ForkTriggers,
    FromHost,
    Manifested,
    NotLoaded,
    decode_to_host,
    encode,
)
from ostinato.runtime.frames import FrameReader, frame

if TYPE_CHECKING:
    from ostinato.project.loading import Loaded

_READ_BYTES = 64 * 1024
_MAX_DESCRIPTORS = 64
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: The C library, for what Python does not offer; opened once for all forks.
_LIBC = ctypes.CDLL(None)


def run_host(
    connection: socket.socket,
    parent: int,
    load: "Callable[[], Loaded]",
    resources: Mapping[str, Any],
) -> NoReturn:
    """Load users' code and serve until the connection closes; for a process just forked.

    Args:
        connection: To the process that asks for children.
        parent: Process that has forked this one.
        load: Loads the definitions.
        resources: Objects that replace the flows' own, by name.
    """
    status = 1
    try:
        # A group of its own: Ctrl-C on the terminal is for the parent, who decides.
        os.setpgid(0, 0)
        # While users' code loads, nobody watches the parent: the kernel does.
        die_with_parent(parent)
        forget_terminal()
        loaded = _load(connection, load)
        if loaded is not None:
            die_with_parent(0)
            # Heavy, and users' code has no use for it.
            from ostinato.runtime.child import prepare_children  # noqa: PLC0415 - see above

            prepare_children()

            gc.collect()
            gc.freeze()
            gc.enable()
            _Host(connection, loaded, resources).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _load(connection: socket.socket, load: "Callable[[], Loaded]") -> "Loaded | None":
    # Definitions stay: looking for garbage among them takes a tenth of the time.
    gc.disable()
    try:
        loaded = load()
    except OstinatoError as error:
        _send(connection, NotLoaded(error.code, str(error)))
        return None
    return loaded if _send(connection, Manifested(loaded.data, loaded.version)) else None


def _send(connection: socket.socket, message: FromHost) -> bool:
    """Send a message, and return whether there is anybody to read it."""
    try:
        connection.sendall(frame(encode(message)))
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


class _Host:
    def __init__(
        self, connection: socket.socket, loaded: "Loaded", resources: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._loaded = loaded
        self._resources = resources
        self._children: set[int] = set()
        #: Those that execute attempts, and until when they may; None for ever.
        self._executing: set[int] = set()
        self._until_s: float | None = None
        self._clock = SystemClock()
        #: What users' files have started while they were loaded; it lives as long as this.
        self._started = _children_of_this()
        self._reader = FrameReader()
        self._descriptors: list[int] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        # What outlives the child that it was started in comes here, to be ended.
        adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._connection, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        is_wanted = True
        while is_wanted:
            for key, _ in selector.select(self._left_s()):
                if key.fileobj is self._connection:
                    is_wanted = self._read(selector)
                else:
                    drain(self._wake_read)
                    self._reap()
            self._keep_time()
        for pid in self._children:
            kill_group(pid)
        _end_children()

    def _left_s(self) -> float | None:
        """Return for how many seconds children may live; None for ever."""
        return None if self._until_s is None else max(self._until_s - self._clock.monotonic_s(), 0)

    def _keep_time(self) -> None:
        """End what executes attempts for a coordinator that is dead to others."""
        if self._until_s is not None and self._clock.monotonic_s() >= self._until_s:
            self._until_s = None
            for pid in self._executing:
                kill_group(pid)

    def _read(self, selector: selectors.BaseSelector) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._connection, _READ_BYTES, _MAX_DESCRIPTORS
            )
        except ConnectionResetError:
            return False
        if not data:
            return False
        self._descriptors.extend(descriptors)
        for message in self._reader.feed(data):
            what = decode_to_host(message)
            if isinstance(what, Beat):
                self._until_s = what.until_s
            else:
                self._fork(what, self._descriptors.pop(0), selector)
        return True

    def _fork(
        self,
        what: ForkChild | ForkTriggers | ForkEvaluator,
        descriptor: int,
        selector: selectors.BaseSelector,
    ) -> None:
        host = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            selector.close()
            self._connection.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            for other in self._descriptors:
                os.close(other)
            if isinstance(what, ForkTriggers):
                _run_triggers(descriptor, host, what.log)
            if isinstance(what, ForkEvaluator):
                _run_evaluator(descriptor, host, self._loaded)
            _run_child(descriptor, host, self._loaded, self._resources)
        os.close(descriptor)
        self._children.add(pid)
        if isinstance(what, ForkChild):
            self._executing.add(pid)
            self._tell(Forked(what.number, pid))

    def _reap(self) -> None:
        has_ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            has_ended = True
            self._children.discard(pid)
            if pid in self._executing:
                # Of the others nobody may be reading.
                self._executing.discard(pid)
                self._tell(Exited(pid, status))
        if has_ended:
            for pid in _children_of_this() - self._children - self._started:
                kill(pid)

    def _tell(self, message: FromHost) -> None:
        # Where the parent is gone the next read says so.
        _send(self._connection, message)


def _run_child(descriptor: int, host: int, loaded: "Loaded", resources: Mapping[str, Any]) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(host)
        adopt_orphans()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _reseed()
        from ostinato.runtime.child import Child  # noqa: PLC0415 - imported by the host

        Child(socket.socket(fileno=descriptor), loaded.flows, resources).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        # What tasks left behind in the group goes with its leader.
        os._exit(status)


def _run_triggers(descriptor: int, host: int, log: str) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(host)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _reseed()
        _redirect_output(log or os.devnull)
        # asyncio is for those who wait.
        from ostinato.runtime.trigger_loop import serve_triggers  # noqa: PLC0415 - see above

        serve_triggers(socket.socket(fileno=descriptor), is_watched=True)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _run_evaluator(descriptor: int, host: int, loaded: "Loaded") -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(host)
        adopt_orphans()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _reseed()
        # Only services evaluate, and few of their projects have sensors.
        from ostinato.runtime.evaluation import Evaluator  # noqa: PLC0415 - see above

        Evaluator(socket.socket(fileno=descriptor), loaded).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _redirect_output(path: str) -> None:
    """Append what this process writes to a file: what runs in it has no log of its own."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    # They may be objects that write elsewhere.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", "replace", line_buffering=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", "replace", line_buffering=True)


def _reseed() -> None:
    """Give each child random numbers of its own; Python's own module does so by itself."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; 0 takes that back."""
    if not sys.platform.startswith("linux"):
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if parent else 0)
    if parent and os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of what descendants of this process leave behind."""
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children_of_this() -> set[int]:
    """Return the processes whose parent is the only thread of this one; Linux says which."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return set(map(int, file.read().split()))
    except FileNotFoundError:
        return set()


def _end_children() -> None:
    """Kill all children of this process, and theirs as they are orphaned."""
    while True:
        for pid in _children_of_this():
            kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def forget_terminal() -> None:
    """Handle signals as a fresh process does, and read nothing: both are the parent's."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process


def kill(pid: int) -> None:
    """Kill a process, which may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_group(pid: int) -> None:
    """Kill a group of processes, which may be gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def drain(descriptor: int) -> None:
    """Read a pipe empty that wakes a loop."""
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return

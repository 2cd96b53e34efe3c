"""This module is the nursery: a bare process that forks a code host whenever it is asked.

A process with threads cannot fork one that runs users' code, and a service that reloads needs
new ones all its life. So it forks its nursery first thing. That has one thread and no code of
users; what every code host imports it has imported already, so that they share it and begin
in milliseconds.
"""

import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from ostinato.errors import CodeUnavailable, LoadError
from ostinato.executors.code_host import CodeHost, HostProcess
from ostinato.executors.host_process import die_with_parent, drain, forget_terminal, run_host
from ostinato.runtime.frames import FrameReader, frame

if TYPE_CHECKING:
    from ostinato.project.loading import Loaded

_READ_BYTES = 64 * 1024
_MAX_DESCRIPTORS = 16

#: What loading, children and most flows need.
_FOR_HOSTS = (
    "ostinato.project.loading",
    "ostinato.authoring.dag",
    "ostinato.authoring.decorators",
    "ostinato.authoring.task_functions",
    "ostinato.runtime.child",
)

#: Seconds within which a nursery forks; it has nothing else to do.
_FORK_TIMEOUT_S = 30.0


class HostSpec(Struct, frozen=True, tag="host"):
    """Of what a code host is made.

    Attributes:
        target: What it loads, as ``parse_target`` takes it; empty for the whole project.
        folder: Of the project, whose settings are read anew.
        overrides: Settings from command-line flags.
        version: The version that it must turn out to be; empty for whatever it is.
    """

    target: str
    folder: str
    overrides: dict[str, str] = {}
    version: str = ""


class Born(Struct, frozen=True, tag="born"):
    """A code host was forked; a descriptor of its process comes along."""

    pid: int


_encode = msgspec.msgpack.Encoder().encode
_decode_spec = msgspec.msgpack.Decoder(HostSpec).decode
_decode_born = msgspec.msgpack.Decoder(Born).decode


class Nursery:
    """A nursery as the process that asks it sees it; ask it in any thread.

    Args:
        pid: Of its process, a child of this one.
        connection: To it.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self._asking = threading.Lock()
        self.pid = pid
        self._connection = connection

    @classmethod
    def fork(cls) -> "Nursery":
        """Fork a nursery; do so before threads are started, and before much is imported."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with warnings.catch_warnings():
            # Whoever starts it in time has no threads; whoever does not runs none of their code.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            ours.close()
            _run_nursery(theirs, parent)
        theirs.close()
        return cls(pid, ours)

    def host(self, spec: HostSpec) -> CodeHost:
        """Begin a code host.

        Args:
            spec: What it loads, the first time and whenever it is started again.
        """
        return CodeHost(_FromNursery(self, spec))

    def begin(self, spec: HostSpec, connection: socket.socket) -> HostProcess:
        """Have the process of a code host forked.

        Args:
            spec: What it loads.
            connection: The end of a socket pair that it serves; closed here.

        Raises:
            LoadError: No process can be made.
        """
        with connection, self._asking:
            process = self._ask(spec, connection)
            if process is None:
                # It was killed, perhaps because memory ran out; this process has threads, and
                # the new one is no fork of it.
                self._replace()
                process = self._ask(spec, connection)
        if process is None:
            raise LoadError("no process can be made that loads the files", hint="is memory short?")
        return process

    def close(self) -> None:
        """End the nursery; the code hosts that it has forked live on, those that load end."""
        with self._asking:
            self._connection.close()
            if self.pid:
                os.waitpid(self.pid, 0)
                self.pid = 0

    def _ask(self, spec: HostSpec, connection: socket.socket) -> HostProcess | None:
        self._connection.settimeout(_FORK_TIMEOUT_S)
        reader = FrameReader()
        descriptors: list[int] = []
        message = frame(_encode(spec))
        try:
            sent = socket.send_fds(self._connection, [message], [connection.fileno()])
            self._connection.sendall(message[sent:])
            while True:
                data, received, _, _ = socket.recv_fds(self._connection, _READ_BYTES, 1)
                descriptors += received
                if not data:
                    return None
                for answer in reader.feed(data):
                    pid = _decode_born(answer).pid
                    return HostProcess(pid, descriptors.pop(), is_child=False)
        except (OSError, TimeoutError):
            return None

    def _replace(self) -> None:
        self._connection.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", __name__, str(number), str(os.getpid())]
            started = subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL)
        self.pid = started.pid
        # It is waited for by its number.
        started.returncode = 0
        self._connection = ours


class _FromNursery:
    def __init__(self, nursery: Nursery, spec: HostSpec) -> None:
        self._nursery = nursery
        self._spec = spec

    def begin(self, connection: socket.socket, other: socket.socket) -> HostProcess:
        """Have the nursery fork, which knows nothing of the other end."""
        return self._nursery.begin(self._spec, connection)

    def pin(self, version: str) -> None:
        """Have what is loaded from now on be of a version."""
        self._spec = msgspec.structs.replace(self._spec, version=version)


# In the nursery


def _run_nursery(connection: socket.socket, parent: int) -> None:
    status = 1
    try:
        # A group of its own: Ctrl-C on the terminal is for the parent, who decides.
        os.setpgid(0, 0)
        die_with_parent(parent)
        forget_terminal()
        _import_for_hosts()
        gc.collect()
        gc.freeze()
        _serve(connection)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _import_for_hosts() -> None:
    for name in _FOR_HOSTS:
        import_module(name)


def _serve(connection: socket.socket) -> None:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    reader = FrameReader()
    waiting: list[int] = []
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not connection:
                    drain(wake_read)
                    _reap()
                    continue
                try:
                    data, descriptors, _, _ = socket.recv_fds(
                        connection, _READ_BYTES, _MAX_DESCRIPTORS
                    )
                except ConnectionResetError:
                    return
                if not data:
                    return
                waiting += descriptors
                for message in reader.feed(data):
                    own = [selector.fileno(), wake_read, wake_write]
                    _bear(_decode_spec(message), waiting.pop(0), connection, own)


def _bear(spec: HostSpec, descriptor: int, connection: socket.socket, own: list[int]) -> None:
    nursery = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        connection.close()
        for other in own:
            os.close(other)
        run_host(socket.socket(fileno=descriptor), nursery, lambda: _load(spec), {})
    os.close(descriptor)
    process = os.pidfd_open(pid)
    try:
        socket.send_fds(connection, [frame(_encode(Born(pid)))], [process])
    except (BrokenPipeError, ConnectionResetError):
        # Nobody asks any more: the next read says so.
        return
    finally:
        os.close(process)


def _reap() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _load(spec: HostSpec) -> "Loaded":
    from ostinato.project.discovery import find_project
    from ostinato.project.loading import load_project
    from ostinato.project.target import Target, parse_target

    target = parse_target(spec.target) if spec.target else Target()
    start = target if spec.target else Target(path=Path(spec.folder))
    loaded = load_project(find_project(start, overrides=spec.overrides), target)
    if spec.version and loaded.version != spec.version:
        raise CodeUnavailable(
            f"the code of version {spec.version} is gone: its files have changed since",
            hint="retry runs the newest version",
        )
    return loaded


if __name__ == "__main__":
    _run_nursery(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))

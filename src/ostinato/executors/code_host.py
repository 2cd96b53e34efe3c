"""This module is the code host as its parent sees it: the process that loads users' code once.

It is forked before its parent starts threads, or by a nursery at any time. It loads the
definitions, sends the manifest back, freezes the garbage collector (so that forks share its
heap) and then forks a child whenever it is asked.
"""

import itertools
import os
import select
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.clock import SystemClock
from ostinato.errors import LoadError, OstinatoError
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
    ToHost,
    decode_from_host,
    encode,
)
from ostinato.executors.host_process import kill, kill_group, run_host
from ostinato.model.manifest import Manifest, decode_manifest
from ostinato.runtime.frames import FrameReader, frame

if TYPE_CHECKING:
    from ostinato.project.loading import Loaded

#: Seconds that loading may take; imports of data libraries take a few.
LOAD_TIMEOUT_S = 120.0

#: Seconds that it may take to end its children and itself.
END_TIMEOUT_S = 2.0

#: Seconds for which whoever needs a code host that has ended waits for others to start it again.
REVIVAL_S = 1.0

_READ_BYTES = 64 * 1024
_LOOK_MS = 20


class HostProcess:
    """A process that may be a child of another one, and is named safely even so.

    Args:
        pid: Its number, and that of its group; used for another process once it was reaped.
        descriptor: Names this very process.
        is_child: Whether this process has to reap it.
    """

    def __init__(self, pid: int, descriptor: int, *, is_child: bool) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._is_child = is_child

    def ends_within(self, timeout_s: float) -> bool:
        """Return whether it has ended, waiting for it so long."""
        # select() takes no descriptor above 1,023, which a process with many files has.
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def end(self, *, within_s: float) -> None:
        """Kill it and its group unless it ends by itself, and let go of it."""
        if not self.ends_within(within_s):
            kill_group(self.pid)
            # One that was stopped at its very beginning has no group of its own yet.
            kill(self.pid)
        if self._is_child:
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)


class Birth(Protocol):
    """Make the process of a code host; a fork does, and a nursery."""

    def begin(self, connection: socket.socket, other: socket.socket) -> HostProcess:
        """Begin a process that serves one end of a socket pair.

        Args:
            connection: The end that it serves; closed here.
            other: The end of this process, of which a fork must not keep a copy.
        """
        ...

    def pin(self, version: str) -> None:
        """Have processes that begin from now on refuse to be of another version."""
        ...


class CodeHost:
    """A code host as its parent sees it.

    What is asked of it may be asked in any thread; what it says is read by one at a time.

    Args:
        birth: Makes its process.
    """

    def __init__(self, birth: Birth) -> None:
        self._birth = birth
        self._sending = threading.Lock()
        self._reviving = threading.Lock()
        self._process: HostProcess | None = None
        self._until_s: float | None = None
        self._numbers = itertools.count(1)
        self.socket: socket.socket
        self._start()

    @classmethod
    def fork(
        cls, load: "Callable[[], Loaded]", *, resources: Mapping[str, Any] | None = None
    ) -> "CodeHost":
        """Fork a code host; do so before threads are started.

        Args:
            load: Loads the definitions; called in the code host only.
            resources: Objects that replace the flows' own, by name.
        """
        return cls(_Fork(load, resources or {}))

    def loaded(self, timeout_s: float = LOAD_TIMEOUT_S) -> tuple[bytes, str]:
        """Return the encoded manifest and its version, once the definitions are loaded.

        Raises:
            LoadError: Loading takes too long, or the process ended under it.
            OstinatoError: What ``load`` raised.
        """
        clock = SystemClock()
        end_s = clock.monotonic_s() + timeout_s
        while self._manifest is None:
            if not _is_readable(self.socket, end_s - clock.monotonic_s()):
                self.close()
                message = f"loading took longer than {timeout_s:g} s"
                raise LoadError(message, hint="does a file wait for something?")
            messages = self._read()
            if messages is None:
                self.close()
                raise LoadError("the process that loads the files ended: did one call os._exit?")
            for told in messages:
                self._note(told)
        return self._manifest.data, self._manifest.version

    @property
    def pid(self) -> int:
        """The number of its process; 0 once it was closed."""
        return 0 if self._process is None else self._process.pid

    @property
    def is_loaded(self) -> bool:
        """Whether the definitions are loaded, as far as was read."""
        return self._manifest is not None

    @property
    def manifest(self) -> Manifest:
        """The definitions, once they are loaded."""
        return decode_manifest(self.loaded()[0])

    def next_number(self) -> int:
        """Return a number for a child that no other one of this host has had."""
        return next(self._numbers)

    def fork_child(self, number: int, connection: socket.socket) -> None:
        """Ask for a child that serves a socket; answered by ``Forked`` with the same number."""
        self._ask(ForkChild(number), connection)

    def fork_triggers(self, connection: socket.socket, log: str) -> None:
        """Ask for a process that runs triggers for a socket; its end shows by the socket alone.

        Args:
            connection: The end that it serves; closed here.
            log: File for what triggers print; empty for nowhere.
        """
        with connection:
            self._ask(ForkTriggers(log), connection)

    def fork_evaluator(self, connection: socket.socket) -> None:
        """Ask for a process that calls users' functions for a socket; safe in all threads.

        Args:
            connection: The end that it serves; closed here.
        """
        with connection:
            self._ask(ForkEvaluator(), connection)

    def beat(self, until_s: float) -> None:
        """Let children live until a moment of the monotonic clock; safe in all threads."""
        self._until_s = until_s
        with self._sending:
            try:
                self.socket.sendall(frame(encode(Beat(until_s))))
            except OSError:
                # The host is gone, and its children with it.
                return

    def _ask(self, what: ToHost, connection: socket.socket) -> None:
        message = frame(encode(what))
        descriptors = [connection.fileno()]
        with self._sending:
            try:
                sent = socket.send_fds(self.socket, [message], descriptors)
                # The descriptor goes with the first byte.
                self.socket.sendall(message[sent:])
            except OSError:
                # The host is gone, or was closed; the other end of the connection tells so.
                return

    def read_nowait(self) -> list[Forked | Exited] | None:
        """Return what has come; None when the code host is gone."""
        try:
            messages = self._read()
        except BlockingIOError:
            return []
        if messages is None:
            return None
        told: list[Forked | Exited] = []
        for message in messages:
            if isinstance(message, Forked | Exited):
                told.append(message)
            else:
                self._note(message)
        return told

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, or was closed."""
        process = self._process
        return process is None or process.ends_within(0.0)

    def pin(self, version: str) -> None:
        """Have it be of this version when it is started again, or not at all."""
        self._birth.pin(version)

    def revive(self, patience_s: float = REVIVAL_S) -> None:
        """Start it again if it has ended; safe in all threads.

        An executor that has children of it does so by itself: it is given time for that.

        Args:
            patience_s: Seconds for which it is waited whether somebody else does.

        Raises:
            OstinatoError: It cannot be started as the version that it was.
        """
        clock = SystemClock()
        with self._reviving:
            dead, end_s = self._process, clock.monotonic_s() + patience_s
            while dead is not None and dead is self._process and self.has_ended:
                if clock.monotonic_s() >= end_s:
                    self.restart()
                    # Nobody else reads what it says.
                    self.loaded()
                    return
                # Nothing tells of it.
                select.poll().poll(_LOOK_MS)

    def restart(self) -> None:
        """Start another code host in place of one that is gone."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the code host and all its children."""
        process = self._let_go()
        if process is not None:
            process.end(within_s=self._patience_s)

    def leave(self) -> None:
        """End it as ``close`` does, without waiting for its end."""
        process = self._let_go()
        if process is not None:
            patience = {"within_s": self._patience_s}
            threading.Thread(target=process.end, kwargs=patience, daemon=True).start()

    def _let_go(self) -> HostProcess | None:
        with self._sending:
            self.socket.close()
        process, self._process = self._process, None
        return process

    @property
    def _patience_s(self) -> float:
        # One that still loads users' code does not see that its socket is closed.
        return END_TIMEOUT_S if self.is_loaded else 0.0

    def _start(self) -> None:
        self._reader = FrameReader()
        self._manifest: Manifested | None = None
        ours, theirs = socket.socketpair()
        with self._sending:
            self.socket = ours
        try:
            self._process = self._birth.begin(theirs, ours)
        except BaseException:
            ours.close()
            raise
        if self._until_s is not None:
            # One that is started again knows what its predecessor was told.
            self.beat(self._until_s)

    def _read(self) -> list[FromHost] | None:
        try:
            # Other threads send by the same socket, which therefore blocks.
            data = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except ConnectionResetError:
            return None
        if not data:
            return None
        return [decode_from_host(message) for message in self._reader.feed(data)]

    def _note(self, message: FromHost) -> None:
        if isinstance(message, Manifested):
            self._manifest = message
        elif isinstance(message, NotLoaded):
            self.close()
            raise _error(message)


class _Fork:
    """Fork the process of a code host from this one."""

    def __init__(self, load: "Callable[[], Loaded]", resources: Mapping[str, Any]) -> None:
        self._load = load
        self._resources = resources

    def begin(self, connection: socket.socket, other: socket.socket) -> HostProcess:
        """Fork; the fork has the definitions loaded by ``load``."""
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with warnings.catch_warnings():
            # A restart may come while a thread draws progress; the fork runs none of its code.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            other.close()
            run_host(connection, parent, self._load, self._resources)
        connection.close()
        return HostProcess(pid, os.pidfd_open(pid), is_child=True)

    def pin(self, version: str) -> None:
        """Change nothing: ``load`` gives what it has, or what the files of its command are."""


def _is_readable(connection: socket.socket, timeout_s: float) -> bool:
    # select() takes no descriptor above 1,023, which a process with many files has.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(max(timeout_s, 0) * 1000))


def _error(message: NotLoaded) -> OstinatoError:
    from ostinato import errors  # noqa: PLC0415 - the whole tree, only where loading failed

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, OstinatoError) and kind.code == message.code:
            return kind(message.message)
    return OstinatoError(message.message)

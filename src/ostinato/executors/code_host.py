"""This module is the code host: the process that loads users' code once and forks children.

It is forked before its parent starts threads, loads the definitions, sends the manifest back,
freezes the garbage collector (so that forks share its heap) and then forks a child whenever it
is asked. It has one thread. When its parent is gone it ends its children and itself.
"""

import ctypes
import gc
import io
import os
import select
import selectors
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ostinato.errors import LoadError, OstinatoError
from ostinato.model.manifest import Manifest, decode_manifest
from ostinato.runtime.frames import FrameReader, frame

if TYPE_CHECKING:
    from ostinato.project.loading import Loaded

#: Seconds that loading may take; imports of data libraries take a few.
LOAD_TIMEOUT_S = 120.0

#: Seconds that it may take to end its children and itself.
END_TIMEOUT_S = 2.0

_READ_BYTES = 64 * 1024
_MAX_DESCRIPTORS = 64
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: The C library, for what Python does not offer; opened once for all forks.
_LIBC = ctypes.CDLL(None)


class ForkChild(Struct, frozen=True, tag="fork"):
    """Fork a child; its socket comes along as a file descriptor."""

    number: int


class ForkTriggers(Struct, frozen=True, tag="fork_triggers"):
    """Fork a process for triggers; its socket comes along as a file descriptor.

    Attributes:
        log: File for what triggers print; empty for nowhere.
    """

    log: str


class Manifested(Struct, frozen=True, tag="manifest"):
    """The definitions were loaded."""

    data: bytes
    version: str


class NotLoaded(Struct, frozen=True, tag="not_loaded"):
    """The definitions could not be loaded; ``code`` as in ``errors``."""

    code: str
    message: str


class Forked(Struct, frozen=True, tag="forked"):
    """A child was forked."""

    number: int
    pid: int


class Exited(Struct, frozen=True, tag="exited"):
    """A child has ended; ``status`` as ``os.waitpid`` gives it."""

    pid: int
    status: int


ToHost = ForkChild | ForkTriggers
FromHost = Manifested | NotLoaded | Forked | Exited

_encode = msgspec.msgpack.Encoder().encode
_decode_from_host = msgspec.msgpack.Decoder(FromHost).decode
_decode_to_host = msgspec.msgpack.Decoder(ToHost).decode


class CodeHost:
    """A code host as its parent sees it.

    Args:
        load: Loads the definitions; called in the code host only.
        resources: Objects that replace the flows' own, by name.
    """

    def __init__(self, load: "Callable[[], Loaded]", resources: Mapping[str, Any]) -> None:
        self._load = load
        self._resources = resources
        self.pid = 0
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
        return cls(load, resources or {})

    def loaded(self, timeout_s: float = LOAD_TIMEOUT_S) -> tuple[bytes, str]:
        """Return the encoded manifest and its version, once the definitions are loaded.

        Raises:
            LoadError: Loading takes too long, or the process ended under it.
            OstinatoError: What ``load`` raised.
        """
        while self._manifest is None:
            self.socket.settimeout(timeout_s)
            try:
                messages = self._read()
            except TimeoutError:
                self.close()
                message = f"loading took longer than {timeout_s:g} s"
                raise LoadError(message, hint="does a file wait for something?") from None
            finally:
                if self.socket.fileno() >= 0:
                    self.socket.settimeout(0)
            if messages is None:
                self.close()
                raise LoadError("the process that loads the files ended: did one call os._exit?")
            for told in messages:
                self._note(told)
        return self._manifest.data, self._manifest.version

    @property
    def is_loaded(self) -> bool:
        """Whether the definitions are loaded, as far as was read."""
        return self._manifest is not None

    @property
    def manifest(self) -> Manifest:
        """The definitions, once they are loaded."""
        return decode_manifest(self.loaded()[0])

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

    def _ask(self, what: "ToHost", connection: socket.socket) -> None:
        message = frame(_encode(what))
        self.socket.settimeout(None)
        try:
            socket.send_fds(self.socket, [message], [connection.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            # The host is gone; its end of the socket tells so.
            return
        finally:
            self.socket.settimeout(0)

    def read_nowait(self) -> "list[Forked | Exited] | None":
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

    def restart(self) -> None:
        """Fork another code host in place of one that is gone."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the code host and all its children."""
        self.socket.close()
        if not self.pid:
            return
        # One that still loads users' code does not see that its socket is closed.
        if self._manifest is None or not _ends_within(self.pid, END_TIMEOUT_S):
            _kill_group(self.pid)
            # One that was stopped at its very beginning has no group of its own yet.
            _kill(self.pid)
        os.waitpid(self.pid, 0)
        self.pid = 0

    def _start(self) -> None:
        self._reader = FrameReader()
        self._manifest: Manifested | None = None
        self.socket, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with warnings.catch_warnings():
            # A restart may come while a thread draws progress; the fork runs none of its code.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self.socket.close()
            _run_host(theirs, parent, self._load, self._resources)
        theirs.close()
        self.pid = pid
        self.socket.settimeout(0)

    def _read(self) -> "list[FromHost] | None":
        try:
            data = self.socket.recv(_READ_BYTES)
        except ConnectionResetError:
            return None
        if not data:
            return None
        return [_decode_from_host(message) for message in self._reader.feed(data)]

    def _note(self, message: FromHost) -> None:
        if isinstance(message, Manifested):
            self._manifest = message
        elif isinstance(message, NotLoaded):
            self.close()
            raise _error(message)


def _ends_within(pid: int, timeout_s: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        # select() takes no descriptor above 1,023, which a process with many files has.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _error(message: NotLoaded) -> OstinatoError:
    from ostinato import errors  # noqa: PLC0415 - the whole tree, only where loading failed

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, OstinatoError) and kind.code == message.code:
            return kind(message.message)
    return OstinatoError(message.message)


# In the code host


def _run_host(
    connection: socket.socket,
    parent: int,
    load: "Callable[[], Loaded]",
    resources: Mapping[str, Any],
) -> None:
    status = 1
    try:
        # A group of its own: Ctrl-C on the terminal is for the parent, who decides.
        os.setpgid(0, 0)
        # While users' code loads, nobody watches the parent: the kernel does.
        _die_with_parent(parent)
        _forget_terminal()
        loaded = _load(connection, load)
        if loaded is not None:
            _die_with_parent(0)
            # Heavy, and users' code has no use for it.
            from ostinato.runtime.child import prepare_children  # noqa: PLC0415 - see above

            prepare_children()

            gc.collect()
            gc.freeze()
            _Host(connection, loaded, resources).serve()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _load(connection: socket.socket, load: "Callable[[], Loaded]") -> "Loaded | None":
    try:
        loaded = load()
    except OstinatoError as error:
        connection.sendall(frame(_encode(NotLoaded(error.code, str(error)))))
        return None
    connection.sendall(frame(_encode(Manifested(loaded.data, loaded.version))))
    return loaded


class _Host:
    def __init__(
        self, connection: socket.socket, loaded: "Loaded", resources: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._loaded = loaded
        self._resources = resources
        self._children: set[int] = set()
        #: What users' files have started while they were loaded; it lives as long as this.
        self._started = _children_of_this()
        self._reader = FrameReader()
        self._descriptors: list[int] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        # What outlives the child that it was started in comes here, to be ended.
        _adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._connection, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        is_wanted = True
        while is_wanted:
            for key, _ in selector.select():
                if key.fileobj is self._connection:
                    is_wanted = self._read(selector)
                else:
                    _drain(self._wake_read)
                    self._reap()
        for pid in self._children:
            _kill_group(pid)
        _end_children()

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
            self._fork(_decode_to_host(message), self._descriptors.pop(0), selector)
        return True

    def _fork(self, what: ToHost, descriptor: int, selector: selectors.BaseSelector) -> None:
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
            _run_child(descriptor, host, self._loaded, self._resources)
        os.close(descriptor)
        self._children.add(pid)
        if isinstance(what, ForkChild):
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
            if pid in self._children:
                self._children.discard(pid)
                self._tell(Exited(pid, status))
        if has_ended:
            for pid in _children_of_this() - self._children - self._started:
                _kill(pid)

    def _tell(self, message: FromHost) -> None:
        try:
            self._connection.sendall(frame(_encode(message)))
        except (BrokenPipeError, ConnectionResetError):
            # The parent is gone: the next read says so.
            return


def _run_child(descriptor: int, host: int, loaded: "Loaded", resources: Mapping[str, Any]) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with_parent(host)
        _adopt_orphans()
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
        _die_with_parent(host)
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


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; 0 takes that back."""
    if not sys.platform.startswith("linux"):
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if parent else 0)
    if parent and os.getppid() != parent:
        os._exit(1)


def _adopt_orphans() -> None:
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
            _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _forget_terminal() -> None:
    """Handle signals as a fresh process does, and read nothing: both are the parent's."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return

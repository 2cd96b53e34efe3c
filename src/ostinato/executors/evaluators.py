"""This module evaluates users' functions in processes of a code host, with a time limit."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from ostinato.clock import Clock, SystemClock
from ostinato.errors import OstinatoError
from ostinato.model.failure import Failure, FailureKind
from ostinato.runtime import messages as msg
from ostinato.runtime.evaluation import (
    Evaluate,
    Evaluated,
    FromEvaluator,
    NotEvaluated,
    Ready,
    ToEvaluator,
)
from ostinato.runtime.frames import FrameReader, frame

#: Seconds between a time-out inside the user's code and the end of its process.
GRACE_S = 2.0

#: Seconds in which a process must be there; a fork takes milliseconds.
FORK_TIMEOUT_S = 30.0

#: Seconds after which a process that evaluates nothing is let go.
IDLE_S = 30.0

_READ_BYTES = 256 * 1024
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FromEvaluator).decode


class Forking(Protocol):
    """Fork a process that evaluates; a ``CodeHost`` does."""

    @property
    def has_ended(self) -> bool:
        """Whether it cannot fork any more."""
        ...

    def revive(self) -> None:
        """Start it again if it has ended."""
        ...

    def fork_evaluator(self, connection: socket.socket) -> None:
        """Ask for a process that serves a socket."""
        ...


class Evaluation(NamedTuple):
    """What came of a function.

    Attributes:
        payload: What it returned, encoded as its kind has it.
        output: What it printed and logged, the end of it.
    """

    payload: bytes
    output: str


class NotEvaluable(Exception):
    """Say that a user's function raised, took too long, or ended its process.

    Args:
        failure: What went wrong, with the user's lines.
        output: What it printed and logged before, as far as that is known.
    """

    def __init__(self, failure: Failure, output: str = "") -> None:
        super().__init__(failure.summary)
        self.failure = failure
        self.output = output


class Evaluators:
    """Processes that evaluate functions, each one at a time; safe in all threads.

    Args:
        host: Forks them.
        answer: Answers what functions ask: a method and its arguments, as
            ``runtime.messages.CALLS`` has them.
        clock: Measures how long they are idle.
        grace_s: Seconds between a time-out inside the user's code and the end of its process.
    """

    def __init__(
        self,
        host: Forking,
        answer: Callable[[str, dict[str, Any]], Any] | None = None,
        *,
        clock: Clock | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._host = host
        self._grace_s = grace_s
        self._answer = answer
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._is_closed = False

    def evaluate(self, kind: str, name: str, payload: bytes, *, timeout_s: float) -> Evaluation:
        """Call a user's function in another process and return what it returned.

        Args:
            kind: What it is, one of ``runtime.evaluation.EVALUATIONS``.
            name: Its name.
            payload: What it is told, encoded as its kind has it.
            timeout_s: Seconds that it may take.

        Raises:
            NotEvaluable: It raised, took too long, or ended its process.
        """
        if self._host.has_ended:
            try:
                self._host.revive()
            except OstinatoError as error:
                failure = Failure(FailureKind.LOST, type(error).__name__, str(error))
                raise NotEvaluable(failure) from None
        process = self._take()
        is_usable = False
        try:
            told = process.evaluate(
                Evaluate(kind, name, payload, timeout_s), self._answer, timeout_s + self._grace_s
            )
            # One that was stopped may have been stopped anywhere.
            is_usable = isinstance(told, Evaluated) or told.failure.kind is FailureKind.ERROR
        finally:
            self._give(process, is_usable=is_usable)
        if isinstance(told, NotEvaluated):
            raise NotEvaluable(told.failure, told.output)
        return Evaluation(told.payload, told.output)

    def reap(self) -> None:
        """Let processes go that have been idle for a while."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            over = [one for one in self._idle if now_s - one.idle_since_s >= IDLE_S]
            self._idle = [one for one in self._idle if one not in over]
        for process in over:
            process.close()

    def retire(self) -> None:
        """Let each process go once it has evaluated what it is evaluating."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.close()

    def close(self) -> None:
        """End all processes; what is evaluated raises."""
        self.retire()
        with self._lock:
            busy = list(self._busy)
        for process in busy:
            process.kill()

    def _take(self) -> "_Process":
        with self._lock:
            process = self._idle.pop() if self._idle else None
            if process is not None:
                self._busy.add(process)
                return process
        ours, theirs = socket.socketpair()
        process = _Process(ours)
        with self._lock:
            self._busy.add(process)
        self._host.fork_evaluator(theirs)
        return process

    def _give(self, process: "_Process", *, is_usable: bool) -> None:
        with self._lock:
            self._busy.discard(process)
            if is_usable and not self._is_closed:
                process.idle_since_s = self._clock.monotonic_s()
                self._idle.append(process)
                return
        process.kill()
        process.close()


class _Process:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = FrameReader()
        self._messages: list[bytes] = []
        self._pidfd = -1
        self._lock = threading.Lock()
        self.idle_since_s = 0.0

    def evaluate(
        self,
        asked: Evaluate,
        answer: Callable[[str, dict[str, Any]], Any] | None,
        patience_s: float,
    ) -> Evaluated | NotEvaluated:
        try:
            if self._pidfd < 0:
                self._await_ready()
            # Each call of the function begins the time anew: its own limit holds inside.
            self._connection.settimeout(patience_s)
            self._send(asked)
            while True:
                match self._receive():
                    case msg.Call() as call:
                        self._send(_reply(call, answer))
                    case Evaluated() | NotEvaluated() as told:
                        return told
                    case Ready():
                        continue
        except TimeoutError:
            message = f"it took longer than {asked.timeout_s:g} s, and was killed"
            return NotEvaluated(Failure(FailureKind.TIMEOUT, "Timeout", message))
        except OSError:
            message = "its process ended under it"
            return NotEvaluated(Failure(FailureKind.LOST, "ChildDied", message))

    def kill(self) -> None:
        """Kill the process; what waits for it finds its socket closed."""
        with self._lock:
            if self._pidfd >= 0:
                try:
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                except ProcessLookupError:
                    return

    def close(self) -> None:
        """Close the socket, on which an idle process ends."""
        with self._lock:
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
        self._connection.close()

    def _await_ready(self) -> None:
        self._connection.settimeout(FORK_TIMEOUT_S)
        told = self._receive()
        assert isinstance(told, Ready), "it says this first"
        # It waits for what it is to evaluate, so the number is still its own.
        self._pidfd = os.pidfd_open(told.pid)

    def _send(self, message: ToEvaluator) -> None:
        self._connection.sendall(frame(_encode(message)))

    def _receive(self) -> FromEvaluator:
        while not self._messages:
            data = self._connection.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._messages = self._reader.feed(data)
        message: FromEvaluator = _decode(self._messages.pop(0))
        return message


def _reply(call: msg.Call, answer: Callable[[str, dict[str, Any]], Any] | None) -> msg.Reply:
    if answer is None:
        return msg.Reply(call.id, error=f"{call.method!r} cannot be asked for here")
    try:
        return msg.Reply(call.id, answer(call.method, call.args))
    except OstinatoError as error:
        return msg.Reply(call.id, error=str(error))

"""This module is a child: a process that executes the attempts it is sent, in order.

The main thread reads its socket while it is idle and executes users' code, which may insist
on the main thread. To reach an attempt that executes, the coordinator sends a frame and then
``SIGUSR1``: the signal's handler reads the socket and raises in the user's code.
"""

import _thread
import logging
import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Collection, Mapping
from functools import partial
from types import FrameType
from typing import Any, assert_never

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ExecutionError, UsageError
from ostinato.model import trace
from ostinato.model.identity import format_path
from ostinato.runtime import messages as msg
from ostinato.runtime.attempt import AttemptCancelled, Executing
from ostinato.runtime.capture import DescriptorCapture, capture_python_output
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.frames import FrameReader, frame
from ostinato.runtime.resources import ResourceShelf
from ostinato.runtime.step_limits import call_beside, is_in_limited_thread
from ostinato.runtime.surroundings import Surroundings

_READ_BYTES = 256 * 1024

#: Seconds after which a thread that waits for a reply looks whether anybody still reads.
LEADERLESS_S = 0.05


def prepare_children() -> None:
    """Do once, in the process that forks children, what each of them would have to do."""
    capture_python_output(is_echoed=False)
    logging.getLogger().setLevel(logging.INFO)


class Child:
    """Execute attempts from a socket until it closes.

    Args:
        connection: To the coordinator.
        flows: The flows' code by name.
        resources: Objects that replace the flows' own, by name.
    """

    def __init__(
        self,
        connection: socket.socket,
        flows: Mapping[str, BuiltFlow],
        resources: Mapping[str, Any],
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._shelf = ResourceShelf(resources)
        self._reader = FrameReader()
        self._runs: dict[int, msg.RunInfo] = {}
        self._waiting: deque[msg.AttemptSpec] = deque()
        self._replies: dict[int, msg.Reply] = {}
        #: Calls for whose replies nobody waits any more.
        self._abandoned: set[int] = set()
        self._calls = 0
        self._token = 0
        self._is_draining = False
        self._has_told_of_resources = False
        self._pid = os.getpid()
        #: Held by whoever reads the socket: frames must be taken in the order of their bytes.
        self._reading = threading.Lock()
        #: Whether a signal came while another thread, or what it interrupted, was reading.
        self._has_missed_signal = False
        #: Held while a call is sent: those of an attempt that has ended are refused.
        self._calling = threading.Lock()
        #: Told when replies have come, or when nobody reads the socket any more.
        self._answered = threading.Condition()
        descriptors = DescriptorCapture()
        descriptors.take_threads()
        self._executing = Executing(self, descriptors=descriptors)
        self._interruption = self._executing.interruption
        self._surroundings = Surroundings({signal.SIGUSR1: self._interrupted})

    def serve(self) -> None:
        """Execute what comes until the coordinator is gone or says to end."""
        while self._waiting or (not self._is_draining and self._read()):
            if self._waiting:
                self._execute(self._waiting.popleft())
            if not self._waiting:
                self._surroundings.restore_mask()
        self._shelf.close()

    def _execute(self, spec: msg.AttemptSpec) -> None:
        self._token = spec.token
        if self._has_missed_signal:
            self._read_nowait()
        if self._interruption.is_wanted:
            report: msg.Ended | msg.Revoked = msg.Revoked(spec.token)
        else:
            run = self._runs[spec.run_id]
            if run.is_traced:
                os.environ[trace.VARIABLE] = _traceparent(run, spec)
            report = self._executing.execute(spec, self._flows.get(run.flow), run)
        with self._calling:
            # Threads that the task has left ask for nothing more.
            self._token = 0
        self._interruption.end()
        self._surroundings.restore()
        if not self._has_told_of_resources and self._shelf.has_open:
            self._has_told_of_resources = True
            self._send(msg.encode(msg.Opened()))
        self._report(report)

    def _report(self, report: msg.Ended | msg.Revoked) -> None:
        try:
            data = msg.encode(report)
        except Exception as error:  # noqa: BLE001 - what users' code left in it cannot be sent
            at_us = getattr(report, "ended_us", 0)
            failure = describe_failure(error)
            data = msg.encode(msg.Failed(report.token, at_us, at_us, failure, may_retry=False))
        self._send(data)

    # Reading

    def _read(self) -> bool:
        """Wait for frames and take them; False when the coordinator is gone."""
        with self._reading:
            data = self._receive()
            if not data:
                return False
            self._take(data)
        return True

    def _read_nowait(self) -> None:
        """Take what has come, unless another is reading: then it must look again."""
        self._has_missed_signal = True
        while self._has_missed_signal and self._reading.acquire(blocking=False):
            try:
                self._has_missed_signal = False
                data = self._receive(socket.MSG_DONTWAIT)
                if not data:
                    end_group()
                self._take(data)
            except BlockingIOError:
                continue
            finally:
                self._reading.release()

    def _receive(self, flags: int = 0) -> bytes:
        """Return what has come, nothing when the coordinator is gone."""
        try:
            return self._connection.recv(_READ_BYTES, flags)
        except ConnectionResetError:
            # It was killed before it had read all that was sent to it.
            return b""

    def _take(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            match msg.decode_to_child(message):
                case msg.RunAttempts(attempts=attempts):
                    self._waiting.extend(attempts)
                case msg.RunInfo() as run:
                    self._runs[run.run_id] = run
                case msg.Cancel(token=token, reason=reason):
                    if token == self._token:
                        self._interruption.post(AttemptCancelled(reason))
                    else:
                        self._revoke((token,))
                case msg.GiveBack(tokens=tokens):
                    self._revoke(tokens)
                case msg.Reply() as reply:
                    if reply.id in self._abandoned:
                        self._abandoned.discard(reply.id)
                    else:
                        self._replies[reply.id] = reply
                case msg.Drain():
                    self._is_draining = True
                case other:
                    assert_never(other)

    def _revoke(self, tokens: Collection[int]) -> None:
        for spec in [spec for spec in self._waiting if spec.token in tokens]:
            self._waiting.remove(spec)
            self._send(msg.encode(msg.Revoked(spec.token)))

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            # Another signal must not tear what is read here; what came is raised at the end.
            with self._interruption.held():
                self._read_nowait()

    def _send(self, message: bytes) -> None:
        try:
            self._connection.sendall(frame(message))
        except (BrokenPipeError, ConnectionResetError):
            end_group()

    # The port of its attempts

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator and wait for its answer; threads may ask at the same time.

        Raises:
            UsageError: A process that the task has forked calls, or a thread it has left.
            ExecutionError: The coordinator refused.
        """
        if os.getpid() != self._pid:
            message = "only the task's own process can pull and push values"
            raise UsageError(message, hint=f"{method} was called in one that the task forked")
        if is_in_limited_thread():
            return call_beside(partial(self._call, token, method, args))
        return self._call(token, method, args)

    def _call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        with self._interruption.held():
            number = self._begin_call(token, method, args)
            # Other threads are never interrupted.
            is_main = threading.get_ident() == threading.main_thread().ident
            may_last = is_main and method in msg.LONG_CALLS
            reply = self._await_reply(number, may_last=may_last)
            if self._has_missed_signal or self._interruption.is_wanted:
                # What stops the attempt came with the reply, or before it.
                _thread.interrupt_main(signal.SIGUSR1)
        if reply.error:
            raise ExecutionError(reply.error)
        return reply.value

    def _begin_call(self, token: int, method: str, args: dict[str, Any]) -> int:
        with self._calling:
            if token != self._token:
                message = f"the attempt that this {method} belongs to has ended"
                raise UsageError(message, hint="wait for its threads before a task returns")
            self._calls += 1
            self._send(msg.encode(msg.Call(self._calls, token, method, args)))
            return self._calls

    def _await_reply(self, number: int, *, may_last: bool) -> msg.Reply:
        """Wait for a reply: one of those who wait reads for all of them.

        Where that may last, the attempt can be left while nothing comes; then nobody waits for
        the reply any more.
        """
        try:
            return self._read_until(number, may_last=may_last)
        except BaseException:
            self._abandoned.add(number)
            if number in self._replies:
                self._abandoned.discard(number)
                del self._replies[number]
            raise

    def _read_until(self, number: int, *, may_last: bool) -> msg.Reply:
        while True:
            if self._reading.acquire(blocking=False):
                try:
                    if number not in self._replies:
                        if may_last:
                            self._await_data(None)
                        data = self._connection.recv(_READ_BYTES)
                        if not data:
                            end_group()
                        self._take(data)
                finally:
                    self._reading.release()
                    with self._answered:
                        # Whoever waits looks for its reply, and else reads in turn.
                        self._answered.notify_all()
            else:
                if may_last and number not in self._replies:
                    self._await_data(LEADERLESS_S)
                with self._answered:
                    if number not in self._replies and self._reading.locked():
                        self._answered.wait(LEADERLESS_S)
            if number in self._replies:
                return self._replies.pop(number)

    def _await_data(self, timeout_s: float | None) -> None:
        """Wait until there is something to read; meanwhile the attempt can be left."""
        readable = select.poll()
        readable.register(self._connection, select.POLLIN)
        with self._interruption.ajar():
            readable.poll(None if timeout_s is None else timeout_s * 1e3)

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return self._shelf.of(dag)


def _traceparent(run: msg.RunInfo, spec: msg.AttemptSpec) -> str:
    path = format_path(spec.path)
    name = (run.run_id, spec.task_id, path, spec.generation, spec.attempt)
    return trace.traceparent(trace.trace_id(run.project, run.run_id), trace.attempt_span_id(*name))


def end_group() -> None:
    """End this process and all that its tasks have started: nobody waits for them any more."""
    os.killpg(0, signal.SIGKILL)

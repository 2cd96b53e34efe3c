"""This module is a child: a process that executes the attempts it is sent, in order.

The main thread reads its socket while it is idle and executes users' code, which may insist
on the main thread. To reach an attempt that executes, the coordinator sends a frame and then
``SIGUSR1``: the signal's handler reads the socket and raises in the user's code.
"""

import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from types import FrameType
from typing import Any, assert_never

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import ExecutionError
from ostinato.runtime import messages as msg
from ostinato.runtime.attempt import AttemptCancelled, Executing
from ostinato.runtime.capture import DescriptorCapture, capture_python_output
from ostinato.runtime.frames import FrameReader, frame
from ostinato.runtime.resources import ResourceShelf

_READ_BYTES = 256 * 1024


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
        self._calls = 0
        self._token = 0
        self._is_draining = False
        #: Whether users' code executes, so that the handler of the signal may read the socket.
        self._is_interruptible = False
        self._executing = Executing(self, descriptors=DescriptorCapture())

    def serve(self) -> None:
        """Execute what comes until the coordinator is gone or says to end."""
        signal.signal(signal.SIGUSR1, self._interrupted)
        while self._waiting or (not self._is_draining and self._read()):
            if self._waiting:
                self._execute(self._waiting.popleft())
        self._shelf.close()

    def _execute(self, spec: msg.AttemptSpec) -> None:
        self._token = spec.token
        self._is_interruptible = True
        try:
            try:
                # What was said before the flag was up is read here, what comes later is
                # announced by the signal.
                self._read_nowait()
                run = self._runs[spec.run_id]
                report = self._executing.execute(spec, self._flows.get(run.flow), run)
            finally:
                self._is_interruptible = False
        except AttemptCancelled:
            # It came just before or after users' code.
            self._send(msg.Revoked(spec.token))
            self._token = 0
            return
        self._token = 0
        self._send(report)

    # Reading

    def _read(self) -> bool:
        """Wait for frames and take them; False when the coordinator is gone."""
        data = self._connection.recv(_READ_BYTES)
        if not data:
            return False
        self._take(data)
        return True

    def _read_nowait(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not data:
            end_group()
        self._take(data)

    def _take(self, data: bytes) -> None:
        cancelled = ""
        for message in self._reader.feed(data):
            match msg.decode_to_child(message):
                case msg.RunAttempts(attempts=attempts):
                    self._waiting.extend(attempts)
                case msg.RunInfo() as run:
                    self._runs[run.run_id] = run
                case msg.Cancel(token=token, reason=reason):
                    if token == self._token:
                        cancelled = reason
                    else:
                        self._revoke(token)
                case msg.Reply() as reply:
                    self._replies[reply.id] = reply
                case msg.Drain():
                    self._is_draining = True
                case other:
                    assert_never(other)
        if cancelled:
            raise AttemptCancelled(cancelled)

    def _revoke(self, token: int) -> None:
        for spec in self._waiting:
            if spec.token == token:
                self._waiting.remove(spec)
                self._send(msg.Revoked(token))
                return

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_interruptible:
            self._read_nowait()

    def _send(self, message: msg.FromChild) -> None:
        try:
            self._connection.sendall(frame(msg.encode(message)))
        except (BrokenPipeError, ConnectionResetError):
            end_group()

    # The port of its attempts

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Ask the coordinator and wait for its answer."""
        was_interruptible, self._is_interruptible = self._is_interruptible, False
        try:
            self._calls += 1
            number = self._calls
            self._send(msg.Call(number, token, method, args))
            while number not in self._replies:
                if not self._read():
                    end_group()
        finally:
            self._is_interruptible = was_interruptible
        reply = self._replies.pop(number)
        if reply.error:
            raise ExecutionError(reply.error)
        return reply.value

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the flow's resources."""
        return self._shelf.of(dag)


def end_group() -> None:
    """End this process and all that its tasks have started: nobody waits for them any more."""
    sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)

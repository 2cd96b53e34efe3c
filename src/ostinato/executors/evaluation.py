"""This module has one function called with users' code, in a process of its own and in time.

Sensors and timetables of users are such: short, asked for often, and nobody knows what they do.
The process is forked from the code host of the version in force, and killed when its time is up.
"""

import select
import socket

from msgspec import Struct

from ostinato.clock import Clock, SystemClock
from ostinato.executors.code_host import CodeHost
from ostinato.executors.host_messages import (
    Evaluated,
    Evaluating,
    EvaluationRaised,
    ForkEvaluation,
    decode_from_evaluation,
)
from ostinato.executors.host_process import kill_group
from ostinato.runtime.frames import FrameReader

_READ_BYTES = 256 * 1024


class NotEvaluated(Struct, frozen=True):
    """There is no answer: it took too long, or its process ended.

    Attributes:
        reason: What happened, for people.
        is_late: Whether it was killed because its time was up.
    """

    reason: str
    is_late: bool = False


Answer = Evaluated | EvaluationRaised | NotEvaluated


class Evaluation:
    """An evaluation that goes on.

    Args:
        host: Has the code.
        evaluator: The function as ``module:name``, one of ours; it is given what was loaded and
            the payload, and returns bytes.
        payload: What it is given.
        timeout_s: Seconds that it may take.
        log: File for what users' code prints; empty for nowhere.
        clock: Measures the time.
    """

    def __init__(
        self,
        host: CodeHost,
        evaluator: str,
        payload: bytes,
        *,
        timeout_s: float,
        log: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._end_s = self._clock.monotonic_s() + timeout_s
        self._reader = FrameReader()
        self._pid = 0
        self._answer: Answer | None = None
        self.socket, theirs = socket.socketpair()
        host.fork_evaluation(theirs, ForkEvaluation(evaluator, payload, timeout_s, log))

    @property
    def left_s(self) -> float:
        """Seconds that are left of its time, 0 when it is up."""
        return max(self._end_s - self._clock.monotonic_s(), 0.0)

    def read_nowait(self) -> Answer | None:
        """Return the answer, None while there is none; call it when the socket is readable.

        It must be called when the time is up, too: then it kills the process.
        """
        while self._answer is None:
            try:
                data = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self.left_s:
                    return None
                reason = f"it took longer than {self._timeout_s:g} s and was killed"
                self._end(NotEvaluated(reason, is_late=True))
            except ConnectionResetError:
                self._end(NotEvaluated("its process ended"))
            else:
                self._take(data)
        return self._answer

    def wait(self) -> Answer:
        """Return the answer once it is there, or its time is up."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while (answer := self.read_nowait()) is None:
            poll.poll(self.left_s * 1000 + 1)
        return answer

    def close(self) -> None:
        """Forget it, and kill its process."""
        if self._answer is None:
            self._end(NotEvaluated("nobody waits for it any more"))

    def _take(self, data: bytes) -> None:
        if not data:
            self._end(NotEvaluated("its process ended: did it call os._exit, or was it killed?"))
            return
        for message in map(decode_from_evaluation, self._reader.feed(data)):
            if isinstance(message, Evaluating):
                self._pid = message.pid
            else:
                self._end(message)

    def _end(self, answer: Answer) -> None:
        self._answer = answer
        self.socket.close()
        if self._pid:
            # What users' code has started goes with it.
            kill_group(self._pid)


def evaluate(
    host: CodeHost, evaluator: str, payload: bytes, *, timeout_s: float, log: str = ""
) -> Answer:
    """Have a function called with users' code, and wait for its answer.

    Args:
        host: Has the code.
        evaluator: The function as ``module:name``, one of ours; it is given what was loaded and
            the payload, and returns bytes.
        payload: What it is given.
        timeout_s: Seconds that it may take.
        log: File for what users' code prints; empty for nowhere.
    """
    return Evaluation(host, evaluator, payload, timeout_s=timeout_s, log=log).wait()

"""This module asks the timetables of users for moments, in processes that have their code."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from ostinato.executors.code_host import CodeHost
from ostinato.executors.evaluators import Evaluators, NotEvaluable
from ostinato.executors.served_code import InForce
from ostinato.model.schedule_tick import MomentsInput

logger = logging.getLogger(__name__)

#: Seconds that a timetable may take for its answer.
TIMEOUT_S = 10.0

#: Timetables that are asked at a time.
AT_ONCE = 2

#: Tick, begin and end of the interval of each; or what is wrong.
Moments = list[tuple[int, int, int]] | str

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int, int]]).decode


class UserTimetables:
    """Ask, without making the asking thread wait.

    Args:
        tell: Called in another thread when there are answers.
        timeout_s: Seconds that a timetable may take.
    """

    def __init__(self, tell: Callable[[], None], *, timeout_s: float = TIMEOUT_S) -> None:
        self._tell = tell
        self._timeout_s = timeout_s
        self._answers: deque[tuple[Any, Moments]] = deque()
        self._evaluators: dict[int, tuple[CodeHost, Evaluators]] = {}
        # Its threads are started by the first that is asked.
        self._pool: ThreadPoolExecutor | None = None

    def ask(self, served: InForce, asked: MomentsInput, token: Any) -> None:
        """Ask the timetable of a flow.

        Args:
            served: The flow as it is in force.
            asked: For which moments.
            token: Comes with the answer.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="timetables")
        self._pool.submit(self._ask, self._evaluators_of(served.host), served, asked, token)

    def answers(self) -> list[tuple[Any, Moments]]:
        """Return the answers that have come, with their tokens."""
        found = []
        while self._answers:
            found.append(self._answers.popleft())
        return found

    def keep(self, hosts: set[int]) -> None:
        """Let go of the processes of code that is in force no more, and of idle ones.

        Args:
            hosts: Identities of the hosts in force.
        """
        for key, (_, evaluators) in list(self._evaluators.items()):
            evaluators.reap()
            if key not in hosts:
                del self._evaluators[key]
                evaluators.retire()

    def close(self) -> None:
        """End all of it."""
        for _, evaluators in self._evaluators.values():
            evaluators.close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _evaluators_of(self, host: CodeHost) -> Evaluators:
        if id(host) not in self._evaluators:
            self._evaluators[id(host)] = (host, Evaluators(host))
        return self._evaluators[id(host)][1]

    def _ask(
        self, evaluators: Evaluators, served: InForce, asked: MomentsInput, token: Any
    ) -> None:
        name = served.definition.name
        try:
            told = evaluators.evaluate("timetable", name, _encode(asked), timeout_s=self._timeout_s)
            answer: Moments = _decode(told.payload)
        except NotEvaluable as error:
            answer = str(error.failure.summary)
        except Exception as error:  # noqa: BLE001 - a thread must answer; the host may be gone
            logger.warning("timetable of %r: %s", name, error)
            answer = f"it cannot be asked: {error}"
        self._answers.append((token, answer))
        self._tell()

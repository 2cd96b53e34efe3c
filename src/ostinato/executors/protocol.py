"""This module is the small interface behind which attempts are executed."""

import selectors
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ostinato.runtime.messages import AttemptSpec, Report, RunInfo

#: Executor of steps that have processes of their own; its children are not those of tasks.
STEPS = "steps"


class Later:
    """An answer that is not there yet: it comes after a commit, or when something has ended.

    Args:
        hurry: Has it come at once where whoever asks cannot wait, being in the loop's own thread.
    """

    __slots__ = ("_told", "error", "hurry", "is_done", "value")

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.hurry = hurry
        self.is_done = False
        self.value: Any = None
        self.error = ""
        self._told: list[Callable[[Later], None]] = []

    def settle(self, value: Any = None, error: str = "") -> None:
        """Give the answer, or say in one line why there is none."""
        self.value, self.error, self.is_done = value, error, True
        told, self._told = self._told, []
        for tell in told:
            tell(self)

    def then(self, tell: Callable[["Later"], None]) -> None:
        """Have a function called with this object once the answer is there."""
        if self.is_done:
            tell(self)
        else:
            self._told.append(tell)


class CallHandler(Protocol):
    """Answer what running attempts ask."""

    def __call__(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Return the answer, a ``Later``, or raise an ``OstinatoError`` for the attempt to see."""
        ...


class Executor(Protocol):
    """Start attempts, report how they end, cancel them.

    An executor belongs to the thread of its coordinator's loop, which calls all methods.
    Every started attempt is reported exactly once.
    """

    def credits(self) -> int:
        """Return how many attempts it takes at this moment."""
        ...

    def start(self, attempts: Sequence[AttemptSpec], run: RunInfo) -> None:
        """Begin attempts of one run; their numbers are durable."""
        ...

    def cancel(self, token: int, reason: str) -> None:
        """Stop an attempt, gently first; an unknown token changes nothing."""
        ...

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register what the loop must wait for; ``data`` of each key is a callable to call."""
        ...

    def poll(self) -> list[Report]:
        """Return the reports that have come; never blocks, unless execution is inline."""
        ...

    def has_work(self) -> bool:
        """Whether ``poll`` would execute or return something without waiting."""
        ...

    def next_check_s(self) -> float | None:
        """Return in how many seconds ``poll`` must be called even if nothing comes."""
        ...

    def close(self) -> None:
        """Kill what runs and free everything."""
        ...

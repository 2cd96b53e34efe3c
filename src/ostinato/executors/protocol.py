"""This module is the small interface behind which attempts are executed."""

import selectors
from collections.abc import Sequence
from typing import Any, Protocol

from ostinato.runtime.messages import AttemptSpec, Report, RunInfo


class CallHandler(Protocol):
    """Answer what running attempts ask."""

    def __call__(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Return the answer, or raise an ``OstinatoError`` that the attempt will see."""
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

"""This module is where what works beside a coordinator's loop says what it wants to be told."""

from collections.abc import Callable
from typing import Any, Protocol

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.commands import SetTimer
from ostinato.store.records import RunRequest

#: Answers a call; takes the run, the task run and the call's arguments by name.
Answer = Callable[..., Any]


class Turn(Protocol):
    """Something that takes part in each turn of the loop."""

    def take_turn(self) -> None:
        """Do what is due, before attempts are dispatched and before the commit."""
        ...

    def next_turn_s(self) -> float | None:
        """Return in how many seconds the loop must turn even if nothing comes; None for never."""
        ...


class Registry:
    """What a coordinator's loop tells to whom.

    The loop knows no capability by name: each registers the calls that it answers, the kinds of
    timers and of other processes' requests that are its own, and what it is to be told of.
    """

    def __init__(self) -> None:
        #: Calls of attempts by method.
        self.calls: dict[str, Answer] = {}
        #: What takes a timer, by its kind; those of no kind here are the engine's.
        self.timers: dict[str, Callable[[int, SetTimer], None]] = {}
        #: What takes a request of another process, by its kind.
        self.requests: dict[str, Callable[[RunRequest], None]] = {}
        #: Told of the token of each attempt that has ended.
        self.attempt_ended: list[Callable[[int], None]] = []
        #: Told of each run that has ended, after the commit.
        self.run_ended: list[Callable[[LiveRun], None]] = []
        #: Told when it is time to look at what other processes have done: they rang, or might.
        self.looked: list[Callable[[], None]] = []
        #: Told of each commit.
        self.committed: list[Callable[[], None]] = []
        self.turns: list[Turn] = []

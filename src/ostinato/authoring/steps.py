"""This module is what calling a task means while a flow that is a function executes."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from ostinato.authoring.cache_policies import Caching
from ostinato.authoring.places import calling_place, relative_place
from ostinato.errors import Place, UsageError
from ostinato.model.deferral import InputRequest
from ostinato.model.identity import MapPath
from ostinato.model.policy import Policy


class Waiting(StrEnum):
    """Say who waits for an answer; the name of the step."""

    #: The run: the body ends, and is executed again when the answer is there.
    INPUT = "@input"
    #: Nobody: the process that drives the run ends too, if nothing else is to be done.
    SUSPEND = "@suspend"
    #: The process of the body.
    PAUSE = "@pause"


class Question(Struct, frozen=True):
    """What a flow asks a person.

    Attributes:
        waiting: Who waits.
        request: What is asked.
        convert: Makes an object of the answer; None if it stays as it is.
        kind: What the answer is to be, in words.
        timeout_s: How long it may take, None for ever.
    """

    waiting: Waiting
    request: InputRequest
    convert: Callable[[Any], Any] | None
    kind: str
    timeout_s: float | None


class StepTask(Protocol):
    """A task as a step sees it; ``TaskFunction`` is one."""

    function: Callable[..., Any]
    #: What is called for its steps in a transaction that ends well, or does not.
    commit_hooks: tuple[Callable[[Any], Any], ...]
    rollback_hooks: tuple[Callable[[Any], Any], ...]

    @property
    def task_id(self) -> str:
        """Its name."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        ...

    @property
    def policy(self) -> Policy:
        """What its steps follow."""
        ...

    @property
    def caching(self) -> Caching | None:
        """How its results are kept for other runs, None if they are not."""
        ...

    @property
    def map_name(self) -> str:
        """Template of what people call its steps, or empty."""
        ...

    @property
    def is_placed(self) -> bool:
        """Whether its steps are attempts of their own, executed by an executor."""
        ...

    @property
    def retry_if(self) -> Any:
        """Condition on errors that are worth a retry, None if it has none."""
        ...

    def may_retry(self, error: BaseException) -> bool | None:
        """Return whether an error is worth a retry, None where the task does not say."""
        ...

    def name_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name."""
        ...


class StepFlow(Protocol):
    """A flow that is a function as its caller sees it; ``FunctionFlow`` is one."""

    function: Callable[..., Any]
    name: str

    @property
    def dag(self) -> Any:
        """The flow as the engine sees it, a ``BuiltFlow``."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        ...

    def name_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name."""
        ...


class Steps(Protocol):
    """Execute the steps of one flow, each recorded before the next line runs."""

    #: Makes the event loop of a flow that is a coroutine function; None for asyncio's own.
    new_loop: Callable[[], Any] | None

    def call(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> Any:
        """Execute a task as a step and return its result; of an ``async`` one, an awaitable."""
        ...

    def call_for_state(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> Any:
        """Execute a task as a step and return how it ended; of an ``async`` one, an awaitable."""
        ...

    def submit(
        self,
        task: StepTask,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        wait_for: Sequence[Any] = (),
    ) -> Any:
        """Begin a step and return a future of its result."""
        ...

    def begin_transaction(self, path: MapPath, place: str) -> None:
        """Open a transaction; what was rolled back is executed again in a retry."""
        ...

    def open_key(
        self, key: str, path: MapPath, begin: MapPath, place: str, *, is_exclusive: bool
    ) -> bool:
        """Return whether a transaction of a key was committed before this one began."""
        ...

    def call_hook(self, name: str, function: Callable[[], Any], path: MapPath, place: str) -> Any:
        """Call a hook of a transaction as a step, and return how it ended."""
        ...

    def end_transaction(self, path: MapPath, place: str, *, is_committed: bool) -> None:
        """Record how a transaction ended."""
        ...

    def call_flow(self, flow: StepFlow, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a subflow, which has a run of its own, and return its result."""
        ...

    def ask(self, question: Question) -> Any:
        """Ask a person and return the answer."""
        ...


#: The steps of the flow that executes in this context; None where none does.
current_steps: ContextVar[Steps | None] = ContextVar("ostinato_steps", default=None)

#: Threads in which a flow executes at this moment, with its name.
_bodies: dict[int, str] = {}


class Outcome:
    """How a flow that is called in this process ended: as it is, and not as it is recorded.

    Attributes:
        value: What it returned.
        error: What it raised, None if it returned.
        is_executed: Whether its body has begun here.
    """

    def __init__(self) -> None:
        self.is_executed = False
        self.value: Any = None
        self.error: BaseException | None = None


#: Takes the outcome of the flow that is called in this context.
current_outcome: ContextVar[Outcome | None] = ContextVar("ostinato_outcome", default=None)


class executing_flow:  # noqa: N801 - reads as a verb where it is used
    """Have calls of tasks be steps of a flow, in this context.

    Args:
        steps: Of the flow.
        name: Of the flow.
    """

    def __init__(self, steps: Steps, name: str) -> None:
        self._steps = steps
        self._name = name

    def __enter__(self) -> Steps:
        self._token = current_steps.set(self._steps)
        self._thread = threading.get_ident()
        # A subflow executes in the thread of its caller.
        self._around = _bodies.get(self._thread)
        _bodies[self._thread] = self._name
        return self._steps

    def __exit__(self, *_: object) -> None:
        if self._around is None:
            del _bodies[self._thread]
        else:
            _bodies[self._thread] = self._around
        current_steps.reset(self._token)


#: Files of Python itself that call what a thread is given to do.
_THREADS = (
    threading.__file__,
    os.path.join(os.path.dirname(threading.__file__), "concurrent", "futures", "thread.py"),
)


def steps_here(task: str) -> Steps | None:
    """Return the steps that a call of a task belongs to, None outside of flows.

    Args:
        task: Name of the task, for the message.

    Raises:
        UsageError: A flow executes in this process, and the call comes from a thread that the
            flow knows nothing of.
    """
    steps = current_steps.get()
    if steps is None and _bodies and threading.get_ident() not in _bodies:
        thread = threading.current_thread()
        if thread is not threading.main_thread() and not thread.name.startswith("attempt"):
            flow = next(iter(_bodies.values()))
            raise UsageError(
                f"task {task!r} is called in thread {thread.name!r}, which flow {flow!r} knows "
                "nothing of",
                place=_place_of_call(),
                hint=f"use {task}.submit(), or {task}.function() for a plain call",
            )
    return steps


def _place_of_call() -> Place | None:
    """Return where a step is called from; None where a thread executes nothing but the step."""
    place = calling_place()
    return None if place.file in _THREADS else relative_place(place)

"""This module holds what stands for the result of a step that executes beside the flow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, TypeVar

from ostinato.clock import VirtualClock

R = TypeVar("R")


class StepState(Generic[R]):
    """How a step ended, and its result.

    Args:
        name: Such as ``succeeded``.
        value: Its result, where it succeeded.
        error: What it raised, else None.
    """

    def __init__(self, name: str, value: R | None = None, error: Exception | None = None) -> None:
        self.name = name
        self._value = value
        self.error = error

    def is_completed(self) -> bool:
        """Whether it succeeded; Prefect's name."""
        return self.error is None

    def is_failed(self) -> bool:
        """Whether it did not."""
        return self.error is not None

    def result(self, *, raise_on_failure: bool = True) -> Any:
        """Return the result, or raise what the step raised.

        Args:
            raise_on_failure: Whether to raise; else the exception is returned.
        """
        if self.error is not None:
            if raise_on_failure:
                raise self.error
            return self.error
        return self._value

    def __repr__(self) -> str:
        return f"<StepState {self.name}>"


class EndedFuture(Future[R]):
    """Stand for what is known already and has ended at a moment that is yet to come.

    Args:
        outcome: What is known; it is done.
        clock: Moved on by whoever waits.
        ended_us: When it is over, in microseconds since the epoch.
    """

    def __init__(self, outcome: "Future[R]", clock: VirtualClock, ended_us: int) -> None:
        super().__init__()
        self._clock = clock
        self.ended_us = ended_us
        error = outcome.exception()
        if error is None:
            self.set_result(outcome.result())
        else:
            self.set_exception(error)

    def done(self) -> bool:
        """Whether the clock has come to its end."""
        return self._clock.now_us() >= self.ended_us

    @property
    def left_s(self) -> float:
        """Seconds until it is over."""
        return max(self.ended_us - self._clock.now_us(), 0) / 1e6

    def result(self, timeout: float | None = None) -> R:
        """Move the clock on to its end and return the result.

        Args:
            timeout: Seconds by which the clock is moved at most.

        Raises:
            TimeoutError: If it is not over by then.
        """
        if timeout is not None and self.left_s > timeout:
            self._clock.advance_to(self._clock.now_us() + int(timeout * 1e6))
            raise TimeoutError
        self._clock.advance_to(self.ended_us)
        return super().result()


class StepFuture(Generic[R]):
    """Stand for a step that was submitted; it may be an argument of other steps.

    Args:
        name: Of the step, for people.
        inner: Gives the state once the step has ended.
    """

    def __init__(self, name: str, inner: "Future[StepState[R]]") -> None:
        self.name = name
        self._inner = inner
        #: Whether somebody has looked how it ended.
        self.is_awaited = False

    @property
    def state(self) -> "StepState[R] | None":
        """How it ended, None while it has not."""
        return self._inner.result() if self._inner.done() else None

    def done(self) -> bool:
        """Whether it has ended."""
        return self._inner.done()

    def wait(self, timeout: float | None = None) -> "StepState[R]":
        """Wait until it has ended, and return how.

        Args:
            timeout: Seconds; without it there is no limit.

        Raises:
            TimeoutError: If it has not ended then.
        """
        self.is_awaited = True
        return self._inner.result(timeout)

    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> Any:
        """Wait for the step and return its result.

        Args:
            timeout: Seconds; without it there is no limit.
            raise_on_failure: Whether to raise what the step raised; else it is returned.

        Raises:
            TimeoutError: If it has not ended then.
        """
        return self.wait(timeout).result(raise_on_failure=raise_on_failure)

    def add_done_callback(self, function: Callable[["StepFuture[R]"], Any]) -> None:
        """Call a function with this future once the step has ended."""
        self._inner.add_done_callback(lambda _: function(self))

    def __await__(self) -> Any:
        import asyncio  # noqa: PLC0415 - only in flows that use it

        self.is_awaited = True
        if isinstance(self._inner, EndedFuture):
            yield from asyncio.sleep(self._inner.left_s).__await__()
            return self._inner.result().result()
        state = yield from asyncio.wrap_future(self._inner).__await__()
        return state.result()

    def __repr__(self) -> str:
        return f"<StepFuture {self.name} {'done' if self.done() else 'under way'}>"


class FutureList(list[StepFuture[R]]):
    """The futures of a mapped step, in the order of what it was mapped over."""

    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> list[Any]:
        """Wait for all of them and return their results.

        Args:
            timeout: Seconds for each.
            raise_on_failure: Whether to raise what a step raised; else it stands in the list.
        """
        return [one.result(timeout, raise_on_failure=raise_on_failure) for one in self]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended."""
        for one in self:
            one.wait(timeout)


def as_completed(
    futures: Sequence[StepFuture[R]], timeout: float | None = None
) -> Iterator[StepFuture[R]]:
    """Yield futures as their steps end.

    In a replay the order may be another one: what depends on it should not decide which steps
    follow.

    Args:
        futures: Of submitted steps.
        timeout: Seconds from one to the next.

    Raises:
        TimeoutError: If none ends within that time.
    """
    by_inner = {one._inner: one for one in futures}
    left = set(by_inner)
    places = {inner: place for place, inner in enumerate(by_inner)}

    def order(inner: "Future[StepState[R]]") -> tuple[int, int]:
        return getattr(inner, "ended_us", 0), places[inner]

    while left:
        done, left = wait(left, timeout, return_when=FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"none of {len(left)} steps ended within {timeout} s")
        # The ones that are done are taken in an order that does not depend on chance.
        for inner in sorted(done, key=order):
            future = by_inner[inner]
            future.is_awaited = True
            yield future


class unmapped(Generic[R]):  # noqa: N801 - Prefect's name
    """Mark an argument of ``map`` that is the same for all steps.

    Args:
        value: The argument.
    """

    def __init__(self, value: R) -> None:
        self.value = value


def mapped_calls(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each step of a ``map``.

    Args:
        args: By position.
        kwargs: By name.

    Raises:
        ValueError: If nothing is mapped over, or the lengths differ.
    """
    named: dict[int | str, Any] = {**dict(enumerate(args))}
    named.update(kwargs)
    columns: dict[int | str, Sequence[Any]] = {}
    fixed: dict[int | str, Any] = {}
    for name, value in named.items():
        if isinstance(value, unmapped):
            fixed[name] = value.value
            continue
        given = value.result() if isinstance(value, StepFuture) else value
        if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
            columns[name] = list(given)
        else:
            fixed[name] = given
    lengths = {len(column) for column in columns.values()}
    if not columns:
        message = "is given nothing to map over"
        raise ValueError(message)
    if len(lengths) > 1:
        message = f"is given lists of different lengths: {sorted(lengths)}"
        raise ValueError(message)
    calls = []
    for index in range(lengths.pop()):
        call = {**fixed, **{name: column[index] for name, column in columns.items()}}
        positional = tuple(call[position] for position in range(len(args)))
        calls.append((positional, {name: call[name] for name in kwargs}))
    return calls


def resolve_futures(value: Any) -> Any:
    """Return a value with all futures in it, anywhere inside containers, replaced by results."""
    if isinstance(value, StepFuture):
        return value.result()
    if isinstance(value, StepState):
        return value.result()
    if not isinstance(value, list | tuple | dict | set) or not _holds_future(value):
        return value
    if isinstance(value, dict):
        return {resolve_futures(key): resolve_futures(item) for key, item in value.items()}
    if isinstance(value, FutureList):
        return [resolve_futures(item) for item in value]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(resolve_futures, value))
    return type(value)(map(resolve_futures, value))


def settled(result: Any) -> Any:
    """Return what a step returned; of futures, their results.

    Args:
        result: Looked at alone, and not what is in it: it may be large.
    """
    return resolve_futures(result) if isinstance(result, StepFuture | FutureList) else result


def _holds_future(value: Any) -> bool:
    if isinstance(value, StepFuture | StepState):
        return True
    if isinstance(value, dict):
        return any(map(_holds_future, value)) or any(map(_holds_future, value.values()))
    return isinstance(value, list | tuple | set) and any(map(_holds_future, value))

"""This module holds transactions: steps that are committed together, or undone together."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token, copy_context
from enum import Enum, StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple, Self, TypeVar

from ostinato.authoring.futures import StepFuture
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.signals import Defer
from ostinato.authoring.step_scopes import Scope, current_scope
from ostinato.authoring.steps import current_steps
from ostinato.errors import ExecutionError, FlowDiverged, InvalidArgument, UsageError
from ostinato.model.identity import MapPath

#: Called with the transaction when it is committed, or rolled back.
Hook = Callable[["Transaction"], Any]

Moment = Literal["on_commit", "on_rollback"]

#: Task id of the row that says how a transaction ended.
TRANSACTION = "transaction"


class Isolation(StrEnum):
    """Say what a transaction with a key sees of others with that key."""

    READ_COMMITTED = "read_committed"
    SERIALIZABLE = "serializable"


class CommitMode(StrEnum):
    """Say when a transaction is committed."""

    LAZY = "lazy"
    EAGER = "eager"
    OFF = "off"


class Enlisted(NamedTuple):
    """A step that succeeded in a transaction, and what is to be called for it.

    Attributes:
        path: Its place among the calls of the flow.
        task_id: Of its task.
        on_commit: Called at the end, in the order of the calls.
        on_rollback: Called when something went wrong, in the reverse order.
    """

    path: MapPath
    task_id: str
    on_commit: tuple[Hook, ...]
    on_rollback: tuple[Hook, ...]


class Transaction:
    """Steps that belong together, and values for their hooks; see ``transaction``."""

    def __init__(
        self,
        key: str = "",
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        mode: CommitMode = CommitMode.LAZY,
    ) -> None:
        self._key = key
        self._isolation = isolation
        self._mode = mode
        self._was_committed = False
        self._is_to_commit = mode is not CommitMode.OFF
        self._place = str(relative_place(calling_place()))
        self._values: dict[str, Any] = {}
        self._enlisted: list[Enlisted] = []
        self._futures: list[StepFuture[Any]] = []
        self._lock = threading.Lock()
        self._scope: Scope | None = None
        self._parent: Transaction | None = None

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the hooks; in the body of the flow, which a replay executes.

        Args:
            name: Of the value.
            value: Anything.

        Raises:
            UsageError: A step sets it, which a replay does not execute.
        """
        scope = current_scope.get()
        if scope is None or not self.is_of(scope):
            raise UsageError(
                f"a step sets {name!r} of a transaction, which a replay would not do",
                place=relative_place(calling_place()),
                hint="return the value from the step, and set it where the transaction begins",
            )
        self._values[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value that was set in this transaction or in one around it.

        Args:
            name: Of the value.
            default: For one that was not set.
        """
        if name in self._values:
            return self._values[name]
        return default if self._parent is None else self._parent.get(name, default)

    @property
    def key(self) -> str:
        """Under which it is remembered that it was committed; empty for none."""
        return self._key

    def is_committed(self) -> bool:
        """Whether a transaction of its key was committed before this one began."""
        return self._was_committed

    def commit(self) -> None:
        """Have a transaction of the mode ``off`` be committed at its end."""
        self._is_to_commit = True

    def is_of(self, scope: Scope) -> bool:
        """Whether it was begun by the step, or the body, whose calls a scope has."""
        return self._scope is not None and self._scope.step == scope.step

    def enlist(self, step: Enlisted) -> None:
        """Take note of a step that succeeded."""
        with self._lock:
            self._enlisted.append(step)

    def watch(self, future: StepFuture[Any]) -> None:
        """Take note of a step that was submitted: the transaction ends after it."""
        with self._lock:
            self._futures.append(future)

    def __enter__(self) -> Self:
        steps = current_steps.get()
        scope = current_scope.get()
        if steps is None or scope is None:
            message = "transaction() works in a flow that is a function only"
            raise UsageError(message, place=relative_place(calling_place()), hint="see @flow")
        self._steps = steps
        self._scope = scope.open()
        steps.begin_transaction(self._scope.path, self._place)
        around = current_transaction.get()
        # A replay does not execute a step again, and would not tell the one around it of this one.
        self._parent = around if around is not None and around.is_of(scope) else None
        self._scope_token = current_scope.set(self._scope)
        self._token: Token[Transaction | None] = current_transaction.set(self)
        if self._key:
            self._was_committed = self._open_key()
        return self

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    def _open_key(self) -> bool:
        assert self._scope is not None
        is_exclusive = self._isolation is Isolation.SERIALIZABLE
        begin = self._scope.take()
        try:
            return self._steps.open_key(
                self._key, self._scope.path, begin, self._place, is_exclusive=is_exclusive
            )
        except BaseException:
            current_transaction.reset(self._token)
            current_scope.reset(self._scope_token)
            raise

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if error is None and self._is_to_commit:
                self._finish()
            elif error is None or _is_failure(error):
                self._settle()
                self._roll_back()
        finally:
            current_transaction.reset(self._token)
            current_scope.reset(self._scope_token)

    def _finish(self) -> None:
        try:
            for future in self._futures:
                future.result()
            if self._is_outermost:
                for step in sorted(self._enlisted, key=lambda step: step.path):
                    for hook in step.on_commit:
                        self._call(step, hook, "on_commit").result()
        except _NO_FAILURES:
            raise
        except Exception:
            self._settle()
            self._roll_back()
            raise
        if not self._is_outermost and self._parent is not None:
            # It is committed with the transaction around it.
            for step in self._enlisted:
                self._parent.enlist(
                    step._replace(
                        on_commit=tuple(_bound(hook, self) for hook in step.on_commit),
                        on_rollback=tuple(_bound(hook, self) for hook in step.on_rollback),
                    )
                )
        self._end(is_committed=True)

    @property
    def _is_outermost(self) -> bool:
        """Whether its hooks are called at its own end."""
        return self._parent is None or self._mode is CommitMode.EAGER

    def _settle(self) -> None:
        for future in self._futures:
            future.wait()

    def _roll_back(self) -> None:
        # First of all, so that no later attempt takes for done what is being undone.
        self._end(is_committed=False)
        for step in sorted(self._enlisted, key=lambda step: step.path, reverse=True):
            for hook in reversed(step.on_rollback):
                # What cannot be undone is recorded, and does not keep the rest from it.
                self._call(step, hook, "on_rollback")

    def _call(self, step: Enlisted, hook: Hook, moment: Moment) -> Any:
        assert self._scope is not None
        name = f"{step.task_id}.{moment}"
        call = partial(_call_hook, hook, self)
        return self._steps.call_hook(name, call, self._scope.take(), self._place)

    def _end(self, *, is_committed: bool) -> None:
        assert self._scope is not None
        path = self._scope.path
        self._steps.end_transaction(path, self._place, is_committed=is_committed)


#: The innermost transaction that is open in this context.
current_transaction: ContextVar[Transaction | None] = ContextVar(
    "ostinato_transaction", default=None
)

#: These end an attempt of the flow, and say nothing about its steps.
_NO_FAILURES = (FlowDiverged, ExecutionError, Defer)


def transaction(
    key: str | None = None,
    *,
    isolation_level: str | Enum = Isolation.READ_COMMITTED,
    commit_mode: str | Enum = CommitMode.LAZY,
) -> Transaction:
    """Have steps be committed together, or undone together.

    In the block, tasks are called as everywhere in a flow. If it ends well, the ``on_commit``
    hooks of those that succeeded are called, in the order of the calls; if it raises, their
    ``on_rollback`` hooks, in the reverse order. Each call of a hook is recorded as a step, so
    that none is called twice. A transaction within another is committed with that; one that a
    step begins is committed in that step.

    Args:
        key: Under which it is remembered that the transaction was committed, by any run of the
            project: ``is_committed()`` tells.
        isolation_level: ``serializable`` has transactions of the same key wait for each other;
            ``read_committed`` does not.
        commit_mode: ``lazy`` commits a transaction within another with that; ``eager`` at its
            own end, and what is committed is not undone with the other; ``off`` undoes it at
            its end unless ``commit()`` was called.

    Raises:
        InvalidArgument: A level or a mode is unknown, or a level is given without a key.

    Example:
        >>> from ostinato import flow, task, transaction
        >>> @task
        ... def write(name):
        ...     print("write", name)
        >>> @write.on_rollback
        ... def remove(transaction):
        ...     print("remove", transaction.get("name"))
        >>> @flow
        ... def etl():
        ...     with transaction() as work:
        ...         work.set("name", "a.csv")
        ...         write("a.csv")
        ...         raise ValueError("no rows")
    """
    isolation = _read(Isolation, isolation_level, "isolation_level")
    if isolation is Isolation.SERIALIZABLE and not key:
        message = "isolation_level: only transactions with a key wait for each other"
        raise InvalidArgument(message, place=relative_place(calling_place()), hint="say key=")
    return Transaction(
        key or "", isolation=isolation, mode=_read(CommitMode, commit_mode, "commit_mode")
    )


def get_transaction() -> Transaction | None:
    """Return the innermost transaction that is open here, None if none is."""
    return current_transaction.get()


def _is_failure(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, _NO_FAILURES)


def _bound(hook: Hook, inner: Transaction) -> Hook:
    return lambda _: hook(inner)


def _call_hook(hook: Hook, work: Transaction) -> Any:
    """Call a hook; of a coroutine function, on a loop of its own."""
    result = hook(work)
    if not inspect.isawaitable(result):
        return result

    async def awaited() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    # The loop of the flow executes this very line.
    # Threads' machinery takes milliseconds to import, and few hooks need it.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - see above

    with ThreadPoolExecutor(1, thread_name_prefix="hook") as pool:
        return pool.submit(copy_context().run, asyncio.run, awaited()).result()


Choice = TypeVar("Choice", bound=StrEnum)


def _read(kind: type[Choice], written: str | Enum, name: str) -> Choice:
    """Return a member of an enumeration by its text, or by a member of Prefect's."""
    text = str(written.value if isinstance(written, Enum) else written).lower()
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(kind)
        message = f"{name}: {written!r} is none of {known}"
        raise InvalidArgument(message, place=relative_place(calling_place())) from None

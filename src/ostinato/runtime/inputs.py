"""This module resolves what stands for a value in a definition, inside an attempt."""

import difflib
import re
from collections.abc import Callable, Sized
from functools import lru_cache
from typing import Any

import msgspec

from ostinato.errors import InternalError, InvalidArgument, UnknownTask
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.secret import MASK, is_secret_name
from ostinato.model.value import RETURN_VALUE, StoredValue
from ostinato.runtime.context import Port, stored_values
from ostinato.runtime.masking import masker
from ostinato.runtime.messages import AttemptSpec, MappedValues, RunInfo, SingleValue
from ostinato.runtime.values import PAGE, Containers, LazyResults, decode_value

#: Characters of the rendered arguments that are kept, as a whole and of one text.
MAX_RENDERED, MAX_TEXT = 8 * 1024, 1024

#: Items of a container that are kept, and how deep containers are shown.
MAX_ITEMS, MAX_DEPTH = 20, 6


class Tasks:
    """What attempts need to know of a flow's definition, by task.

    Args:
        flow: The definition.
    """

    def __init__(self, flow: FlowDefinition) -> None:
        self.flow = flow
        self._tasks = {task.id: task for task in flow.tasks}
        self._groups = {group.id: group for group in flow.groups}
        self._downstream: dict[str, set[str]] = {}
        for edge in flow.edges:
            self._downstream.setdefault(edge.upstream, set()).add(edge.downstream)

    def containers(self, task_id: str) -> tuple[str, ...]:
        """Return the mapped groups around a task, outermost first, then itself if it is mapped."""
        task = self._tasks[task_id]
        containers = [task_id] if task.expansion is not None else []
        group = task.group
        while group:
            if self._groups[group].expansion is not None:
                containers.append(group)
            group = self._groups[group].parent
        return tuple(reversed(containers))

    def is_measured(self, task_id: str) -> bool:
        """Whether a mapping needs the length of a task's result."""
        return self._tasks[task_id].measured

    def measure(self, task_id: str, result: Any) -> int:
        """Return the length of a result that is mapped over.

        Raises:
            InvalidArgument: It has none.
        """
        if isinstance(result, Sized) and not isinstance(result, str | bytes | set | frozenset):
            return len(result)
        message = (
            f"task {task_id!r} is mapped over and must return a list or dict, "
            f"not {type(result).__name__}"
        )
        raise InvalidArgument(message)

    def chosen(self, task_id: str, result: Any) -> tuple[str, ...]:
        """Return the ids that a branch chose.

        Raises:
            InvalidArgument: The branch returned something else than ids.
            UnknownTask: What it named is not directly downstream of it.
        """
        names = [result] if isinstance(result, str) else [] if result is None else result
        if not isinstance(names, list | tuple | set) or not all(isinstance(n, str) for n in names):
            message = f"branch {task_id!r} must return task ids, not {result!r}"
            raise InvalidArgument(message)
        allowed = self._choices(task_id)
        for name in names:
            if name not in allowed:
                close = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"choose of {sorted(allowed)}"
                message = f"branch {task_id!r} chose {name!r}, which is not directly downstream"
                raise UnknownTask(message, hint=hint)
        return tuple(names)

    def _choices(self, task_id: str) -> set[str]:
        choices = set(self._downstream.get(task_id, ()))
        for direct in list(choices):
            group = self._tasks[direct].group
            while group:
                choices.add(group)
                group = self._groups[group].parent
        return choices

    def task(self, task_id: str) -> TaskDefinition:
        """Return a task's definition."""
        return self._tasks[task_id]


class InputResolver:
    """Look up stored values for one attempt; implements ``ports.Resolver``."""

    def __init__(
        self,
        spec: AttemptSpec,
        info: RunInfo,
        tasks: Tasks,
        port: Port,
        containers: Containers,
    ) -> None:
        self._spec = spec
        self._info = info
        self._tasks = tasks
        self._port = port
        self._containers = containers
        self.text: Callable[[str], Any] | None = None

    def result(self, task_id: str, key: str) -> Any:
        """Return a stored value, or the lazy sequence of a mapped task's values."""
        value = self._input(task_id, key)
        if isinstance(value, SingleValue):
            return decode_value(value.value, self._info.values_root)
        return self._lazy(value, key)

    def result_length(self, task_id: str) -> int:
        """Return how many items a mapping over a result has."""
        value = self._input(task_id, RETURN_VALUE)
        if isinstance(value, MappedValues):
            return value.count
        return len(self._items(task_id, value))

    def result_item(self, task_id: str, index: int) -> Any:
        """Return one item of a result that is mapped over."""
        value = self._input(task_id, RETURN_VALUE)
        if isinstance(value, MappedValues):
            return decode_value(self._mapped_item(task_id, value, index), self._info.values_root)
        root = self._info.values_root
        return self._containers.item(
            self._key(task_id, value.value), index, lambda: decode_value(value.value, root)
        )

    def index(self, container_id: str, factor: int) -> int:
        """Return this attempt's position in a mapped argument; the last one varies fastest."""
        level = self._tasks.containers(self._spec.task_id).index(container_id)
        index, lengths = self._spec.path[level], self._spec.lengths[level]
        for length in lengths[:factor:-1]:
            index //= length
        return index % lengths[factor]

    def param(self, name: str) -> Any:
        """Return a parameter of the run."""
        params: dict[str, Any] = msgspec.json.decode(self._info.params)
        return params[name]

    def _input(self, task_id: str, key: str) -> SingleValue | MappedValues:
        name = task_id if key == RETURN_VALUE else f"{task_id}/{key}"
        value = self._spec.inputs.get(name)
        if value is None:
            message = f"task {self._spec.task_id!r} was not given the value {name!r}"
            raise InternalError(message)
        return value

    def _items(self, task_id: str, value: SingleValue) -> list[Any]:
        root = self._info.values_root
        return self._containers.items(
            self._key(task_id, value.value), lambda: decode_value(value.value, root)
        )

    def _key(self, task_id: str, value: StoredValue | None) -> object:
        # The content itself tells small values apart; a location names its attempt.
        content = (value.data or value.location) if value is not None else None
        return (self._info.run_id, task_id, content)

    def _mapped_item(self, task_id: str, value: MappedValues, index: int) -> StoredValue | None:
        if index < len(value.first):
            return value.first[index]
        page = index // PAGE
        key = (self._info.run_id, task_id, value.prefix, self._spec.generation, page)
        values = self._containers.items(
            key, lambda: self._fetch(value, RETURN_VALUE, page * PAGE, PAGE)
        )
        stored: StoredValue | None = values[index % PAGE]
        return stored

    def _lazy(self, value: MappedValues, key: str) -> LazyResults:
        return LazyResults(
            value.count,
            lambda offset, limit: self._fetch(value, key, offset, limit),
            self._info.values_root,
            value.first,
        )

    def _fetch(
        self, value: MappedValues, key: str, offset: int, limit: int
    ) -> list[StoredValue | None]:
        args = {
            "task_id": value.task_id,
            "prefix": value.prefix,
            "key": key,
            "offset": offset,
            "limit": limit,
        }
        return stored_values(self._port.call(self._spec.token, "pull", args))


def render_inputs(arguments: dict[str, Any]) -> str:
    """Return resolved arguments as JSON for people, shortened."""
    shown = {name: _shown_field(name, value, 0) for name, value in arguments.items()}
    text = msgspec.json.encode(shown).decode()
    if len(text) <= MAX_RENDERED:
        return text
    shorter = {name: _cut(repr(value), MAX_TEXT // 4) for name, value in shown.items()}
    text = msgspec.json.encode(dict(list(shorter.items())[:MAX_ITEMS])).decode()
    return text if len(text) <= MAX_RENDERED else '{"…": "too long to show"}'


def _shown(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value if value is None or -(2**53) < value < 2**53 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, str):
        return _cut(value, MAX_TEXT)
    if depth < MAX_DEPTH:
        if isinstance(value, dict):
            items = list(value.items())[:MAX_ITEMS]
            shown = {
                _cut(name, 100): _shown_field(name, item, depth + 1)
                for name, item in ((_name(key), item) for key, item in items)
            }
            if len(value) > MAX_ITEMS:
                shown["…"] = f"{len(value) - MAX_ITEMS} more"
            return shown
        if isinstance(value, list | tuple):
            listed = [_shown(item, depth + 1) for item in value[:MAX_ITEMS]]
            if len(value) > MAX_ITEMS:
                listed.append(f"… {len(value) - MAX_ITEMS} more")
            return listed
    try:
        return _cut(repr(value), MAX_TEXT)
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<{type(value).__name__}>"


def _shown_field(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, str) and value and _is_secret(name):
        return MASK
    return _shown(value, depth)


#: Password of an address that is written out, as a connection may be.
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")

#: The same few names come again with every task.
_is_secret = lru_cache(1024)(is_secret_name)


def _name(key: Any) -> str:
    try:
        return str(key)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(key).__name__}>"


def _cut(text: str, size: int) -> str:
    # Masked first: half a secret is no longer found.
    plain = masker.mask(text).encode("utf-8", "backslashreplace").decode()
    if "://" in plain:
        plain = _PASSWORD.sub(rf"\g<1>{MASK}@", plain)
    return plain if len(plain) <= size else plain[: size - 1] + "…"

"""This module holds what stands for a value in a definition until an attempt resolves it."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.ports import Resolver
from ostinato.authoring.signals import Skip
from ostinato.authoring.wiring import Declarer, Node, Wirable, call_hint
from ostinato.errors import InvalidArgument
from ostinato.model.flow import (
    Input,
    LengthSource,
    LiteralLength,
    MinLength,
    ResultLength,
    SumLength,
)
from ostinato.model.value import RETURN_VALUE

#: Argument under which `arguments()` of a task holds more arguments by name; no name is so.
MORE_ARGUMENTS = "**kwargs"


class Reference(Wirable):
    """Stand for a value that is known only while a run executes."""

    __slots__ = ()

    def resolve(self, resolver: Resolver) -> Any:
        """Return the value, inside an attempt."""
        raise NotImplementedError

    def sources(self) -> "Sequence[Any]":
        """Return the values that this one is made from; references among them."""
        return ()

    def nodes(self) -> Sequence[Node]:
        """Return the tasks whose results it is made from."""
        return [
            reference.task
            for reference in references_in(self)
            if isinstance(reference, ResultReference)
        ]

    def __getitem__(self, key: Any) -> "ItemReference":
        return ItemReference(self, key)

    def __bool__(self) -> NoReturn:
        self.refuse("has no truth value", "decide with @task.branch or @task.short_circuit")

    def __iter__(self) -> NoReturn:
        self.refuse("cannot be looped over", "map a task over it: my_task.expand(x=...)")

    def __contains__(self, item: object) -> NoReturn:
        self.refuse("cannot be searched", "search it inside a task")

    def __len__(self) -> NoReturn:
        self.refuse("has no length", "use its length inside a task")

    def __format__(self, spec: str) -> NoReturn:
        self.refuse("cannot be put into a text", "build the text inside a task")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            self.refuse(f"cannot be compared with {other!r}", "compare inside a task")
        return self is other

    __hash__ = object.__hash__

    def refuse(self, problem: str, hint: str) -> NoReturn:
        """Say that something cannot be done with what is known only at run time."""
        raise InvalidArgument(
            f"{self!r} {problem} while the flow is defined, for it is known when a run executes",
            place=relative_place(calling_place()),
            hint=hint,
        )


class ItemReference(Reference):
    """Stand for an item of another value: ``result["key"]``.

    Args:
        source: Where the item is taken from.
        key: Which one.
    """

    __slots__ = ("key", "source")

    def __init__(self, source: Reference, key: Any) -> None:
        self.source = source
        self.key = key

    def resolve(self, resolver: Resolver) -> Any:
        """Return the item; of all results of a mapped task, the item of each."""
        value = self.source.resolve(resolver)
        is_series = isinstance(value, Sequence) and not isinstance(
            value, list | tuple | str | bytes
        )
        if isinstance(self.key, str) and is_series:
            return [item[self.key] for item in value]
        return value[self.key]

    def sources(self) -> Sequence[Any]:
        """Return what the item is taken from."""
        return (self.source,)

    def __repr__(self) -> str:
        return f"{self.source!r}[{self.key!r}]"


class ParameterReference(Reference):
    """Stand for a parameter of the run.

    Args:
        name: Of the parameter.
        convert: Makes the declared type of the JSON value; None to take it as it is.
        annotation: The declared type.
    """

    __slots__ = ("annotation", "convert", "name")

    def __init__(
        self, name: str, convert: Callable[[Any], Any] | None = None, *, annotation: Any
    ) -> None:
        self.name = name
        self.convert = convert
        self.annotation = annotation

    def resolve(self, resolver: Resolver) -> Any:
        """Return the parameter's value in this run."""
        value = resolver.param(self.name)
        return value if self.convert is None else self.convert(value)

    def __repr__(self) -> str:
        return f"the parameter {self.name!r}"


class SeriesReference(Reference):
    """Stand for a value whose items a task or group can be mapped over."""

    __slots__ = ()

    def length(self) -> LengthSource:
        """Return where its length comes from."""
        raise NotImplementedError

    def count(self, resolver: Resolver) -> int:
        """Return its length, inside an attempt."""
        raise NotImplementedError

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return one of its items, inside an attempt."""
        raise NotImplementedError

    def resolve(self, resolver: Resolver) -> Any:
        """Return the list of all items, without those that a filter leaves out."""
        items: list[Any] = []
        for index in range(self.count(resolver)):
            with suppress(LeftOut):
                items.append(self.item(index, resolver))
        return items

    def map(self, function: Callable[[Any], Any]) -> "MapReference":
        """Return what the function makes of each item, inside the attempt that reads it.

        Args:
            function: Takes an item; may raise ``Skip`` to skip the attempt. It is no task.
        """
        return MapReference(self, function)

    def filter(self, function: Callable[[Any], Any]) -> "FilterReference":
        """Return the items for which a function returns something true.

        What is mapped over them has an index for every item, and the indices of those that are
        left out are skipped: the items are looked at inside the attempts.

        Args:
            function: Takes an item. It is no task.
        """
        return FilterReference(self, function)

    def zip(self, *others: Any) -> "ZipReference":
        """Return tuples of items side by side, as many as the shortest has.

        Args:
            others: Results, lists or dicts.
        """
        return ZipReference((self, *(series_of(other, "zip()") for other in others)))

    def concat(self, *others: Any) -> "ConcatReference":
        """Return the items of this and then those of the others.

        Args:
            others: Results, lists or dicts.
        """
        return ConcatReference((self, *(series_of(other, "concat()") for other in others)))


class ResultReference(SeriesReference):
    """Stand for what a task returned.

    Args:
        task: The task.
        key: Under which it is stored; ``return_value`` is the result.
    """

    __slots__ = ("key", "task")

    def __init__(self, task: Node, key: str = RETURN_VALUE) -> None:
        self.task = task
        self.key = key

    @property
    def operator(self) -> Node:
        """The task, as Airflow calls it."""
        return self.task

    def pushed(self, key: str) -> "ResultReference":
        """Return what the task stored under a key with ``context.push``.

        Args:
            key: As it was pushed.
        """
        return ResultReference(self.task, key)

    def as_setup(self) -> "ResultReference":
        """Make the task a setup; see ``Operator.as_setup``."""
        self._marked().as_setup()
        return self

    def as_teardown(self, **options: Any) -> "ResultReference":
        """Make the task a teardown; see ``Operator.as_teardown``.

        Args:
            options: ``setups`` and ``on_failure_fail_run``.
        """
        self._marked().as_teardown(**options)
        return self

    def __enter__(self) -> Any:
        """Put all tasks that the ``with`` block declares between setups and teardown."""
        return self._marked().__enter__()

    def __exit__(self, *raised: object) -> None:
        self._marked().__exit__(*raised)

    def _marked(self) -> Any:
        # An operator; its class is built on this module.
        return self.task

    def input(self) -> Input:
        """Return the stored value that is read."""
        return Input(self.task.node_id, self.key)

    def nodes(self) -> Sequence[Node]:
        """Return the task."""
        return (self.task,)

    def resolve(self, resolver: Resolver) -> Any:
        """Return the result; of a mapped task, the lazy sequence of all."""
        return resolver.result(self.task.node_id, self.key)

    def length(self) -> LengthSource:
        """Return the result's length, or the number of task runs of a mapped task."""
        if self.key != RETURN_VALUE:
            self.refuse("cannot be mapped over", "return it instead of pushing it")
        return ResultLength(self.task.node_id)

    def count(self, resolver: Resolver) -> int:
        """Return how many items the result has."""
        return resolver.result_length(self.task.node_id)

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return an item of the result; of a dict, a (key, value) pair."""
        return resolver.result_item(self.task.node_id, index)

    def __repr__(self) -> str:
        key = "" if self.key == RETURN_VALUE else f" under {self.key!r}"
        return f"the result of {self.task.node_id!r}{key}"


class LiteralSeries(SeriesReference):
    """Stand for a list or dict in the definition, whose items may hold references.

    Args:
        values: The list, tuple or dict.
    """

    __slots__ = ("items",)

    def __init__(self, values: Sequence[Any] | Mapping[Any, Any]) -> None:
        self.items = tuple(values.items()) if isinstance(values, Mapping) else tuple(values)

    def sources(self) -> Sequence[Any]:
        """Return the items."""
        return self.items

    def length(self) -> LengthSource:
        """Return the number of items."""
        return LiteralLength(len(self.items))

    def count(self, resolver: Resolver) -> int:
        """Return the number of items."""
        return len(self.items)

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return an item; of a dict, a (key, value) pair."""
        return resolve(self.items[index], resolver)

    def __repr__(self) -> str:
        return f"a list of {len(self.items)}"


class MapReference(SeriesReference):
    """Stand for what a function makes of each item of a series."""

    __slots__ = ("function", "source")

    #: What is done to the items, for messages.
    verb = "mapped"

    def __init__(self, source: SeriesReference, function: Callable[[Any], Any]) -> None:
        if isinstance(function, Declarer):
            source.refuse(
                f"cannot be {self.verb} by {function!r}", "give a function, or use expand()"
            )
        self.source = source
        self.function = function

    def sources(self) -> Sequence[Any]:
        """Return the series."""
        return (self.source,)

    def length(self) -> LengthSource:
        """Return the length of the series."""
        return self.source.length()

    def count(self, resolver: Resolver) -> int:
        """Return the length of the series."""
        return self.source.count(resolver)

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return what the function makes of an item."""
        return self.function(self.source.item(index, resolver))

    def __repr__(self) -> str:
        function = getattr(self.function, "__name__", self.function)
        return f"{self.source!r} {self.verb} by {function!r}"


class LeftOut(Skip):
    """Skip the index of an item that a filter leaves out."""


class FilterReference(MapReference):
    """Stand for the items of a series for which a function returns something true."""

    __slots__ = ()

    verb = "filtered"

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return an item.

        Raises:
            LeftOut: If the function returns something false for it.
        """
        item = self.source.item(index, resolver)
        if not self.function(item):
            raise LeftOut(f"left out by {getattr(self.function, '__name__', 'a filter')!r}")
        return item


class ZipReference(SeriesReference):
    """Stand for several series side by side."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[SeriesReference, ...]) -> None:
        self.parts = parts

    def sources(self) -> Sequence[Any]:
        """Return the series."""
        return self.parts

    def length(self) -> LengthSource:
        """Return the length of the shortest."""
        return MinLength(tuple(part.length() for part in self.parts))

    def count(self, resolver: Resolver) -> int:
        """Return the length of the shortest."""
        return min(part.count(resolver) for part in self.parts)

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return the tuple of the items at one index."""
        return tuple(part.item(index, resolver) for part in self.parts)

    def __repr__(self) -> str:
        return f"zip of {', '.join(map(repr, self.parts))}"


class ConcatReference(SeriesReference):
    """Stand for several series one after the other."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[SeriesReference, ...]) -> None:
        self.parts = parts

    def sources(self) -> Sequence[Any]:
        """Return the series."""
        return self.parts

    def length(self) -> LengthSource:
        """Return the sum of the lengths."""
        return SumLength(tuple(part.length() for part in self.parts))

    def count(self, resolver: Resolver) -> int:
        """Return the sum of the lengths."""
        return sum(part.count(resolver) for part in self.parts)

    def item(self, index: int, resolver: Resolver) -> Any:
        """Return the item of the series in which the index falls."""
        before = 0
        for part in self.parts:
            count = part.count(resolver)
            if index < before + count:
                return part.item(index - before, resolver)
            before += count
        message = f"{self!r} has {before} items, but item {index} was asked for"
        raise IndexError(message)

    def __repr__(self) -> str:
        return f"concatenation of {', '.join(map(repr, self.parts))}"


class ElementReference(Reference):
    """Stand for the item that one index of a mapped task or group works on.

    Args:
        container: The mapped task or group.
        factor: Position of the mapped argument among the container's.
        series: What is mapped over.
    """

    __slots__ = ("container", "factor", "series")

    def __init__(self, container: Node, factor: int, series: SeriesReference) -> None:
        self.container = container
        self.factor = factor
        self.series = series

    def resolve(self, resolver: Resolver) -> Any:
        """Return the item of this attempt's index."""
        index = resolver.index(self.container.node_id, self.factor)
        return self.series.item(index, resolver)

    def sources(self) -> Sequence[Any]:
        """Return what is mapped over."""
        return (self.series,)

    def __repr__(self) -> str:
        return f"an item of {self.series!r}"


class OptionalItemReference(ItemReference):
    """Stand for an item of another value, or for a default where there is none."""

    __slots__ = ("default",)

    def __init__(self, source: Reference, key: Any, default: Any) -> None:
        super().__init__(source, key)
        self.default = default

    def resolve(self, resolver: Resolver) -> Any:
        """Return the item or the default."""
        value = self.source.resolve(resolver)
        return value.get(self.key, self.default)


def series_of(value: Any, where: str) -> SeriesReference:
    """Return what a task can be mapped over.

    Args:
        value: A result, list, tuple, dict, or what ``map``, ``zip`` or ``concat`` made of them.
        where: What asks for it, for the message.

    Raises:
        InvalidArgument: If the value cannot be mapped over.
    """
    if isinstance(value, SeriesReference):
        value.length()
        return value
    if isinstance(value, list | tuple | Mapping):
        return LiteralSeries(value)
    hint = ""
    if isinstance(value, str | bytes):
        problem = f"{where} maps over lists and dicts, not over the text {value!r}"
        hint = f"write [{value!r}] for one item"
    elif isinstance(value, Reference):
        problem = f"{where} cannot map over {value!r}, whose length no task has measured"
        hint = "let a task return it, then map over that task's result"
    else:
        problem = f"{where} maps over lists and dicts, not over {type(value).__name__} {value!r}"
        if isinstance(value, set | frozenset | range | Iterator):
            hint = "make it a list"
    raise InvalidArgument(problem, place=relative_place(calling_place()), hint=hint)


def factors_of(mapped: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, SeriesReference]:
    """Return what the arguments of ``expand`` map over.

    Args:
        mapped: As the user wrote them.
        fixed: Arguments that ``partial`` fixed.

    Raises:
        InvalidArgument: If one cannot be mapped over, is fixed too, or there is none.
    """
    problem = "" if mapped else "expand() needs at least one argument to map over"
    for name in mapped:
        if name in fixed:
            problem = f"argument {name!r} is fixed and cannot be mapped too"
    if problem:
        raise InvalidArgument(problem, place=relative_place(calling_place()))
    return {name: series_of(values, "expand()") for name, values in mapped.items()}


def resolve(value: Any, resolver: Resolver) -> Any:
    """Return a value with all references in it replaced; builtin containers are copied.

    Texts that stand in the definition go through ``resolver.text``; results of tasks do not.

    Args:
        value: What stands in the definition.
        resolver: Knows the values.
    """
    kind = type(value)
    if kind is str:
        return value if resolver.text is None else resolver.text(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Reference):
        return value.resolve(resolver)
    if kind is dict:
        return {
            key if type(key) is str else resolve(key, resolver): resolve(item, resolver)
            for key, item in value.items()
        }
    if kind in (list, tuple, set, frozenset):
        return kind([resolve(item, resolver) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make([resolve(item, resolver) for item in value])
    if isinstance(value, dict):
        resolved = copy.copy(value)
        resolved.update({key: resolve(item, resolver) for key, item in value.items()})
        return resolved
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _resolve_dataclass(value, resolver)
    return value


def _resolve_dataclass(value: Any, resolver: Resolver) -> Any:
    names = [
        field.name
        for field in dataclasses.fields(value)
        if any(True for _ in references_in(getattr(value, field.name, None)))
    ]
    if not names:
        return value
    resolved = copy.copy(value)
    for name in names:
        # A frozen dataclass forbids the ordinary way.
        object.__setattr__(resolved, name, resolve(getattr(value, name), resolver))
    return resolved


def references_in(value: Any) -> Iterator[Reference]:
    """Yield the references in a value, those that they are made from among them.

    Args:
        value: What stands in the definition.
    """
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, Reference):
        yield value
        items: Any = value.sources()
    elif isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                yield from references_in(key)
        items = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    else:
        if isinstance(value, Node | Declarer):
            _refuse_declared(value)
        return
    for item in items:
        if type(item) not in _PLAIN:
            yield from references_in(item)


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts that stand in a definition itself, no results of tasks among them.

    Args:
        value: What stands in the definition.
    """
    if isinstance(value, str):
        yield value
        return
    items: Any = ()
    if isinstance(value, Reference):
        items = value.sources()
    elif isinstance(value, dict):
        items = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    for item in items:
        yield from texts_in(item)


def _refuse_declared(value: Node | Declarer) -> NoReturn:
    """Tell who passes a task where its result is meant."""
    if isinstance(value, Node):
        message = f"an argument is {value!r} itself"
        raise InvalidArgument(message, hint="give its result: .output")
    raise InvalidArgument(f"an argument is {value!r} itself", hint=call_hint(value))


_PLAIN = frozenset({str, int, float, bool, type(None), bytes})

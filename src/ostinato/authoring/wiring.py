"""This module connects tasks and groups: ``>>``, ``<<``, ``chain`` and labels."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from ostinato.authoring.places import calling_place, relative_place
from ostinato.errors import InvalidArgument

T = TypeVar("T")


class Graph(Protocol):
    """What tasks and groups need of the flow that they are declared in."""

    @property
    def name(self) -> str:
        """Name of the flow."""
        ...

    def connect(self, upstream: "Node", downstream: "Node", label: str) -> None:
        """Let one node wait for another."""
        ...

    def adopt(self, node: "Node") -> None:
        """Take in a node that was made outside of any flow."""
        ...


class Wirable:
    """Something that edges can start or end at."""

    __slots__ = ()

    def nodes(self) -> "Sequence[Node]":
        """Return the tasks and groups that an edge here connects to."""
        raise NotImplementedError

    def __rshift__(self, other: T) -> T:
        connect(self, other)
        return other

    def __lshift__(self, other: T) -> T:
        connect(other, self)
        return other

    def __rrshift__(self, other: Any) -> "Wirable":
        connect(other, self)
        return self

    def __rlshift__(self, other: Any) -> "Wirable":
        connect(self, other)
        return self

    def set_downstream(self, others: Any, *, label: str = "") -> None:
        """Let others wait for this.

        Args:
            others: A task, group, result, or a list of them.
            label: Text on the edges.
        """
        connect(self, others, label=label)

    def set_upstream(self, others: Any, *, label: str = "") -> None:
        """Let this wait for others.

        Args:
            others: A task, group, result, or a list of them.
            label: Text on the edges.
        """
        connect(others, self, label=label)


class Node(Wirable):
    """A task or a group of a flow.

    Attributes:
        node_id: Unique in the flow.
        graph: The flow, None as long as it belongs to none.
    """

    node_id: str
    graph: Graph | None

    def nodes(self) -> "Sequence[Node]":
        """Return the node itself."""
        return (self,)

    def __rshift__(self, other: T) -> T:
        # The common case, at a third of the cost of the general one.
        if isinstance(other, Node) and self.graph is not None and other.graph is self.graph:
            self.graph.connect(self, other, "")
        else:
            connect(self, other)
        return other


class Declarer:
    """A function that declares a task or a group when it is called; by itself it is neither."""

    __slots__ = ()


class Label(Wirable):
    """Write a text on an edge: ``check >> Label("rows are missing") >> repair``.

    Args:
        label: The text.
    """

    __slots__ = ("downstream", "label", "upstream")

    def __init__(self, label: str) -> None:
        self.label = label
        self.upstream: Sequence[Node] = ()
        self.downstream: Sequence[Node] = ()

    def nodes(self) -> Sequence[Node]:
        """Return what waits on the other side of the label."""
        return (*self.upstream, *self.downstream)

    def follow(self, upstream: Sequence[Node]) -> None:
        """Take the near end of edges that go on behind the label."""
        if self.downstream:
            _connect_all(upstream, self.downstream, self.label)
            self.downstream = ()
        else:
            self.upstream = upstream

    def precede(self, downstream: Sequence[Node]) -> None:
        """Take the far end of edges that begin before the label."""
        if self.upstream:
            _connect_all(self.upstream, downstream, self.label)
            self.upstream = ()
        else:
            self.downstream = downstream


def connect(upstream: Any, downstream: Any, *, label: str = "") -> None:
    """Let all of ``downstream`` wait for all of ``upstream``.

    Args:
        upstream: A task, group, result, label, or a list of them.
        downstream: The same.
        label: Text on the edges.
    """
    if isinstance(downstream, Label):
        downstream.follow(nodes_of(upstream))
    elif isinstance(upstream, Label):
        upstream.precede(nodes_of(downstream))
    else:
        _connect_all(nodes_of(upstream), nodes_of(downstream), label)


def chain(*steps: Any) -> None:
    """Connect each step to the next.

    Two lists beside each other must be of one length and are connected pairwise.

    Args:
        steps: Tasks, groups, results, labels, or lists of them.

    Raises:
        InvalidArgument: If two lists beside each other differ in length.

    Example:
        ``chain(a, [b, c], [d, e], f)`` is ``a >> b >> d >> f`` and ``a >> c >> e >> f``.
    """
    for upstream, downstream in itertools.pairwise(steps):
        if not (isinstance(upstream, list | tuple) and isinstance(downstream, list | tuple)):
            connect(upstream, downstream)
            continue
        if len(upstream) != len(downstream):
            raise InvalidArgument(
                f"chain() cannot pair lists of {len(upstream)} and {len(downstream)} tasks",
                place=relative_place(calling_place()),
                hint="use cross_downstream() or chain_linear() to connect all with all",
            )
        for one, other in zip(upstream, downstream, strict=True):
            connect(one, other)


def chain_linear(*steps: Any) -> None:
    """Connect all of each step to all of the next.

    Args:
        steps: Tasks, groups, results, labels, or lists of them; empty lists are passed over.

    Example:
        ``chain_linear(a, [b, c], [d, e])`` makes six edges.
    """
    filled = [step for step in steps if not (isinstance(step, list | tuple) and not step)]
    for upstream, downstream in itertools.pairwise(filled):
        connect(upstream, downstream)


def cross_downstream(from_tasks: Any, to_tasks: Any) -> None:
    """Let all of ``to_tasks`` wait for all of ``from_tasks``.

    Args:
        from_tasks: A list of tasks, groups or results.
        to_tasks: The same.
    """
    connect(from_tasks, to_tasks)


def nodes_of(value: Any) -> Sequence[Node]:
    """Return the tasks and groups that a value stands for in an edge.

    Raises:
        InvalidArgument: If it stands for none.
    """
    if isinstance(value, Wirable):
        return value.nodes()
    return list(_flatten(value))


def _flatten(value: Any) -> Iterator[Node]:
    if isinstance(value, Wirable):
        yield from value.nodes()
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _flatten(item)
    else:
        raise InvalidArgument(
            f"edges connect tasks and groups, not {_named(value)}",
            place=relative_place(calling_place()),
            hint=call_hint(value),
        )


def call_hint(value: Any) -> str:
    """Return the advice to call what is a function, or nothing."""
    return f"call it: {value.__name__}()" if _is_function(value) else ""


def _is_function(value: Any) -> bool:
    return callable(value) and hasattr(value, "__name__") and not isinstance(value, type)


def _named(value: Any) -> str:
    if _is_function(value):
        return f"the function {value.__name__!r}"
    return f"{type(value).__name__} {value!r}"


def _connect_all(upstream: Sequence[Node], downstream: Sequence[Node], label: str) -> None:
    for one in upstream:
        for other in downstream:
            _graph_of(one, other).connect(one, other, label)


def _graph_of(one: Node, other: Node) -> Graph:
    """Return the flow of both; a node without one joins that of the other."""
    if one.graph is other.graph and one.graph is not None:
        return one.graph
    if one.graph is None and other.graph is not None:
        other.graph.adopt(one)
        return other.graph
    if other.graph is None and one.graph is not None:
        one.graph.adopt(other)
        return one.graph
    place = relative_place(calling_place())
    if one.graph is None or other.graph is None:
        message = f"neither {one.node_id!r} nor {other.node_id!r} belongs to a flow"
        raise InvalidArgument(message, place=place, hint="make them inside `with DAG(...):`")
    message = (
        f"{one.node_id!r} belongs to flow {one.graph.name!r}, "
        f"but {other.node_id!r} to flow {other.graph.name!r}"
    )
    raise InvalidArgument(message, place=place, hint="an edge stays inside one flow")

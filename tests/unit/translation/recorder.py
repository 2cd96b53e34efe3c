"""This module stands for Airflow: it executes a DAG file and notes tasks, groups and edges.

It knows only what all operators have in common; `make test-foreign` asks Airflow itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self


class Recorded:
    """What one DAG file declares."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, str] = {}
        self.edges: set[tuple[str, str]] = set()


class _Node:
    """A task, a result of it, or a label between two."""

    def __init__(self, recorded: Recorded, task_id: str = "") -> None:
        self._recorded = recorded
        self.task_id = task_id
        self._behind: list[str] = []

    @property
    def output(self) -> "_Node":
        return self

    def __getitem__(self, key: object) -> "_Node":
        return self

    def map(self, function: object) -> "_Node":
        return self

    def zip(self, *others: object) -> "_Node":
        return self

    def concat(self, *others: object) -> "_Node":
        return self

    def as_setup(self) -> "_Node":
        return self

    def as_teardown(self, **options: object) -> "_Node":
        return self

    def __rshift__(self, other: Any) -> Any:
        for each in other if isinstance(other, list) else [other]:
            self._connect(each)
        return other

    def __rrshift__(self, others: list["_Node"]) -> "_Node":
        for each in others:
            each._connect(self)
        return self

    def _connect(self, other: "_Node") -> None:
        if not other.task_id:
            other._behind.append(self.task_id)
        elif not self.task_id:
            self._recorded.edges.update((name, other.task_id) for name in self._behind)
        else:
            self._recorded.edges.add((self.task_id, other.task_id))


class _Group:
    def __init__(self, group_id: str, **options: Any) -> None:
        parent = options.get("parent_group")
        prefix = parent.prefix if parent else ""
        self.group_id = f"{prefix}{group_id}"
        is_prefix = options.get("prefix_group_id", True)
        self.prefix = f"{self.group_id}." if is_prefix else ""


class _Maker:
    """Stand for whatever a DAG file calls: operators, decorators, timetables."""

    def __init__(self, recorded: Recorded, fixed: dict[str, Any] | None = None) -> None:
        self._recorded = recorded
        self._fixed = fixed or {}

    def __getattr__(self, name: str) -> "_Maker":
        return self

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        given = {**self._fixed, **arguments}
        return self._task(given) if "task_id" in given else _Maker(self._recorded)

    def partial(self, **arguments: Any) -> "_Maker":
        return _Maker(self._recorded, {**self._fixed, **arguments})

    def expand(self, **arguments: Any) -> _Node:
        return self._task({**self._fixed, **arguments})

    def expand_kwargs(self, arguments: Any) -> _Node:
        return self._task({**self._fixed, "kwargs": arguments})

    def _task(self, given: dict[str, Any]) -> _Node:
        group = given.get("task_group")
        task_id = f"{group.prefix if group else ''}{given['task_id']}"
        self._recorded.tasks[task_id] = given
        if group:
            self._recorded.groups[task_id] = group.group_id
        for node in _nodes_in(list(given.values())):
            self._recorded.edges.add((node.task_id, task_id))
        return _Node(self._recorded, task_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


class _Decorator:
    """Stand for ``@task`` and those behind its dots."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def __getattr__(self, name: str) -> "_Decorator":
        return self

    def __call__(self, **options: Any) -> Any:
        return lambda function: _Maker(self._recorded, {**options, "function": function})


def _nodes_in(value: Any) -> Iterator[_Node]:
    if isinstance(value, _Node):
        yield value
    elif isinstance(value, dict):
        yield from _nodes_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _nodes_in(each)


class _Module(ModuleType):
    def __init__(self, name: str, recorded: Recorded) -> None:
        super().__init__(name)
        self.__path__ = []
        self._recorded = recorded

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "TaskGroup":
            return _Group
        if name == "task":
            return _Decorator(self._recorded)
        if name == "Label":
            return lambda _: _Node(self._recorded)
        if name.endswith("Exception"):
            return type(name, (Exception,), {})
        return _Maker(self._recorded)


def executed(text: str) -> Recorded:
    """Execute the text of a DAG file, and return what it declares."""
    recorded = Recorded()
    with _airflow(recorded):
        exec(compile(text, "dag.py", "exec"), {"__name__": "dag"})
    return recorded


@contextmanager
def _airflow(recorded: Recorded) -> Iterator[None]:
    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> Any:
            from importlib.machinery import ModuleSpec

            if name.partition(".")[0] in ("airflow", "pendulum"):
                return ModuleSpec(name, Finder, is_package=True)  # type: ignore[arg-type]  # enough
            return None

        @staticmethod
        def create_module(spec: Any) -> ModuleType:
            return _Module(spec.name, recorded)

        @staticmethod
        def exec_module(module: ModuleType) -> None:
            pass

    before = set(sys.modules)
    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("airflow", "pendulum"):
                del sys.modules[name]

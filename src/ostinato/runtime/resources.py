"""This module opens a flow's resources in the process that needs them."""

import atexit
from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.authoring.ports import BuiltFlow, Resource


class OpenResources(Mapping[str, Any]):
    """Resources by name, each opened when it is first asked for.

    Args:
        declared: As the flow or a test gave them.
    """

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._declared = declared
        self._open: dict[str, Any] = {}
        self._to_close: list[Resource] = []

    def __getitem__(self, name: str) -> Any:
        if name not in self._open:
            declared = self._declared[name]
            if isinstance(declared, Resource):
                self._open[name] = declared.open()
                self._to_close.append(declared)
            else:
                self._open[name] = declared
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    def close(self) -> None:
        """Close what was opened, the last one first."""
        while self._to_close:
            self._to_close.pop().close()
        self._open.clear()


class ResourceShelf:
    """The resources of all flows that this process executes.

    Args:
        replaced: Objects that replace the flows' own, by name.
    """

    def __init__(self, replaced: Mapping[str, Any]) -> None:
        self._replaced = replaced
        self._flows: dict[str, OpenResources] = {}
        atexit.register(self.close)

    def of(self, dag: BuiltFlow) -> OpenResources:
        """Return the resources of a flow."""
        known = self._flows.get(dag.name)
        if known is None:
            declared = {**dag.resources, **self._replaced}
            known = self._flows[dag.name] = OpenResources(declared)
        return known

    def close(self) -> None:
        """Close everything that was opened."""
        atexit.unregister(self.close)
        for resources in self._flows.values():
            resources.close()
        self._flows.clear()

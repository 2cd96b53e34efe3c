"""This module opens a flow's resources in the process that needs them."""

import atexit
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.authoring.ports import BuiltFlow, Resource

logger = logging.getLogger(__name__)


class OpenResources(Mapping[str, Any]):
    """Resources by name, each opened when it is first asked for.

    Args:
        declared: As the flow or a test gave them.
    """

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._declared = declared
        self._open: dict[str, Any] = {}
        self._to_close: list[tuple[str, Resource]] = []
        # Attempts may execute in several threads; one resource may ask for another.
        self._lock = threading.RLock()

    @property
    def has_open(self) -> bool:
        """Whether there is something to close."""
        return bool(self._to_close)

    def __getitem__(self, name: str) -> Any:
        with self._lock:
            if name not in self._open:
                declared = self._declared[name]
                if isinstance(declared, Resource):
                    self._open[name] = declared.open()
                    self._to_close.append((name, declared))
                else:
                    self._open[name] = declared
            return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    def close(self) -> None:
        """Close what was opened, the last one first; one that raises is logged."""
        while self._to_close:
            name, resource = self._to_close.pop()
            try:
                resource.close()
            except Exception:
                # Users' code; the others must be closed all the same.
                logger.exception("resource %s: close() raised", name)
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
            # Of two threads the first one's is kept.
            known = self._flows.setdefault(dag.name, OpenResources(declared))
        return known

    @property
    def has_open(self) -> bool:
        """Whether a resource is open."""
        return bool(self._flows) and any(resources.has_open for resources in self._flows.values())

    def close(self) -> None:
        """Close everything that was opened."""
        atexit.unregister(self.close)
        for resources in self._flows.values():
            resources.close()
        self._flows.clear()

"""This module decides what calling a flow or a task means at this moment.

A context variable holds the session: the graph builder while a ``@dag`` body runs, the
loader while a file is read for its definitions, the local session otherwise. The facade
sets how the local session is made, so that authoring does not know the engine.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.authoring.ports import RunHandle

if TYPE_CHECKING:
    from ostinato.authoring.dag import DAG


class LocalSession(Protocol):
    """Run flows here and now, recorded in the project's store."""

    def run(
        self,
        dag: "DAG",
        *,
        params: Mapping[str, Any],
        date: datetime | str | None,
        executor: str,
        resources: Mapping[str, Any],
        select: str,
    ) -> RunHandle:
        """Run a flow to its end."""
        ...


class Registry(Protocol):
    """Take the flows that a file declares while it is loaded."""

    def register(self, dag: "DAG") -> None:
        """Keep a flow under its name."""
        ...


#: Where flows that are built announce themselves; None outside of loading.
registry: ContextVar[Registry | None] = ContextVar("ostinato_registry", default=None)

_make_local_session: Callable[[], LocalSession] | None = None


def set_local_session(factory: Callable[[], LocalSession]) -> None:
    """Say how a run here and now is made; called once by the facade."""
    global _make_local_session  # noqa: PLW0603 - the one hook that lets authoring not know the engine
    _make_local_session = factory


def local_session() -> LocalSession:
    """Return a session that runs flows here and now."""
    if _make_local_session is None:
        message = "import the ostinato package before running a flow"
        raise RuntimeError(message)
    return _make_local_session()

"""This module decides what calling a flow or a task means at this moment.

Context variables hold the loader while a file is read for its definitions. The facade sets
how the local session is made, so that authoring does not know the engine.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # `import ostinato` loads this module and must stay fast
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ostinato.authoring.ports import BuiltFlow, BuiltSensor, Context, RunHandle
    from ostinato.authoring.steps import StepFlow


class LocalSession(Protocol):
    """Run flows here and now, recorded in the project's store."""

    def run(
        self,
        dag: BuiltFlow,
        *,
        params: Mapping[str, Any],
        date: datetime | str | None,
        executor: str,
        resources: Mapping[str, Any],
        select: str,
    ) -> RunHandle:
        """Run a flow to its end."""
        ...

    def call(self, flow: StepFlow, arguments: Mapping[str, Any]) -> Any:
        """Run a flow that is a function, and return or raise what the function does."""
        ...

    def start(
        self,
        flow: BuiltFlow | str,
        *,
        params: Mapping[str, Any],
        date: datetime | str | None,
        key: str,
    ) -> RunHandle:
        """Ask for a run of a flow, which waits for who serves it."""
        ...

    def answer(self, run: str, answer: Any, *, by: str) -> None:
        """Answer a run that waits for a person."""
        ...

    def serve(
        self,
        flow: StepFlow,
        *,
        params: Mapping[str, Any],
        runs: int | None,
        tags: tuple[str, ...],
    ) -> None:
        """Run a flow at each moment of its schedule, until it is interrupted."""
        ...


class Registry(Protocol):
    """Take what a file declares while it is loaded."""

    def register(self, dag: BuiltFlow) -> None:
        """Keep a flow under its name."""
        ...

    def register_sensor(self, sensor: BuiltSensor) -> None:
        """Keep a sensor under its name."""
        ...


#: Where flows that are built announce themselves; None outside of loading.
registry: ContextVar[Registry | None] = ContextVar("ostinato_registry", default=None)

#: Folder that files in definitions are named relative to; empty for the working directory.
source_root: ContextVar[str] = ContextVar("ostinato_source_root", default="")

#: Policies that the project's settings give to all tasks; None where no project was looked for.
defaults: ContextVar[Mapping[str, Any] | None] = ContextVar("ostinato_defaults", default=None)

#: Types of the project's connections by id, as far as its settings and the environment tell.
connection_types: ContextVar[Mapping[str, str] | None] = ContextVar(
    "ostinato_connection_types", default=None
)

_find_defaults: Callable[[str], Mapping[str, Any]] | None = None


def set_defaults_finder(finder: Callable[[str], Mapping[str, Any]]) -> None:
    """Say how the policies of the project around a folder are found; called once by the facade."""
    global _find_defaults  # noqa: PLW0603 - the hook that lets authoring not know the project
    _find_defaults = finder


def defaults_for(file: str) -> Mapping[str, Any]:
    """Return the policies that the project's settings give to all tasks of a file.

    Args:
        file: Where a flow is declared, as the interpreter names it.

    Raises:
        SettingsError: The settings of its project are wrong.
    """
    known = defaults.get()
    if known is not None:
        return known
    return {} if _find_defaults is None else _find_defaults(file)


_find_context: Callable[[], Context | None] | None = None


def set_context_finder(finder: Callable[[], Context | None]) -> None:
    """Say how the context of what executes is found; called once by what executes it."""
    global _find_context  # noqa: PLW0603 - the hook that lets authoring not know the runtime
    _find_context = finder


def running_context() -> Context | None:
    """Return the context of the task that executes here, None if none does."""
    return None if _find_context is None else _find_context()


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

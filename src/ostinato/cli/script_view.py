"""This module shows the flows that a script calls, where the script has a terminal."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from ostinato.cli.display import between, icon
from ostinato.cli.opening import client_of, title_of
from ostinato.cli.progress.follower import Follower
from ostinato.cli.progress.tally import Tally
from ostinato.clock import SystemClock
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import TaskRunKey
from ostinato.model.log import LogRecord
from ostinato.project.discovery import Project
from ostinato.store.protocol import Store
from ostinato.store.records import RunRow

if TYPE_CHECKING:
    from rich.console import Console

    from ostinato.cli.progress.live import LiveView
    from ostinato.engine.events import Event

#: Seconds after which a flow is shown; of a shorter one, its end is said.
DELAY_S = 0.3

#: There is one terminal: of flows that run at the same time, the first one is shown.
_terminal = threading.Lock()


@contextmanager
def shown(store: Store, project: Project, row: RunRow, flow: FlowDefinition) -> Iterator[None]:
    """Show a run on the terminal while the block executes.

    Args:
        store: Where it is recorded.
        project: Whose run it is.
        row: The run.
        flow: Its definition.
    """
    if not _terminal.acquire(blocking=False):
        yield
        return
    tally = Tally(flow)
    view = _ScriptView(row, flow, tally)
    client = client_of(project, store)
    follower = Follower(client, row.id, flow, tally=tally, view=view, is_fresh=True)
    follower.start()
    try:
        yield
    finally:
        follower.stop()
        _terminal.release()
        ended = store.run(row.id)
        if ended is not None and not view.was_drawn and ended.state.is_terminal:
            took = between(ended.started_us, ended.ended_us)
            line = f"{icon(ended.state)} {title_of(ended)} {ended.state.label} in {took}"
            print(line, file=sys.stderr)


class _ScriptView:
    """Draw a picture once the run has lasted a while, below what the script prints itself.

    Args:
        row: The run.
        flow: Its definition.
        tally: Sums it up.
    """

    def __init__(self, row: RunRow, flow: FlowDefinition, tally: Tally) -> None:
        self._row = row
        self._flow = flow
        self._tally = tally
        self._began_us = SystemClock().now_us()
        self._live: LiveView | None = None
        self._streams: list[tuple[Any, TextIO]] = []
        self._is_closed = False
        #: The picture is drawn by one thread and given up by another.
        self._lock = threading.RLock()
        self._loading: threading.Thread | None = None
        self.was_drawn = False

    def event(self, event: "Event") -> None:
        """Keep what went wrong."""
        if self._live is not None:
            self._live.event(event)

    def log_line(self, key: TaskRunKey, record: LogRecord) -> None:
        """Keep nothing: what tasks print stands above the picture."""

    def refresh(self, now_us: int) -> None:
        """Draw what has come since the last time."""
        with self._lock:
            if self._is_closed:
                return
            if self._live is None and now_us - self._began_us > DELAY_S * 1e6:
                self._open_when_loaded()
            if self._live is not None:
                self._live.refresh(now_us)

    def close(self) -> None:
        """Draw the end, and give the terminal back."""
        self._end(is_left_standing=True)

    def _give_up(self) -> None:
        """Take the picture away: somebody asks something on the terminal."""
        self._end(is_left_standing=False)
        self.was_drawn = False

    def _end(self, *, is_left_standing: bool) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._live is not None:
                self._live.close(is_left_standing=is_left_standing)
            for holder, original in self._streams:
                holder.original = original
            if isinstance(sys.stdin, _Input):
                sys.stdin = sys.stdin.original

    def _open_when_loaded(self) -> None:
        # Rich takes 60 ms to import: only where somebody looks, and beside the looks, of which
        # a long one makes the next one late.
        if self._loading is None:
            self._loading = threading.Thread(target=_load_rich, daemon=True)
            self._loading.start()
        elif not self._loading.is_alive():
            self._open()

    def _open(self) -> None:
        from rich.console import Console

        from ostinato.cli.progress.live import LiveView

        out = getattr(sys.stdout, "original", sys.stdout)
        console = Console(file=out)
        name = f"{self._row.flow}#{self._row.number}"
        self._live = LiveView(
            title_of(self._row),
            self._flow,
            self._tally,
            started_us=self._row.created_us,
            console=console,
            name=name,
            is_redirecting=False,
        )
        self.was_drawn = True
        self._print_above(console)
        # Who asks something on the terminal shall not write into a picture.
        sys.stdin = _Input(sys.stdin, self._give_up)

    def _print_above(self, console: "Console") -> None:
        """Have what the script prints appear above the picture."""
        from rich.file_proxy import FileProxy

        for stream in (sys.stdout, sys.stderr):
            original = getattr(stream, "original", None)
            if original is not None and original.isatty():
                holder: Any = stream
                holder.original = FileProxy(console, original)
                self._streams.append((stream, original))


def _load_rich() -> None:
    importlib.import_module("ostinato.cli.progress.live")
    importlib.import_module("rich.file_proxy")


class _Input:
    """Standard input that says when somebody reads it, such as a debugger.

    Args:
        original: Is read.
        tell: Called before each reading.
    """

    def __init__(self, original: TextIO, tell: Any) -> None:
        self.original = original
        self._tell = tell

    def readline(self, *size: int) -> str:
        """Read a line."""
        self._tell()
        return self.original.readline(*size)

    def read(self, *size: int) -> str:
        """Read some text."""
        self._tell()
        return self.original.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def is_terminal() -> bool:
    """Whether standard output of the script can show what changes in place."""
    stream = getattr(sys.stdout, "original", sys.stdout)
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")

"""This module is what ``ostinato dev`` prints: a line for each run, and what is wrong with code."""

import threading
from collections import deque
from collections.abc import Iterable

import click

from ostinato.cli.display import between, clock, colour, counted, icon
from ostinato.cli.opening import name_of, title_of
from ostinato.coordinator.run_news import RunNews
from ostinato.executors.served_code import CodeChange, ServedCode
from ostinato.model.health import PartHealth
from ostinato.model.manifest import DefinitionProblem

#: Seconds between two times that news are printed.
PAUSE_S = 0.2

#: Lines of runs at a time; of more, nobody could read them.
MAX_LINES = 30

#: Problems that are printed of one load.
MAX_PROBLEMS = 10

#: Names of flows in a line.
_MAX_NAMES = 5


class DevView:
    """Print a line when a run starts or ends, and when code changes; attends to other parts."""

    name = "view"

    def __init__(self) -> None:
        self._news: deque[RunNews] = deque()
        self._ring = threading.Event()
        self._stopped = threading.Event()
        self._problems: tuple[DefinitionProblem, ...] = ()
        self._has_reader = True

    # A part that attends to the others

    def serve(self) -> None:
        """Print what happens until stopped."""
        while not self._stopped.is_set():
            # No pause that ends by itself: nobody looks while nothing happens.
            self._ring.wait()
            self._ring.clear()
            self._show()
            self._stopped.wait(PAUSE_S)
        self._show()

    def drain(self) -> None:
        """Go on: what is drained is printed."""

    def stop(self) -> None:
        """Print what is left, and end."""
        self._stopped.set()
        self._ring.set()

    def health(self) -> PartHealth:
        """Return that it is well."""
        return PartHealth()

    # The beginning and the end

    def begin(self, project: str, url: str, code: ServedCode) -> None:
        """Print what is served, and where to look."""
        scheduled = sum(1 for flow in code.flows.values() if flow.definition.schedule)
        known = counted(len(code.flows), "flow")
        if scheduled:
            known += f", {scheduled} with a schedule"
        if code.sensors:
            known += f", {counted(len(code.sensors), 'sensor')}"
        self._say(f"{click.style(project, bold=True)}: {known}, followed as files change")
        self._say(f"{url}   ostinato trigger FLOW starts a run   Ctrl-C ends")

    def ending(self) -> None:
        """Say that what runs gets to finish."""
        self._say("what runs gets to finish; Ctrl-C again ends at once")

    # Runs

    def tell(self, news: RunNews) -> None:
        """Take what has become of a run; safe in all threads, and costs next to nothing."""
        self._news.append(news)
        if not self._ring.is_set():
            self._ring.set()

    def _show(self) -> None:
        news = [self._news.popleft() for _ in range(len(self._news))]
        for each in news[:MAX_LINES]:
            self._say(_line(each))
        if len(news) > MAX_LINES:
            ended = sum(1 for each in news[MAX_LINES:] if each.state.is_terminal)
            self._say(f"{' ' * 8} … and {ended} more that ended (ostinato runs)")

    # Code

    def problems(self, found: Iterable[DefinitionProblem]) -> None:
        """Print what is wrong with the code, where it is not what was printed before."""
        problems = tuple(found)
        new = [problem for problem in problems if problem not in self._problems]
        if self._problems and not problems:
            self._say(click.style("all files are sound again", fg="green"))
        self._problems = problems
        for problem in new[:MAX_PROBLEMS]:
            kind, color = ("error", "red") if problem.is_error else ("warning", "yellow")
            self._say(f"{click.style(kind, fg=color)}: {problem}")
        if len(new) > MAX_PROBLEMS:
            self._say(f"… and {counted(len(new) - MAX_PROBLEMS, 'problem')} more (ostinato check)")

    def change(
        self, change: CodeChange, now_us: int, problems: Iterable[DefinitionProblem]
    ) -> None:
        """Print what a load has changed, and what is wrong since."""
        told = [
            f"{word} {_names(names)}"
            for word, names in (
                ("new", change.added),
                ("gone", change.removed),
                ("as before, being broken:", change.kept),
            )
            if names
        ]
        if change.version and (told or change.changed):
            reloaded = "the code has changed" + (f": {'; '.join(told)}" if told else "")
            self._say(f"{clock(now_us)} ↻ {reloaded}")
        elif not change.version and change.kept:
            self._say(f"{clock(now_us)} ↻ the code cannot be loaded; all stays as before")
        self.problems(problems)

    def _say(self, line: str) -> None:
        if not self._has_reader:
            return
        try:
            click.echo(line)
        except OSError:
            # Whoever read it has ended; the service goes on.
            self._has_reader = False


def _line(news: RunNews) -> str:
    at = clock(news.at_us)
    title = title_of(news.row)
    if not news.state.is_terminal:
        begun = "goes on" if news.started_us else f"started ({news.row.trigger})"
        return f"{at} {icon(news.state)} {title} {begun}"
    told = click.style(f"{icon(news.state)} {title} {news.state.label}", fg=colour(news.state))
    taken = between(news.started_us, news.at_us)
    # One that was cancelled while it waited never started.
    taken = f" in {taken}" if taken else ""
    reason = f": {news.reason}  (ostinato show {name_of(news.row)})" if news.reason else ""
    return f"{at} {told}{taken}{reason}"


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown

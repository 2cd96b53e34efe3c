"""This module shows a run as a picture that changes in place, on a terminal."""

from collections import deque

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ostinato.cli.display import clock, colour, counted, duration, error_block, icon
from ostinato.cli.progress.lines import OWN_SOURCE
from ostinato.cli.progress.tally import StepTally, Tally, TaskTally
from ostinato.client.answers import answer_command
from ostinato.engine import events as ev
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import TaskRunKey
from ostinato.model.log import LogRecord
from ostinato.model.state import RunState, TaskRunState
from ostinato.model.step import BODY

#: Lines of the tasks' output that stay in sight.
LOG_LINES = 6

#: Failures that stay in sight.
MAX_FAILURES = 3

#: Questions to people that stay in sight.
MAX_QUESTIONS = 3

#: Rows that are kept free: the header, what is left out, and the prompt.
_OTHER_ROWS = 4

#: Rows of a picture that is too long, once the run is over and it scrolls away.
_FINAL_ROWS = 60

_BAR_CELLS = 16
_ACTIVE = frozenset(
    {
        TaskRunState.QUEUED,
        TaskRunState.RUNNING,
        TaskRunState.RETRYING,
        TaskRunState.DEFERRED,
        TaskRunState.FAILED,
    }
)


class LiveView:
    """Draw the tree of tasks, what failed, and the last lines of output; see ``View``.

    Args:
        title: Of the run, such as ``etl#17``.
        flow: What runs.
        tally: Sums the run up; is told of each event first.
        started_us: When the run, or this part of it, began.
        console: The terminal.
        name: Of the run, as commands take it.
        is_redirecting: Whether what this process prints appears above the picture.
    """

    def __init__(
        self,
        title: str,
        flow: FlowDefinition,
        tally: Tally,
        *,
        started_us: int,
        console: Console | None = None,
        name: str = "",
        is_redirecting: bool = True,
    ) -> None:
        self._title = title
        self._name = name or title
        self._rows = _rows_of(flow)
        self._is_function = any(task.id == BODY for task in flow.tasks)
        self._tally = tally
        self._started_us = started_us
        self._ended_us = 0
        self._now_us = started_us
        self._output: deque[tuple[TaskRunKey, LogRecord]] = deque(maxlen=LOG_LINES)
        self._failures: dict[TaskRunKey, Failure] = {}
        self._console = console or Console()
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=is_redirecting,
            redirect_stderr=is_redirecting,
        )
        self._live.start()

    def event(self, event: ev.Event) -> None:
        """Keep what went wrong."""
        match event:
            case ev.AttemptFailed() if event.failure.kind is not FailureKind.CANCELLED:
                self._failures[TaskRunKey(event.task_id, event.path)] = event.failure
            case ev.AttemptSucceeded() if self._failures:
                # A failure stays in sight until it is healed.
                self._failures.pop(TaskRunKey(event.task_id, event.path), None)
            case ev.RunEnded():
                self._ended_us = event.at_us
            case _:
                return

    def log_line(self, key: TaskRunKey, record: LogRecord) -> None:
        """Keep one of the last lines of output."""
        # A failure stands above the output already.
        if record.source != OWN_SOURCE:
            self._output.append((key, record))

    def refresh(self, now_us: int) -> None:
        """Draw what has come since the last time."""
        self._now_us = now_us
        self._live.update(self.picture(now_us, self._console.height), refresh=True)

    def close(self, *, is_left_standing: bool = True) -> None:
        """Draw the end, and leave it standing.

        Args:
            is_left_standing: Whether it is; else the picture is taken away.
        """
        self._live.transient = not is_left_standing
        picture = self.picture(self._ended_us or self._now_us, _FINAL_ROWS)
        self._live.vertical_overflow = "visible"
        self._live.update(picture, refresh=True)
        self._live.stop()

    def picture(self, now_us: int, height: int) -> Text:
        """Return what is to be seen at a moment, on so many lines."""
        failures = [*self._question_lines(), *self._failure_lines()]
        output = self._output_lines()
        room = max(height - _OTHER_ROWS - len(failures) - len(output), 5)
        tasks = [*self._task_lines(now_us, room), *self._step_lines(now_us, room - 1)]
        lines = [self._header(now_us), *tasks, *failures, *output]
        return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)

    def _header(self, now_us: int) -> Text:
        state = self._tally.state
        line = Text()
        line.append(f"{icon(state)} ", style=colour(state))
        line.append(self._title, style="bold")
        line.append(f"  {state.label}  {duration((now_us - self._started_us) / 1e6)}")
        steps = sum(step.done for step in self._tally.steps.values())
        count = f"{self._tally.done} of {self._tally.total}"
        if self._is_function:
            count = counted(steps, "step")
        line.append(f"  {count}", style="bright_black")
        if state is RunState.CANCELLING:
            line.append("  Ctrl-C again leaves at once", style="yellow")
        return line

    def _task_lines(self, now_us: int, room: int) -> list[Text]:
        shown = self._rows
        hidden = 0
        if len(shown) > room:
            tallies = self._tally.tasks
            wanted = [row for row in shown if row.task_id and tallies[row.task_id].state in _ACTIVE]
            kept = {row.task_id for row in wanted[: room - 1]}
            for row in reversed(shown):
                # Fill up with what ended last in the order of the definition.
                if len(kept) >= room - 1:
                    break
                if row.task_id and tallies[row.task_id].done:
                    kept.add(row.task_id)
            hidden = sum(1 for row in shown if row.task_id and row.task_id not in kept)
            shown = [row for row in shown if row.task_id in kept]
        lines = [self._task_line(row, now_us) for row in shown]
        if hidden:
            lines.append(Text(f"  … {hidden} more tasks", style="bright_black"))
        return lines

    def _task_line(self, row: "_Row", now_us: int) -> Text:
        if not row.task_id:
            return Text(f"{row.indent}{row.label}/", style="bright_black")
        task = self._tally.tasks[row.task_id]
        state = task.state
        line = Text(row.indent)
        line.append(f"{icon(state)} ", style=colour(state))
        line.append(row.label.ljust(row.width))
        if row.is_many:
            line.append_text(_bar(task))
        elif state.is_terminal and state is not TaskRunState.SUCCEEDED:
            line.append(f"  {state.label}", style=colour(state))
        elif state is TaskRunState.DEFERRED and task.waits_for:
            line.append(f"  waits for {task.waits_for}", style=colour(state))
        if task.cached:
            line.append(
                f"  {task.cached} cached" if row.is_many else "  cached", style="bright_black"
            )
        if task.started_us:
            end_us = task.ended_us if task.is_settled else now_us
            line.append(f"  {duration((end_us - task.started_us) / 1e6)}", style="bright_black")
        if task.retries:
            line.append(f"  ↻ {task.retries}", style="yellow")
        return line

    def _step_lines(self, now_us: int, room: int) -> list[Text]:
        """Return a line for each task whose steps came last, in the order of their first ones."""
        steps = self._tally.steps
        wanted = sorted(steps, key=lambda task_id: steps[task_id].heard)[-room:]
        kept = set(wanted)
        lines = [_step_line(name, step, now_us) for name, step in steps.items() if name in kept]
        if len(steps) > len(kept):
            lines.append(Text(f"    … {len(steps) - len(kept)} more tasks", style="bright_black"))
        return lines

    def _question_lines(self) -> list[Text]:
        lines = []
        for key, request in list(self._tally.asked.items())[:MAX_QUESTIONS]:
            lines.append(Text(f"{icon(TaskRunState.DEFERRED)} {request.title}", style="yellow"))
            lines.append(Text(f"  {answer_command(self._name, str(key), request)}"))
        return lines

    def _failure_lines(self) -> list[Text]:
        lines = []
        for key, failure in list(self._failures.items())[-MAX_FAILURES:]:
            first, *rest = error_block(failure)
            lines.append(Text(f"{icon(TaskRunState.FAILED)} {key}: {first}", style="red"))
            lines.extend(Text(f"  {line}") for line in rest)
        if len(self._failures) > MAX_FAILURES:
            more = len(self._failures) - MAX_FAILURES
            lines.append(Text(f"  … and {more} other failures", style="red"))
        return lines

    def _output_lines(self) -> list[Text]:
        return [
            Text(f"{clock(record.at_us)} {key} | {record.message}", style="bright_black")
            for key, record in self._output
        ]


class _Row:
    """A line of the tree: a task, or a group where ``task_id`` is empty."""

    __slots__ = ("indent", "is_many", "label", "task_id", "width")

    def __init__(self, task_id: str, label: str, indent: str, *, is_many: bool) -> None:
        self.task_id = task_id
        self.label = label
        self.indent = indent
        self.is_many = is_many
        self.width = 0


def _rows_of(flow: FlowDefinition) -> list[_Row]:
    """Return the tree of a flow, line by line: tasks under their groups, groups last."""
    tasks: dict[str, list[str]] = {}
    many: set[str] = set()
    is_mapped = {"": False}
    for group in flow.groups:
        is_mapped[group.id] = is_mapped[group.parent] or group.expansion is not None
    for task in flow.tasks:
        tasks.setdefault(task.group, []).append(task.id)
        if task.expansion is not None or is_mapped[task.group]:
            many.add(task.id)
    rows: list[_Row] = []

    def add(group: str, depth: int) -> None:
        indent = "  " * depth
        for task_id in tasks.get(group, ()):
            label = task_id.removeprefix(f"{group}.") if group else task_id
            rows.append(_Row(task_id, label, indent, is_many=task_id in many))
        for inner in flow.groups:
            if inner.parent == group:
                label = inner.id.removeprefix(f"{group}.") if group else inner.id
                rows.append(_Row("", label, indent, is_many=False))
                add(inner.id, depth + 1)

    add("", 1)
    widest = max((len(row.indent) + len(row.label) for row in rows), default=0)
    for row in rows:
        row.width = min(widest, 40) - len(row.indent)
    return rows


def _step_line(task_id: str, step: StepTally, now_us: int) -> Text:
    state = step.state
    line = Text("    ")
    line.append(f"{icon(state)} ", style=colour(state))
    total = step.done + len(step.under_way)
    line.append(task_id if total > 1 else str(TaskRunKey(task_id, step.last)))
    if total > 1:
        line.append(f"  {total}")
    failed = step.counts.get(TaskRunState.FAILED, 0)
    if failed and total > 1:
        line.append(f"  {icon(TaskRunState.FAILED)} {failed}", style="red")
    if step.under_way:
        lasts = duration((now_us - min(step.under_way.values())) / 1e6)
        count = f"{len(step.under_way)} running " if total > 1 else ""
        line.append(f"  {count}{lasts}", style=colour(TaskRunState.RUNNING))
    if step.cached:
        line.append("  cached" if total == 1 else f"  {step.cached} cached", style="bright_black")
    if step.took_us and not (step.under_way and total == 1):
        last = "" if total == 1 else f"last {TaskRunKey('', step.last)} "
        line.append(f"  {last}{duration(step.took_us / 1e6)}", style="bright_black")
    return line


def _bar(task: TaskTally) -> Text:
    """Return how far a mapped task is: a bar, its counts, and what failed."""
    if task.total is None:
        return Text("")
    cells = _BAR_CELLS * task.done // task.total if task.total else _BAR_CELLS
    bar = Text("  ")
    bar.append("━" * cells, style=colour(task.state))
    bar.append("━" * (_BAR_CELLS - cells), style="grey30")
    bar.append(f" {task.done}/{task.total}")
    failed = task.count(TaskRunState.FAILED)
    if failed:
        bar.append(f"  {icon(TaskRunState.FAILED)} {failed}", style="red")
    return bar

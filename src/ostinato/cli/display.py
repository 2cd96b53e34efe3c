"""This module writes states, times and failures as people read them in a terminal."""

import os
from datetime import UTC, datetime

from ostinato.model.failure import Failure
from ostinato.model.state import RunState, TaskRunState

#: Icon and colour of each state, the same as in the web pages.
_TASK_RUN_STATES: dict[TaskRunState, tuple[str, str]] = {
    TaskRunState.PENDING: ("·", "bright_black"),
    TaskRunState.QUEUED: ("◌", "bright_black"),
    TaskRunState.RUNNING: ("◐", "blue"),
    TaskRunState.RETRYING: ("↻", "yellow"),
    TaskRunState.DEFERRED: ("◷", "bright_black"),
    TaskRunState.SUCCEEDED: ("✔", "green"),
    TaskRunState.FAILED: ("✖", "red"),
    TaskRunState.SKIPPED: ("⤼", "bright_black"),
    TaskRunState.UPSTREAM_FAILED: ("⊘", "red"),
    TaskRunState.CANCELLED: ("⊗", "bright_black"),
    TaskRunState.REMOVED: ("·", "bright_black"),
}
_RUN_STATES: dict[RunState, tuple[str, str]] = {
    RunState.QUEUED: ("◌", "bright_black"),
    RunState.RUNNING: ("◐", "blue"),
    RunState.PAUSED: ("◷", "bright_black"),
    RunState.CANCELLING: ("⊗", "yellow"),
    RunState.SUCCEEDED: ("✔", "green"),
    RunState.FAILED: ("✖", "red"),
    RunState.CANCELLED: ("⊗", "bright_black"),
}

#: Begins the names of modules that nobody wrote; see ``project.loading``.
_PRIVATE_MODULE = "_ostinato_"

State = RunState | TaskRunState


def icon(state: State) -> str:
    """Return the sign of a state."""
    return _look(state)[0]


def colour(state: State) -> str:
    """Return the colour of a state, as click and Rich name it."""
    return _look(state)[1]


def _look(state: State) -> tuple[str, str]:
    if isinstance(state, RunState):
        return _RUN_STATES[state]
    return _TASK_RUN_STATES[state]


def duration(seconds: float) -> str:
    """Write a duration, coarser the longer it is.

    >>> duration(0.0003), duration(0.0314), duration(71), duration(3661)
    ('0.3 ms', '31 ms', '1 m 11 s', '1 h 01 m')
    """
    if seconds < 0.00995:
        return f"{max(seconds, 0) * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m"


def between(start_us: int, end_us: int) -> str:
    """Write the time between two moments; nothing if one of them has not come."""
    return duration((end_us - start_us) / 1e6) if start_us and end_us else ""


def clock(at_us: int) -> str:
    """Write the local time of day."""
    return _local(at_us).strftime("%H:%M:%S")


def coming(due_us: int, now_us: int) -> str:
    """Write a moment that comes: the time of day, with the date where that is another one."""
    same_day = _local(due_us).date() == _local(now_us).date()
    return clock(due_us) if same_day else moment(due_us)


def moment(at_us: int) -> str:
    """Write a local moment to the second; nothing if it has not come."""
    return _local(at_us).strftime("%Y-%m-%d %H:%M:%S") if at_us else ""


def iso(at_us: int) -> str | None:
    """Write a moment for machines; None if it has not come."""
    if not at_us:
        return None
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="microseconds")


def _local(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone()


def size(size_bytes: int) -> str:
    """Write a number of bytes.

    >>> size(999), size(16384)
    ('999 B', '16.0 KiB')
    """
    if size_bytes < 1024:
        return f"{size_bytes} B"
    amount = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TiB"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun.

    >>> counted(1, "task"), counted(2, "task")
    ('1 task', '2 tasks')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_file(file: str) -> str:
    """Return a file as the user would write it from the working directory."""
    return file.removeprefix(os.path.join(os.getcwd(), ""))


def error_line(failure: Failure) -> str:
    """Return a failure in one line, the user's own frame first."""
    text = _error_text(failure).split("\n", 1)[0]
    if not failure.frames:
        return text
    frame = failure.frames[-1]
    return f"{short_file(frame.file)}:{frame.line}: {text}"


def error_block(failure: Failure, *, frames: int = 1) -> list[str]:
    """Return a failure in lines: what it is, then the user's innermost frames with their code.

    Args:
        failure: What went wrong.
        frames: How many frames; 0 for all of them.
    """
    lines = _error_text(failure).split("\n")
    lines.extend(f"note: {note}" for note in failure.notes)
    for frame in failure.frames[-frames:]:
        lines.append(f"  {short_file(frame.file)}:{frame.line} in {frame.function}")
        if frame.code:
            lines.append(f"      {frame.code}")
    cause = _telling_cause(failure)
    if cause is not None:
        lines.append("caused by")
        lines.extend(f"  {line}" for line in error_block(cause, frames=frames))
    return lines


def _telling_cause(failure: Failure) -> Failure | None:
    """Return the first cause that says more than what it led to has said already."""
    cause = failure.cause
    while cause is not None and not cause.frames:
        said = cause.message.strip()
        if not said or said not in failure.message:
            break
        cause = cause.cause
    return cause


def _error_text(failure: Failure) -> str:
    kind, message = type_name(failure.type), failure.message.strip()
    return f"{kind}: {message}" if message else kind


def type_name(name: str) -> str:
    """Return a type's name without the module's that a flow's file is loaded under, or ours.

    >>> type_name("_ostinato_flows__etl.RowError"), type_name("pandas.DataFrame")
    ('RowError', 'pandas.DataFrame')
    >>> type_name("ostinato.errors.ExecutionError")
    'ExecutionError'
    """
    module, _, rest = name.partition(".")
    if module == "ostinato":
        return rest.rpartition(".")[2]
    return rest if module.startswith(_PRIVATE_MODULE) else name


def columns(rows: list[list[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns; the last one is not padded."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines

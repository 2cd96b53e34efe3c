"""This module is what a client shows of a run: decoded, and safe to look at."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from ostinato.model.failure import Failure
from ostinato.model.state import TaskRunState
from ostinato.model.value import ValueFormat


class TaskRunView(Struct, frozen=True):
    """A task run that has left ``pending``.

    Attributes:
        task_id: Of its task.
        path: Its indices as text, such as ``3.17``; empty where nothing is mapped.
        state: Where it stands.
        attempt: How many attempts were started.
        failures: How many of them failed.
        generation: How often it was cleared.
        queued_us, started_us, ended_us, due_us: Moments, 0 while they have not come; the
            start is that of the last attempt, ``due_us`` when it goes on by itself.
        failure: What went wrong in the last attempt, or None.
        inputs: The rendered arguments as JSON, or None.
        reason: Why it ended without an attempt, was skipped, or what it waits for.
        map_name: What people call its index, by the task's template; or empty.
        answered_by: Of a step that asked a person: who answered; or empty.
    """

    task_id: str
    path: str
    state: TaskRunState
    attempt: int
    failures: int
    generation: int
    queued_us: int
    started_us: int
    ended_us: int
    due_us: int
    failure: Failure | None
    inputs: str | None
    reason: str
    map_name: str = ""
    answered_by: str = ""

    @property
    def name(self) -> str:
        """Task and index, such as ``load[3]``."""
        return f"{self.task_id}[{self.path}]" if self.path else self.task_id

    @property
    def title(self) -> str:
        """The name, with what people call the index: ``load[3] (north)``."""
        return f"{self.name} ({self.map_name})" if self.map_name else self.name


class AttemptView(Struct, frozen=True):
    """An attempt that was followed by another one, or cleared.

    Attributes:
        attempt: Its number in its task run.
        generation: How often the task run had been cleared.
        state: How it ended.
        started_us, ended_us: Around it.
        failure: What went wrong, or None.
    """

    attempt: int
    generation: int
    state: str
    started_us: int
    ended_us: int
    failure: Failure | None


class NoticeView(Struct, frozen=True):
    """A callback or an alert of a run.

    Attributes:
        id: Of the notice.
        task_id: Of its task; empty for one on the run.
        path: Indices of its task run as text.
        attempt: Number of the attempt that it tells of.
        moment: What it tells of, such as ``failure``.
        recipient: Name of the callback, or of the channel of an alert.
        rule: Name of an alert's rule; empty for a callback.
        state: ``pending``, ``done``, ``failed`` or ``dropped``.
        tries: How often it was executed.
        created_us, due_us, ended_us: When it was caused, is executed next, and ended.
        failure: What went wrong in its last execution, or None.
        title, body: What was sent; empty where nothing was.
    """

    id: int
    task_id: str
    path: str
    attempt: int
    moment: str
    recipient: str
    rule: str
    state: str
    tries: int
    created_us: int
    due_us: int
    ended_us: int
    failure: Failure | None
    title: str
    body: str

    @property
    def name(self) -> str:
        """Task and index, such as ``load[3]``; empty for the run."""
        return f"{self.task_id}[{self.path}]" if self.path else self.task_id


class ValueView(Struct, frozen=True):
    """A stored value; one that is not JSON is described and never decoded.

    Attributes:
        path: Indices of the task run that stored it, as text.
        key: Under which key; ``return_value`` is a result.
        format: How it is encoded.
        size_bytes: Encoded size.
        type_name: The Python type that it had.
        preview: Some text for people, where it is not readable by itself.
        location: Path under the storage root, empty where it lies in the store.
        content: The value itself if it is JSON and not too large.
    """

    path: str
    key: str
    format: ValueFormat
    size_bytes: int
    type_name: str
    preview: str
    location: str
    content: Any | UnsetType = UNSET

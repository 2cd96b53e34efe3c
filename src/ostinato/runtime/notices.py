"""This module executes callbacks and alerts inside the process of their attempt."""

import asyncio
import builtins
import inspect
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from ostinato.authoring.callbacks import WrittenCallback
from ostinato.authoring.ports import BuiltFlow
from ostinato.authoring.templates import FlowTemplates
from ostinato.clock import Clock
from ostinato.errors import MissingPackage, TemplateError, UnknownTask, UsageError
from ostinato.model.alert import Channel
from ostinato.model.failure import Failure
from ostinato.model.flow import FlowDefinition
from ostinato.model.identity import TaskRunKey
from ostinato.runtime.context import Port, TaskContext
from ostinato.runtime.messages import AttemptSpec, NoticeSpec, RunInfo


class FailedAttempt(Exception):
    """Stand for the exception of an attempt that ran in another process.

    Its class has the name of the original, and is one of it where that is a builtin.

    Attributes:
        failure: All that is known of it.
    """

    failure: Failure

    def __str__(self) -> str:
        # As the original said it; a KeyError would put it in quotation marks again.
        return self.failure.message


class NoticeContext(TaskContext):
    """What a callback knows: the context of its task run or run, and what happened.

    Args:
        spec: The attempt.
        notice: What is told.
        info: What the run's attempts share.
        dag: The flow's code; None where this process has not loaded it.
        port: The way to the coordinator.
        clock: Tells the time.
    """

    def __init__(
        self,
        spec: AttemptSpec,
        notice: NoticeSpec,
        info: RunInfo,
        dag: BuiltFlow | None,
        port: Port,
        clock: Clock,
    ) -> None:
        super().__init__(spec, info, dag or _UnloadedFlow(info.flow), port, clock)
        self._notice = notice
        #: Title and body of what was sent, or would have been.
        self.message: tuple[str, str] | None = None

    @property
    def moment(self) -> str:
        """What it is told of, such as ``failure``."""
        return self._notice.moment.value

    @property
    def state(self) -> str:
        """Name of the state of the task run, or of the run."""
        return self._notice.facts.state

    @property
    def reason(self) -> str:
        """Why, or empty."""
        return self._notice.facts.reason

    @property
    def failure(self) -> Failure | None:
        """What went wrong as data, None if nothing did."""
        return self._notice.facts.failure

    @cached_property
    def exception(self) -> Exception | None:
        """What was raised, None if nothing was; its traceback is ``failure.frames``."""
        failure = self.failure
        return None if failure is None else _exception(failure)

    @property
    def error(self) -> str:
        """One line: the user's line of code and the error; empty if there is none."""
        return "" if self.failure is None else self.failure.summary

    @property
    def run_name(self) -> str:
        """Flow and number, such as ``etl#17``."""
        return f"{self._info.flow}#{self._info.number}"

    @property
    def task_run(self) -> str:
        """Task and index, such as ``load[3]``; empty for a run."""
        return str(TaskRunKey(self.task_id, self.map_path)) if self.task_id else ""

    @property
    def command(self) -> str:
        """What shows more of it on the command line."""
        return f"ostinato show '{self.run_name}'" + (f" '{self.task_run}'" if self.task_id else "")

    @property
    def task(self) -> Any:
        """The operator; None for a run."""
        return self._dag.operators.get(self.task_id)

    @property
    def max_tries(self) -> int:
        """How often a failed attempt of the task is tried again; 0 for a run."""
        return 0 if self.task is None else super().max_tries

    @property
    def started_at(self) -> datetime | None:
        """When the attempt or the run started, in the flow's zone."""
        at_us = self._notice.facts.started_us
        return self._moment(at_us) if at_us else None

    @property
    def ended_at(self) -> datetime | None:
        """When the attempt or the run ended, None if it goes on."""
        at_us = self._notice.facts.ended_us
        return self._moment(at_us) if at_us else None

    @property
    def duration(self) -> timedelta | None:
        """How long the attempt or the run took, None if it goes on."""
        facts = self._notice.facts
        if not facts.started_us or not facts.ended_us:
            return None
        return timedelta(microseconds=facts.ended_us - facts.started_us)

    def push(self, key: str, value: Any) -> None:
        """Refuse: a callback changes nothing of its run.

        Raises:
            UsageError: Always.
        """
        message = f"a callback stores no values; it pushed {key!r}"
        raise UsageError(message, hint="return it from the task")

    def send(self, target: str, title: str = "", body: str = "") -> None:
        """Send a message, as ``Notifier`` does.

        Args:
            target: Name of a channel of ``ostinato.yaml``, or a URL.
            title: Template of the first line; the usual one if empty.
            body: Template of the message; the usual one if empty.

        Raises:
            AlertNotSent: The channel was not reached.
            UsageError: There is no such channel.
        """
        channel = self._notice.channel
        if "://" in target or "${" in target:
            channel = Channel(target.partition("://")[0], (target,))
        elif channel is None or channel.name != target:
            message = f"there is no channel {target!r}"
            raise UsageError(message, hint="declare it under 'alerts' in ostinato.yaml")
        self.deliver(channel, title, body)

    def deliver(self, channel: Channel, title: str, body: str) -> None:
        """Render a message and send it to a channel."""
        # Heavy, and most callbacks send nothing.
        from ostinato.runtime.alert_messages import (  # noqa: PLC0415 - see above
            render_message,
            send_message,
        )

        try:
            self.message = render_message(self, title, body)
            if self._notice.is_sent:
                send_message(channel, self.message, self.connection)
        except (MissingPackage, TemplateError) as error:
            # The same in every try.
            error.__ostinato_may_retry__ = False  # type: ignore[union-attr]  # read by the attempt
            raise

    # As a mapping

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name) if name in OWN_NAMES else super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*super().__iter__(), *OWN_NAMES)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in OWN_NAMES or super().__contains__(name)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


#: What a callback's context has beyond that of a task, as a mapping and in templates.
OWN_NAMES = {
    name: None
    for name, member in sorted(vars(NoticeContext).items())
    if isinstance(member, property | cached_property)
}


class _UnloadedFlow:
    """Stand for a flow whose code is not in this process; alerts need none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.definition = FlowDefinition(name)
        self.operators: Mapping[str, Any] = {}
        self.resources: Mapping[str, Any] = {}
        self.callbacks: tuple[WrittenCallback, ...] = ()
        self.templates = FlowTemplates()
        self.parameter_model = None
        self.timetable = None


def execute_notice(spec: AttemptSpec, context: NoticeContext, dag: BuiltFlow | None) -> str | None:
    """Call the callback, or send the alert; return the message as JSON, None if there is none.

    Args:
        spec: The attempt.
        context: Of the attempt.
        dag: The flow's code.

    Raises:
        UnknownTask: The callback is no longer there.
        AlertNotSent: The channel was not reached.
    """
    notice = spec.notice
    assert notice is not None
    facts = notice.facts
    if facts.callback >= 0:
        function = _callback(spec, notice, dag).function
        result = function(context)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    else:
        assert notice.channel is not None
        context.deliver(notice.channel, facts.title, facts.body)
    if context.message is None:
        return None
    title, body = context.message
    return msgspec.json.encode({"title": title, "body": body}).decode()


def _callback(spec: AttemptSpec, notice: NoticeSpec, dag: BuiltFlow | None) -> WrittenCallback:
    written: tuple[WrittenCallback, ...] = ()
    if dag is not None and spec.task_id:
        operator = dag.operators.get(spec.task_id)
        written = () if operator is None else operator.settings.callbacks
    elif dag is not None:
        written = tuple(dag.callbacks)
    index = notice.facts.callback
    if index < len(written) and written[index].declared.moment == notice.moment:
        return written[index]
    of = f"task {spec.task_id!r}" if spec.task_id else "the flow"
    raise UnknownTask(f"{of} has no callback for {notice.moment.value!r} in this process")


def _exception(failure: Failure) -> FailedAttempt:
    name = failure.type.rpartition(".")[2]
    kind = getattr(builtins, failure.type, None)
    bases: tuple[type, ...] = (FailedAttempt,)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception:
        bases = (FailedAttempt, kind)
    try:
        made = type(name, bases, {"__module__": failure.type.rpartition(".")[0] or "builtins"})
        error = made(failure.message)
    except TypeError:
        # Some builtins want more arguments, or go with no other base.
        error = type(name, (FailedAttempt,), {})(failure.message)
    assert isinstance(error, FailedAttempt)
    error.failure = failure
    return error

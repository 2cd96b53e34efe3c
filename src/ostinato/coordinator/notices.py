"""This module sees to it that callbacks and alerts are executed: the outbox of a coordinator.

A notice is a row, written in the commit of the event that causes it, and executed after it as
an attempt of its own, which never changes its run. What was not recorded as executed when a
coordinator ends is executed by the next one: at least once.
"""

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from ostinato.coordinator.live_run import LiveRun
from ostinato.engine.machine import THE_RUN
from ostinato.engine.task_run import TaskRun
from ostinato.executors.protocol import Executor
from ostinato.model.alert import AlertRule, Alerts, Channel
from ostinato.model.failure import Failure, FailureKind
from ostinato.model.flow import FlowDefinition, TaskDefinition
from ostinato.model.identity import format_path, parse_path
from ostinato.model.notice import Callback, Moment, NoticeFacts, NoticeState
from ostinato.model.state import TaskRunState
from ostinato.runtime import messages as msg
from ostinato.store.protocol import Store
from ostinato.store.records import Batch, CoordinatorLease, NoticeRow

#: Seconds that an execution of a callback or an alert may take.
TIME_LIMIT_S = 60.0

#: Seconds for which the notices of ended runs are waited for; longer than one may take.
LINGER_S = 75.0

#: Seconds after which somebody who waits for them is told so.
UNSAID_S = 1.0

#: How often an alert is tried, and seconds before the second, third ... try.
ALERT_TRIES = 5
RETRY_DELAYS_S = (2.0, 8.0, 30.0, 120.0)

#: How often the process of a notice may end under it.
LOST_TRIES = 3

#: Executions at a time, and those of one channel: a channel that hangs keeps no other waiting.
MAX_IN_FLIGHT = 6
MAX_PER_CHANNEL = 2

#: Callbacks wait in a line of their own, as do the alerts of each channel.
CALLBACKS = ""

_facts_decoder = msgspec.msgpack.Decoder(NoticeFacts)
_encoder = msgspec.msgpack.Encoder()

#: Returns what all attempts of a run share, None if the run is gone.
Describe = Callable[[int], msg.RunInfo | None]

#: Returns what executes notices of a run, or of those that are driven elsewhere; None where
#: nothing can.
ForNotices = Callable[[LiveRun | None], Executor | None]


class _Recipient(NamedTuple):
    """Who is told of a moment: a callback by its index, or the channel of a rule."""

    callback: Callback | None = None
    place: int = -1
    rule: AlertRule | None = None
    channel: str = ""


class _Flight(NamedTuple):
    """A notice that is executed at this moment."""

    row: NoticeRow
    line: str
    losses: int


class Outbox:
    """Write notices down, execute them, record what became of them.

    Args:
        store: Where they are recorded.
        lease: Of the coordinator.
        executor_for: Returns what executes them.
        alerts: The channels and rules of the project.
        describe: Finds out about runs that this coordinator does not drive.
        take_token: Gives out the tokens of attempts.
        is_sending: Whether messages really go out.
    """

    def __init__(
        self,
        store: Store,
        lease: CoordinatorLease,
        *,
        executor_for: ForNotices,
        alerts: Alerts,
        describe: Describe,
        take_token: Callable[[], int],
        is_sending: bool,
    ) -> None:
        self._store = store
        self._lease = lease
        self._executor_for = executor_for
        self._alerts = alerts
        self._describe = describe
        self._take_token = take_token
        self._is_sending = is_sending
        #: Of each run: who is told, by position and moment.
        self._recipients: dict[int, dict[int, dict[Moment, list[_Recipient]]]] = {}
        self._infos: dict[int, msg.RunInfo] = {}
        #: Runs that are driven here or have undone notices, and how many these are.
        self._live: dict[int, LiveRun] = {}
        self._undone: dict[int, int] = {}
        #: Rows of the commit to come; not to be executed before it.
        self._written: list[tuple[NoticeRow, int]] = []
        #: By line: (due, id, row, losses), the earliest first.
        self._waiting: dict[str, list[tuple[int, int, NoticeRow, int]]] = {}
        self._in_flight: dict[int, _Flight] = {}
        #: When the last alert on a topic was made, as far as it is known.
        self._topics: dict[str, int] = {}
        self._is_given_up = False

    # What is told

    def adopt(self, run: LiveRun) -> Mapping[int, frozenset[Moment]]:
        """Take in a run with its undone notices; return the moments that are to be told of."""
        recipients = self._recipients_of(run.plan.flow)
        self._recipients[run.id] = recipients
        self._live[run.id] = run
        if run.row.started_us:
            self._take_over(self._store.take_notices(self._lease, run_id=run.row.id))
        return {position: frozenset(moments) for position, moments in recipients.items()}

    def take_orphans(self, now_us: int) -> None:
        """Take up alerts of any run that are due and that nobody sends."""
        if self._executor_for(None) is not None:
            self._take_over(self._store.take_notices(self._lease, due_us=now_us))

    def _take_over(self, rows: Iterable[NoticeRow]) -> None:
        for row in rows:
            self._undone[row.run_id] = self._undone.get(row.run_id, 0) + 1
            self._enqueue(row, 0)

    def _recipients_of(self, flow: FlowDefinition) -> dict[int, dict[Moment, list[_Recipient]]]:
        found: dict[int, dict[Moment, list[_Recipient]]] = {}
        subjects: list[tuple[int, TaskDefinition | None]] = [(THE_RUN, None)]
        if self._alerts.rules:
            subjects.extend(enumerate(flow.tasks))
        else:
            # Most tasks have no callbacks, and there may be 100,000.
            subjects.extend((i, task) for i, task in enumerate(flow.tasks) if task.callbacks)
        for position, task in subjects:
            moments: dict[Moment, list[_Recipient]] = {}
            for index, callback in enumerate((flow if task is None else task).callbacks):
                moments.setdefault(callback.moment, []).append(_Recipient(callback, index))
            for rule, moment in self._rules_for(flow, task):
                moments.setdefault(moment, []).extend(
                    _Recipient(rule=rule, channel=channel)
                    for name in rule.channels
                    for channel in parts_of(name, self._alerts)
                )
            if moments:
                found[position] = moments
        return found

    def _rules_for(
        self, flow: FlowDefinition, task: TaskDefinition | None
    ) -> Iterable[tuple[AlertRule, Moment]]:
        if not self._alerts.rules:
            return
        # Only projects with alerts need it.
        from ostinato.engine.alerting import watched_moments  # noqa: PLC0415 - see above

        for rule in self._alerts.rules:
            for moment in watched_moments(rule, flow, task):
                yield rule, moment

    def tell(
        self, run: LiveRun, moment: Moment, task_run: TaskRun | None, now_us: int, batch: Batch
    ) -> None:
        """Write down what is to be told of a moment, with the commit to come.

        Args:
            run: Whose moment it is.
            moment: Which.
            task_run: Whose moment it is; None for the run's own.
            now_us: Now.
            batch: Of the commit.
        """
        position = THE_RUN if task_run is None else task_run.position
        for recipient in self._recipients[run.id][position][moment]:
            facts = _facts_of(run, task_run, recipient)
            row = self._row(run, moment, task_run, recipient, facts, now_us)
            if row is not None:
                batch.notices.append(row)
                if row.state == NoticeState.PENDING:
                    self._undone[run.id] = self._undone.get(run.id, 0) + 1
                    self._written.append((row, 0))

    def _row(
        self,
        run: LiveRun,
        moment: Moment,
        task_run: TaskRun | None,
        recipient: _Recipient,
        facts: NoticeFacts,
        now_us: int,
    ) -> NoticeRow | None:
        due_us: int | None = now_us
        topic = ""
        rule = recipient.rule
        if rule is not None:
            from ostinato.engine import alerting  # noqa: PLC0415 - as above

            is_mapped = task_run is not None and bool(task_run.path)
            flow, task_id = run.plan.flow.name, "" if task_run is None else task_run.task_id
            topic = alerting.topic_of(
                rule, moment, flow, task_id, run_id=run.id, is_mapped=is_mapped
            )
            topic = topic and f"{topic}|{recipient.channel}"
            if topic and self._is_repeated(rule, topic, now_us):
                return None
            due_us = alerting.due_us(rule, now_us)
            if topic and due_us is not None:
                self._topics[topic] = now_us
        callback = recipient.callback
        is_dropped = due_us is None
        return NoticeRow(
            self._store.new_id(),
            run.id,
            "" if task_run is None else task_run.task_id,
            "" if task_run is None else format_path(task_run.path),
            run.machine.generation if task_run is None else task_run.generation,
            0 if task_run is None else task_run.attempt,
            moment.value,
            recipient.channel if callback is None else callback.name,
            "" if rule is None else rule.name,
            topic,
            (NoticeState.DROPPED if is_dropped else NoticeState.PENDING).value,
            0,
            now_us,
            now_us if due_us is None else due_us,
            now_us if is_dropped else 0,
            self._lease.id,
            _encoder.encode(facts),
        )

    def _is_repeated(self, rule: AlertRule, topic: str, now_us: int) -> bool:
        from ostinato.engine.alerting import is_repeated  # noqa: PLC0415 - as above

        if is_repeated(rule, self._topics.get(topic, 0), now_us):
            return True
        # Another process may have alerted since.
        self._topics[topic] = self._store.newest_alert_us(topic)
        return is_repeated(rule, self._topics[topic], now_us)

    # Execution

    def committed(self) -> None:
        """Let what was written be executed: it is durable."""
        written, self._written = self._written, []
        for row, losses in written:
            self._enqueue(row, losses)

    def _enqueue(self, row: NoticeRow, losses: int) -> None:
        line = row.recipient if row.rule else CALLBACKS
        heappush(self._waiting.setdefault(line, []), (row.due_us, row.id, row, losses))

    def start(self, now_us: int) -> None:
        """Execute what is due, as far as limits allow."""
        if not self._waiting or self._executor_for(None) is None:
            return
        for line, waiting in list(self._waiting.items()):
            while waiting and waiting[0][0] <= now_us and self._has_room(line):
                _, _, row, losses = heappop(waiting)
                self._execute(row, line, losses)
            if not waiting:
                del self._waiting[line]

    def _has_room(self, line: str) -> bool:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return False
        in_line = sum(1 for flight in self._in_flight.values() if flight.line == line)
        return in_line < (MAX_IN_FLIGHT - 1 if line == CALLBACKS else MAX_PER_CHANNEL)

    def _execute(self, row: NoticeRow, line: str, losses: int) -> None:
        info = self._info(row.run_id)
        executor = self._executor_for(self._live.get(row.run_id))
        if info is None or executor is None:
            return
        facts = _facts_decoder.decode(row.facts)
        notice = msg.NoticeSpec(
            row.id,
            row.tries + losses + 1,
            Moment(row.moment),
            facts,
            self._channel(row, facts),
            self._is_sending,
        )
        spec = msg.AttemptSpec(
            self._take_token(),
            row.run_id,
            row.task_id,
            parse_path(row.path),
            row.attempt,
            facts.try_number,
            row.generation,
            timeout_s=TIME_LIMIT_S,
            first_started_us=facts.started_us,
            notice=notice,
        )
        self._in_flight[spec.token] = _Flight(row, line, losses)
        executor.start([spec], info)

    def _channel(self, row: NoticeRow, facts: NoticeFacts) -> Channel | None:
        if row.rule:
            found = part_of(row.recipient, self._alerts)
            # An unknown one has no URL, which its execution says.
            return found or Channel(row.recipient)
        run = self._live.get(row.run_id)
        if run is None:
            return None
        position = run.plan.positions.get(row.task_id, THE_RUN) if row.task_id else THE_RUN
        subject = run.plan.flow if position == THE_RUN else run.plan.flow.tasks[position]
        if facts.callback >= len(subject.callbacks):
            return None
        return self._alerts.channels.get(subject.callbacks[facts.callback].channel)

    def _info(self, run_id: int) -> msg.RunInfo | None:
        run = self._live.get(run_id)
        if run is not None:
            return run.info
        known = self._infos.get(run_id)
        if known is None:
            known = self._describe(run_id)
            if known is not None:
                self._infos[run_id] = known
        return known

    # What became of it

    def knows(self, token: int) -> bool:
        """Whether a token is that of a notice."""
        return token in self._in_flight

    def run_of(self, token: int) -> LiveRun | None:
        """Return the run of a notice that is executed, None if it is not driven here."""
        return self._live.get(self._in_flight[token].row.run_id)

    def take(self, report: msg.Report, now_us: int, batch: Batch) -> None:
        """Record how an execution ended; an unknown token changes nothing."""
        flight = self._in_flight.pop(report.token, None)
        if flight is None:
            return
        row, losses = flight.row, flight.losses
        match report:
            case msg.Succeeded(inputs=message):
                row = _ended(row, NoticeState.DONE, now_us)._replace(message=message)
            case msg.Skipped():
                row = _ended(row, NoticeState.DONE, now_us)
            case msg.Failed(failure=failure, may_retry=may_retry):
                row = _failed(row, failure, now_us, may_retry=may_retry)
            case msg.Deferred():
                failure = Failure(FailureKind.ERROR, "Defer", "a callback cannot be deferred")
                row = _failed(row, failure, now_us, may_retry=False)
            case msg.Revoked():
                self._enqueue(row, losses)
                return
            case msg.Lost(reason=reason):
                if losses + 1 < LOST_TRIES:
                    self._enqueue(row, losses + 1)
                    return
                failure = Failure(FailureKind.LOST, "ChildDied", reason)
                row = _ended(row, NoticeState.FAILED, now_us)._replace(
                    failure=_encoder.encode(failure)
                )
        batch.notices.append(row)
        if row.state == NoticeState.PENDING:
            self._written.append((row, losses))
            return
        self._undone[row.run_id] -= 1
        if not self._undone[row.run_id]:
            del self._undone[row.run_id]
            if row.run_id not in self._recipients:
                self._live.pop(row.run_id, None)

    # Waiting

    @property
    def next_us(self) -> int | None:
        """Moment of the earliest notice that waits and could be executed, None if there is none."""
        if not self._waiting or self._executor_for(None) is None:
            return None
        moments = [waiting[0][0] for line, waiting in self._waiting.items() if self._has_room(line)]
        return min(moments, default=None)

    @property
    def in_flight(self) -> int:
        """How many are executed at this moment."""
        return len(self._in_flight)

    def is_busy(self, until_us: int | None) -> bool:
        """Whether something is executed, or will be until a moment; None for ever."""
        if self._is_given_up or self._executor_for(None) is None:
            return False
        if self._in_flight or self._written:
            return True
        return any(until_us is None or line[0][0] <= until_us for line in self._waiting.values())

    def give_up(self) -> None:
        """Wait for nothing any more; what is undone is left to the next coordinator."""
        self._is_given_up = True

    def forget(self, run: LiveRun) -> None:
        """Let go of a run that has ended, unless it has undone notices."""
        self._recipients.pop(run.id, None)
        if run.id not in self._undone:
            self._live.pop(run.id, None)


def parts_of(name: str, alerts: Alerts) -> list[str]:
    """Return a name for each URL of a channel, so that one that is down repeats no other."""
    channel = alerts.channels.get(name)
    count = 1 if channel is None else len(channel.urls)
    return [name] if count <= 1 else [f"{name}[{index}]" for index in range(count)]


def part_of(part: str, alerts: Alerts) -> Channel | None:
    """Return what a name from ``parts_of`` stands for, None if there is no such channel."""
    name, _, rest = part.removesuffix("]").partition("[")
    channel = alerts.channels.get(name)
    if channel is None or not rest:
        return channel
    index = int(rest)
    return Channel(part, channel.urls[index : index + 1]) if index < len(channel.urls) else None


def _facts_of(run: LiveRun, task_run: TaskRun | None, recipient: _Recipient) -> NoticeFacts:
    callback, rule = recipient.callback, recipient.rule
    tries = ALERT_TRIES if callback is None else callback.tries
    title, body = ("", "") if rule is None else (rule.title, rule.body)
    if task_run is None:
        machine = run.machine
        failed = (
            failure for each, failure in run.failures.items() if each.state is TaskRunState.FAILED
        )
        return NoticeFacts(
            machine.state.label,
            machine.reason,
            next(failed, None) if machine.reason else None,
            0,
            machine.started_us,
            machine.ended_us,
            tries,
            recipient.place,
            title,
            body,
        )
    is_over = task_run.state is not TaskRunState.RUNNING
    has_failed = task_run.state is not TaskRunState.SUCCEEDED and is_over
    return NoticeFacts(
        task_run.state.label,
        run.reasons.get(task_run, "") if is_over else "",
        run.failures.get(task_run) if has_failed else None,
        # A failure that was counted already is that of this try.
        task_run.failures + (0 if has_failed and task_run.failures else 1),
        task_run.started_us,
        task_run.ended_us,
        tries,
        recipient.place,
        title,
        body,
    )


def _ended(row: NoticeRow, state: NoticeState, now_us: int) -> NoticeRow:
    return row._replace(state=state.value, tries=row.tries + 1, ended_us=now_us, failure=None)


def _failed(row: NoticeRow, failure: Failure, now_us: int, *, may_retry: bool) -> NoticeRow:
    tries = _facts_decoder.decode(row.facts).tries
    if row.tries + 1 >= tries or not may_retry:
        ended = _ended(row, NoticeState.FAILED, now_us)
        return ended._replace(failure=_encoder.encode(failure))
    delay_s = RETRY_DELAYS_S[min(row.tries, len(RETRY_DELAYS_S) - 1)]
    return row._replace(
        tries=row.tries + 1,
        due_us=now_us + int(delay_s * 1e6),
        failure=_encoder.encode(failure),
    )

"""This module executes attempts in child processes, forked from a code host."""

import os
import select
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import assert_never

import msgspec

from ostinato.clock import Clock, SystemClock
from ostinato.errors import LoadError, OstinatoError
from ostinato.executors.code_host import LOAD_TIMEOUT_S, CodeHost
from ostinato.executors.credit import WORK_S, Credit
from ostinato.executors.host_messages import Exited, Forked
from ostinato.executors.protocol import CallHandler, Later
from ostinato.model.failure import Failure, FailureKind
from ostinato.runtime import messages as msg
from ostinato.runtime.frames import FrameReader, frame

#: Seconds between a time-out inside the user's code and the end of its process.
TIMEOUT_GRACE_S = 2.0

#: Seconds that a cancelled attempt has to end by itself.
CANCEL_GRACE_S = 5.0

#: Seconds after which attempts that wait behind one that lasts are given to another child.
STUCK_S = 0.05

#: Seconds that a child may take to close its resources when it is to end.
END_GRACE_S = 5.0

#: Seconds for which the cause of a child's end is waited for.
CAUSE_WAIT_S = 1.0

#: Seconds after which a child without work ends.
IDLE_S = 60.0

#: Forks for attempts of their own that may be under way beyond the number of children.
FORKS_AHEAD = 2

_READ_BYTES = 256 * 1024


#: Calls by which an attempt waits for what others do, perhaps in the same executor.
_WAITING = frozenset({"pause", "place", "run_state"})


class _Child:
    """A child as its coordinator sees it.

    Attributes:
        is_fresh: Whether it was forked for one attempt.
        is_for_notices: Whether it executes callbacks and alerts, one at a time.
        attempts: What it was sent and has not reported, in the order in which it executes.
        began_s: When the first of them became the first, monotonic.
        kill_at_s: When it is killed unless its first attempt has ended; None for never.
        killed_for: Why it was killed, None if it was not.
        gone_s: When its socket was found closed, None while it is open.
        cancelled: Why attempts are to be stopped, by token.
        is_for_steps: Whether it executes steps of flows that are functions, one at a time.
        waiting: Calls by which it waits for steps, runs and people elsewhere.
        has_resources: Whether it has something to close before it ends.
        is_ending: Whether it was told to end when its work is done.
    """

    def __init__(
        self,
        number: int,
        connection: socket.socket,
        *,
        is_fresh: bool,
        is_for_notices: bool = False,
        is_for_steps: bool = False,
    ) -> None:
        self.number = number
        self.connection = connection
        self.is_fresh = is_fresh
        self.is_for_notices = is_for_notices
        self.is_for_steps = is_for_steps
        self.waiting = 0
        self.pid = 0
        self.status: int | None = None
        self.reader = FrameReader()
        self.unsent = bytearray()
        self.attempts: dict[int, msg.AttemptSpec] = {}
        self.runs: set[int] = set()
        self.began_s = 0.0
        self.idle_since_s = 0.0
        self.kill_at_s: float | None = None
        self.killed_for: FailureKind | None = None
        self.kill_reason = ""
        self.revoked: set[int] = set()
        self.gone_s: float | None = None
        self.cancelled: dict[int, str] = {}
        self.has_resources = False
        self.is_ending = is_fresh

    @property
    def is_warm(self) -> bool:
        """Whether it executes attempts of tasks, one after the other."""
        return not self.is_fresh and not self.is_for_notices and not self.is_for_steps

    @property
    def first(self) -> msg.AttemptSpec | None:
        """The attempt that it executes, or is about to."""
        return next(iter(self.attempts.values()), None)


class ProcessExecutor:
    """Execute attempts in warm children, or in a fresh one each where a task asks for it.

    Args:
        host: Forks the children.
        answer: Answers the calls of attempts.
        max_children: Children at a time; 0 for one per core.
        clock: Measures how long attempts last.
        busy_elsewhere: Returns how many children of other executors are at work, which count
            among those that there may be; one is always its own.
    """

    def __init__(
        self,
        host: CodeHost,
        answer: CallHandler,
        *,
        max_children: int = 0,
        clock: Clock | None = None,
        busy_elsewhere: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._host = host
        self._answer = answer
        self._all_children = max_children or os.cpu_count() or 1
        self._busy_elsewhere = busy_elsewhere
        self._children: dict[int, _Child] = {}
        self._by_token: dict[int, _Child] = {}
        self._fresh: deque[tuple[msg.AttemptSpec, msg.RunInfo]] = deque()
        self._credit = Credit()
        self._reports: list[msg.Report] = []
        self._selector: selectors.BaseSelector | None = None
        self._host_is_gone = False
        #: When the code host was started again, None once it has loaded.
        self._restarted_s: float | None = None

    # The protocol of executors

    def credits(self) -> int:
        """Return how many attempts it takes: about 10 ms of work for each child."""
        if self._host_is_gone or not self._host.is_loaded:
            return 0
        now_s = self._clock.monotonic_s()
        warm = [c for c in self._children.values() if c.is_warm and not c.waiting]
        free = sum(self._free(child, now_s) for child in warm)
        free += max(self._max_children - len(warm), 0) * self._credit.attempts
        return free - len(self._fresh)

    def start(self, attempts: Sequence[msg.AttemptSpec], run: msg.RunInfo) -> None:
        """Send attempts to the children that have least to do."""
        now_s = self._clock.monotonic_s()
        given: dict[int, list[msg.AttemptSpec]] = {}
        for spec in attempts:
            if spec.step is not None:
                child = self._choose_for_step(is_fresh=spec.is_fresh)
                self._give(child, spec, now_s)
                last = msg.Drain() if spec.is_fresh else None
                self._send(child, self._introduction(child, run), msg.RunAttempts((spec,)), last)
                continue
            if spec.is_fresh:
                self._fresh.append((spec, run))
                continue
            if spec.notice is None:
                child = self._choose(now_s, len(attempts))
            else:
                child = self._choose_for_notice()
            self._give(child, spec, now_s)
            given.setdefault(child.number, []).append(spec)
        for number, specs in given.items():
            child = self._children[number]
            self._send(child, self._introduction(child, run), msg.RunAttempts(tuple(specs)))
        self._fork_fresh()

    def cancel(self, token: int, reason: str) -> None:
        """Stop an attempt: an exception in its code first, then the end of its process."""
        child = self._by_token.get(token)
        if child is None:
            self._forget_fresh(token)
            return
        if token in child.cancelled:
            return
        child.cancelled[token] = reason
        self._send(child, msg.Cancel(token, reason))
        # It may have begun though an earlier one was not reported yet.
        self._interrupt(child)
        first = child.first
        if first is not None and first.token == token:
            self._limit_cancelled(child, reason)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register the code host's socket; children follow as they are forked."""
        self._selector = selector
        selector.register(self._host.socket, selectors.EVENT_READ, self._read_host)

    def poll(self) -> list[msg.Report]:
        """Return the reports that have come, and end what has run out of time."""
        now_s = self._clock.monotonic_s()
        for child in list(self._children.values()):
            if child.gone_s is not None:
                self._bury_if_known(child, now_s)
            elif child.attempts:
                self._watch(child, now_s)
            elif child.is_ending:
                if now_s - child.idle_since_s > END_GRACE_S:
                    self._kill(child)
            elif now_s - child.idle_since_s > IDLE_S:
                child.idle_since_s = now_s
                child.is_ending = True
                self._send(child, msg.Drain())
        if self._host_is_gone and not self._children:
            self._restart_host()
        elif self._restarted_s is not None:
            self._check_restart(now_s)
        self._fork_fresh()
        reports, self._reports = self._reports, []
        return reports

    def has_work(self) -> bool:
        """Whether reports wait."""
        return bool(self._reports)

    def next_check_s(self) -> float | None:
        """Return when a child must be looked at: a time-out, a wait for a cause, a queue."""
        now_s = self._clock.monotonic_s()
        return min((at_s - now_s for at_s in self._moments()), default=None)

    @property
    def is_busy(self) -> bool:
        """Whether it executes anything, callbacks and alerts included."""
        return bool(self._by_token or self._fresh)

    @property
    def busy(self) -> int:
        """How many of its children execute attempts of tasks."""
        return sum(1 for child in self._children.values() if child.attempts and child.is_warm)

    @property
    def _max_children(self) -> int:
        if self._busy_elsewhere is None:
            return self._all_children
        return max(self._all_children - self._busy_elsewhere(), 1)

    def close(self) -> None:
        """End all children and what they have started; idle ones close their resources first."""
        self._await_resources()
        for child in list(self._children.values()):
            self._kill(child)
            if child.gone_s is None:
                self._unregister(child.connection)
                child.connection.close()
        self._children.clear()
        self._by_token.clear()
        if not self._host_is_gone:
            self._unregister(self._host.socket)

    def _unregister(self, connection: socket.socket) -> None:
        """Wait for a socket no more: the loop may go on, and the host with other executors."""
        if self._selector is not None:
            self._selector.unregister(connection)

    def _await_resources(self) -> None:
        closing = [
            child
            for child in self._children.values()
            if child.has_resources and not child.attempts and child.gone_s is None
        ]
        end_s = self._clock.monotonic_s() + END_GRACE_S
        with selectors.DefaultSelector() as selector:
            for child in closing:
                child.connection.shutdown(socket.SHUT_WR)
                selector.register(child.connection, selectors.EVENT_READ)
            while selector.get_map():
                left_s = end_s - self._clock.monotonic_s()
                if left_s <= 0:
                    return
                for key, _ in selector.select(left_s):
                    connection = key.fileobj
                    assert isinstance(connection, socket.socket)
                    if not _receive(connection):
                        selector.unregister(connection)

    # Choosing a child

    def _free(self, child: _Child, now_s: float) -> int:
        if child.gone_s is not None or child.killed_for is not None or child.is_ending:
            return 0
        if child.waiting:
            # What it waits for must not wait for it.
            return 0
        if child.attempts and now_s - child.began_s > WORK_S:
            # Whatever the mean says, this one lasts.
            return 0
        return max(self._credit.attempts - len(child.attempts), 0)

    def _choose(self, now_s: float, batch: int) -> _Child:
        warm = [c for c in self._children.values() if c.is_warm and self._free(c, now_s)]
        best = min(warm, key=lambda child: len(child.attempts), default=None)
        is_busy = best is None or best.attempts or batch > self._credit.attempts
        if is_busy and self._count_warm() < self._max_children:
            return self._fork(is_fresh=False)
        if best is not None:
            return best
        open_ = (
            c for c in self._children.values() if c.is_warm and not c.is_ending and c.gone_s is None
        )
        fallback = min(open_, key=lambda child: len(child.attempts), default=None)
        return fallback or self._fork(is_fresh=False)

    def _choose_for_notice(self) -> _Child:
        """Return a child that has nothing to do: an alert waits for no task, and no task for it.

        How many there are is limited by whoever starts notices.
        """
        for child in self._children.values():
            if (
                child.is_for_notices
                and not child.attempts
                and not child.is_ending
                and child.gone_s is None
            ):
                return child
        return self._fork(is_fresh=False, is_for_notices=True)

    def step_credits(self) -> int:
        """Return how many steps it takes; those that wait for other steps are not counted."""
        if self._host_is_gone or not self._host.is_loaded:
            return 0
        busy = sum(
            1 for c in self._children.values() if c.is_for_steps and c.attempts and not c.waiting
        )
        return self._max_children - busy

    def _choose_for_step(self, *, is_fresh: bool) -> _Child:
        """Return a child that has nothing to do: bodies of flows may be in all others.

        They wait for their steps, which must not wait for them.
        """
        for child in () if is_fresh else self._children.values():
            if (
                child.is_for_steps
                and not child.attempts
                and not child.is_ending
                and child.gone_s is None
            ):
                return child
        return self._fork(is_fresh=is_fresh, is_for_steps=True)

    def _count_warm(self) -> int:
        return sum(
            1
            for c in self._children.values()
            if c.is_warm and not c.is_ending and not c.waiting and c.gone_s is None
        )

    def _give(self, child: _Child, spec: msg.AttemptSpec, now_s: float) -> None:
        if not child.attempts:
            child.began_s = now_s
            self._set_limit(child, spec)
        child.attempts[spec.token] = spec
        self._by_token[spec.token] = child

    def _set_limit(self, child: _Child, spec: msg.AttemptSpec) -> None:
        child.kill_at_s = child.killed_for = None
        if spec.timeout_s:
            child.kill_at_s = child.began_s + spec.timeout_s + TIMEOUT_GRACE_S
        reason = child.cancelled.get(spec.token)
        if reason is not None:
            self._limit_cancelled(child, reason)

    def _limit_cancelled(self, child: _Child, reason: str) -> None:
        child.killed_for = FailureKind.CANCELLED
        child.kill_reason = reason
        end_s = self._clock.monotonic_s() + CANCEL_GRACE_S
        child.kill_at_s = end_s if child.kill_at_s is None else min(child.kill_at_s, end_s)

    # Forking

    def _fork(
        self, *, is_fresh: bool, is_for_notices: bool = False, is_for_steps: bool = False
    ) -> _Child:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        child = _Child(
            self._host.next_number(),
            ours,
            is_fresh=is_fresh,
            is_for_notices=is_for_notices,
            is_for_steps=is_for_steps,
        )
        child.idle_since_s = self._clock.monotonic_s()
        self._children[child.number] = child
        self._host.fork_child(child.number, theirs)
        theirs.close()
        assert self._selector is not None
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._read(child))
        return child

    def _fork_fresh(self) -> None:
        while self._fresh and not self._host_is_gone and self._host.is_loaded:
            under_way = sum(
                1 for child in self._children.values() if child.is_fresh and not child.is_for_steps
            )
            if under_way >= self._max_children + FORKS_AHEAD:
                return
            spec, run = self._fresh.popleft()
            child = self._fork(is_fresh=True)
            self._give(child, spec, self._clock.monotonic_s())
            self._send(child, self._introduction(child, run), msg.RunAttempts((spec,)), msg.Drain())

    def _forget_fresh(self, token: int) -> None:
        for entry in self._fresh:
            if entry[0].token == token:
                self._fresh.remove(entry)
                self._reports.append(msg.Revoked(token))
                return

    def _introduction(self, child: _Child, run: msg.RunInfo) -> msg.RunInfo | None:
        if run.run_id in child.runs:
            return None
        child.runs.add(run.run_id)
        return run

    # Sending

    def _send(self, child: _Child, *messages: msg.ToChild | None) -> None:
        data = b"".join(frame(msg.encode(message)) for message in messages if message is not None)
        if child.gone_s is not None:
            return
        if not child.unsent:
            try:
                sent = child.connection.send(data)
            except BlockingIOError:
                sent = 0
            except (BrokenPipeError, ConnectionResetError):
                # Its end is found when its socket is read.
                return
            data = data[sent:]
        if data:
            child.unsent += data
            self._listen(child, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _send_rest(self, child: _Child) -> None:
        try:
            sent = child.connection.send(child.unsent)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            sent = len(child.unsent)
        del child.unsent[:sent]
        if not child.unsent:
            self._listen(child, selectors.EVENT_READ)

    def _listen(self, child: _Child, events: int) -> None:
        assert self._selector is not None
        self._selector.modify(child.connection, events, lambda: self._read(child))

    def _interrupt(self, child: _Child) -> None:
        """Have a child read its socket while users' code executes."""
        if child.pid and child.status is None:
            # Where it died with its code host, nobody is there to say that it is gone.
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGUSR1)

    # Reading

    def _read(self, child: _Child) -> None:
        if child.gone_s is not None:
            # It was found gone in this turn.
            return
        if child.unsent:
            self._send_rest(child)
        try:
            data = child.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._lose(child)
            return
        self._take_all(child, data)

    def _take_all(self, child: _Child, data: bytes) -> None:
        for message in child.reader.feed(data):
            try:
                decoded = msg.decode_from_child(message)
            except msgspec.DecodeError:
                # Users' code has written to the socket: nothing that follows makes sense.
                self._kill(child)
                self._lose(child)
                return
            self._take(child, decoded)

    def _take(self, child: _Child, message: msg.FromChild) -> None:
        match message:
            case msg.Call():
                self._reply(child, message)
            case msg.Opened():
                child.has_resources = True
            case msg.Succeeded() | msg.Failed() | msg.Skipped() | msg.Deferred() | msg.Revoked():
                self._report(child, message)
            case _:
                assert_never(message)

    def _report(
        self,
        child: _Child,
        report: msg.Succeeded | msg.Failed | msg.Skipped | msg.Deferred | msg.Revoked,
    ) -> None:
        spec = child.attempts.pop(report.token, None)
        if spec is None:
            return
        del self._by_token[report.token]
        child.revoked.discard(report.token)
        child.cancelled.pop(report.token, None)
        if not isinstance(report, msg.Revoked):
            if child.is_warm or child.is_fresh:
                self._credit.learn((report.ended_us - report.started_us) / 1e6)
            child.began_s = child.idle_since_s = self._clock.monotonic_s()
            child.kill_at_s = child.killed_for = None
            first = child.first
            if first is not None:
                self._set_limit(child, first)
        self._reports.append(report)

    def _reply(self, child: _Child, call: msg.Call) -> None:
        try:
            answer = self._answer(call.token, call.method, call.args)
        except OstinatoError as error:
            self._send(child, msg.Reply(call.id, None, str(error)))
            return
        except (TypeError, ValueError) as error:
            # Arguments that users' code gave.
            self._send(child, msg.Reply(call.id, None, f"{call.method}: {error}"))
            return
        if isinstance(answer, Later):
            is_waiting = call.method in _WAITING
            child.waiting += is_waiting

            def reply(late: Later) -> None:
                child.waiting -= is_waiting
                self._send(child, msg.Reply(call.id, late.value, late.error))

            answer.then(reply)
        else:
            self._send(child, msg.Reply(call.id, answer))

    # Watching

    def _watch(self, child: _Child, now_s: float) -> None:
        if child.kill_at_s is not None and now_s >= child.kill_at_s:
            if child.killed_for is None:
                child.killed_for = FailureKind.TIMEOUT
            child.kill_at_s = None
            self._kill(child)
        elif len(child.attempts) > 1 and now_s - child.began_s > STUCK_S:
            waiting = [token for token in child.attempts if token not in child.revoked][1:]
            if waiting:
                child.revoked.update(waiting)
                self._send(child, msg.GiveBack(tuple(waiting)))
                self._interrupt(child)

    def _moments(self) -> Iterator[float]:
        for child in self._children.values():
            if child.gone_s is not None:
                yield child.gone_s + CAUSE_WAIT_S
            elif child.kill_at_s is not None:
                yield child.kill_at_s
            elif child.is_ending and not child.attempts:
                yield child.idle_since_s + END_GRACE_S
            if len(child.attempts) > len(child.revoked) + 1:
                yield child.began_s + STUCK_S

    def _kill(self, child: _Child) -> None:
        if child.pid and child.status is None:
            _kill_group(child.pid)

    # Ends

    def _lose(self, child: _Child) -> None:
        if child.gone_s is not None:
            return
        assert self._selector is not None
        self._selector.unregister(child.connection)
        child.connection.close()
        child.gone_s = self._clock.monotonic_s()
        if child.is_fresh or not child.attempts:
            self._bury(child)

    def _bury_if_known(self, child: _Child, now_s: float) -> None:
        assert child.gone_s is not None
        if child.status is not None or self._host_is_gone or now_s - child.gone_s > CAUSE_WAIT_S:
            self._bury(child)

    def _bury(self, child: _Child) -> None:
        """Report what a child left: its first attempt is lost, the others had not begun."""
        if child.attempts and child.status is None and child.gone_s is not None:
            waited_s = self._clock.monotonic_s() - child.gone_s
            if not self._host_is_gone and waited_s <= CAUSE_WAIT_S:
                return
        if self._children.pop(child.number, None) is None:
            return
        if child.pid:
            # What its tasks have started goes with it.
            _kill_group(child.pid)
        for position, spec in enumerate(child.attempts.values()):
            del self._by_token[spec.token]
            report = self._end_of_first(child, spec) if position == 0 else msg.Revoked(spec.token)
            self._reports.append(report)
        child.attempts.clear()

    def _end_of_first(self, child: _Child, spec: msg.AttemptSpec) -> msg.Report:
        if child.killed_for is None:
            return msg.Lost(spec.token, self._cause(child))
        at_us = self._clock.now_us()
        began_us = at_us - int((self._clock.monotonic_s() - child.began_s) * 1e6)
        if child.killed_for is FailureKind.TIMEOUT:
            type_name = "ostinato.errors.AttemptTimeout"
            text = (
                f"{spec.subject} ran longer than its timeout of {spec.timeout_s:g} s, "
                "did not end when told to, and was killed"
            )
        else:
            type_name = "AttemptCancelled"
            text = f"{child.kill_reason}: it did not end when told to, and was killed"
        failure = Failure(child.killed_for, type_name, text)
        return msg.Failed(spec.token, began_us, at_us, failure)

    def _cause(self, child: _Child) -> str:
        status = child.status
        if status is None:
            if self._host_is_gone:
                return "its process ended with its code host, which was killed"
            return "its process ended"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name
            hint = ", perhaps because memory ran out" if number == signal.SIGKILL else ""
            return f"its process was killed by {name}{hint}"
        code = os.waitstatus_to_exitcode(status)
        return f"its process exited with code {code}: did the task call os._exit?"

    # The code host

    def _read_host(self) -> None:
        told = self._host.read_nowait()
        if told is None:
            assert self._selector is not None
            self._selector.unregister(self._host.socket)
            self._host_is_gone = True
            if self._restarted_s is not None:
                message = "the process that loads the files ended when it was started again"
                raise LoadError(message, hint="did a file call os._exit?")
            for child in list(self._children.values()):
                self._end_orphan(child)
            return
        for event in told:
            if isinstance(event, Forked):
                self._note_fork(event)
            else:
                self._note_exit(event)

    def _note_fork(self, forked: Forked) -> None:
        child = self._children.get(forked.number)
        if child is not None:
            child.pid = forked.pid
            if child.cancelled:
                # There was nobody to interrupt then.
                self._interrupt(child)

    def _note_exit(self, exited: Exited) -> None:
        for child in self._children.values():
            if child.pid == exited.pid:
                child.status = exited.status
                # A process that it has forked may hold its socket open.
                self._read_last(child)
                self._bury(child)
                return

    def _read_last(self, child: _Child) -> None:
        """Take what a child that has ended has said, and let it go."""
        while child.gone_s is None:
            data = _receive(child.connection)
            if data:
                self._take_all(child, data)
            else:
                self._lose(child)

    def _end_orphan(self, child: _Child) -> None:
        """Let a child go whose code host is gone; the kernel has killed it, or is about to."""
        if not child.pid:
            # It was not forked, or its socket tells.
            return
        try:
            descriptor = os.pidfd_open(child.pid)
        except ProcessLookupError:
            self._read_last(child)
            return
        try:
            # select() takes no descriptor above 1,023, which a process with many files has.
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(CAUSE_WAIT_S * 1000)
        finally:
            os.close(descriptor)
        self._read_last(child)

    def _check_restart(self, now_s: float) -> None:
        assert self._restarted_s is not None
        if self._host.is_loaded:
            self._restarted_s = None
        elif now_s - self._restarted_s > LOAD_TIMEOUT_S:
            message = f"loading the files again took longer than {LOAD_TIMEOUT_S:g} s"
            raise LoadError(message, hint="does a file wait for something?")

    def _restart_host(self) -> None:
        self._host.restart()
        self._host_is_gone = False
        self._restarted_s = self._clock.monotonic_s()
        assert self._selector is not None
        self._selector.register(self._host.socket, selectors.EVENT_READ, self._read_host)


def _receive(connection: socket.socket) -> bytes:
    """Return what has come; nothing where the other end is closed, or says nothing."""
    try:
        return connection.recv(_READ_BYTES)
    except (BlockingIOError, ConnectionResetError):
        return b""


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

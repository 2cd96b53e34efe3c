"""This module runs triggers under virtual time: a loop that is stepped, never waited for."""

import asyncio
import heapq
import math
import selectors
from contextvars import Context
from typing import Any

from ostinato.clock import VirtualClock
from ostinato.errors import OstinatoError
from ostinato.executors.protocol import CallHandler
from ostinato.model.deferral import TriggerSpec
from ostinato.runtime import messages as msg
from ostinato.runtime.trigger_loop import TriggerLoop

#: Seconds of real time for which a step waits for what a trigger awaits outside of the loop.
STEP_S = 0.05

#: Seconds of real time for which nothing may come from outside before virtual time moves on: a
#: thread or a server that is asked answers sooner, one that pushes events may never do.
PATIENCE_S = 5.0


class _SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of a virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        #: When timers are due, some of which may be cancelled.
        self._moments: list[float] = []
        self._in_threads = 0
        super().__init__()
        #: What every loop listens to, for itself.
        self._own_files = len(self._selector.get_map())

    def time(self) -> float:
        return self._clock.monotonic_s()

    def call_at(  # type: ignore[override]  # typeshed's form has variadic types
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        heapq.heappush(self._moments, when)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # typeshed's form has variadic types
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        self._in_threads += 1
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._leave_thread)
        return future

    def _leave_thread(self, _: Any) -> None:
        self._in_threads -= 1

    @property
    def waits_outside(self) -> bool:
        """Whether a thread works for the loop, or it listens to something."""
        return self._in_threads > 0 or len(self._selector.get_map()) > self._own_files

    def next_moment(self) -> float | None:
        """Return when the next timer is due; one that was cancelled costs a step for nothing."""
        while self._moments and self._moments[0] <= self.time():
            heapq.heappop(self._moments)
        return self._moments[0] if self._moments else None

    def step(self, wait_s: float) -> bool:
        """Run what can run at this moment; return whether something came from outside.

        Args:
            wait_s: Seconds of real time to wait for what comes from outside.
        """
        self.call_soon(self.stop)
        self.run_forever()
        while self._ready:
            self.call_soon(self.stop)
            self.run_forever()
        has_come = bool(wait_s and self._selector.select(wait_s))
        if has_come:
            self.step(0)
        return has_come

    # What asyncio tells nobody else.
    _ready: Any
    _selector: selectors.BaseSelector


class VirtualTriggers:
    """Run triggers in the coordinator's thread, under its virtual clock; see ``Triggers``.

    Args:
        clock: Moved on by the coordinator.
        answer: Answers the calls of triggers.
    """

    def __init__(self, clock: VirtualClock, answer: CallHandler) -> None:
        self._clock = clock
        self._answer = answer
        self._loop = _SteppedLoop(clock)
        self._triggers = TriggerLoop(self._loop, self._take)
        self._reports: list[msg.TriggerReport] = []
        self._active: set[int] = set()
        self._is_fresh = False
        self._idle_s = 0.0

    def start(self, token: int, spec: TriggerSpec) -> None:
        """Wait with a trigger."""
        self._active.add(token)
        self._triggers.take(msg.StartTriggers(((token, spec),)))
        self._is_fresh = True

    def stop(self, token: int) -> None:
        """Forget a trigger."""
        if token in self._active:
            self._active.discard(token)
            self._triggers.take(msg.StopTrigger(token))

    def register(self, selector: selectors.BaseSelector) -> None:
        """Register nothing: all work happens in ``poll``."""

    def poll(self) -> list[msg.TriggerReport]:
        """Run what can run at this virtual moment and return the reports."""
        if self._active:
            self._loop.step(0)
            self._is_fresh = False
            if self._waits_outside() and not self._reports:
                has_come = self._loop.step(STEP_S)
                self._idle_s = 0.0 if has_come else self._idle_s + STEP_S
            else:
                self._idle_s = 0.0
        reports, self._reports = self._reports, []
        return reports

    def has_work(self) -> bool:
        """Whether a trigger has not had its first step, or waits for something real."""
        return self._is_fresh or self._waits_outside()

    def _waits_outside(self) -> bool:
        if not self._active:
            return False
        if self.next_us() is None:
            return True
        return self._loop.waits_outside and self._idle_s < PATIENCE_S

    def next_check_s(self) -> float | None:
        """Return None: the coordinator asks for the next moment instead."""
        return None

    def next_us(self) -> int | None:
        """Return the virtual moment at which a trigger goes on, None if none waits for one."""
        moment_s = self._loop.next_moment() if self._active else None
        if moment_s is None:
            return None
        return self._clock.now_us() + math.ceil((moment_s - self._loop.time()) * 1e6)

    def close(self) -> None:
        """Forget all triggers."""
        self._loop.run_until_complete(self._triggers.close())
        self._loop.close()

    def _take(self, message: msg.FromTriggers) -> None:
        if isinstance(message, msg.Call):
            self._triggers.take(self._reply(message))
            return
        self._active.discard(message.token)
        self._reports.append(message)

    def _reply(self, call: msg.Call) -> msg.Reply:
        try:
            return msg.Reply(call.id, self._answer(call.token, call.method, call.args))
        except OstinatoError as error:
            return msg.Reply(call.id, error=str(error))

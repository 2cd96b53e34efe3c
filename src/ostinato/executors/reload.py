"""This module loads a project's code anew whenever its files change."""

import logging
import os
import selectors

from ostinato.clock import Clock, SystemClock
from ostinato.errors import LoadError, OstinatoError
from ostinato.executors.code_host import LOAD_TIMEOUT_S, CodeHost
from ostinato.executors.served_code import ServedCode
from ostinato.model.health import PartHealth
from ostinato.model.manifest import DefinitionProblem
from ostinato.project.discovery import Project
from ostinato.project.watching import CodeFiles

logger = logging.getLogger(__name__)

#: Seconds without a change after which files count as written: an editor saves several at once.
SETTLE_S = 0.05

#: Seconds after which is loaded though changes go on. A checkout of another branch takes away
#: files for a moment, and flows that are gone are served no more.
SETTLE_AT_MOST_S = 2.0

#: Seconds between loads grow to this while they find nothing new: something writes there.
MAX_PAUSE_S = 10.0

#: A load that lasts this long is given up for another change, and at least twice its usual time.
GIVE_UP_S = 2.0

#: Seconds after which definitions that could not be saved are loaded again.
SAVE_AGAIN_S = 2.0

#: Seconds after which files are loaded again whose load was killed, perhaps by nobody's fault
#: but that memory ran out; twice as many each time.
LOST_AGAIN_S = 0.5


class Reload:
    """Watch a project and keep its code in force; a part of a service.

    Make it before the first load, so that no change falls between that and the first look.

    Args:
        code: Is loaded whenever files change.
        project: Whose files are watched.
        clock: Measures the pauses.
    """

    name = "code"

    def __init__(self, code: ServedCode, project: Project, *, clock: Clock | None = None) -> None:
        self._code = code
        self._clock = clock or SystemClock()
        self._files = CodeFiles(project, clock=self._clock)
        self._is_stopped = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        #: Files that have changed; an empty name asks for a load whatever has.
        self._changed: set[str] = set()
        #: When the system told of the first and of the last change that was not looked at.
        self._first_s: float | None = None
        self._last_s = 0.0
        self._loading: CodeHost | None = None
        self._loading_since_s = 0.0
        self._usual_s = 0.0
        #: What the last load gave.
        self._found: tuple[str, tuple[DefinitionProblem, ...]] = ("", ())
        self._pause_s = 0.0
        self._not_before_s = 0.0

    def serve(self) -> None:
        """Load whenever files change, until stopped."""
        self._watch_sources()
        if self._code.newest is None:
            # The first load was killed, or could not be saved.
            self._changed.add("")
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            events = self._files.events
            if events is not None:
                selector.register(events, selectors.EVENT_READ)
            try:
                while not self._is_stopped:
                    selector.select(self._wait_s())
                    if events is not None and self._files.events is None:
                        # There were too many folders.
                        selector.unregister(events)
                        events = None
                    self._turn(selector)
            finally:
                if self._loading is not None:
                    self._loading.close()
                self._files.close()

    def drain(self) -> None:
        """Load nothing any more; what is in force stays."""
        self.stop()

    def stop(self) -> None:
        """Have ``serve`` return."""
        self._is_stopped = True
        try:
            os.write(self._wake_write, b"x")
        except BlockingIOError:
            return

    def health(self) -> PartHealth:
        """Say whether everything in the last load was sound; what is not keeps nothing else."""
        wrong = sum(1 for problem in self._code.problems if problem.is_error)
        return PartHealth(detail=f"{wrong} problems in the project's files" if wrong else "")

    def _wait_s(self) -> float:
        now_s = self._clock.monotonic_s()
        moments = [self._files.next_look_s()]
        if self._first_s is not None:
            moments.append(self._settled_s() - now_s)
        if self._changed and self._loading is None:
            moments.append(self._not_before_s - now_s)
        if self._loading is not None:
            moments.append(self._loading_since_s + LOAD_TIMEOUT_S - now_s)
            if self._changed:
                moments.append(self._given_up_s() - now_s)
        return max(min(moments), 0.0)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        now_s = self._clock.monotonic_s()
        if self._files.has_changed():
            self._last_s = now_s
            if self._first_s is None:
                self._first_s = now_s
        is_settled = self._first_s is not None and now_s >= self._settled_s()
        if is_settled or (self._first_s is None and not self._files.next_look_s()):
            self._first_s = None
            self._changed |= self._files.look()
            if self._code.has_lost_host:
                logger.warning("the process that has the code was killed; it is started again")
                self._changed.add("")
        if self._loading is not None:
            self._go_on(selector, now_s)
        if self._changed and self._loading is None and now_s >= self._not_before_s:
            self._begin(selector, now_s)

    def _settled_s(self) -> float:
        assert self._first_s is not None
        return min(self._last_s + SETTLE_S, self._first_s + SETTLE_AT_MOST_S)

    def _given_up_s(self) -> float:
        return self._loading_since_s + max(GIVE_UP_S, 2 * self._usual_s)

    def _begin(self, selector: selectors.BaseSelector, now_s: float) -> None:
        changed, self._changed = self._changed, set()
        newest = self._code.newest
        is_asked = "" in changed
        if not (newest is None or is_asked or self._files.differ(changed, newest.sources)):
            return
        logger.debug("%d files have changed", len(changed))
        try:
            self._loading = self._code.begin()
        except LoadError as error:
            self._try_again()
            self._end(now_s)
            self._code.refuse(error)
            return
        self._loading_since_s = now_s
        selector.register(self._loading.socket, selectors.EVENT_READ)

    def _go_on(self, selector: selectors.BaseSelector, now_s: float) -> None:
        """Look what has become of a load."""
        host = self._loading
        assert host is not None
        connection = host.socket
        error: OstinatoError | None = None
        is_lost = False
        try:
            if host.read_nowait() is None:
                is_lost = True
                error = LoadError("the process that loads the files ended: did one call os._exit?")
        except OstinatoError as raised:
            error = raised
        if now_s - self._loading_since_s > LOAD_TIMEOUT_S:
            message = f"loading took longer than {LOAD_TIMEOUT_S:g} s"
            error = LoadError(message, hint="does a file wait for something?")
        is_given_up = bool(self._changed) and now_s >= self._given_up_s()
        if not (host.is_loaded or error or is_given_up):
            return
        selector.unregister(connection)
        self._loading = None
        if error is None and not host.is_loaded:
            # A file that waits for something was mended, perhaps.
            host.close()
            return
        if error is not None:
            host.close()
            change = self._code.refuse(error)
        else:
            self._usual_s = now_s - self._loading_since_s
            change = self._code.accept(host)
            self._watch_sources()
        if is_lost or (error is None and not change.version):
            # Killed, or what was loaded could not be saved: it is tried again.
            self._try_again()
            if not is_lost:
                self._pause_s = SAVE_AGAIN_S
            self._end(now_s)
            return
        found = (change.version, change.problems)
        is_other, self._found = found != self._found, found
        self._pause_s = 0.0 if is_other else min(max(2 * self._pause_s, 0.1), MAX_PAUSE_S)
        self._end(now_s)

    def _try_again(self) -> None:
        self._pause_s = min(max(2 * self._pause_s, LOST_AGAIN_S), MAX_PAUSE_S)
        self._changed.add("")

    def _end(self, now_s: float) -> None:
        self._loading = None
        self._not_before_s = now_s + self._pause_s

    def _watch_sources(self) -> None:
        newest = self._code.newest
        if newest is not None:
            self._files.also(newest.sources)

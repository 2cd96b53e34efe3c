"""This module ends the wait of a coordinator's loop: for what comes, and for whoever asks."""

import os
import selectors
import socket
from collections.abc import Callable


class Bell:
    """What a loop waits for: sockets, and the asking of other threads and signal handlers.

    Args:
        wake: Socket that becomes readable when another process asks for something.
    """

    def __init__(self, wake: socket.socket | None = None) -> None:
        self.selector = selectors.DefaultSelector()
        self._wake = wake
        #: Whether another process has asked for something since this was last set to False.
        self.was_woken = True
        self._asked: list[Callable[[], None]] = []
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.selector.register(self._read, selectors.EVENT_READ, self._drain)
        if wake is not None:
            self.selector.register(wake, selectors.EVENT_READ, self._drain_wake)

    def __bool__(self) -> bool:
        return bool(self._asked)

    def ask(self, action: Callable[[], None]) -> None:
        """Have the loop call something at its next turn; safe in signal handlers and threads."""
        self._asked.append(action)
        self.ring()

    def ring(self) -> None:
        """End the loop's wait; safe in signal handlers and threads."""
        try:
            os.write(self._write, b"\0")
        except (BlockingIOError, OSError):
            # The pipe is full of rings already, or the loop has been closed.
            return

    def ring_for_requests(self) -> None:
        """End the loop's wait as a datagram of another process does; safe in threads."""
        self.was_woken = True
        self.ring()

    def answer(self) -> None:
        """Do what was asked."""
        while self._asked:
            self._asked.pop(0)()

    def wait(self, timeout_s: float) -> None:
        """Wait until something comes, or somebody asks."""
        for key, _ in self.selector.select(timeout_s):
            key.data()

    def close(self) -> None:
        """Free everything."""
        self.selector.close()
        os.close(self._read)
        # A thread that rings later finds no other file under this number.
        write, self._write = self._write, -1
        os.close(write)

    def _drain(self) -> None:
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return

    def _drain_wake(self) -> None:
        assert self._wake is not None
        try:
            while self._wake.recv(64):
                pass
        except BlockingIOError:
            pass
        self.was_woken = True

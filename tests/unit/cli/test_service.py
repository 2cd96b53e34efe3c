"""Tests of the frame of processes that go on."""

import os
import signal
import threading

import pytest

from ostinato.cli.service import Part, Service
from ostinato.model.health import PartHealth


class Scripted:
    """A part that notes what it is told, and ends when it may."""

    def __init__(self, name: str, *, drains: bool = True, fails: bool = False) -> None:
        self.name = name
        self.told: list[str] = []
        self.thread = ""
        self._drains = drains
        self._fails = fails
        self.is_serving = threading.Event()
        self._may_end = threading.Event()

    def serve(self) -> None:
        self.thread = threading.current_thread().name
        self.is_serving.set()
        if self._fails:
            raise ValueError(self.name)
        assert self._may_end.wait(20)

    def drain(self) -> None:
        self.told.append("drain")
        if self._drains:
            self._may_end.set()

    def stop(self) -> None:
        self.told.append("stop")
        self._may_end.set()

    def health(self) -> PartHealth:
        return PartHealth(is_ready=not self.told)


class Signalling(Scripted):
    """A part in the main thread that sends signals to its process once all others serve."""

    def __init__(self, others: list[Scripted], count: int) -> None:
        super().__init__("signalling", drains=count == 1)
        self._others = others
        self._count = count

    def serve(self) -> None:
        for other in self._others:
            assert other.is_serving.wait(20)
        for _ in range(self._count):
            os.kill(os.getpid(), signal.SIGTERM)
        super().serve()


def as_part(part: Part) -> Part:
    return part


def test_a_signal_drains_all_parts_and_stops_attendants_in_the_end() -> None:
    other, attendant = Scripted("other"), Scripted("attendant")
    main = Signalling([other, attendant], 1)
    service = Service([main, other], main=as_part(main), attendants=[attendant])

    service.run()

    assert (main.told, other.told, attendant.told) == (["drain"], ["drain"], ["stop"])
    assert (main.thread, other.thread) == ("MainThread", "other")


def test_a_second_signal_stops_what_still_drains() -> None:
    other = Scripted("other", drains=False)
    main = Signalling([other], 2)
    service = Service([main, other], main=main)

    service.run()

    assert main.told == ["drain", "stop"]
    assert other.told == ["drain", "stop"]


class Locking(Scripted):
    """A part that is told to end while the main thread holds a lock that it needs."""

    def __init__(self) -> None:
        super().__init__("locking")
        self.lock = threading.Lock()

    def serve(self) -> None:
        with self.lock:
            os.kill(os.getpid(), signal.SIGTERM)
        super().serve()

    def drain(self) -> None:
        with self.lock:
            super().drain()


def test_a_signal_may_interrupt_the_main_thread_anywhere() -> None:
    part = Locking()

    Service([part], main=part).run()

    assert part.told == ["drain"]


def test_what_drains_too_long_is_stopped() -> None:
    other = Scripted("other", drains=False)
    main = Signalling([other], 1)
    service = Service([main, other], main=main, drain_timeout_s=0.0)

    service.run()

    assert other.told == ["drain", "stop"]


def test_a_part_that_fails_ends_the_others_and_the_service() -> None:
    failing, other = Scripted("failing", fails=True), Scripted("other")
    service = Service([failing, other])

    with pytest.raises(ValueError, match="failing"):
        service.run()

    assert "stop" in other.told


def test_when_a_part_ends_the_others_are_drained() -> None:
    ending, other = Scripted("ending"), Scripted("other")
    ending._may_end.set()
    service = Service([ending, other])

    service.run()

    assert other.told == ["drain"]
    assert service.is_draining


def test_health_is_told_by_part() -> None:
    one, other = Scripted("one"), Scripted("other")
    other.drain()
    service = Service([one], attendants=[other])

    assert service.health() == {"one": PartHealth(), "other": PartHealth(is_ready=False)}


def test_signals_are_handled_as_before_when_the_service_has_ended() -> None:
    before = signal.getsignal(signal.SIGTERM)
    part = Scripted("part")
    part.drain()

    Service([part]).run()

    assert signal.getsignal(signal.SIGTERM) is before

"""A log is whole lines, numbered, whatever happens to its file."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostinato.clock import SystemClock
from ostinato.runtime.log_writer import MAX_LINE_CHARACTERS, AttemptLog
from tests.unit.runtime.attempts import Attempts, flow_of, log_file, log_lines, run_info, spec_of


class Log:
    """A log whose lines can be read."""

    def __init__(self, folder: Path) -> None:
        self.info, self.spec = run_info(folder), spec_of("task")
        self.log = AttemptLog(self.info.logs_root, self.spec, SystemClock())
        self.file = log_file(self.info, self.spec)

    def lines(self) -> list[dict[str, Any]]:
        return log_lines(self.info, self.spec)

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Refuse to write files beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_line_that_finds_no_room_leaves_no_part_and_is_counted(log: Log) -> None:
    log.log.write("INFO", "stdout", "before")
    with files_end_at(log.file.stat().st_size + 20):
        log.log.write("INFO", "stdout", "no room")
        log.log.write("INFO", "stdout", "no room either")
    log.log.write("INFO", "stdout", "after")
    log.log.close()

    assert log.messages() == [
        "before",
        f"2 lines could not be written: {os.strerror(errno.EFBIG)}",
        "after",
    ]
    assert [line["seq"] for line in log.lines()] == [1, 2, 3]


def test_a_task_does_not_fail_by_its_log(tmp_path: Path) -> None:
    def speak() -> str:
        print("nobody hears it")
        return "done"

    attempts = Attempts(tmp_path, flow_of(speak))
    # Where the folder should be, there is a file.
    Path(attempts.info.logs_root).write_text("")

    report = attempts.run("speak")

    assert type(report).__name__ == "Succeeded"


def test_a_folder_that_was_removed_is_made_again(log: Log, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs").rmdir()

    log.log.write("INFO", "stdout", "line")

    assert log.messages() == ["line"]


def test_what_comes_after_the_end_is_dropped_and_opens_nothing(log: Log) -> None:
    before = os.listdir("/proc/self/fd")
    log.log.write("INFO", "stdout", "line")
    log.log.close()

    log.log.write("INFO", "stdout", "late")
    log.log.write_stream("INFO", "stdout", "late\n")

    assert log.messages() == ["line"]
    assert os.listdir("/proc/self/fd") == before


def test_ten_megabytes_without_a_line_end_are_split(log: Log) -> None:
    for _ in range(10):
        log.log.write_stream("INFO", "stdout", "x" * 1_000_000)
    log.log.close()

    messages = log.messages()
    assert "".join(messages) == "x" * 10_000_000
    assert max(map(len, messages)) <= MAX_LINE_CHARACTERS


def test_an_incomplete_line_is_written_at_the_end(log: Log) -> None:
    log.log.write_stream("INFO", "stdout", "whole\nin")
    assert log.messages() == ["whole"]

    log.log.write_stream("INFO", "stdout", "complete")
    log.log.close()

    assert log.messages() == ["whole", "incomplete"]


def test_a_line_of_a_subprocess_is_not_joined_with_an_incomplete_one(log: Log) -> None:
    log.log.write_stream("INFO", "stdout", "in")
    log.log.write_stream("INFO", "stdout", "of a subprocess\n", is_descriptor=True)
    log.log.write_stream("INFO", "stdout", "complete")
    log.log.close()

    assert log.messages() == ["of a subprocess", "incomplete"]


def test_text_that_no_file_can_hold_is_escaped(log: Log) -> None:
    log.log.write("INFO", "stdout", "caf\udce9")

    assert log.messages() == ["caf\\udce9"]


def test_a_file_that_was_closed_under_the_log_is_opened_again(log: Log) -> None:
    log.log.write("INFO", "stdout", "first")
    os.close(log.log._file)

    log.log.write("INFO", "stdout", "lost")
    log.log.write("INFO", "stdout", "second")
    log.log.close()

    assert log.messages()[0] == "first"
    assert log.messages()[-1] == "second"

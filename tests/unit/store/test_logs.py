"""This module tests how the logs of attempts are read."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.model.identity import MapPath
from ostinato.model.layout import log_path
from ostinato.model.log import LogRecord
from ostinato.store.logs import CHUNK_BYTES, RunLog, read_attempt, read_run

RUN = 7


def line(seq: int, at_us: int, message: str) -> bytes:
    return msgspec.json.encode(LogRecord(seq, at_us, "INFO", "stdout", message)) + b"\n"


def write(
    root: Path,
    data: bytes,
    *,
    task_id: str = "load",
    path: MapPath = (),
    generation: int = 0,
    attempt: int = 1,
) -> None:
    """Append to the log of an attempt."""
    file = root / log_path(RUN, task_id, path, generation, attempt)
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as log:
        log.write(data)


def test_attempt_is_read_in_the_order_of_its_lines(tmp_path: Path) -> None:
    write(tmp_path, line(1, 10, "a") + line(2, 5, "b"), path=(3,), generation=2, attempt=4)

    records = read_attempt(tmp_path, RUN, "load", (3,), 2, 4)

    assert [(record.seq, record.message) for record in records] == [(1, "a"), (2, "b")]


def test_attempt_that_wrote_nothing_has_no_lines(tmp_path: Path) -> None:
    assert read_attempt(tmp_path, RUN, "load", (), 0, 1) == []
    assert read_run(tmp_path, RUN) == []


def test_lines_of_a_run_come_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, line(1, 10, "a1") + line(2, 30, "a2"), task_id="a")
    write(tmp_path, line(1, 20, "b1") + line(2, 40, "b2"), task_id="b", path=(1, 2), attempt=3)

    lines = read_run(tmp_path, RUN)

    assert [each.record.message for each in lines] == ["a1", "b1", "a2", "b2"]
    assert (lines[1].task_id, lines[1].path) == ("b", (1, 2))
    assert (lines[1].generation, lines[1].attempt) == (0, 3)


def test_lines_of_an_attempt_keep_their_order_when_its_clock_jumped_back(tmp_path: Path) -> None:
    write(tmp_path, line(1, 50, "a1") + line(2, 10, "a2"), task_id="a")
    write(tmp_path, line(1, 20, "b1"), task_id="b")

    messages = [each.record.message for each in read_run(tmp_path, RUN)]

    assert messages.index("a1") < messages.index("a2")
    assert sorted(messages) == ["a1", "a2", "b1"]


@pytest.mark.parametrize("task_id", ["a", "group.a", "ä/b", "*", "x" * 400])
def test_lines_of_one_task_are_chosen(tmp_path: Path, task_id: str) -> None:
    write(tmp_path, line(1, 1, "mine"), task_id=task_id)
    write(tmp_path, line(1, 1, "other"), task_id="other")

    [found] = read_run(tmp_path, RUN, task_id=task_id)

    assert (found.task_id, found.record.message) == (task_id, "mine")


def test_name_of_a_task_is_read_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path, line(1, 1, "mine"), task_id="group.ä/b")

    assert read_run(tmp_path, RUN)[0].task_id == "group.ä/b"


def test_only_what_is_new_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, line(1, 1, "a"))
    log = RunLog(tmp_path, RUN)
    first = log.read()
    write(tmp_path, line(2, 2, "b"))
    write(tmp_path, line(1, 3, "c"), attempt=2)

    second = log.read()

    assert [each.record.message for each in first] == ["a"]
    assert [each.record.message for each in second] == ["b", "c"]
    assert log.read() == []


def test_torn_last_line_is_left_for_the_next_read(tmp_path: Path) -> None:
    whole = line(2, 2, "second")
    write(tmp_path, line(1, 1, "first") + whole[:9])
    log = RunLog(tmp_path, RUN)
    first = log.read()
    write(tmp_path, whole[9:])

    second = log.read()

    assert [each.record.message for each in first] == ["first"]
    assert [each.record.message for each in second] == ["second"]


@pytest.mark.parametrize("junk", [b"no json", b"[1]", b"{}", b"", b"\xff\xfe", b'{"seq": "x"}'])
def test_line_that_does_not_parse_is_told_in_its_place(tmp_path: Path, junk: bytes) -> None:
    write(tmp_path, line(1, 10, "before") + junk + b"\n" + line(2, 30, "after"))
    write(tmp_path, line(1, 5, "early") + line(2, 20, "late"), task_id="other")

    lines = read_run(tmp_path, RUN)

    assert [each.record.message.split(":")[0] for each in lines] == [
        "early",
        "before",
        "this line of the log is damaged",
        "late",
        "after",
    ]
    damaged = lines[2].record
    assert (damaged.level, damaged.source, damaged.at_us) == ("ERROR", "ostinato", 10)


@given(st.binary(max_size=200))
def test_no_content_of_a_file_is_an_exception(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    root = tmp_path_factory.mktemp("logs")
    write(root, data)

    lines = read_run(root, RUN)

    assert len(lines) == data.count(b"\n")


@pytest.mark.parametrize(
    "name", ["7/load/_/notes.jsonl", "7/load/x/0-1.jsonl", "7/load/_/0-1.txt", "7/README"]
)
def test_file_of_somebody_else_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(line(1, 1, "theirs"))
    log = RunLog(tmp_path, RUN)

    assert log.read() == []
    assert log.read() == []


def test_log_larger_than_a_chunk_is_read_whole(tmp_path: Path) -> None:
    count = 3 * CHUNK_BYTES // 100
    write(tmp_path, b"".join(line(i, i, "x" * 100) for i in range(count)))

    records = read_attempt(tmp_path, RUN, "load", (), 0, 1)

    assert [record.seq for record in records] == list(range(count))


def test_line_larger_than_a_chunk_is_read_whole(tmp_path: Path) -> None:
    message = "x" * (5 * CHUNK_BYTES)
    write(tmp_path, line(1, 1, message) + line(2, 2, "short"))

    records = read_attempt(tmp_path, RUN, "load", (), 0, 1)

    assert [record.message for record in records] == [message, "short"]


def follow(tmp_path: Path, steps: list[Callable[[], None]]) -> list[str]:
    """Follow a log while something happens at each wait; the run is over after the last."""
    log = RunLog(tmp_path, RUN)
    left = list(steps)

    lines = log.follow(wait=lambda: left.pop(0)(), is_over=lambda: not left)

    return [each.record.message for each in lines]


def test_followed_log_yields_what_comes_until_the_run_is_over(tmp_path: Path) -> None:
    write(tmp_path, line(1, 1, "before"))

    messages = follow(
        tmp_path,
        [
            lambda: write(tmp_path, line(2, 2, "during")),
            lambda: None,
            lambda: write(tmp_path, line(3, 3, "at the end"), attempt=2),
        ],
    )

    assert messages == ["before", "during", "at the end"]


def test_what_is_written_as_the_run_ends_is_not_missed(tmp_path: Path) -> None:
    def is_over() -> bool:
        write(tmp_path, line(1, 1, "last words"))
        return True

    lines = list(RunLog(tmp_path, RUN).follow(wait=lambda: None, is_over=is_over))

    assert [each.record.message for each in lines] == ["last words"]


def test_log_of_a_run_that_is_over_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, line(1, 1, "all"))

    assert follow(tmp_path, []) == ["all"]

"""This module tests what a person sees on a terminal."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

OnTerminal = Callable[..., tuple[str, int]]


@pytest.fixture
def on_terminal(folder: Path, environ: dict[str, str]) -> OnTerminal:
    """Run a command on a terminal of 30 lines; return all it wrote, and its exit code."""

    def run(
        *arguments: str, term: str = "xterm-256color", typed: str = "", is_script: bool = False
    ) -> tuple[str, int]:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            command = [sys.executable, *([] if is_script else ["-m", "ostinato"]), *arguments]
            os.execve(sys.executable, command, {**environ, "TERM": term})
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        written = b""
        if typed:
            os.write(terminal, typed.encode())
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            written += data
        os.close(terminal)
        return written.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run


def last_picture(written: str) -> list[str]:
    """Return the lines that are left standing."""
    # Each picture begins by going back over the one before.
    return _CONTROL.sub("", re.split(r"(?:\x1b\[2K\x1b\[1A)+\x1b\[2K", written)[-1]).splitlines()


def test_picture_of_a_run_is_left_standing(project: Path, on_terminal: OnTerminal) -> None:
    written, code = on_terminal("run", "etl")

    lines = [re.sub(r"[\d.]+ (m?s)\b", r"N \1", line).rstrip() for line in last_picture(written)]
    assert code == 0
    assert re.fullmatch(r"✔ etl#1  succeeded  N m?s  7 of 7", lines[0])
    assert re.fullmatch(r"  ⤼ never    skipped  N m?s", lines[1])
    assert re.fullmatch(r"  ✔ double   ━{16} 3/3  N m?s", lines[3])
    assert lines[5] == "  report/"
    assert re.fullmatch(r"    ✔ draw   N m?s", lines[6])
    assert re.fullmatch(r"\d\d:\d\d:\d\d extract \| extracting 3", lines[7])
    assert re.fullmatch(r"✔ etl#1 succeeded in N m?s", lines[8])


def test_picture_shows_the_line_that_failed(project: Path, on_terminal: OnTerminal) -> None:
    written, code = on_terminal("run", "etl", "-p", "bad_row=1")

    lines = last_picture(written)
    at = lines.index("✖ double[1]: ValueError: row 1 is bad")
    assert code == 1
    assert lines[at + 1].startswith("    flows/etl.py:18 in")
    assert lines[at + 2].strip() == 'raise ValueError(f"row {row} is bad")'
    assert any("⊘ load     upstream_failed" in line for line in lines)


def test_cursor_is_shown_again(project: Path, on_terminal: OnTerminal) -> None:
    written, _ = on_terminal("run", "etl")

    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")


def test_plain_terminal_gets_lines(project: Path, on_terminal: OnTerminal) -> None:
    written, code = on_terminal("run", "etl", term="dumb")

    assert code == 0
    assert "extract succeeded in" in written
    assert "\x1b[2K" not in written


def test_wide_flow_is_cut_to_the_screen(project: Path, on_terminal: OnTerminal) -> None:
    (project / "flows" / "many.py").write_text(
        "from ostinato import DAG, EmptyOperator\n\n"
        'with DAG("many"):\n'
        "    for i in range(300):\n"
        '        EmptyOperator(task_id=f"task_{i}")\n'
    )

    written, code = on_terminal("run", "many")

    lines = last_picture(written)
    assert code == 0
    assert any(re.fullmatch(r"  … \d+ more tasks", line.rstrip()) for line in lines)


def test_lists_are_coloured_on_a_terminal(project: Path, on_terminal: OnTerminal) -> None:
    on_terminal("run", "etl")

    written, code = on_terminal("runs")

    assert code == 0
    assert "\x1b[32metl#1" in written


SCRIPT = """
import time

from ostinato import flow, task


@task
def load(number):
    print("loading", number)
    time.sleep(0.3)
    return number


@task
def add(*numbers):
    return sum(numbers)


@flow(run_name="of {count}")
def etl(count: int = 3, ask: bool = False):
    loaded = [load(number) for number in range(count)]
    if ask:
        print("hello", input("name? "))
    return add(*loaded)


if __name__ == "__main__":
    print("result", etl())
    print("result", etl(2, ask=True))
    print("result", etl(0))
"""


def test_steps_of_a_script_are_shown_below_what_it_prints(
    folder: Path, on_terminal: OnTerminal
) -> None:
    (folder / "script.py").write_text(SCRIPT)

    written, code = on_terminal("script.py", typed="ana\n", is_script=True)

    assert code == 0
    plain = _CONTROL.sub("", written)
    assert re.search(r"✔ etl#1 \(of 3\)  succeeded  [\d.]+ m?s  4 steps\n", plain)
    assert re.search(r"    ✔ load  3  last \[2\] 3\d\d ms\n    ✔ add\[3\]", plain)
    # It moved while the flow went on.
    assert "running" in plain
    assert plain.count("loading 2") == 1
    # The picture is gone before somebody is asked; then the end is said in a line.
    assert "hello ana" in plain
    assert re.search(r"✔ etl#2 \(of 2\) succeeded in [\d.]+ m?s\n", plain)
    assert re.search(r"✔ etl#3 \(of 0\) succeeded in [\d.]+ ms\n", plain)
    assert [line for line in plain.splitlines() if line.startswith("result")] == [
        "result 3",
        "result 1",
        "result 0",
    ]


def test_script_without_a_capable_terminal_is_silent(folder: Path, on_terminal: OnTerminal) -> None:
    (folder / "script.py").write_text(SCRIPT)

    written, _ = on_terminal("script.py", typed="ana\n", is_script=True, term="dumb")

    assert "✔" not in written


def test_what_steps_print_is_shown_by_run(folder: Path, on_terminal: OnTerminal) -> None:
    (folder / "script.py").write_text(SCRIPT)

    written, code = on_terminal("run", "script.py", "-p", "count=2")

    assert code == 0
    assert any(re.search(r"load\[1\] \| loading 1", line) for line in last_picture(written))

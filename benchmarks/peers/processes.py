"""This module runs a command under a time limit, with all that it leaves behind. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What a command gets to stop its own services after SIGTERM, before it is killed.
GRACE_S = 15.0
#: How much of the output is quoted when a command fails.
QUOTED_CHARS = 300


class CommandFailed(RuntimeError):
    """A command failed or took too long; the text is one line."""


@dataclass(frozen=True)
class Finished:
    seconds: float
    output: str


def run_limited(
    command: Sequence[str], *, folder: Path, environ: Mapping[str, str], limit_s: float
) -> Finished:
    """Run `command` in a session of its own and return its duration and standard output.

    The output goes to files: a server left behind would hold a pipe open for ever.

    Raises:
        CommandFailed: It could not be started, failed, or was stopped at `limit_s`.
    """
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        except OSError as missing:
            raise CommandFailed(f"cannot be started: {missing}") from None
    with _ending_session(process):
        expired = _wait(process, limit_s)
        seconds = time.perf_counter() - started
    output = out.read_text(errors="replace")
    if expired:
        raise CommandFailed(f"stopped after {limit_s:.0f} s")
    if process.returncode:
        raise CommandFailed(f"exit code {process.returncode}: {_last_line(output, err)}")
    return Finished(seconds, output)


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait until the process exits; true if it had to be told to.

    `Popen.wait(timeout)` polls every 50 ms, as long as a quick run takes; `waitid` blocks. It
    leaves the zombie, so that the session's id is not given to another process.
    """
    expired, exited = threading.Event(), threading.Event()

    def expire() -> None:
        expired.set()
        _signal(process.pid, signal.SIGTERM)
        if not exited.wait(GRACE_S):
            _signal(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s, expire)
    timer.start()
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        exited.set()
        timer.cancel()
    return expired.is_set()


@contextlib.contextmanager
def _ending_session(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for member in _session(process.pid):
                _signal(member, sent)
            _wait_until_alone(process.pid)
        process.wait()


def _wait_until_alone(session: int) -> None:
    deadline = time.monotonic() + GRACE_S
    while _session(session) and time.monotonic() < deadline:
        time.sleep(0.05)


def _session(session: int) -> list[int]:
    """Find the live processes of a session: services leave the group, but not the session."""
    return [
        member
        for member in map(int, (entry for entry in os.listdir("/proc") if entry.isdigit()))
        if _session_of(member) == session
    ]


def _session_of(process: int) -> int | None:
    # /proc/PID/stat: "PID (name) state parent group session ..."; the name may hold anything.
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    state, _, _, session = stat.rpartition(")")[2].split()[:4]
    return None if state == "Z" else int(session)


def _signal(process: int, sent: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, sent)


def _last_line(output: str, err: Path) -> str:
    lines = [*output.splitlines(), *err.read_text(errors="replace").splitlines()]
    said = [" ".join(line.split()) for line in lines if line.strip()]
    return said[-1][:QUOTED_CHARS] if said else "it printed nothing"

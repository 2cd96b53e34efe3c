"""This module measures what the machine allows: the bare work without an orchestrator."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

#: Rows of a batch of the bare commit loop: what an executor's credit makes of a fan-out.
BATCH_ROWS = 64


def commit_rate(folder: Path, tasks: int) -> float:
    """Return tasks/s of a bare loop that commits start and end of each task, fsynced.

    Two upserts and two events a task, ``BATCH_ROWS`` tasks in a transaction.
    """
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE task (run, name, path, state, PRIMARY KEY (run, name, path)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, run, name, payload)")
    payload = b"x" * 40
    began = time.perf_counter()
    for first in range(0, tasks, BATCH_ROWS):
        batch = range(first, min(first + BATCH_ROWS, tasks))
        for state in (1, 2):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO task VALUES (1, ?, '', ?) "
                "ON CONFLICT DO UPDATE SET state = excluded.state",
                [(f"task_{index}", state) for index in batch],
            )
            connection.executemany(
                "INSERT INTO event (run, name, payload) VALUES (1, ?, ?)",
                [(f"task_{index}", payload) for index in batch],
            )
            connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return tasks / took


def commit_seconds(folder: Path, commits: int = 200) -> float:
    """Return the median seconds of one small fsynced commit."""
    connection = sqlite3.connect(folder / "single.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, payload)")
    times = []
    for _ in range(commits):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO event (payload) VALUES (?)", (b"x" * 80,))
        connection.execute("COMMIT")
        times.append(time.perf_counter() - began)
    connection.close()
    return sorted(times)[len(times) // 2]


def round_trip_seconds(trips: int = 2000) -> float:
    """Return the median seconds of a message to another process and back over a Unix socket."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while theirs.recv(64):
            theirs.send(b"x" * 32)
        os._exit(0)
    theirs.close()
    times = []
    for _ in range(trips):
        began = time.perf_counter()
        ours.send(b"x" * 32)
        ours.recv(64)
        times.append(time.perf_counter() - began)
    ours.close()
    os.waitpid(pid, 0)
    return sorted(times)[len(times) // 2]


def fork_rate(forks: int = 300) -> float:
    """Return forks/s: a child that answers one byte and exits, awaited."""
    began = time.perf_counter()
    for _ in range(forks):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"x")
            os._exit(0)
        os.read(read, 1)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)
    return forks / (time.perf_counter() - began)


def command_seconds(
    arguments: list[str], *, repeats: int = 15, env: dict[str, str] | None = None
) -> float:
    """Return the median seconds of a whole process of this Python, its byte code compiled."""
    environment = dict(os.environ if env is None else env)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, *arguments]
    times = []
    # The first one compiles what was not imported before; it is not counted.
    for _ in range(1 + repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[repeats // 2]

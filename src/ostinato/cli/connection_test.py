"""This module tests a connection in a process of its own, which may hang or crash.

Standard input is the connection as JSON, standard output what was found; see ``test``.
"""

import os
import signal
import subprocess
import sys
from typing import Any

import msgspec

from ostinato.clock import SystemClock
from ostinato.model.connection import Connection
from ostinato.model.secret import MASK


class Outcome(msgspec.Struct, frozen=True):
    """What a test found.

    Attributes:
        ok: Whether the connection works.
        message: What was found, or what is wrong, in one line without secrets.
        took_s: Seconds that it took.
    """

    ok: bool
    message: str
    took_s: float = 0.0


def test(connection: Connection, *, timeout_s: float, secrets: list[str]) -> Outcome:
    """Test a connection by its hook and return what was found.

    Args:
        connection: How to reach the system.
        timeout_s: Seconds after which the process is killed.
        secrets: What is masked in the outcome.
    """
    clock = SystemClock()
    start_s = clock.monotonic_s()
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato.cli.connection_test"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(msgspec.json.encode(connection), timeout=timeout_s)
        try:
            outcome = msgspec.json.decode(out, type=Outcome)
        except msgspec.MsgspecError:
            last = err.decode(errors="replace").strip().rpartition("\n")[2]
            code = process.returncode
            outcome = Outcome(ok=False, message=f"the test ended with code {code}: {last}")
    except subprocess.TimeoutExpired:
        outcome = Outcome(ok=False, message=f"no answer within {timeout_s:g} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    took_s = clock.monotonic_s() - start_s
    return Outcome(outcome.ok, _without(outcome.message, secrets), took_s)


def run_test(connection: Connection) -> Outcome:
    """Test a connection in this process."""
    from ostinato.authoring.hooks import hook_for
    from ostinato.errors import OstinatoError

    try:
        return Outcome(ok=True, message=_one_line(hook_for(connection).test()))
    except OstinatoError as error:
        return Outcome(ok=False, message=_one_line(str(error)))
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        kind, text = type(error).__name__, _one_line(str(error))
        return Outcome(ok=False, message=f"{kind}: {text}" if text else kind)


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


def _without(text: str, secrets: list[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _main() -> None:
    connection = msgspec.json.decode(sys.stdin.buffer.read(), type=Connection)
    # What a driver prints is no outcome.
    answer = os.dup(1)
    os.dup2(2, 1)
    outcome = run_test(connection)
    with open(answer, "wb") as out:
        out.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    _main()

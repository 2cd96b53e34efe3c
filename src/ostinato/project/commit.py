"""This module reads the commit that a folder is at, without running git."""

import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40,64}")


def read_commit(folder: Path) -> str:
    """Return the hash of the commit that is checked out around a folder, "" if there is none.

    Args:
        folder: A folder of the work tree.
    """
    for above in (folder, *folder.parents):
        git = above / ".git"
        if git.is_dir():
            return _commit_of(git)
        if git.is_file():
            # A work tree of its own points to where its state lies.
            return _commit_of(above / _read(git).removeprefix("gitdir:").strip())
    return ""


def _commit_of(git: Path) -> str:
    head = _read(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return head if _HASH.fullmatch(head) else ""
    name = head.removeprefix("ref:").strip()
    common = _read(git / "commondir").strip()
    root = git / common if common else git
    loose = _read(root / name).strip()
    if _HASH.fullmatch(loose):
        return loose
    for line in _read(root / "packed-refs").splitlines():
        commit, _, reference = line.partition(" ")
        if reference == name and _HASH.fullmatch(commit):
            return commit
    return ""


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""

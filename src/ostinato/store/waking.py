"""This module wakes coordinators of other processes through their sockets."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path


def wake(address: str) -> None:
    """Send a datagram to a coordinator's socket, without waiting.

    Args:
        address: Path of the socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        # Its owner is gone, or has wakes enough waiting; its slow poll is the net.
        with suppress(OSError):
            sender.sendto(b"\0", address)


def remove_socket(address: str) -> None:
    """Remove the socket that a dead process left, and its folder if that was for it alone.

    Args:
        address: Path of the socket.
    """
    # Somebody else may have tidied, or may own the folder: then there is nothing to do.
    with suppress(OSError):
        path = Path(address)
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
            if path.parent.name.startswith("ostinato-"):
                os.rmdir(path.parent)

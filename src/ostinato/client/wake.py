"""This module is the socket by which other processes wake a coordinator."""

import os
import socket
import tempfile
from pathlib import Path


class WakeSocket:
    """A datagram socket that becomes readable when somebody asks for something.

    It lies in the folder for temporary files, because a project's path may be longer than
    the 107 bytes that a Unix socket's name may have.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(0)
        self._folder = Path(tempfile.mkdtemp(prefix="ostinato-"))
        self.address = str(self._folder / "wake")
        self.socket.bind(self.address)

    def close(self) -> None:
        """Remove the socket."""
        self.socket.close()
        # The folder may have been tidied away by the system meanwhile.
        Path(self.address).unlink(missing_ok=True)
        if self._folder.is_dir():
            os.rmdir(self._folder)

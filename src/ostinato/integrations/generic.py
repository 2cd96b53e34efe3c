"""This module is the hook for connections that only keep fields together."""

import socket

from ostinato.authoring.hooks import Hook

#: Seconds after which a host that does not answer is given up.
TIMEOUT_S = 10.0


class GenericHook(Hook):
    """Keep host, login, password and the rest together for code that reads them itself."""

    def test(self) -> str:
        """Reach the host's port, where both are given."""
        host, port = self.connection.host, self.connection.port
        if not host or port is None:
            return "nothing to reach: host and port are not both given"
        with socket.create_connection((host.rpartition("://")[2], port), timeout=TIMEOUT_S):
            return f"{host}:{port} accepts connections"

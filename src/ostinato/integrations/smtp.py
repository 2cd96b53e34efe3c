"""This module is the hook for mail servers."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from ostinato.authoring.hooks import Hook
from ostinato.errors import UsageError

#: Seconds after which a server that does not answer is given up, unless ``extra`` says otherwise.
TIMEOUT_S = 30.0

#: Where TLS begins with the first byte.
_TLS_PORT = 465

#: Where a client speaks first in plain words and then asks for TLS.
_SUBMISSION_PORT = 587


class SmtpHook(Hook):
    """Send mail.

    ``smtp://user:password@mail.example.com:587`` asks for TLS after the greeting where the
    server offers it; port 465 speaks TLS from the first byte. ``extra.tls`` decides otherwise:
    ``none``, ``starttls`` (refused without TLS) or ``tls``. ``extra.from_email`` is the sender
    unless a message has its own, ``extra.timeout`` is in seconds.
    """

    @property
    def from_email(self) -> str:
        """The sender of messages that name none."""
        return str(self.connection.extra.get("from_email", "")) or self.connection.login

    @contextmanager
    def open(self) -> Iterator[smtplib.SMTP]:
        """Connect, log in where the connection has a login, and close after the block."""
        connection, extra = self.connection, self.connection.extra
        if not connection.host:
            raise UsageError(f"connection {connection.conn_id!r} names no host")
        timeout_s = float(extra.get("timeout", TIMEOUT_S))
        tls = self._tls()
        port = connection.port or (_TLS_PORT if tls == "tls" else _SUBMISSION_PORT)
        server: smtplib.SMTP
        if tls == "tls":
            server = smtplib.SMTP_SSL(
                connection.host, port, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(connection.host, port, timeout=timeout_s)
        with server:
            server.ehlo()
            if tls == "starttls" or (not tls and server.has_extn("starttls")):
                server.starttls(context=ssl.create_default_context())
                server.ehlo()
            if connection.login:
                server.login(connection.login, connection.password)
            yield server

    def send(self, message: EmailMessage) -> None:
        """Send a message to all that its headers name."""
        if "From" not in message:
            if not self.from_email:
                message_ = f"connection {self.connection.conn_id!r} names no sender"
                raise UsageError(message_, hint="set 'from_email' in its extra")
            message["From"] = self.from_email
        with self.open() as server:
            server.send_message(message)

    def test(self) -> str:
        """Connect and log in; nothing is sent."""
        with self.open() as server:
            code, _ = server.noop()
            return f"the mail server answers {code}" + (
                f", as {self.connection.login}" if self.connection.login else ""
            )

    def _tls(self) -> str:
        given = str(self.connection.extra.get("tls", "")).lower()
        if given not in ("", "none", "starttls", "tls"):
            message = f"connection {self.connection.conn_id!r} has an unknown 'tls': {given!r}"
            raise UsageError(message, hint="there are none, starttls, tls")
        return given or ("tls" if self.connection.port == _TLS_PORT else "")

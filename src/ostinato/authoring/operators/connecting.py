"""This module is how operators reach what their connection leads to."""

from typing import Any, Protocol, runtime_checkable

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.templates import is_template
from ostinato.errors import InvalidConnection, UsageError
from ostinato.model.connection import Connection


@runtime_checkable
class HttpHook(Protocol):
    """What the hook of a connection for HTTP can do, whichever package it comes from."""

    def open(self, **options: Any) -> Any:
        """Return a client of HTTPX, to be closed."""
        ...

    def open_async(self, **options: Any) -> Any:
        """Return an asynchronous client of HTTPX, to be closed."""
        ...


@runtime_checkable
class MailHook(Protocol):
    """What the hook of a connection for mail can do, whichever package it comes from."""

    def send(self, message: Any) -> None:
        """Send an ``email.message.EmailMessage``."""
        ...


def check_conn_id(operator: Operator, conn_id: object, *, is_optional: bool = False) -> None:
    """Refuse what names no connection.

    Args:
        operator: Whose argument it is.
        conn_id: Id of a connection, or a URI.
        is_optional: Whether there may be none.

    Raises:
        InvalidArgument: If it is neither.
    """
    if isinstance(conn_id, Reference) or (conn_id is None and is_optional):
        return
    if not isinstance(conn_id, str) or not conn_id:
        raise operator.refusal(f"conn_id is {conn_id!r}, neither an id nor a URI")
    if "://" in conn_id and not is_template(conn_id):
        try:
            Connection.from_uri(conn_id)
        except InvalidConnection as err:
            raise operator.refusal(f"conn_id: {err.message}", hint=err.hint) from None


def hook_of(context: Context, conn_id: str, kind: Any, lack: str) -> Any:
    """Return the hook of a connection, if it is of the right kind.

    Args:
        context: Of the attempt.
        conn_id: Id of a connection, or a URI.
        kind: Class or protocol that the hook must have.
        lack: What is said of one that has not.

    Raises:
        UsageError: If it is of another kind.
    """
    hook: Any = context.hook(conn_id)
    if not isinstance(hook, kind):
        connection = hook.connection
        subject = f"connection {connection.conn_id!r}" if connection.conn_id else "the connection"
        message = f"{subject} has the type {connection.conn_type!r}, which {lack}"
        raise UsageError(message)
    return hook

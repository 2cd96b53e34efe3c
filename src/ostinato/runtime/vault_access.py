"""This module asks for connections and variables on behalf of code that executes."""

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import UnknownConnection, UnknownVariable, UsageError
from ostinato.runtime.masking import masker

if TYPE_CHECKING:
    from ostinato.authoring.hooks import Hook
    from ostinato.model.connection import Connection


class VaultAccess:
    """What code may ask of the vault; a subclass says how it asks."""

    @property
    def logger(self) -> logging.Logger:
        """Takes what is to be said of an answer."""
        raise NotImplementedError

    def ask(self, method: str, args: dict[str, Any]) -> Any:
        """Ask the process that has the vault; see ``messages.CALLS``."""
        raise NotImplementedError

    def connection(self, conn_id: str) -> "Connection":
        """Return how to reach a system outside, secrets included.

        Raises:
            UnknownConnection: There is none with this id.
        """
        # Few tasks have connections, and these modules cost a start 3 ms.
        from ostinato.model.connection import Connection  # noqa: PLC0415 - see above

        if "://" in conn_id:
            connection = Connection.from_uri(conn_id)
            masker.add(connection.secrets())
            return connection
        answer = self.ask("connection", {"conn_id": conn_id})
        if "missing" in answer:
            message, hint = answer["missing"]
            raise UnknownConnection(message, hint=hint)
        masker.add(answer["secrets"])
        return Connection.from_json(answer["connection"], conn_id)

    def hook(self, conn_id: str) -> "Hook":
        """Return what speaks to the system that a connection leads to.

        Raises:
            UnknownConnection: There is no connection with this id.
            InvalidConnection: No installed package knows its type.
        """
        from ostinato.authoring.hooks import hook_for  # noqa: PLC0415 - as above

        return hook_for(self.connection(conn_id))

    def variable(self, key: str, *, default: Any = ..., json: bool = False) -> Any:
        """Return a variable as text, or what it holds as JSON.

        Args:
            key: Its name.
            default: What a variable that is nowhere gives.
            json: Whether its text is decoded as JSON.

        Raises:
            UnknownVariable: It is nowhere, and there is no default.
        """
        answer = self.ask("variable", {"key": key})
        if "missing" in answer:
            if default is not ...:
                return default
            message, hint = answer["missing"]
            raise UnknownVariable(message, hint=hint)
        masker.add(answer["secrets"])
        text: str = answer["value"]
        if not json:
            return text
        try:
            return msgspec.json.decode(text)
        except msgspec.MsgspecError:
            raise UsageError(f"variable {key!r} holds no JSON") from None

    def set_variable(self, key: str, value: Any) -> None:
        """Set a variable; what is no text is stored as JSON. Durable when this returns."""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        answer = self.ask("set_variable", {"key": key, "value": text})
        masker.add(answer["secrets"])
        if answer["shadow"]:
            self.logger.warning(
                "variable %r was set, but %s has another value, which wins", key, answer["shadow"]
            )

    def delete_variable(self, key: str) -> bool:
        """Delete a variable and return whether it was there."""
        was_there: bool = self.ask("delete_variable", {"key": key})
        return was_there


#: The vault for what executes here and is no task; None where there is none.
current_vault: ContextVar[VaultAccess | None] = ContextVar("ostinato_vault", default=None)

"""This module answers what users' code asks of the vault: connections and variables."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import UnknownConnection, UnknownVariable, UsageError

if TYPE_CHECKING:
    from ostinato.client.vault import Vault


class VaultAnswers:
    """Answer calls by their method; what they mean is said at ``runtime.messages.CALLS``.

    Args:
        open_vault: Opens the vault; called when something is asked of it for the first time.
    """

    def __init__(self, open_vault: "Callable[[], Vault]") -> None:
        self._vault = cache(open_vault)
        #: By method; each takes the call's arguments by name.
        self.answers: Mapping[str, Callable[..., Any]] = {
            "connection": self._connection,
            "variable": self._variable,
            "set_variable": self._set_variable,
            "delete_variable": self._delete_variable,
        }

    def answer(self, method: str, args: dict[str, Any]) -> Any:
        """Answer a call.

        Args:
            method: Of the call.
            args: Its arguments by name.

        Raises:
            UsageError: It is no call to the vault.
            VaultError: A secret cannot be decrypted.
        """
        answer = self.answers.get(method)
        if answer is None:
            raise UsageError(f"{method!r} is no call that is answered here")
        return answer(**args)

    def _connection(self, *, conn_id: str) -> dict[str, Any]:
        vault = self._vault()
        try:
            connection = vault.connection(conn_id)
        except UnknownConnection as error:
            return {"missing": [error.message, error.hint]}
        secrets = vault.connection_secrets(connection)
        return {"connection": msgspec.to_builtins(connection), "secrets": secrets}

    def _variable(self, *, key: str) -> dict[str, Any]:
        vault = self._vault()
        try:
            value = vault.variable(key)
        except UnknownVariable as error:
            return {"missing": [error.message, error.hint]}
        return {"value": value, "secrets": vault.variable_secrets(key, value)}

    def _set_variable(self, *, key: str, value: str) -> dict[str, Any]:
        vault = self._vault()
        vault.set_variable(key, value)
        shadow = vault.shadow("variables", key)
        return {"shadow": shadow, "secrets": vault.variable_secrets(key, value)}

    def _delete_variable(self, *, key: str) -> bool:
        return self._vault().delete_variable(key)

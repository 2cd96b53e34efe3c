"""This module is how a task's code reaches connections and variables without its context."""

from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import UsageError
from ostinato.runtime.context import current_context
from ostinato.runtime.vault_access import VaultAccess, current_vault

if TYPE_CHECKING:
    from ostinato.model.connection import Connection


def get_connection(conn_id: str) -> "Connection":
    """Return how to reach a system outside, secrets included.

    Args:
        conn_id: Its name in the project.

    Raises:
        UnknownConnection: There is none with this id.
        UsageError: No task executes here.

    Example:
        >>> from ostinato import dag, get_connection, task, testing
        >>> @dag
        ... def report():
        ...     @task
        ...     def host():
        ...         return get_connection("shop").host
        ...     host()
        >>> testing.run(report(), connections={"shop": "postgres://db.local"}).result("host")
        'db.local'
    """
    return _context("get_connection()").connection(conn_id)


class Variable:
    """Values that are set once for a project and read by its tasks.

    Example:
        >>> from ostinato import Variable, dag, task, testing
        >>> @dag
        ... def report():
        ...     @task
        ...     def regions():
        ...         return Variable.get("regions", deserialize_json=True)
        ...     regions()
        >>> testing.run(report(), variables={"regions": ["eu", "us"]}).result("regions")
        ['eu', 'us']
    """

    @staticmethod
    def get(key: str, default: Any = ..., *, deserialize_json: bool = False) -> Any:
        """Return a variable as text, or what it holds as JSON.

        Args:
            key: Its name.
            default: What a variable that is nowhere gives.
            deserialize_json: Whether its text is decoded as JSON.

        Raises:
            UnknownVariable: It is nowhere, and there is no default.
            UsageError: No task executes here.
        """
        context = _context("Variable.get()")
        return context.variable(key, default=default, json=deserialize_json)

    @staticmethod
    def set(key: str, value: Any, *, serialize_json: bool = False) -> None:
        """Set a variable; what is no text is stored as JSON. Durable when this returns.

        Args:
            key: Its name.
            value: Text, or what JSON can hold.
            serialize_json: Whether a text is stored as JSON too, in quotes.
        """
        if serialize_json and isinstance(value, str):
            value = msgspec.json.encode(value).decode()
        _context("Variable.set()").set_variable(key, value)

    @staticmethod
    def delete(key: str) -> bool:
        """Delete a variable and return whether it was there."""
        return _context("Variable.delete()").delete_variable(key)


def _context(caller: str) -> VaultAccess:
    context = current_context.get() or current_vault.get()
    if context is None:
        hint = "give what it returns to the task as an argument, or call it in the task"
        raise UsageError(f"{caller} works inside a running task only", hint=hint)
    return context

"""This module is the hook for PostgreSQL databases."""

from typing import Any

from ostinato.authoring.hooks import SqlHook, missing_package
from ostinato.errors import ExecutionError

#: Seconds after which a server that does not answer is given up, unless ``extra`` says otherwise.
CONNECT_TIMEOUT_S = 10

#: Keys of ``extra`` that are not parameters of libpq.
_OWN_KEYS = frozenset({"cursor"})


class PostgresHook(SqlHook):
    """Speak to a PostgreSQL database.

    The connection's schema is the database; ``extra`` holds parameters of libpq, such as
    ``sslmode`` or ``options``. A host that begins with a slash is a folder of sockets.
    """

    def open(self) -> Any:
        """Connect.

        Raises:
            MissingPackage: The driver is not installed.
            ExecutionError: The server is not there, or refuses.
        """
        try:
            # 60 ms and optional.
            import psycopg  # noqa: PLC0415 - see above
        except ModuleNotFoundError:
            raise missing_package(
                "psycopg", "ostinato[postgres]", "a PostgreSQL connection"
            ) from None
        try:
            return psycopg.connect(**self._parameters())
        except psycopg.OperationalError as err:
            # The driver explains itself over several lines.
            why = "; ".join(line.strip() for line in str(err).splitlines() if line.strip())
            name = self.connection.conn_id or "to PostgreSQL"
            message = f"connection {name!r} cannot be opened: {why}"
            raise ExecutionError(message, hint="ostinato connections test tries it") from err

    def test(self) -> str:
        """Connect and ask for version and user."""
        found = self.get_first("SELECT current_setting('server_version'), current_user")
        assert found is not None, "a SELECT without FROM returns a row"
        return f"PostgreSQL {found[0]}, as {found[1]}"

    def _parameters(self) -> dict[str, Any]:
        connection = self.connection
        given: dict[str, Any] = {
            "host": connection.host,
            "port": connection.port,
            "user": connection.login,
            "password": connection.password,
            "dbname": connection.schema,
        }
        parameters: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
        parameters |= {name: value for name, value in given.items() if value}
        extra = connection.extra
        return parameters | {name: extra[name] for name in extra if name not in _OWN_KEYS}

"""This module is the hook for services that speak HTTP."""

from typing import TYPE_CHECKING, Any

from ostinato.authoring.hooks import Hook, missing_package
from ostinato.errors import UsageError

if TYPE_CHECKING:
    import httpx

#: Seconds for a request, unless ``extra`` says otherwise.
TIMEOUT_S = 30.0

#: Keys of ``extra`` that are not headers.
_OPTIONS = frozenset({"headers", "timeout", "verify", "trust_env", "max_redirects", "test_path"})


class HttpHook(Hook):
    """Send requests to a service.

    ``https://user:password@api.example.com/v1`` sends basic authentication; a login without
    a password does so too, a password alone is sent as a bearer token. ``extra.headers`` are
    sent with each request, ``extra.timeout`` is in seconds, ``extra.verify`` of ``false``
    accepts any certificate, ``extra.test_path`` is what a test asks for. As in Airflow, a
    schema of ``http`` or ``https`` is the protocol, and what else stands in ``extra`` are
    headers.
    """

    @property
    def base_url(self) -> str:
        """What relative addresses are relative to."""
        connection = self.connection
        protocol, separator, host = connection.host.rpartition("://")
        path = connection.schema
        if not separator:
            protocol = connection.conn_type if connection.conn_type in _PROTOCOLS else "http"
            if path in _PROTOCOLS:
                protocol, path = path, ""
        if not host:
            raise UsageError(f"connection {connection.conn_id!r} names no host")
        address = f"[{host}]" if ":" in host else host
        port = f":{connection.port}" if connection.port is not None else ""
        return f"{protocol}://{address}{port}/{path}".rstrip("/")

    def open(self, **options: Any) -> "httpx.Client":
        """Return a client of HTTPX with address, authentication and headers; close it after use.

        Args:
            options: As ``httpx.Client`` has them; they win over the connection's.

        Raises:
            MissingPackage: HTTPX is not installed.
        """
        client: httpx.Client = _load_httpx().Client(**self.client_options() | options)
        return client

    def open_async(self, **options: Any) -> "httpx.AsyncClient":
        """Return what ``open`` returns, for ``async`` code."""
        client: httpx.AsyncClient = _load_httpx().AsyncClient(**self.client_options() | options)
        return client

    def request(self, method: str, path: str = "", **options: Any) -> "httpx.Response":
        """Send one request; an answer of 400 or more raises.

        Args:
            method: Such as ``GET``.
            path: Relative to the connection's address, or a whole address.
            options: As ``httpx.Client.request`` has them: ``params``, ``json``, ``headers`` ...
        """
        with self.open() as client:
            return client.request(method, path, **options).raise_for_status()

    def client_options(self) -> dict[str, Any]:
        """Return what a client of HTTPX is made with."""
        connection, extra = self.connection, self.connection.extra
        headers = {name: str(value) for name, value in extra.items() if name not in _OPTIONS}
        headers |= {name: str(value) for name, value in (extra.get("headers") or {}).items()}
        auth = None
        if connection.login:
            auth = (connection.login, connection.password)
        elif connection.password:
            headers.setdefault("Authorization", f"Bearer {connection.password}")
        return {
            "base_url": self.base_url,
            "auth": auth,
            "headers": headers,
            "timeout": float(extra.get("timeout", TIMEOUT_S)),
            "verify": str(extra.get("verify", True)).lower() not in ("false", "0", "no"),
            "follow_redirects": True,
        }

    def test(self) -> str:
        """Ask for the service's address; a refusal or an error of the service raises."""
        path = str(self.connection.extra.get("test_path", ""))
        with self.open() as client:
            answer = client.get(path)
        if answer.status_code in _REFUSALS or answer.status_code >= _SERVER_ERROR:
            answer.raise_for_status()
        return f"{answer.url} answers {answer.status_code} {answer.reason_phrase}"


_PROTOCOLS = ("http", "https")
_REFUSALS = (401, 403, 407)
_SERVER_ERROR = 500


def _load_httpx() -> Any:
    try:
        # 90 ms and optional.
        import httpx  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        raise missing_package("httpx", "ostinato[http]", "an HTTP connection") from None
    return httpx

"""This module is how to reach a system outside: host, login, password and what else it needs.

The texts are those of Airflow: a URI ``type://login:password@host:port/schema?key=value``, or
JSON. In a URI, special characters are percent-encoded; a host may carry a protocol of its own
(``http://https://example.com``); what a query cannot say stands as JSON under ``__extra__``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec
from msgspec import Struct

from ostinato.errors import InvalidConnection
from ostinato.model.secret import MASK, find_secrets, hide_secrets

#: Query key of a URI whose value is all of ``extra`` as JSON.
EXTRA_KEY = "__extra__"

#: Other names of a type, by what users may write.
_TYPE_NAMES = {"postgresql": "postgres"}

_MAX_PORT = 65_535
_ENCODE = "special characters in a login, password or host are percent-encoded, such as %2F for /"


class Connection(Struct, frozen=True, omit_defaults=True):
    """How to reach a system outside; prints without its secrets.

    Attributes:
        conn_id: Its name in the project; empty for one that has none.
        conn_type: Which hook speaks to it, such as ``postgres``.
        host: Name or address; may begin with a protocol, such as ``https://``.
        login: User name.
        password: Secret.
        schema: Database, or what else the type calls so.
        port: Of the host; None for the usual one.
        extra: What else its type understands; secrets are told by their names.
        description: For people.

    Example:
        >>> connection = Connection.from_uri("postgres://ann:s%2Fcret@db.local:5433/shop", "shop")
        >>> connection.password, connection.port
        ('s/cret', 5433)
        >>> connection
        Connection('shop', postgres://ann:***@db.local:5433/shop)
    """

    conn_id: str = ""
    conn_type: str = ""
    host: str = ""
    login: str = ""
    password: str = ""
    schema: str = ""
    port: int | None = None
    extra: dict[str, Any] = {}
    description: str = ""

    @classmethod
    def from_uri(cls, uri: str, conn_id: str = "", *, description: str = "") -> Self:
        """Read a connection from a URI.

        Args:
            uri: As the module describes it.
            conn_id: Its name.
            description: For people; a URI has none.

        Raises:
            InvalidConnection: It is no such URI; the message holds no part of it.
        """
        scheme, separator, rest = uri.strip().partition("://")
        if not separator:
            raise _invalid(conn_id, "is no URI", "it begins with a type, such as postgres://")
        rest, _, query = rest.partition("?")
        protocol, separator, after = rest.partition("://")
        # A protocol stands before all else; in `ann:a://b@host` the password is not encoded.
        if separator:
            if not protocol.replace("+", "").replace("-", "").isalnum():
                raise _invalid(conn_id, "has :// in a wrong place", _ENCODE)
            rest = after
        authority, _, path = rest.partition("/")
        credentials, at, address = authority.rpartition("@")
        login, _, password = credentials.partition(":") if at else ("", "", "")
        host, port = _split_address(address, conn_id)
        host = unquote(host)
        return cls(
            conn_id=conn_id,
            conn_type=_type_name(scheme),
            host=f"{protocol}://{host}" if separator else host,
            login=unquote(login),
            password=unquote(password),
            schema=unquote(path),
            port=port,
            extra=_read_query(query, conn_id),
            description=description,
        )

    @classmethod
    def from_json(cls, content: str | bytes | Mapping[str, Any], conn_id: str = "") -> Self:
        """Read a connection from JSON, as text or as the mapping that it holds.

        Args:
            content: Fields by name; ``type`` for ``conn_type``, ``extra`` as mapping or JSON
                text, and ``uri`` for what is not given by fields of their own.
            conn_id: Its name.

        Raises:
            InvalidConnection: It is no such JSON, or has an unknown field.
        """
        if isinstance(content, Mapping):
            fields = dict(content)
        else:
            try:
                fields = msgspec.json.decode(content, type=dict[str, Any])
            except msgspec.MsgspecError:
                raise _invalid(conn_id, "is no JSON object", "such as {...}") from None
        fields = {_FIELD_NAMES.get(name, name): value for name, value in fields.items()}
        uri = fields.pop("uri", None)
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        if unknown := sorted(str(name) for name in given.keys() - set(cls.__struct_fields__)):
            known = ", ".join(name for name in cls.__struct_fields__ if name != "conn_id")
            raise _invalid(conn_id, f"has an unknown field {unknown[0]!r}", f"known are {known}")
        conn_id = conn_id or str(given.get("conn_id", ""))
        if uri is not None:
            base = msgspec.structs.asdict(cls.from_uri(str(uri), conn_id))
            given = base | given
        return cls(**_checked(given | {"conn_id": conn_id}, conn_id))

    @classmethod
    def parse(cls, content: str | Mapping[str, Any], conn_id: str = "") -> Self:
        """Read a connection in either form: JSON if it begins with a brace, else a URI.

        Raises:
            InvalidConnection: It is neither.
        """
        if isinstance(content, Mapping) or content.lstrip().startswith("{"):
            return cls.from_json(content, conn_id)
        return cls.from_uri(content, conn_id)

    def to_uri(self) -> str:
        """Write the connection as a URI, secrets included; name and description have no place."""
        return self._uri(quote(self.password, safe=""), self.extra)

    get_uri = to_uri

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, secrets included, without the name."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        fields.pop("conn_id", None)
        return fields

    def to_json(self) -> str:
        """Write the connection as JSON, secrets included; ``from_json`` reads it."""
        return msgspec.json.encode(self.to_dict()).decode()

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """``extra``, as Airflow calls it."""
        return self.extra

    def secrets(self) -> Iterator[str]:
        """Yield what nobody should see: the password and secrets in ``extra``, as written."""
        for secret in (self.password, *find_secrets(self.extra)):
            if secret:
                yield secret
                # Somebody may print the URI too.
                if (encoded := quote(secret, safe="")) != secret:
                    yield encoded

    def __repr__(self) -> str:
        return f"Connection({self.conn_id!r}, {self.masked_uri()})"

    def __str__(self) -> str:
        return repr(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("conn_id", self.conn_id), ("uri", self.masked_uri())]

    def masked_uri(self, more_words: Iterable[str] = ()) -> str:
        """Write the connection as a URI with a mask in place of each secret.

        Args:
            more_words: Words beyond the usual ones that make a name one of a secret.
        """
        return self._uri(MASK if self.password else "", hide_secrets(self.extra, more_words))

    def _uri(self, password: str, extra: dict[str, Any]) -> str:
        protocol, separator, host = self.host.rpartition("://")
        credentials = quote(self.login, safe="") + (f":{password}" if password else "")
        port = f":{self.port}" if self.port is not None else ""
        # The host of `@:5432` is nothing, that of `:5432` would be read as one.
        at = "@" if credentials or (port and not host) else ""
        address = f"[{host}]" if ":" in host else quote(host, safe="")
        path = f"/{quote(self.schema, safe='')}" if self.schema else ""
        query = _write_query(extra)
        if query:
            query = f"?{query}" if path else f"/?{query}"
        scheme = self.conn_type.replace("_", "-")
        return f"{scheme}://{protocol}{separator}{credentials}{at}{address}{port}{path}{query}"


#: Fields by other names that people give them.
_FIELD_NAMES = {"type": "conn_type", "user": "login", "username": "login", "database": "schema"}


def _type_name(scheme: str) -> str:
    name = scheme.lower().replace("-", "_")
    return _TYPE_NAMES.get(name, name)


def _split_address(address: str, conn_id: str) -> tuple[str, int | None]:
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _invalid(conn_id, "has an IPv6 address without an end", "such as [::1]:5432")
        return host, _port(rest[1:], conn_id) if rest else None
    host, colon, port = address.partition(":")
    return host, _port(port, conn_id) if colon and port else None


def _port(value: Any, conn_id: str) -> int:
    text = str(value)
    if text.isascii() and text.isdigit() and int(text) <= _MAX_PORT:
        return int(text)
    # Not quoted: where a password holds a slash, this is a part of it.
    raise _invalid(conn_id, f"has a port that is no number up to {_MAX_PORT}", _ENCODE)


def _read_query(query: str, conn_id: str) -> dict[str, Any]:
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if EXTRA_KEY not in pairs:
        return dict(pairs)
    return _read_extra(pairs[EXTRA_KEY], conn_id)


def _write_query(extra: dict[str, Any]) -> str:
    if not extra:
        return ""
    if all(isinstance(value, str) for value in extra.values()) and EXTRA_KEY not in extra:
        return urlencode(extra, safe="*")
    return urlencode({EXTRA_KEY: msgspec.json.encode(extra).decode()}, safe="*")


def _read_extra(content: Any, conn_id: str) -> dict[str, Any]:
    if isinstance(content, str | bytes):
        try:
            content = msgspec.json.decode(content) if content else {}
        except msgspec.MsgspecError:
            raise _invalid(conn_id, "has an 'extra' that is no JSON", "such as {...}") from None
    if not isinstance(content, Mapping):
        raise _invalid(conn_id, "has an 'extra' without keys and values", "such as {...}")
    return {str(name): value for name, value in content.items()}


def _checked(fields: dict[str, Any], conn_id: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "extra":
            checked[name] = _read_extra(value, conn_id)
        elif name == "port":
            checked[name] = None if value is None else _port(value, conn_id)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            checked[name] = str(value)
        else:
            raise _invalid(conn_id, f"has a {name!r} that is no text", "put it in quotes")
    checked["conn_type"] = _type_name(checked.get("conn_type", ""))
    return checked


def _invalid(conn_id: str, what: str, hint: str) -> InvalidConnection:
    subject = f"connection {conn_id!r}" if conn_id else "the connection"
    return InvalidConnection(f"{subject} {what}", hint=hint)

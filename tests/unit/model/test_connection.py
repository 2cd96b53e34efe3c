"""Connections are read and written as URIs and JSON, and print without their secrets."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import InvalidConnection
from ostinato.model.connection import Connection
from ostinato.model.secret import drop_secrets, find_secrets, hide_secrets, is_secret_name

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
CONNECTIONS = st.builds(
    Connection,
    conn_type=st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
        lambda name: name != "postgresql"
    ),
    host=TEXTS.filter(lambda text: "://" not in text and not ("[" in text or "]" in text)),
    login=TEXTS,
    password=TEXTS,
    schema=TEXTS,
    port=st.none() | st.integers(0, 65_535),
    extra=st.dictionaries(TEXTS, JSON_VALUES, max_size=3),
)


@given(CONNECTIONS)
def test_what_is_written_as_a_uri_is_read_back(connection: Connection) -> None:
    assert Connection.from_uri(connection.to_uri()) == connection


@given(CONNECTIONS)
def test_what_is_written_as_json_is_read_back(connection: Connection) -> None:
    assert Connection.from_json(connection.to_json()) == connection


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (
            "postgresql://ann:s%2Fcret@db.local:5433/shop?sslmode=require",
            Connection(
                conn_type="postgres",
                host="db.local",
                login="ann",
                password="s/cret",
                schema="shop",
                port=5433,
                extra={"sslmode": "require"},
            ),
        ),
        (
            "http://https://api.example.com:8443/v1",
            Connection(conn_type="http", host="https://api.example.com", schema="v1", port=8443),
        ),
        ("redis://:secret@cache", Connection(conn_type="redis", host="cache", password="secret")),
        ("sqlite:///data/shop.db", Connection(conn_type="sqlite", schema="data/shop.db")),
        ("sqlite:////srv/shop.db", Connection(conn_type="sqlite", schema="/srv/shop.db")),
        ("my-type://", Connection(conn_type="my_type")),
        ("pg://[::1]:99/", Connection(conn_type="pg", host="::1", port=99)),
        ("pg://%2Fvar%2Frun/db", Connection(conn_type="pg", host="/var/run", schema="db")),
        ("pg://Host.Example", Connection(conn_type="pg", host="Host.Example")),
        ("pg://u:p#w@h", Connection(conn_type="pg", host="h", login="u", password="p#w")),
        ("pg://u:p@w@h", Connection(conn_type="pg", host="h", login="u", password="p@w")),
        (
            "x://?__extra__=%7B%22a%22%3A%20%5B1%5D%7D",
            Connection(conn_type="x", extra={"a": [1]}),
        ),
        ("x://?empty=&b=1", Connection(conn_type="x", extra={"empty": "", "b": "1"})),
    ],
)
def test_uri_of_airflow_is_read(uri: str, expected: Connection) -> None:
    assert Connection.from_uri(uri) == expected


def test_json_of_airflow_is_read() -> None:
    text = (
        '{"conn_type": "postgresql", "login": "ann", "password": "", "host": "db", "port": "5432",'
        ' "schema": null, "extra": "{\\"sslmode\\": \\"require\\"}", "description": "The shop"}'
    )

    connection = Connection.parse(text, "shop")

    assert connection == Connection(
        conn_id="shop",
        conn_type="postgres",
        host="db",
        login="ann",
        port=5432,
        extra={"sslmode": "require"},
        description="The shop",
    )


def test_fields_lie_over_a_uri() -> None:
    connection = Connection.from_json({"uri": "pg://ann@db/shop", "password": "x", "port": 1})

    assert connection.to_uri() == "pg://ann:x@db:1/shop"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("postgres", "connection 'c' is no URI (it begins with a type, such as postgres://)"),
        ("pg://u:hidden/w@h/db", "connection 'c' has a port that is no number up to 65535"),
        ("pg://h:70000", "connection 'c' has a port that is no number up to 65535"),
        ("pg://a:hidden://b@h", "connection 'c' has :// in a wrong place"),
        ("pg://[::1", "connection 'c' has an IPv6 address without an end"),
        ("x://?__extra__=hidden", "connection 'c' has an 'extra' that is no JSON"),
        ("x://?__extra__=[1]", "connection 'c' has an 'extra' without keys and values"),
        ("{hidden", "connection 'c' is no JSON object"),
        ('{"pasword": "hidden"}', "connection 'c' has an unknown field 'pasword'"),
        ('{"password": ["hidden"]}', "connection 'c' has a 'password' that is no text"),
        ('{"extra": 3}', "connection 'c' has an 'extra' without keys and values"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_shows_nothing_of_it(
    content: str, message: str
) -> None:
    with pytest.raises(InvalidConnection) as caught:
        Connection.parse(content, "c")

    assert str(caught.value).startswith(message)
    assert "hidden" not in str(caught.value)


def test_connection_prints_without_its_secrets() -> None:
    connection = Connection.from_json(
        {
            "conn_type": "http",
            "host": "h",
            "login": "ann",
            "password": "p4ss",
            "extra": {"api_key": "k3y", "nested": {"client_secret": "s3cret"}, "region": "eu"},
        },
        "shop",
    )

    for text in (repr(connection), str(connection), f"{connection}", connection.masked_uri()):
        assert "eu" in text
        assert not [secret for secret in ("p4ss", "k3y", "s3cret") if secret in text]


def test_secrets_of_a_connection_are_found_also_as_a_uri_has_them() -> None:
    connection = Connection.from_uri("x://u:a%2Fb@h?token=t0k&region=eu")

    assert sorted(connection.secrets()) == ["a%2Fb", "a/b", "t0k"]


def test_secrets_lie_below_their_names() -> None:
    content = {"password": ["a", {"b": 3}], "list": [{"api-key": "c"}], "secret_on": True, "d": "d"}

    assert sorted(find_secrets(content)) == ["3", "a", "c"]
    assert hide_secrets(content) == {
        "password": "***",
        "list": [{"api-key": "***"}],
        "secret_on": "***",
        "d": "d",
    }


def test_more_words_make_more_names_secret() -> None:
    assert not is_secret_name("my_pin")
    assert is_secret_name("my_PIN", ["pin"])


def test_uri_is_one_that_others_read_too() -> None:
    connection = Connection.from_uri("pg://a%40b:c%3Ad@h:1/s")

    parts = urllib.parse.urlsplit(connection.to_uri())

    assert (parts.username, parts.password, parts.hostname) == ("a%40b", "c%3Ad", "h")


def test_secrets_can_be_left_out() -> None:
    content = {"password": "x", "list": [{"api-key": "c", "a": 1}], "d": "d"}

    assert drop_secrets(content) == {"list": [{"a": 1}], "d": "d"}


def test_names_of_airflow_work() -> None:
    connection = Connection.from_uri("pg://h?a=1", "c")

    assert connection.get_uri() == connection.to_uri()
    assert connection.extra_dejson == {"a": "1"}


def test_pretty_printers_see_no_secrets() -> None:
    connection = Connection(conn_id="c", conn_type="pg", password="s3cret")

    assert connection.__rich_repr__() == [("conn_id", "c"), ("uri", "pg://:***@")]


def test_secret_that_needs_no_encoding_is_told_once() -> None:
    assert list(Connection(password="abc").secrets()) == ["abc"]


def test_empty_extra_is_none() -> None:
    assert Connection.from_json('{"conn_type": "x", "extra": "{}"}').extra == {}
    assert Connection.from_uri("x://?__extra__=").extra == {}

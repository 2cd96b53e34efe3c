"""This module tests how statements and columns are written for PostgreSQL."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.store.postgres.arrays import NUL_SIGN, bytea_array, int8_array, text_array
from ostinato.store.postgres.connection import Connector, PostgresConnection, without_password
from ostinato.store.postgres.dialect import translate

numbers = st.integers(-(1 << 63), (1 << 63) - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def connection(postgres_uri: str) -> Iterator[PostgresConnection]:
    made = Connector(postgres_uri, durability="relaxed", busy_timeout_s=5.0).connect()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("statement", "translated"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT ?2, ?1, ?2", "SELECT $2, $1, $2"),
        ("SELECT '?', 'it''s ?', ?", "SELECT '?', 'it''s ?', $1"),
        ("FROM runs INDEXED BY runs_ended WHERE a = ?", "FROM runs WHERE a = $1"),
        ("FROM runs NOT INDEXED ORDER BY id", "FROM runs ORDER BY id"),
        ("FROM a CROSS JOIN b ON b.id = a.id", "FROM a JOIN b ON b.id = a.id"),
    ],
)
def test_statement_of_both_stores_is_said_as_postgresql_says_it(
    statement: str, translated: str
) -> None:
    assert translate(statement) == translated


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/shop", "postgresql://db/shop"),
        ("postgresql://ann:p%40ss@db:5433/shop", "postgresql://ann@db:5433/shop"),
        ("postgresql:///shop?host=/run&password=x", "postgresql:///shop?host=/run"),
    ],
)
def test_password_of_a_url_is_left_out(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("encode", "kind", "elements"),
    [
        (int8_array, "bigint", st.lists(numbers)),
        (int8_array, "bigint", st.lists(st.none() | numbers)),
        (text_array, "text", st.lists(st.none() | texts)),
        (bytea_array, "bytea", st.lists(st.none() | st.binary())),
    ],
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_column_arrives_as_it_was(
    connection: PostgresConnection,
    data: st.DataObject,
    *,
    encode: Callable[[object], bytes],
    kind: str,
    elements: st.SearchStrategy[list[object]],
) -> None:
    column = data.draw(elements)

    [[found]] = connection.execute(f"SELECT ?::{kind}[]", (encode(column),)).fetchall()

    expected = [each.replace("\0", NUL_SIGN) if isinstance(each, str) else each for each in column]
    assert found == expected


def test_text_that_postgresql_cannot_hold_keeps_a_sign_of_it(
    connection: PostgresConnection,
) -> None:
    [[found]] = connection.execute("SELECT ?", ("a\0b",)).fetchall()

    assert found == f"a{NUL_SIGN}b"


def test_truth_is_a_number_as_in_sqlite(connection: PostgresConnection) -> None:
    [[found]] = connection.execute("SELECT ?1 + 0", (True,)).fetchall()

    assert found == 1

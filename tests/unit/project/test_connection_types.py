"""This module tests what is known of connections before they are opened."""

from typing import Any

import pytest

from ostinato.project.connection_types import connection_types


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("duckdb:///a.db", "duckdb"),
        ("google-cloud-platform://x", "google-cloud-platform"),
        ({"type": "Postgres", "host": "h"}, "postgres"),
        ({"conn_type": "sqlite"}, "sqlite"),
        ({"uri": "mysql://h/db"}, "mysql"),
        ("${SHOP_URI}", None),
        ("${KIND}://host", None),
        ({"host": "h"}, None),
    ],
)
def test_type_is_told_where_it_can_be_seen(content: Any, kind: str | None) -> None:
    assert connection_types({"shop": content}, {}).get("shop") == kind


def test_environment_goes_before_the_settings() -> None:
    environ = {"AIRFLOW_CONN_SHOP": "mysql://h", "OSTINATO_CONN_SHOP": "postgres://h", "PATH": "/"}

    assert connection_types({"shop": "duckdb://"}, environ) == {"shop": "postgres"}
    assert connection_types({}, {"OSTINATO_CONN_LAKE": "{}"}) == {}

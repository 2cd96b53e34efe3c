"""This module tests how settings are read, checked and laid over each other."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import SettingsError
from ostinato.project.settings import (
    RESERVED,
    ServerSettings,
    Settings,
    StorageSettings,
    StoreSettings,
    TelemetrySettings,
)
from ostinato.project.settings_file import read_settings

Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)

    def read_text(
        text: str,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        file = tmp_path / "ostinato.yaml"
        file.write_text(text)
        return read_settings(file, overrides=overrides or {}, environ=environ or {})

    return read_text


FULL = """\
name: shop
version: 1
timezone: Europe/Berlin
flows: [flows, more/one.py]
executor: thread
max_children: 4
pools:
  dw: 4
store:
  path: /data/store.db
  durability: relaxed
storage:
  values: big/values
  logs: big/logs
environments:
  prod:
    timezone: UTC
    max_children: 16
    pools: {dw: 8, api: 2}
    store:
      durability: fsync
"""


def test_every_key_is_read(read: Read) -> None:
    settings = read(FULL)

    assert settings == Settings(
        name="shop",
        timezone="Europe/Berlin",
        flows=("flows", "more/one.py"),
        executor="thread",
        max_children=4,
        pools={"dw": 4},
        store=StoreSettings(path="/data/store.db", durability="relaxed"),
        storage=StorageSettings("big/values", "big/logs"),
        environments=settings.environments,
    )


def test_empty_file_is_a_project_with_defaults(read: Read) -> None:
    assert read("") == Settings()
    assert read("# nothing yet\n") == Settings()


def test_no_file_gives_defaults() -> None:
    assert read_settings(None, overrides={}, environ={}) == Settings()


def test_environment_lies_over_the_file(read: Read) -> None:
    settings = read(FULL, environ={"OSTINATO_ENVIRONMENT": "prod"})

    assert settings.timezone == "UTC"
    assert settings.pools == {"dw": 8, "api": 2}
    assert settings.store == StoreSettings(path="/data/store.db")


def test_variable_lies_over_the_environment_and_flag_over_the_variable(read: Read) -> None:
    environ = {"OSTINATO_ENVIRONMENT": "prod", "OSTINATO_MAX_CHILDREN": "32"}

    by_variable = read(FULL, environ=environ)
    by_flag = read(FULL, environ=environ, overrides={"max_children": 64})

    assert by_variable.max_children == 32
    assert by_flag.max_children == 64


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("OSTINATO_EXECUTOR", "inline", {"executor": "inline"}),
        ("OSTINATO_FLOWS", "a, b/c.py", {"flows": ("a", "b/c.py")}),
        ("OSTINATO_NAME", "other", {"name": "other"}),
        ("OSTINATO_TIMEZONE", "Asia/Tokyo", {"timezone": "Asia/Tokyo"}),
        (
            "OSTINATO_STORE__PATH",
            "/x.db",
            {"store": StoreSettings(path="/x.db", durability="relaxed")},
        ),
        (
            "OSTINATO_TELEMETRY__HEADERS",
            '{"x-key": "k"}',
            {"telemetry": TelemetrySettings(headers={"x-key": "k"})},
        ),
        ("OSTINATO_STORAGE__LOGS", "l", {"storage": StorageSettings("big/values", "l")}),
        ("OSTINATO_SERVER__TOKEN", "t", {"server": ServerSettings(token="t")}),
        ("OSTINATO_SERVER__PORT", "0", {"server": ServerSettings(port=0)}),
        ("OSTINATO_POOLS__DW", "9", {"pools": {"dw": 9}}),
        ("OSTINATO_POOLS__API", "2", {"pools": {"dw": 4, "api": 2}}),
        ("OSTINATO_HOME", "/somewhere", {}),
        ("OSTINATO_VAR_A__B", "x", {}),
        ("OSTINATO_PARAM_A__B", "x", {}),
        ("OSTINATO_CONN_A__B", "x", {}),
        ("PATH", "/bin", {}),
    ],
)
def test_variables(read: Read, name: str, text: str, changed: dict[str, Any]) -> None:
    plain, settings = read(FULL), read(FULL, environ={name: text})

    differing = {
        field: getattr(settings, field)
        for field in Settings.__struct_fields__
        if getattr(settings, field) != getattr(plain, field)
    }
    assert differing == changed


def test_variable_keeps_the_spelling_of_a_pool(read: Read) -> None:
    settings = read("pools: {Warehouse: 1}", environ={"OSTINATO_POOLS__WAREHOUSE": "5"})

    assert settings.pools == {"Warehouse": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: x", "ostinato.yaml:1: unknown key 'nmae' (did you mean 'name'?)"),
        (
            "name: x\n\nstore:\n  durablity: fsync",
            "ostinato.yaml:4: unknown key 'durablity' in 'store' (did you mean 'durability'?)",
        ),
        (
            "qqq: 1",
            "ostinato.yaml:1: unknown key 'qqq' (known are alerts, compute, connections, "
            "defaults, environments, executor, flows, max_children, name, pools, retention, "
            "secrets, server, storage, store, telemetry, timezone, variables, version)",
        ),
        (
            "environments:\n  prod:\n    pols: {}",
            "ostinato.yaml:3: unknown key 'pols' (did you mean 'pools'?)",
        ),
        (
            "environments:\n  prod:\n    name: x",
            "ostinato.yaml:3: unknown key 'name' (known are alerts, compute, connections, "
            "defaults, executor, max_children, pools, retention, secrets, server, storage, store, "
            "telemetry, "
            "timezone, variables)",
        ),
        (
            "environments:\n  prod:\n    store:\n      path: 3",
            "ostinato.yaml:4: store.path: must be text, not an integer",
        ),
        (
            "environments:\n  prod: 3",
            "ostinato.yaml:2: environments.prod: must be keys and values, not an integer",
        ),
        (
            "name: x\nmax_children: many",
            "ostinato.yaml:2: max_children: must be an integer, not text",
        ),
        ("max_children: -1", "ostinato.yaml:1: max_children: must be an integer >= 0"),
        ("flows: flows", "ostinato.yaml:1: flows: must be a list, not text"),
        ("flows: [a, 3]", "ostinato.yaml:1: flows.1: must be text, not an integer"),
        ("pools:\n  a: 1\n  b: 0", "ostinato.yaml:3: pools.b: must be an integer >= 1"),
        ("store: [here]", "ostinato.yaml:1: store: must be keys and values, not a list"),
        ("version: 2", "ostinato.yaml:1: version: must be an integer <= 1"),
        (
            "executor: proces",
            "ostinato.yaml:1: executor: there is no 'proces' (did you mean 'process'?)",
        ),
        (
            "store:\n  durability: fsnc",
            "ostinato.yaml:2: store.durability: there is no 'fsnc' (did you mean 'fsync'?)",
        ),
        (
            "timezone: Europe/Berln",
            "ostinato.yaml:1: there is no time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)",
        ),
        (
            "environments:\n  prod:\n    timezone: Mars",
            "ostinato.yaml:3: there is no time zone 'Mars' (such as Europe/Berlin)",
        ),
        (
            "name: a\nname: b",
            "ostinato.yaml:2: 'name' stands here a second time (the first is on line 1)",
        ),
        ("- a", "ostinato.yaml:1: must hold keys and values"),
        ("name: [a", "ostinato.yaml:1: expected ',' or ']', but got '<stream end>'"),
        (
            "name: x\n\tversion: 1",
            "ostinato.yaml:2: found character '\\t' that cannot start any token",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read: Read, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(text)

    assert str(caught.value) == message


@pytest.mark.parametrize("key", sorted(RESERVED))
def test_key_of_a_later_version_is_refused_as_such(read: Read, key: str) -> None:
    with pytest.raises(SettingsError, match="is kept for a later version and does nothing"):
        read(f"{key}: {{}}")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "OSTINATO_STORE__PAHT",
            "x",
            "OSTINATO_STORE__PAHT: unknown key 'paht' in 'store' (did you mean 'path'?)",
        ),
        (
            "OSTINATO_STROE__PATH",
            "x",
            "OSTINATO_STROE__PATH: there is no section 'stroe' (did you mean 'store'?)",
        ),
        (
            "OSTINATO_A__B",
            "x",
            "OSTINATO_A__B: there is no section 'a' (sections are compute, defaults, pools, "
            "retention, server, storage, store, telemetry)",
        ),
        (
            "OSTINATO_MAX_CHILDREN",
            "many",
            "OSTINATO_MAX_CHILDREN: max_children: must be an integer, not text",
        ),
        ("OSTINATO_POOLS__DW", "0", "OSTINATO_POOLS__DW: pools.dw: must be an integer >= 1"),
        (
            "OSTINATO_TIMEZONE",
            "Asia/Tokio",
            "OSTINATO_TIMEZONE: there is no time zone 'Asia/Tokio' (did you mean 'Asia/Tokyo'?)",
        ),
        (
            "OSTINATO_ENVIRONMENT",
            "prd",
            "ostinato.yaml:15: there is no environment 'prd' (did you mean 'prod'?)",
        ),
    ],
)
def test_what_is_wrong_in_a_variable_names_it(
    read: Read, name: str, text: str, message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(FULL, environ={name: text})

    assert str(caught.value) == message


def test_what_is_wrong_in_a_flag_names_it(read: Read) -> None:
    with pytest.raises(
        SettingsError, match=r"--executor: there is no 'x' \(there are process, thread, inline\)"
    ):
        read(FULL, overrides={"executor": "x"})


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ostinato.yaml"
    file.write_bytes(b"name: \xff\xfe")

    with pytest.raises(SettingsError, match="is not encoded in UTF-8"):
        read_settings(file, overrides={}, environ={})


# Connections, variables, secrets


def test_connections_and_variables_are_read_and_references_kept_as_they_are(read: Read) -> None:
    settings = read(
        "connections:\n  a: pg://u:${PW}@h:${PORT}\n  b: {conn_type: http}\n  c: ${WHOLE}\n"
        "variables: {n: 1, l: [a]}\nsecrets: {backends: [{file: s.env}], names: [pin]}\n"
    )

    assert settings.connections == {
        "a": "pg://u:${PW}@h:${PORT}",
        "b": {"conn_type": "http"},
        "c": "${WHOLE}",
    }
    assert settings.variables == {"n": 1, "l": ["a"]}
    assert settings.secrets.backends == ({"file": "s.env"},)
    assert settings.secrets.names == ("pin",)


def test_environment_overrides_single_fields_of_a_connection(read: Read) -> None:
    settings = read(
        "connections: {a: {conn_type: http, host: h}}\nvariables: {n: 1, m: 2}\n"
        "environments: {prod: {connections: {a: {host: p}}, variables: {n: 3}}}\n",
        environ={
            "OSTINATO_ENVIRONMENT": "prod",
            "OSTINATO_CONN_B": "x",
            "OSTINATO_SECRET_KEY": "y",
        },
    )

    assert settings.connections == {"a": {"conn_type": "http", "host": "p"}}
    assert settings.variables == {"n": 3, "m": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("connections:\n  a: s3cret", "ostinato.yaml:2: connection 'a' is no URI"),
        ("connections:\n  a: {hots: s3cret}", "ostinato.yaml:2: connection 'a' has an unknown"),
        ("connections:\n  a: 3", "ostinato.yaml:2: connections.a: must be "),
        ("secrets:\n  backends: [{}]", "ostinato.yaml:2: a secrets back-end has either 'file'"),
        ("secrets:\n  backend: []", "ostinato.yaml:2: unknown key 'backend' in 'secrets'"),
    ],
)
def test_connection_that_cannot_be_read_is_said_with_its_line(
    read: Read, text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError) as caught:
        read(text)

    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("store: postgresql://ann@db/shop", StoreSettings(url="postgresql://ann@db/shop")),
        ("store: ${STORE}", StoreSettings(url="${STORE}")),
        ("store: data/x.db", StoreSettings(path="data/x.db")),
    ],
)
def test_store_is_a_url_or_a_path_in_a_word(
    tmp_path: Path, text: str, store: StoreSettings
) -> None:
    file = tmp_path / "ostinato.yaml"
    file.write_text(f"{text}\nenvironments:\n  live:\n    store: postgresql://db/live\n")

    alone = read_settings(file, overrides={}, environ={})
    live = read_settings(file, overrides={}, environ={"OSTINATO_ENVIRONMENT": "live"})

    assert alone.store == store
    assert live.store.url == "postgresql://db/live"

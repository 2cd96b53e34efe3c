"""This module tests the commands for connections, variables and pools."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SOURCES, Ostinato

pytestmark = pytest.mark.slow

SHOP = "postgres://ann:s3cret@db.local/shop"


def names(listed: Any, key: str = "name") -> list[str]:
    return [each[key] for each in listed]


# Connections


def test_connection_is_kept_and_shown_without_its_secrets(
    project: Path, ostinato: Ostinato
) -> None:
    said = ostinato("connections", "set", "shop", SHOP, "--description", "The shop").out

    listed = ostinato("connections", "list").out
    shown = ostinato("connections", "get", "shop").out
    as_json = ostinato("connections", "list", "--format", "json").json

    assert said == "connection 'shop' is set\n"
    assert "postgres://ann:***@db.local/shop" in listed
    assert "The shop" in shown
    assert as_json[0]["password"] == "***"
    assert "s3cret" not in listed + shown
    revealed = ostinato("connections", "get", "shop", "--show-secrets", "--format", "uri").out
    assert revealed == f"{SHOP}\n"
    assert ostinato("connections", "list", "--show-secrets").out.count("s3cret") == 1


def test_looking_makes_no_store(project: Path, ostinato: Ostinato) -> None:
    assert ostinato("connections", "list").out == "no connections\n"
    assert ostinato("variables", "list", "--format", "json").json == []
    assert ostinato("pools", "list").out == "no pools\n"
    assert not (project / ".ostinato").exists()


def test_fields_are_laid_over_what_is_there(
    project: Path, ostinato: Ostinato, environ: dict[str, str]
) -> None:
    ostinato("connections", "set", "shop", SHOP)
    ostinato("connections", "set", "shop", "--port", "5433", "--extra", '{"sslmode": "require"}')
    subprocess.run(
        [sys.executable, "-m", "ostinato", "connections", "set", "shop", "--password", "-"],
        cwd=project,
        env=environ,
        input="from stdin\n",
        text=True,
        check=True,
        capture_output=True,
    )

    shown = ostinato("connections", "get", "shop", "--show-secrets", "--format", "uri").out

    assert shown == "postgres://ann:from%20stdin@db.local:5433/shop?sslmode=require\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set", "a"], "there is nothing to set"),
        (["set", "a", "--host", "h"], "the store has no connection 'a' to change"),
        (["set", "a", "s3cret"], "connection 'a' is no URI"),
        (["set", "a\nb", "pg://h"], "cannot be the name of a connection"),
        (["get", "shpo"], "there is no connection 'shpo' in the environment"),
        (["get", "shpo"], "(did you mean 'shop'?)"),
        (["delete", "shpo"], "there is no connection 'shpo' in the store (did you mean 'shop'?)"),
        (["delete", "fixed"], "is not in the store, but in the environment"),
        (["test"], "name connections, or give one by --uri"),
        (["import", "none.json"], "none.json: cannot be read: No such file"),
        (["import", "empty.json"], "empty.json holds no connections"),
        (["import", "bad.json"], "connection 'a' is neither a URI nor fields"),
        (["export", "no/folder.json"], "no/folder.json cannot be written"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    project: Path, ostinato: Ostinato, arguments: list[str], message: str
) -> None:
    ostinato("connections", "set", "shop", SHOP)
    (project / "empty.json").write_text("{}")
    (project / "bad.json").write_text('{"a": 3}')

    result = ostinato(
        "connections", *arguments, code=2, variables={"OSTINATO_CONN_FIXED": "http://h"}
    )

    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "s3cret" not in result.err


def test_what_wins_over_the_store_is_said(project: Path, ostinato: Ostinato) -> None:
    variables = {"OSTINATO_CONN_SHOP": "http://h", "AIRFLOW_VAR_REGION": "eu"}

    connection = ostinato("connections", "set", "shop", SHOP, variables=variables)
    variable = ostinato("variables", "set", "region", "us", variables=variables)

    assert "warning: the environment has another one of this name, which wins" in connection.err
    assert "which wins" in variable.err
    assert ostinato("variables", "get", "region", variables=variables).out == "eu\n"


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.env"])
def test_what_is_exported_is_imported(project: Path, ostinato: Ostinato, name: str) -> None:
    ostinato("connections", "set", "shop", SHOP)
    ostinato("connections", "set", "my-api", '{"conn_type": "http", "extra": {"a": [1]}}')
    kept = ostinato("connections", "export", "--show-secrets").json

    ostinato("connections", "export", name, "--show-secrets")
    ostinato("connections", "delete", "shop", "my-api")
    said = ostinato("connections", "import", name).out

    assert stat.S_IMODE((project / name).stat().st_mode) == 0o600
    assert said == "2 connections added\n"
    assert ostinato("connections", "export", "--show-secrets").json == kept
    again = ostinato("connections", "import", name).out
    assert again.startswith("0 connections added, 2 left as they were (my-api, shop)")
    replaced = ostinato("connections", "import", name, "--overwrite").out
    assert replaced == "0 connections added, 2 replaced\n"


def test_export_leaves_secrets_out_unless_told(project: Path, ostinato: Ostinato) -> None:
    ostinato("connections", "set", "shop", f"{SHOP}?token=t0ken&region=eu")

    exported = ostinato("connections", "export")

    assert exported.json["shop"]["extra"] == {"region": "eu"}
    assert "s3cret" not in exported.out
    assert "t0ken" not in exported.out
    assert "warning: secrets were left out" in exported.err


def test_file_of_airflow_is_imported(project: Path, ostinato: Ostinato) -> None:
    content = {
        "pg": {
            "conn_type": "postgres",
            "description": None,
            "login": "ann",
            "password": "s3cret",
            "host": "db",
            "port": 5432,
            "schema": "shop",
            "extra": '{"sslmode": "require"}',
        },
        "uri": "http://https://h",
    }
    (project / "airflow.json").write_text(json.dumps(content))

    ostinato("connections", "import", "airflow.json")

    shown = ostinato("connections", "get", "pg", "--format", "json").json
    assert (shown["port"], shown["extra"]) == (5432, {"sslmode": "require"})


def test_connection_is_really_tested(project: Path, ostinato: Ostinato) -> None:
    ostinato("connections", "set", "lite", f"sqlite:///{project}/lite.db")
    ostinato("connections", "set", "typo", "postgre://u:s3cret@h")
    (project / "lite.db").write_bytes(b"")

    good = ostinato("connections", "test", "lite").out
    bad = ostinato("connections", "test", "lite", "typo", "--format", "json", code=1).json
    by_uri = ostinato("connections", "test", "--uri", "sqlite:///:memory:").out

    assert good.startswith("✔ lite: SQLite ")
    assert [outcome["ok"] for outcome in bad] == [True, False]
    assert "(did you mean 'postgres'?)" in bad[1]["message"]
    assert "sqlite:///%3Amemory%3A: SQLite" in by_uri


def test_test_that_hangs_is_ended_and_shows_no_secret(project: Path, ostinato: Ostinato) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"smtp://ann:s3cret@127.0.0.1:{silent.getsockname()[1]}"

        result = ostinato("connections", "test", "--uri", uri, "--timeout", "0.7", code=1)

    assert "no answer within 0.7 s" in result.out
    assert "s3cret" not in result.out


def test_hook_that_crashes_is_a_failed_test(project: Path, ostinato: Ostinato) -> None:
    (project / "crash.py").write_text(
        "import os\ndef connect(**arguments):\n"
        "    if arguments.get('password') == 'exit':\n        os._exit(3)\n"
        "    print('noise')\n    raise OSError(f\"no {arguments['password']}\")\n"
    )
    variables = {"PYTHONPATH": f"{project}:{SOURCES}"}

    def test(password: str) -> str:
        uri = f"dbapi://u:{password}@h?driver=crash"
        return ostinato("connections", "test", "--uri", uri, code=1, variables=variables).out

    assert "the test ended with code 3" in test("exit")
    assert "OSError: no ***" in test("s3cret")


def test_key_is_rotated(project: Path, ostinato: Ostinato) -> None:
    ostinato("connections", "set", "shop", SHOP)
    ostinato("variables", "set", "region", "eu")
    key = (project / ".ostinato" / "secret.key").read_text()

    said = ostinato("connections", "rotate-key").out

    assert said.startswith("2 secrets encrypted with the first key of ")
    assert (project / ".ostinato" / "secret.key").read_text() != key
    assert ostinato("variables", "get", "region").out == "eu\n"


def test_wrong_key_is_said_and_stops_no_list(project: Path, ostinato: Ostinato) -> None:
    ostinato("connections", "set", "shop", SHOP)
    other = {"OSTINATO_SECRET_KEY": "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="}

    listed = ostinato("connections", "list", variables=other)
    got = ostinato("connections", "get", "shop", variables=other, code=2)
    rotated = ostinato("connections", "rotate-key", variables=other, code=1)

    assert "postgres" in listed.out
    for result in (listed, got, rotated):
        assert "cannot be decrypted with the key of OSTINATO_SECRET_KEY" in result.err


# Variables


def test_variable_is_kept_shown_and_deleted(project: Path, ostinato: Ostinato) -> None:
    ostinato("variables", "set", "region", "eu", "--description", "Where we sell")
    ostinato("variables", "set", "api_key", "s3cret")
    ostinato("variables", "set", "nested", '{"password": "s3cret", "a": 1}')

    listed = ostinato("variables", "list").out
    as_json = ostinato("variables", "list", "--format", "json").json

    assert "Where we sell" in listed
    assert "s3cret" not in listed
    assert names(as_json) == ["api_key", "nested", "region"]
    assert [each["value"] for each in as_json] == ["***", '{"password": "***", "a": 1}', "eu"]
    assert ostinato("variables", "get", "region").out == "eu\n"
    assert ostinato("variables", "get", "api_key").out == "***\n"
    assert ostinato("variables", "get", "api_key", "--show-secrets").out == "s3cret\n"
    assert ostinato("variables", "get", "region", "--format", "json").json["source"] == "the store"
    ostinato("variables", "delete", "region", "api_key")
    assert names(ostinato("variables", "list", "--format", "json").json) == ["nested"]
    error = ostinato("variables", "get", "nestde", code=2).err
    assert "(did you mean 'nested'?)" in error
    assert "there is no variable 'region'" in ostinato("variables", "delete", "region", code=2).err


@pytest.mark.parametrize("name", ["v.json", "v.yaml", "v.env"])
def test_variables_go_through_files(project: Path, ostinato: Ostinato, name: str) -> None:
    ostinato("variables", "set", "region", "eu: 'x'\n#1", "--description", "Where")
    ostinato("variables", "set", "api_key", "s3cret")

    without = ostinato("variables", "export")
    ostinato("variables", "export", name, "--show-secrets")
    ostinato("variables", "delete", "region", "api_key")
    said = ostinato("variables", "import", name).out

    assert without.json == {"region": {"value": "eu: 'x'\n#1", "description": "Where"}}
    assert "secrets were left out" in without.err
    assert said == "2 variables added\n"
    assert ostinato("variables", "get", "region").out == "eu: 'x'\n#1\n"
    assert "2 left as they were" in ostinato("variables", "import", name).out


def test_variables_file_of_airflow_is_imported(project: Path, ostinato: Ostinato) -> None:
    (project / "v.json").write_text('{"a": "text", "b": {"c": 1}, "d": 3}')
    (project / "none.json").write_text("{}")

    ostinato("variables", "import", "v.json")

    values = {e["name"]: e["value"] for e in ostinato("variables", "list", "--format", "json").json}
    assert values == {"a": "text", "b": '{"c":1}', "d": "3"}
    assert "holds no variables" in ostinato("variables", "import", "none.json", code=2).err


# Pools


def test_pool_of_the_store_limits_runs(project: Path, ostinato: Ostinato) -> None:
    (project / "flows" / "pooled.py").write_text(
        "from ostinato import dag, task\n@dag\ndef pooled():\n"
        "    @task(pool='dw')\n    def load():\n        return 1\n    load()\npooled()\n"
    )
    missing = ostinato("check", code=2).out

    ostinato("pools", "set", "dw", "2", "--description", "Warehouse")

    assert "asks for the pool 'dw', which does not exist" in missing
    assert "ostinato pools set" in missing
    ostinato("check")
    ostinato("run", "pooled")
    assert ostinato("pools", "get", "dw").out == "2\n"


def test_pools_are_kept_shown_and_deleted(project: Path, ostinato: Ostinato) -> None:
    (project / "ostinato.yaml").write_text("name: shop\npools: {dw: 4}\n")
    ostinato("pools", "set", "api", "2", "--description", "Theirs")
    ostinato("pools", "set", "api", "3")
    shadowed = ostinato("pools", "set", "dw", "1")

    listed = ostinato("pools", "list", "--format", "json").json

    assert "ostinato.yaml has another one of this name, which wins" in shadowed.err
    assert [tuple(pool.values()) for pool in listed] == [
        ("api", 3, "the store", "Theirs"),
        ("dw", 4, "ostinato.yaml", ""),
    ]
    assert "Theirs" in ostinato("pools", "list").out
    assert ostinato("pools", "get", "api", "--format", "json").json["slots"] == 3
    assert "(did you mean 'api'?)" in ostinato("pools", "get", "apo", code=2).err
    ostinato("pools", "delete", "dw", "api")
    assert "but in ostinato.yaml" in ostinato("pools", "delete", "dw", code=2).err
    assert ostinato("pools", "set", "x", "0", code=2).err


@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
def test_pools_go_through_files(project: Path, ostinato: Ostinato, name: str) -> None:
    ostinato("pools", "set", "api", "2", "--description", "Theirs")
    ostinato("pools", "export", name)
    ostinato("pools", "delete", "api")

    said = ostinato("pools", "import", name).out

    assert said == "1 pool added\n"
    assert ostinato("pools", "export").json == {"api": {"slots": 2, "description": "Theirs"}}
    assert "1 left as they were" in ostinato("pools", "import", name).out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "holds no pools"),
        ('{"a": "many"}', "pool 'a' has no number of slots"),
        ('{"a": {"slots": 0}}', "pool 'a' must have 1 slot or more"),
    ],
)
def test_pools_that_are_none_are_refused(
    project: Path, ostinato: Ostinato, content: str, message: str
) -> None:
    (project / "p.json").write_text(content)

    assert message in ostinato("pools", "import", "p.json", code=2).err


def test_airflows_pools_are_imported(project: Path, ostinato: Ostinato) -> None:
    content = '{"a": {"slots": "5", "description": "", "include_deferred": false}, "b": 2}'
    (project / "p.json").write_text(content)

    ostinato("pools", "import", "p.json")

    slots = {p["name"]: p["slots"] for p in ostinato("pools", "list", "--format", "json").json}
    assert slots == {"a": 5, "b": 2}

"""Connections, variables and pools are found wherever they are; secrets are encrypted."""

import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from ostinato.client.vault import GivenSource, Vault
from ostinato.errors import (
    InvalidConnection,
    SettingsError,
    StoreError,
    UnknownConnection,
    UnknownVariable,
    UsageError,
    VaultError,
)
from ostinato.model.connection import Connection
from ostinato.project.discovery import Project
from ostinato.project.settings import SecretsSettings, Settings
from ostinato.store.records import ConnectionRow, PoolRow, VariableRow
from ostinato.store.sqlite import SqliteStore, open_store

SHOP = Connection.from_uri("postgres://ann:s3cret@db.local/shop?token=t0ken", "shop")


class House:
    """A project's folder, its store, and vaults on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key_file = root / ".ostinato" / "secret.key"
        self.store: SqliteStore = open_store(root / ".ostinato" / "store.db")

    def vault(
        self,
        settings: Settings | None = None,
        environ: dict[str, str] | None = None,
        given: GivenSource | None = None,
    ) -> Vault:
        """Open a vault as another process would."""
        project = Project(
            name="shop",
            root=self.root,
            settings=settings or Settings(),
            data_dir=self.root / ".ostinato",
            store_path=self.root / ".ostinato" / "store.db",
            values_root=self.root,
            logs_root=self.root,
            is_implicit=False,
        )
        return Vault(self.store.vault, project, environ=environ or {}, given=given)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


# The store


def test_connection_is_kept_with_its_secrets_encrypted(house: House) -> None:
    house.vault().set_connection(SHOP)

    assert house.vault().connection("shop") == SHOP
    [row] = house.store.vault.connections()
    assert msgspec.json.decode(row.fields) == {
        "conn_type": "postgres",
        "host": "db.local",
        "login": "ann",
        "schema": "shop",
    }
    assert b"s3cret" not in row.secrets
    content = b"".join(file.read_bytes() for file in (house.root / ".ostinato").glob("store*"))
    assert b"s3cret" not in content
    assert b"t0ken" not in content


def test_variable_is_kept_encrypted_with_its_description(house: House) -> None:
    vault = house.vault()

    vault.set_variable("region", "eu", "Where we sell")
    vault.set_variable("region", "us")

    assert house.vault().variable("region") == "us"
    [found] = house.vault().variables()
    assert (found.name, found.value, found.description) == ("region", "us", "Where we sell")
    assert found.source == "the store"


def test_large_value_is_kept_whole(house: House) -> None:
    large = "x" * 5_000_000

    house.vault().set_variable("large", large)

    assert house.vault().variable("large") == large


def test_what_was_deleted_is_unknown(house: House) -> None:
    vault = house.vault()
    vault.set_connection(SHOP)
    vault.set_variable("region", "eu")

    assert (vault.delete_connection("shop"), vault.delete_variable("region")) == (True, True)

    assert (vault.delete_connection("shop"), vault.delete_variable("region")) == (False, False)
    assert vault.connections() == []
    assert vault.variables() == []


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 251])
def test_name_that_nobody_could_write_is_refused(house: House, name: str) -> None:
    vault = house.vault()

    with pytest.raises(UsageError, match="cannot be the name of a variable"):
        vault.set_variable(name, "x")
    with pytest.raises(UsageError, match="cannot be the name of a pool"):
        vault.set_pools(PoolRow(name, 1))


@pytest.mark.parametrize("name", ["my-db", "a.b/c", "Größe 1", "'; --", "x" * 250])
def test_any_other_name_will_do(house: House, name: str) -> None:
    house.vault().set_connection(msgspec.structs.replace(SHOP, conn_id=name))

    assert house.vault().connection(name).password == "s3cret"


def test_store_that_cannot_be_written_is_said(house: House) -> None:
    vault = house.vault()
    vault.set_variable("region", "eu")
    house.store.close()

    with pytest.raises(StoreError, match="was closed"):
        vault.set_variable("region", "us")


# Keys


def test_key_is_made_with_the_first_secret_for_its_owner_alone(house: House) -> None:
    vault = house.vault()
    vault.set_connection(Connection(conn_id="open", conn_type="http", host="h"))
    assert not house.key_file.exists()

    vault.set_connection(SHOP)

    assert stat.S_IMODE(house.key_file.stat().st_mode) == 0o600
    assert [file.name for file in house.key_file.parent.glob("*secret*")] == ["secret.key"]


def test_key_from_the_environment_is_used_and_no_file_is_made(house: House) -> None:
    environ = {"OSTINATO_SECRET_KEY": Fernet.generate_key().decode()}

    house.vault(environ=environ).set_connection(SHOP)

    assert house.vault(environ=environ).connection("shop") == SHOP
    assert not house.key_file.exists()
    with pytest.raises(VaultError, match=r"connection 'shop' is encrypted, and the key .* missing"):
        house.vault().connection("shop")


def test_key_that_others_can_read_is_refused(house: House) -> None:
    house.vault().set_connection(SHOP)
    house.key_file.chmod(0o640)

    with pytest.raises(VaultError, match="can be read by others") as caught:
        house.vault().connection("shop")

    assert f"chmod 600 {house.key_file}" in str(caught.value)


def test_no_key_is_made_beside_secrets_of_a_lost_one(house: House) -> None:
    house.vault().set_connection(SHOP)
    house.key_file.unlink()

    with pytest.raises(VaultError, match=r"the key .* is missing") as caught:
        house.vault().set_variable("region", "eu")

    assert "put the file back or set OSTINATO_SECRET_KEY" in str(caught.value)
    assert not house.key_file.exists()
    assert house.vault().delete_connection("shop")
    house.vault().set_variable("region", "eu")
    assert house.vault().variable("region") == "eu"


def test_wrong_key_is_an_error_that_names_the_way_out(house: House) -> None:
    house.vault().set_connection(SHOP)
    environ = {"OSTINATO_SECRET_KEY": Fernet.generate_key().decode()}

    with pytest.raises(VaultError) as caught:
        house.vault(environ=environ).connection("shop")

    assert str(caught.value) == (
        "connection 'shop' cannot be decrypted with the key of OSTINATO_SECRET_KEY: it was"
        " encrypted with another one, or is damaged (set OSTINATO_SECRET_KEY to the key that"
        " encrypted it, or set it anew)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("short", "OSTINATO_SECRET_KEY: key 1 is none"), (" , ", "OSTINATO_SECRET_KEY: holds no key")],
)
def test_key_that_is_none_is_said_without_showing_it(house: House, text: str, message: str) -> None:
    vault = house.vault(environ={"OSTINATO_SECRET_KEY": text})

    with pytest.raises(VaultError, match=message) as caught:
        vault.set_variable("region", "eu")

    assert "short" not in str(caught.value)


def test_key_file_that_is_a_folder_or_empty_is_said(house: House) -> None:
    house.key_file.touch(0o600)
    with pytest.raises(VaultError, match="holds no key"):
        house.vault().set_variable("region", "eu")
    house.key_file.unlink()
    house.key_file.mkdir(0o700)

    with pytest.raises(VaultError, match="cannot be used: Is a directory"):
        house.vault().set_variable("region", "eu")


def test_folder_where_no_key_can_be_made_is_said(house: House) -> None:
    vault = house.vault()
    vault.keys._file = house.root / "file" / "secret.key"
    (house.root / "file").write_text("")

    with pytest.raises(VaultError, match="cannot be used: Not a directory"):
        vault.set_variable("region", "eu")


def test_two_that_need_the_first_key_at_once_share_one(house: House) -> None:
    start = threading.Barrier(2)

    def keep(name: str) -> None:
        vault = house.vault()
        start.wait()
        vault.keys.encrypt(name.encode(), may_make_key=True)

    threads = [threading.Thread(target=keep, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(house.key_file.read_text().split()) == 1


def test_damaged_secret_stops_no_other(house: House) -> None:
    vault = house.vault()
    vault.set_connection(SHOP, msgspec.structs.replace(SHOP, conn_id="other"))
    vault.set_variable("region", "eu")
    vault.set_variable("other", "us")
    house.store.vault.save_connections([ConnectionRow("shop", b'{"host":"h"}', b"rubbish")])
    house.store.vault.save_variables([VariableRow("region", "", b"rubbish")])

    connections = {found.name: found for found in vault.connections()}
    variables = {found.name: found for found in vault.variables()}

    assert connections["other"].value.password == "s3cret"
    assert connections["shop"].value.host == "h"
    assert "cannot be decrypted" in connections["shop"].problem
    assert variables["other"].value == "us"
    assert "cannot be decrypted" in variables["region"].problem


def test_secrets_that_were_put_under_another_name_are_refused(house: House) -> None:
    vault = house.vault()
    vault.set_connection(SHOP, msgspec.structs.replace(SHOP, conn_id="mine", password="m1ne"))
    [mine, shop] = house.store.vault.connections()
    house.store.vault.save_connections([mine._replace(secrets=shop.secrets)])

    with pytest.raises(VaultError, match="connection 'mine' holds the secrets of another one"):
        vault.connection("mine")


# Rotation


def test_rotation_makes_a_new_key_that_opens_everything(house: House) -> None:
    vault = house.vault()
    vault.set_connection(SHOP, Connection(conn_id="open", conn_type="http"))
    vault.set_variable("region", "eu")
    before = house.key_file.read_text().split()

    assert vault.rotate() == (2, [])

    after = house.key_file.read_text().split()
    assert after[1:] == before
    assert stat.S_IMODE(house.key_file.stat().st_mode) == 0o600
    house.key_file.write_text(after[0])
    assert house.vault().connection("shop") == SHOP
    assert house.vault().variable("region") == "eu"


def test_vault_that_was_open_before_a_rotation_goes_on(house: House) -> None:
    other = house.vault()
    house.vault().set_connection(SHOP)
    assert other.connection("shop") == SHOP

    house.vault().rotate()
    other.set_variable("region", "eu")

    assert other.connection("shop") == SHOP
    assert house.vault().variable("region") == "eu"


def test_rotation_takes_the_first_of_the_keys_in_the_environment(house: House) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    house.vault(environ={"OSTINATO_SECRET_KEY": old}).set_connection(SHOP)

    assert house.vault(environ={"OSTINATO_SECRET_KEY": f"{new}, {old}"}).rotate() == (1, [])

    assert house.vault(environ={"OSTINATO_SECRET_KEY": new}).connection("shop") == SHOP


def test_rotation_goes_around_what_cannot_be_decrypted(house: House) -> None:
    vault = house.vault()
    vault.set_connection(SHOP)
    house.store.vault.save_variables([VariableRow("region", "", b"rubbish")])

    changed, problems = vault.rotate()

    assert changed == 1
    assert [problem.split(" cannot")[0] for problem in problems] == ["variable 'region'"]
    assert vault.connection("shop") == SHOP


def test_rotation_of_nothing_makes_no_key_and_a_lost_key_is_said(house: House) -> None:
    assert house.vault().rotate() == (0, [])
    assert not house.key_file.exists()
    house.vault().set_connection(SHOP)
    house.key_file.unlink()

    with pytest.raises(VaultError, match="is missing"):
        house.vault().rotate()


# The order of places


def test_environment_wins_over_settings_over_back_ends_over_the_store(house: House) -> None:
    house.vault().set_variable("v", "store")
    (house.root / "secrets.json").write_text('{"variables": {"v": "file"}}')
    backends = SecretsSettings(({"file": "secrets.json"},))
    filed = Settings(secrets=backends)
    settled = Settings(secrets=backends, variables={"v": "settings"})
    theirs = {"AIRFLOW_VAR_V": "airflow"}
    ours = {"OSTINATO_VAR_V": "environment", **theirs}

    found = [
        house.vault().variable("v"),
        house.vault(filed).variable("v"),
        house.vault(settled).variable("v"),
        house.vault(settled, theirs).variable("v"),
        house.vault(settled, ours).variable("v"),
        house.vault(settled, ours, GivenSource({}, {"v": "given"})).variable("v"),
    ]

    assert found == ["store", "file", "settings", "airflow", "environment", "given"]


def test_connection_from_the_environment_is_a_uri_or_json(house: House) -> None:
    vault = house.vault(
        environ={
            "OSTINATO_CONN_SHOP": "postgres://ann:p%40ss@h/db",
            "AIRFLOW_CONN_MY_API": '{"conn_type": "http", "host": "h"}',
            "AIRFLOW_CONN_": "nothing",
        }
    )

    assert vault.connection("shop").password == "p@ss"
    assert vault.connection("my-api") == Connection(conn_id="my-api", conn_type="http", host="h")
    assert [found.name for found in vault.connections()] == ["my_api", "shop"]


def test_unreadable_connection_of_the_environment_is_said_beside_the_others(house: House) -> None:
    vault = house.vault(environ={"OSTINATO_CONN_BAD": "s3cret", "OSTINATO_CONN_GOOD": "http://h"})

    with pytest.raises(InvalidConnection, match="connection 'bad' is no URI"):
        vault.connection("bad")
    assert [(found.name, bool(found.problem)) for found in vault.connections()] == [
        ("bad", True),
        ("good", False),
    ]


def test_references_of_settings_are_filled_when_they_are_used(house: House) -> None:
    settings = Settings(
        connections={
            "uri": "postgres://ann:${PASSWORD}@h:${PORT:-5432}/db",
            "whole": "${URI}",
            "fields": {"conn_type": "http", "password": "${PASSWORD}", "extra": {"a": "$${PORT}"}},
            "over": {"uri": "pg://ann:${PASSWORD}@h", "login": "${WHO:-bob}"},
        },
        variables={"region": "${REGION:-eu}", "list": [1, {"a": "${PASSWORD}"}]},
    )
    environ = {"PASSWORD": "a/b@c", "URI": "http://u:p%40@h"}
    vault = house.vault(settings, environ)

    assert vault.connection("uri").password == "a/b@c"
    assert vault.connection("uri").port == 5432
    assert vault.connection("whole").password == "p@"
    assert vault.connection("fields").password == "a/b@c"
    assert vault.connection("fields").extra == {"a": "${PORT}"}
    assert (vault.connection("over").login, vault.connection("over").password) == ("bob", "a/b@c")
    assert vault.variable("region") == "eu"
    assert vault.variable("list") == '[1,{"a":"a/b@c"}]'


def test_reference_to_what_is_not_set_is_said_for_that_connection_only(house: House) -> None:
    vault = house.vault(Settings(connections={"a": "pg://u:${NO}@h", "b": "pg://h"}))

    with pytest.raises(SettingsError) as caught:
        vault.connection("a")

    assert str(caught.value) == (
        "connection 'a' of ostinato.yaml refers to the variable NO, which is not set"
        " (set it, or write ${NO:-default})"
    )
    assert [found.name for found in vault.connections() if not found.problem] == ["b"]


def test_unknown_connection_says_where_it_was_looked_for_and_what_is_near(house: House) -> None:
    house.vault().set_connection(SHOP)
    (house.root / "s.json").write_text("{}")
    settings = Settings(secrets=SecretsSettings(({"file": "s.json"},)))

    with pytest.raises(UnknownConnection) as near:
        house.vault(settings).connection("shpo")
    with pytest.raises(UnknownConnection) as far:
        house.vault().connection("my-mail")

    assert str(near.value) == (
        "there is no connection 'shpo' in the environment, ostinato.yaml, s.json or the store"
        " (did you mean 'shop'?)"
    )
    assert str(far.value) == (
        "there is no connection 'my-mail' in the environment, ostinato.yaml or the store"
        " (ostinato connections set my-mail URI, or the variable OSTINATO_CONN_MY_MAIL)"
    )


def test_unknown_variable_is_a_key_error_with_a_guess(house: House) -> None:
    house.vault().set_variable("region", "eu")

    with pytest.raises(KeyError, match="no variable 'regoin'") as caught:
        house.vault().variable("regoin")
    with pytest.raises(UnknownVariable, match="ostinato variables set other VALUE"):
        house.vault().variable("other")

    assert str(caught.value).endswith("(did you mean 'region'?)")


def test_what_wins_over_the_store_is_told(house: House) -> None:
    vault = house.vault(
        Settings(variables={"a": 1}), {"OSTINATO_CONN_SHOP": "http://h", "OSTINATO_CONN_BAD": "x"}
    )

    assert vault.shadow("variables", "a") == "ostinato.yaml"
    assert vault.shadow("connections", "shop") == "the environment"
    assert vault.shadow("connections", "bad") == "the environment"
    assert vault.shadow("variables", "b") == ""


# Back-ends


BACKEND = """
class Backend:
    def __init__(self, fails=False):
        self.fails = fails
        self.asked = []

    def get_conn_value(self, conn_id):
        self.asked.append(conn_id)
        if self.fails:
            raise OSError("no route")
        return {"shop": "postgres://u:backend@h", "odd": 3}.get(conn_id)

    def get_variable(self, key):
        return {"n": 3}.get(key)

    def conn_ids(self):
        return ["shop"]
"""


@pytest.fixture
def backend(house: House, monkeypatch: pytest.MonkeyPatch) -> str:
    (house.root / "my_backend_of_tests.py").write_text(BACKEND)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_backend_of_tests", raising=False)
    return "my_backend_of_tests:Backend"


def with_backend(name: str, **arguments: Any) -> Settings:
    return Settings(secrets=SecretsSettings(({"class": name, **arguments},)))


def test_class_of_users_is_a_back_end(house: House, backend: str) -> None:
    vault = house.vault(with_backend(backend))

    assert vault.connection("shop").password == "backend"
    assert vault.connection("shop").password == "backend"
    assert vault.variable("n") == "3"
    assert [found.source for found in vault.connections()] == [backend]
    module: Any = sys.modules["my_backend_of_tests"]
    assert module.Backend
    with pytest.raises(InvalidConnection, match="gave no text for connection 'odd'"):
        vault.connection("odd")


def test_answer_of_a_back_end_is_kept_for_a_moment(house: House, backend: str) -> None:
    vault = house.vault(with_backend(backend))

    for _ in range(3):
        vault.connection("shop")

    [source] = [each for each in vault._sources if each.name == backend]
    assert source._backend.asked == ["shop"]  # type: ignore[attr-defined]  # the test's own class


def test_back_end_that_fails_is_named(house: House, backend: str) -> None:
    with pytest.raises(VaultError, match="my_backend_of_tests:Backend failed: OSError: no route"):
        house.vault(with_backend(backend, fails=True)).connection("shop")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_colon", "is no class"),
        ("no_such_module_at_all:Backend", "cannot be made: ModuleNotFoundError"),
        ("my_backend_of_tests:Nothing", "cannot be made: AttributeError"),
    ],
)
def test_back_end_that_cannot_be_made_is_said(
    house: House, backend: str, name: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        house.vault(with_backend(name))


def test_file_of_a_back_end_is_read_again_when_it_changes(house: House) -> None:
    file = house.root / "secrets.env"
    file.write_text("AIRFLOW_CONN_SHOP='http://u:one@h'\nOSTINATO_VAR_REGION=eu\n")
    vault = house.vault(Settings(secrets=SecretsSettings(({"file": "secrets.env"},))))
    assert vault.connection("shop").password == "one"
    assert vault.variable("region") == "eu"

    file.write_text("AIRFLOW_CONN_SHOP='http://u:two@h'\n")
    os.utime(file, ns=(1, 1))

    assert vault.connection("shop").password == "two"
    file.unlink()
    with pytest.raises(VaultError, match=r"secrets\.env cannot be read: No such file"):
        vault.connection("shop")
    assert vault.connections()[0].problem


def test_connections_of_a_back_ends_file_may_be_fields(house: House) -> None:
    (house.root / "s.yaml").write_text("connections: {shop: {conn_type: http, port: 1}}\n")
    vault = house.vault(Settings(secrets=SecretsSettings(({"file": "s.yaml"},))))

    assert vault.connection("shop").port == 1
    assert vault.variables() == []


# What is masked


def test_secrets_are_told_by_name_the_projects_words_included(house: House) -> None:
    vault = house.vault(Settings(secrets=SecretsSettings(names=("pin",))))
    connection = Connection(conn_id="c", password="pw1", extra={"pin": "1234", "a": "b"})

    assert vault.connection_secrets(connection) == ["pw1", "1234"]
    assert vault.variable_secrets("api_token", "abc") == ["abc"]
    assert vault.variable_secrets("my_pin", "abc") == ["abc"]
    assert vault.variable_secrets("region", "eu") == []
    assert vault.variable_secrets("region", '{"password": "x1", "a": "b"}') == ["x1"]
    assert vault.variable_secrets("region", "{no json") == []
    assert vault.variable_secrets("api_keys", '["a1", "b1"]') == ['["a1", "b1"]', "a1", "b1"]


# Pools


def test_pools_of_the_settings_win_over_those_of_the_store(house: House) -> None:
    vault = house.vault(Settings(pools={"dw": 4}))
    vault.set_pools(PoolRow("dw", 1), PoolRow("api", 2, "Theirs"))

    assert [(pool.name, pool.slots, pool.source) for pool in vault.pools()] == [
        ("api", 2, "the store"),
        ("dw", 4, "ostinato.yaml"),
    ]
    assert vault.delete_pool("api")
    with pytest.raises(UsageError, match="must have 1 slot or more, not 0"):
        vault.set_pools(PoolRow("api", 0))


# What was given


def test_what_is_set_beside_given_variables_stays_there(house: House) -> None:
    given = GivenSource({"a": SHOP, "b": {"conn_type": "http"}, "c": "pg://h"}, {"n": 1})
    vault = house.vault(given=given)

    vault.set_variable("m", "2")

    assert vault.connection("a").conn_id == "a"
    assert (vault.variable("n"), vault.variable("m")) == ("1", "2")
    assert [found.name for found in vault.connections()] == ["a", "b", "c"]
    assert vault.delete_variable("m")
    assert not vault.delete_variable("m")
    assert house.store.vault.variables() == []
    assert not vault.shadow("variables", "n")

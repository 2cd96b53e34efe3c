"""This module holds every store to its contract: connections, variables and pools."""

from ostinato.store.records import ConnectionRow, PoolRow, VariableRow
from tests.contract.conftest import START_US, House, in_threads

SHOP = ConnectionRow("shop", b'{"conn_type":"postgres"}', b"encrypted")
REGION = VariableRow("region", "Where we sell", b"encrypted")
BATCH = PoolRow("batch", 3, "For the night")


def test_what_is_kept_is_read_back_with_the_moment(house: House) -> None:
    vault = house.store.vault

    vault.save_connections([SHOP])
    vault.save_variables([REGION])
    vault.save_pools([BATCH])

    vault = house.other().vault
    assert vault.connection("shop") == SHOP._replace(updated_us=START_US)
    assert vault.connections() == [SHOP._replace(updated_us=START_US)]
    assert vault.variable("region") == REGION._replace(updated_us=START_US)
    assert vault.variables() == [REGION._replace(updated_us=START_US)]
    assert vault.pools() == [BATCH._replace(updated_us=START_US)]


def test_what_is_kept_again_is_replaced(house: House) -> None:
    vault = house.store.vault
    vault.save_connections([SHOP])
    vault.save_variables([REGION])
    vault.save_pools([BATCH])
    house.clock.jump_to(START_US + 1)

    vault.save_connections([SHOP._replace(secrets=b"others")])
    vault.save_variables([REGION._replace(description="")])
    vault.save_pools([BATCH._replace(slots=1)])

    assert vault.connections() == [SHOP._replace(secrets=b"others", updated_us=START_US + 1)]
    assert vault.variables() == [REGION._replace(description="", updated_us=START_US + 1)]
    assert vault.pools() == [BATCH._replace(slots=1, updated_us=START_US + 1)]


def test_names_are_in_order_and_may_be_any_text(house: House) -> None:
    vault = house.store.vault
    names = ["Ünïcode", "a b", "a.b/c", "ab", "'; DROP TABLE connections; --"]

    vault.save_connections([SHOP._replace(conn_id=name) for name in names])
    vault.save_variables([REGION._replace(key=name) for name in names])
    vault.save_pools([BATCH._replace(name=name) for name in names])

    assert [row.conn_id for row in vault.connections()] == sorted(names)
    assert [row.key for row in vault.variables()] == sorted(names)
    assert [row.name for row in vault.pools()] == sorted(names)


def test_what_was_deleted_is_gone_and_a_second_time_says_so(house: House) -> None:
    vault = house.store.vault
    vault.save_connections([SHOP])
    vault.save_variables([REGION])
    vault.save_pools([BATCH])

    first = [
        vault.delete_connection("shop"),
        vault.delete_variable("region"),
        vault.delete_pool("batch"),
    ]
    second = [
        vault.delete_connection("shop"),
        vault.delete_variable("region"),
        vault.delete_pool("batch"),
    ]

    assert (first, second) == ([True] * 3, [False] * 3)
    assert vault.connection("shop") is None
    assert vault.variable("region") is None
    assert vault.pools() == []


def test_secrets_that_somebody_changed_meanwhile_are_not_replaced(house: House) -> None:
    vault = house.store.vault
    vault.save_connections([SHOP, SHOP._replace(conn_id="other")])
    vault.save_variables([REGION, REGION._replace(key="other")])
    vault.save_connections([SHOP._replace(secrets=b"changed")])
    vault.save_variables([REGION._replace(secrets=b"changed")])

    vault.replace_secrets(
        [("shop", b"encrypted", b"anew"), ("other", b"encrypted", b"anew")],
        [("region", b"encrypted", b"anew"), ("other", b"encrypted", b"anew")],
    )

    assert {row.conn_id: row.secrets for row in vault.connections()} == {
        "shop": b"changed",
        "other": b"anew",
    }
    assert {row.key: row.secrets for row in vault.variables()} == {
        "region": b"changed",
        "other": b"anew",
    }


def test_large_secrets_are_kept_whole(house: House) -> None:
    large = b"x" * (8 * 1024 * 1024)

    house.store.vault.save_variables([REGION._replace(secrets=large)])

    row = house.other().vault.variable("region")
    assert row is not None
    assert row.secrets == large


def test_two_that_keep_the_same_do_not_hurt_each_other(house: House) -> None:
    stores = [house.store, house.other()]

    def keep(number: int) -> None:
        for _ in range(20):
            row = SHOP._replace(fields=b"%d" % number, secrets=b"%d" % number)
            stores[number].vault.save_connections([row])

    in_threads(lambda: keep(0), lambda: keep(1))

    [row] = house.store.vault.connections()
    assert row.fields == row.secrets

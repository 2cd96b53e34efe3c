"""Which flows are served, in which version."""

from tests.contract.conftest import House


def test_served_flows_are_replaced_as_a_whole(house: House) -> None:
    store = house.store
    store.served.replace("shop", {"etl": "v1", "report": "v1"})
    since_us = {row.flow: row.served_us for row in store.served.all("shop")}

    store.served.replace("shop", {"etl": "v2", "sync": "v2"})

    assert [(row.flow, row.manifest_version) for row in store.served.all("shop")] == [
        ("etl", "v2"),
        ("sync", "v2"),
    ]
    assert all(since_us.values())


def test_flow_that_is_served_as_before_keeps_its_moment(house: House) -> None:
    store = house.store
    store.served.replace("shop", {"etl": "v1"})
    before = store.served.find("shop", "etl")

    store.served.replace("shop", {"etl": "v1", "sync": "v1"})

    assert store.served.find("shop", "etl") == before


def test_projects_of_one_store_serve_flows_of_their_own(house: House) -> None:
    store = house.store
    store.served.replace("shop", {"etl": "v1"})
    store.served.replace("bank", {})

    assert store.served.find("bank", "etl") is None
    assert len(store.served.all("shop")) == 1

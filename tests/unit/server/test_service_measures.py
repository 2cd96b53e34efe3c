from pathlib import Path

from ostinato.client.local import LocalClient
from ostinato.clock import SystemClock
from ostinato.server.exposition import exposition
from ostinato.server.service_measures import ServiceMeasures
from ostinato.store.records import NewRun
from ostinato.store.sqlite import open_store


def test_service_is_measured_by_what_its_processes_say(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    store.save_manifest("v1", "shop", b"definitions")
    store.register_coordinator(kind="worker")
    store.take_role("scheduler:shop", store.register_coordinator(kind="scheduler"))
    store.create_runs([NewRun("shop", "etl", "v1", home="service") for _ in range(3)])
    client = LocalClient(store, values_root=tmp_path, logs_root=tmp_path)

    text = exposition(ServiceMeasures(client, "shop", SystemClock()).measures())

    store.close()
    assert 'ostinato_waiting_runs{flow="etl"} 3\n' in text
    assert 'ostinato_processes{kind="worker"} 1\n' in text
    assert "ostinato_scheduler_is_active 1\n" in text
    assert "ostinato_store_is_reachable 1\n" in text


def test_store_that_does_not_answer_is_a_number_too(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store.db")
    client = LocalClient(store, values_root=tmp_path, logs_root=tmp_path)
    store.close()

    text = exposition(ServiceMeasures(client, "shop", SystemClock()).measures())

    assert "ostinato_store_is_reachable 0\n" in text
    assert "processes" not in text

"""A nursery forks code hosts at any time, and is replaced when it was killed."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.errors import CodeUnavailable, SettingsError
from ostinato.executors.nursery import HostSpec, Nursery
from tests.unit.executors.driven import await_end
from tests.unit.executors.projects import write_flow, write_project


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery.fork()
    yield nursery
    nursery.close()


def test_a_host_loads_the_project_as_it_is_then(tmp_path: Path, nursery: Nursery) -> None:
    write_project(tmp_path, etl=1)
    host = nursery.host(HostSpec("", str(tmp_path)))
    first = host.loaded()[1]
    write_flow(tmp_path, "etl", 2)
    write_flow(tmp_path, "other", 2)

    host.restart()

    assert [flow.name for flow in host.manifest.flows] == ["etl", "other"]
    assert host.loaded()[1] != first
    host.close()


def test_hosts_are_begun_in_any_thread(tmp_path: Path, nursery: Nursery) -> None:
    write_project(tmp_path, etl=1)
    versions: list[str] = []

    def begin() -> None:
        host = nursery.host(HostSpec("", str(tmp_path)))
        versions.append(host.loaded()[1])
        host.close()

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(versions) == 3
    assert len(set(versions)) == 1


def test_code_that_has_changed_is_refused_where_a_version_was_asked_for(
    tmp_path: Path, nursery: Nursery
) -> None:
    write_project(tmp_path, etl=1)
    host = nursery.host(HostSpec("", str(tmp_path), version="0123456789abcdef"))

    with pytest.raises(CodeUnavailable, match="version 0123456789abcdef is gone"):
        host.loaded()


def test_settings_that_are_wrong_are_told(tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "ostinato.yaml").write_text("flow: [x]\n")
    host = nursery.host(HostSpec("", str(tmp_path)))

    with pytest.raises(SettingsError, match="unknown key 'flow'"):
        host.loaded()


@pytest.mark.slow
def test_a_nursery_that_was_killed_is_replaced(tmp_path: Path, nursery: Nursery) -> None:
    write_project(tmp_path, etl=1)
    first = nursery.host(HostSpec("", str(tmp_path)))
    version = first.loaded()[1]
    killed = nursery.pid
    os.kill(killed, signal.SIGKILL)

    second = nursery.host(HostSpec("", str(tmp_path)))

    assert second.loaded()[1] == version
    assert nursery.pid != killed
    # The hosts of the first one live on.
    os.kill(first.pid, 0)
    first.close()
    second.close()


def test_hosts_end_with_their_connection_though_the_nursery_is_gone(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    nursery = Nursery.fork()
    host = nursery.host(HostSpec("", str(tmp_path)))
    host.loaded()
    pid = host.pid
    nursery.close()

    host.close()

    await_end(pid)
    assert host.pid == 0

"""This module tests the sockets by which coordinators are woken."""

import socket
from pathlib import Path

import pytest

from ostinato.store.sqlite import open_store
from ostinato.store.waking import remove_socket, wake


@pytest.fixture
def address(tmp_path: Path) -> str:
    folder = tmp_path / "ostinato-x"
    folder.mkdir()
    return str(folder / "wake")


def listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    return listener


def test_listener_gets_a_datagram(address: str) -> None:
    with listen(address) as listener:
        wake(address)

        assert listener.recv(8) == b"\0"


@pytest.mark.parametrize("where", ["/nowhere/at/all", "", "x" * 200])
def test_nobody_to_wake_is_no_error(where: str) -> None:
    wake(where)


def test_file_that_is_no_socket_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    wake(str(tmp_path / "file"))


def test_listener_that_has_wakes_enough_is_not_waited_for(address: str) -> None:
    with listen(address) as listener:
        for _ in range(5000):
            wake(address)

        assert listener.recv(8) == b"\0"


def test_socket_of_the_dead_is_removed_with_its_folder(address: str) -> None:
    listen(address).close()

    remove_socket(address)

    assert not Path(address).parent.exists()


def test_folder_with_something_else_in_it_is_kept(address: str) -> None:
    listen(address).close()
    (Path(address).parent / "other").touch()

    remove_socket(address)

    assert not Path(address).exists()
    assert (Path(address).parent / "other").exists()


def test_folder_of_somebody_else_is_kept(tmp_path: Path) -> None:
    address = tmp_path / "wake"
    listen(str(address)).close()

    remove_socket(str(address))

    assert not address.exists()
    assert tmp_path.exists()


def test_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.touch()

    remove_socket(str(path))

    assert path.exists()


def test_what_is_gone_already_is_no_error(address: str) -> None:
    remove_socket(address)


def test_next_coordinator_removes_socket_and_lock_of_a_dead_one(
    tmp_path: Path, address: str
) -> None:
    store = open_store(tmp_path / "store.db")
    listen(address).close()
    store.abandon_coordinator(store.register_coordinator(wake_address=address))
    (tmp_path / "coordinators" / "7.lock").touch()

    lease = store.register_coordinator()

    assert not Path(address).exists()
    assert [path.name for path in (tmp_path / "coordinators").iterdir()] == [f"{lease.id}.lock"]
    store.close()

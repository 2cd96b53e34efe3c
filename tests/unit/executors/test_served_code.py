"""What is in force of a project's code follows its files, and what is broken stays as it was."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from ostinato.errors import CodeUnavailable, StoreFull
from ostinato.executors.served_code import CodeChange, ServedManifest
from tests.unit.executors.driven import await_end
from tests.unit.executors.projects import served, write_flow, write_project


def test_a_load_puts_all_flows_in_force(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1, report=1)
    with served(tmp_path) as code:
        change = code.load()

        assert change == CodeChange(change.version, added=("etl", "report"))
        etl = code.flow("etl")
        assert etl is not None
        assert (etl.definition.name, etl.version) == ("etl", change.version)
        assert [each.version for each in code.manifests] == [change.version]
        assert code.flow("nothing") is None


def test_an_equal_load_changes_nothing(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        first = code.load()
        before = code.flows["etl"].host

        second = code.load()

        assert second == CodeChange(first.version)
        assert code.flows["etl"].host is before


def test_a_broken_file_leaves_its_flows_at_their_last_good_version(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1, report=1)
    with served(tmp_path) as code:
        first = code.load().version
        (tmp_path / "flows" / "etl.py").write_text("def broken(:\n")
        write_flow(tmp_path, "report", 2)

        second = code.load()

        assert second.kept == ("etl",)
        assert second.changed == ("report",)
        assert [problem.line for problem in code.problems] == [1]
        assert (code.flows["etl"].version, code.flows["report"].version) == (first, second.version)
        assert code.flows["etl"].host.pid
        assert [each.version for each in code.manifests] == [first, second.version]

        write_flow(tmp_path, "etl", 3)
        old = code.flows["etl"].host
        third = code.load()

        assert third.changed == ("etl", "report")
        assert code.problems == ()
        assert not old.pid


def test_a_flow_whose_module_is_broken_stays(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    (tmp_path / "flows" / "etl.py").write_text(
        "import lib\n" + (tmp_path / "flows" / "etl.py").read_text()
    )
    (tmp_path / "lib.py").write_text("x = 1\n")
    with served(tmp_path) as code:
        first = code.load().version
        (tmp_path / "lib.py").write_text("x = 1 / 0\n")

        assert code.load().kept == ("etl",)
        assert code.flows["etl"].version == first


def test_a_folder_that_is_broken_stays(tmp_path: Path) -> None:
    write_project(tmp_path)
    folder = tmp_path / "flows" / "nightly"
    folder.mkdir()
    (folder / "METADATA.yml").write_text("description: Nightly\n")
    (folder / "load.py").write_text("print(1)\n")
    with served(tmp_path) as code:
        first = code.load()
        assert first.added == ("nightly",)
        (folder / "METADATA.yml").write_text("description: [\n")

        assert code.load().kept == ("nightly",)
        assert code.flows["nightly"].version == first.version


def test_a_flow_whose_file_is_gone_is_removed(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1, report=1)
    with served(tmp_path) as code:
        code.load()
        (tmp_path / "flows" / "etl.py").unlink()

        assert code.load().removed == ("etl",)
        assert list(code.flows) == ["report"]


def test_wrong_settings_leave_everything_in_force(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    told: list[CodeChange] = []
    with served(tmp_path) as code:
        code.subscribe(told.append)
        code.load()
        (tmp_path / "ostinato.yaml").write_text("flow: x\n")

        change = code.load()

        assert change.kept == ("etl",)
        assert [problem.code for problem in change.problems] == ["settings"]
        assert told[1:] == [change]


def test_a_file_that_ends_the_process_leaves_everything_in_force(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        code.load()
        (tmp_path / "flows" / "etl.py").write_text("import os\nos._exit(3)\n")

        assert code.load().kept == ("etl",)


def test_a_host_lives_as_long_as_it_is_held(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        first = code.load().version
        host = code.hold(first)
        assert host is not None
        write_flow(tmp_path, "etl", 2)
        code.load()
        assert host.pid
        again = code.hold(first)
        assert again is host
        code.release(first)
        assert host.pid

        code.release(first)

        assert not host.pid
        assert code.hold(first) is None


def test_definitions_that_cannot_be_saved_do_not_come_into_force(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    saved: list[str] = []

    def save(served: ServedManifest, versions: Mapping[str, str]) -> None:
        assert versions == {"etl": served.version}
        if saved:
            raise StoreFull("no room is left on the disk")
        saved.append(served.version)

    with served(tmp_path, save) as code:
        first = code.load().version
        write_flow(tmp_path, "etl", 2)

        change = code.load()

        assert saved == [first]
        assert (change.version, change.kept) == ("", ("etl",))
        assert code.flows["etl"].version == first
        assert [problem.message for problem in code.problems] == ["no room is left on the disk"]


def test_a_host_that_was_killed_is_replaced_by_the_next_load(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        code.load()
        killed = code.flows["etl"].host
        has_lost = [code.has_lost_host]
        os.kill(killed.pid, signal.SIGKILL)
        await_end(killed.pid)
        has_lost.append(code.has_lost_host)

        code.load()

        assert code.flows["etl"].host is not killed
        assert [*has_lost, code.has_lost_host] == [False, True, False]


def test_a_broken_flow_whose_code_was_killed_is_removed(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        code.load()
        os.kill(code.flows["etl"].host.pid, signal.SIGKILL)
        await_end(code.flows["etl"].host.pid)
        (tmp_path / "flows" / "etl.py").write_text("def broken(:\n")

        assert code.load().removed == ("etl",)


def test_a_host_that_is_started_again_is_of_its_version_or_not_at_all(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with served(tmp_path) as code:
        version = code.load().version
        host = code.hold(version)
        assert host is not None
        host.restart()
        assert host.loaded()[1] == version
        write_flow(tmp_path, "etl", 2)

        host.restart()
        with pytest.raises(CodeUnavailable, match=f"version {version} is gone"):
            host.loaded()

        assert code.hold(version) is None

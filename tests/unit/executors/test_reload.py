"""Code that changes is in force in no time, whatever editors do, and hanging files harm nobody."""

import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostinato.errors import LoadError
from ostinato.executors.code_host import CodeHost
from ostinato.executors.reload import Reload
from ostinato.executors.served_code import CodeChange, ServedCode
from ostinato.project.discovery import find_project
from ostinato.project.target import Target
from tests.unit.executors.projects import served, write_flow, write_project

PATIENCE_S = 20.0


@contextmanager
def reloading(root: Path) -> Iterator[tuple[ServedCode, "queue.Queue[CodeChange]"]]:
    told: queue.Queue[CodeChange] = queue.Queue()
    with served(root) as code:
        reload = Reload(code, find_project(Target(path=root)))
        code.load()
        code.subscribe(told.put)
        thread = threading.Thread(target=reload.serve)
        thread.start()
        try:
            yield code, told
        finally:
            reload.stop()
            thread.join()


def test_a_file_that_changes_is_loaded(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (code, told):
        before = code.flows["etl"].version

        write_flow(tmp_path, "etl", 2)
        write_flow(tmp_path, "other", 2)

        change = told.get(timeout=PATIENCE_S)
        assert (change.added, change.changed) == (("other",), ("etl",))
        assert code.flows["etl"].version == change.version != before


def test_a_broken_file_is_told_and_mended(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (_, told):
        (tmp_path / "flows" / "etl.py").write_text("def broken(:\n")
        assert [each.line for each in told.get(timeout=PATIENCE_S).problems] == [1]

        write_flow(tmp_path, "etl", 1)

        assert told.get(timeout=PATIENCE_S).problems == ()


def test_settings_that_are_broken_are_told_and_mended(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (code, told):
        (tmp_path / "ostinato.yaml").write_text("flow: x\n")
        assert told.get(timeout=PATIENCE_S).problems[0].code == "settings"
        assert list(code.flows) == ["etl"]

        (tmp_path / "ostinato.yaml").write_text("name: shop\n")

        assert told.get(timeout=PATIENCE_S).problems == ()


def test_what_changes_before_the_first_look_is_not_missed(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    told: queue.Queue[CodeChange] = queue.Queue()
    with served(tmp_path) as code:
        reload = Reload(code, find_project(Target(path=tmp_path)))
        code.load()
        code.subscribe(told.put)
        write_flow(tmp_path, "etl", 2)
        thread = threading.Thread(target=reload.serve)
        thread.start()

        assert told.get(timeout=PATIENCE_S).changed == ("etl",)

        reload.stop()
        thread.join()


@pytest.mark.slow
def test_a_file_that_hangs_is_given_up_for_its_next_change(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (code, told):
        (tmp_path / "flows" / "etl.py").write_text(
            f"open({str(tmp_path / 'begun')!r}, 'w').close()\nimport time\ntime.sleep(600)\n"
        )
        while not (tmp_path / "begun").exists():
            pass
        assert list(code.flows) == ["etl"]

        write_flow(tmp_path, "etl", 3)

        assert told.get(timeout=PATIENCE_S).changed == ("etl",)


def test_it_ends_while_a_file_hangs(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path):
        (tmp_path / "flows" / "etl.py").write_text(
            f"open({str(tmp_path / 'begun')!r}, 'w').close()\nimport time\ntime.sleep(600)\n"
        )
        while not (tmp_path / "begun").exists():
            pass


def test_content_that_is_the_same_is_not_loaded(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1, other=1)
    with reloading(tmp_path) as (_, told):
        write_flow(tmp_path, "etl", 1)
        write_flow(tmp_path, "other", 2)

        assert told.get(timeout=PATIENCE_S).changed == ("etl", "other")
        assert told.empty()


@pytest.mark.slow
def test_a_host_that_was_killed_is_started_again(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (code, told):
        killed = code.flows["etl"].host.pid

        os.kill(killed, signal.SIGKILL)

        assert told.get(timeout=PATIENCE_S).problems == ()
        assert code.flows["etl"].host.pid not in (0, killed)


@pytest.mark.slow
def test_a_first_load_that_was_killed_is_tried_again(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    told: queue.Queue[CodeChange] = queue.Queue()
    with served(tmp_path) as code:
        reload = Reload(code, find_project(Target(path=tmp_path)))
        code.refuse(LoadError("the process that loads the files ended"))
        code.subscribe(told.put)
        thread = threading.Thread(target=reload.serve)
        thread.start()

        assert told.get(timeout=PATIENCE_S).added == ("etl",)

        reload.stop()
        thread.join()


@pytest.mark.slow
def test_a_load_that_was_killed_is_tried_again(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    with reloading(tmp_path) as (code, told):
        mark = tmp_path / "mark"
        (tmp_path / "flows" / "once.py").write_text(
            "import os, signal\nfrom pathlib import Path\n"
            f"if not Path({str(mark)!r}).exists():\n"
            f"    Path({str(mark)!r}).touch()\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )

        first, second = told.get(timeout=PATIENCE_S), told.get(timeout=PATIENCE_S)

        assert [each.code for each in first.problems] == ["load"]
        assert second.problems == ()
        assert list(code.flows) == ["etl"]


def test_a_load_for_which_no_process_can_be_made_is_tried_again(tmp_path: Path) -> None:
    write_project(tmp_path, etl=1)
    told: queue.Queue[CodeChange] = queue.Queue()
    with served(tmp_path) as code:
        reload = Reload(code, find_project(Target(path=tmp_path)))
        begin, tries = code.begin, iter((True,))

        def begin_later() -> CodeHost:
            if next(tries, False):
                raise LoadError("no process can be made that loads the files")
            return begin()

        code.begin = begin_later  # type: ignore[method-assign]  # memory that is short for a moment
        code.subscribe(told.put)
        thread = threading.Thread(target=reload.serve)
        thread.start()

        first, second = told.get(timeout=PATIENCE_S), told.get(timeout=PATIENCE_S)

        assert [each.code for each in first.problems] == ["load"]
        assert second.added == ("etl",)
        reload.stop()
        thread.join()

"""This module tests how rows become records and back."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.engine import events as ev
from ostinato.errors import InternalError
from ostinato.model.identity import MapPath, format_path
from ostinato.model.state import TaskRunState
from ostinato.store.records import Batch, NewRun
from ostinato.store.rows import logged_event, path_key, task_run_parameters
from ostinato.store.sqlite import open_store
from tests.contract.samples import new_run, task_run

paths = st.lists(st.integers(0, 300) | st.integers(0, (1 << 32) - 1), max_size=4).map(tuple)


@given(paths, paths)
def test_keys_of_paths_sort_as_the_paths_do(first: MapPath, second: MapPath) -> None:
    one, two = path_key(format_path(first)), path_key(format_path(second))

    assert (one < two) == (first < second)
    assert (one == two) == (first == second)


@given(st.lists(paths, unique=True, max_size=20))
def test_task_runs_are_read_in_the_order_of_their_paths(made: list[MapPath]) -> None:
    store = open_store(":memory:")
    store.save_manifest("v1", "shop", b"")
    lease = store.register_coordinator()
    [run] = store.create_runs([new_run()], owner=lease)
    batch = Batch()
    batch.task_runs += [task_run(run.id, "load", format_path(path)) for path in made]
    store.commit(batch, lease)

    read = [row.path for row in store.all_task_runs(run.id)]

    store.close()
    assert read == [format_path(path) for path in sorted(made)]


def test_parameters_of_a_task_run_are_plain_numbers() -> None:
    row = task_run(1, state=TaskRunState.RUNNING)._replace(stop=True)

    [parameters] = task_run_parameters([row])

    assert {type(each) for each in parameters} <= {int, str, bytes, type(None)}


def test_event_of_a_newer_version_is_kept_raw() -> None:
    raw = msgspec.msgpack.encode({"type": "from_the_future", "at_us": 1})

    logged = logged_event((5, 1, "load", "3", 9, raw))

    assert logged.event is None
    assert logged.raw == raw
    assert (logged.cursor, logged.task_id, logged.path, logged.at_us) == ("5", "load", "3", 9)


def test_event_with_fields_of_a_newer_version_is_read() -> None:
    fields = {"type": "run_started", "at_us": 7, "v": 1, "later": True}

    logged = logged_event((5, 1, "", "", 7, msgspec.msgpack.encode(fields)))

    assert logged.event == ev.RunStarted(7)


def test_parameters_that_are_no_object_are_a_broken_invariant(tmp_path: Path) -> None:
    store = open_store(":memory:")

    with pytest.raises(InternalError, match="are list, not an object"):
        store.create_runs([NewRun("shop", "etl", "v1", params=b"[1]")])

    store.close()

"""This module tests the batch that a coordinator fills."""

import pytest

from ostinato.store.records import Batch, ExpansionRow
from tests.contract.conftest import Row, batch_of
from tests.contract.samples import earlier_attempt, notice, started, task_run, update, value

ROWS: list[Row] = [
    task_run(1),
    started(1),
    earlier_attempt(1),
    value(1),
    ExpansionRow(1, "load", "", "[2]"),
    update(1),
    notice(1),
    5,
]


def test_new_batch_holds_nothing() -> None:
    assert not Batch()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_batch_with_any_row_holds_something(row: Row) -> None:
    assert batch_of(row)


def test_cleared_batch_is_as_a_new_one() -> None:
    batch = batch_of(*ROWS)

    batch.clear()

    assert not batch
    assert all(not getattr(batch, name) for name in Batch.__slots__)

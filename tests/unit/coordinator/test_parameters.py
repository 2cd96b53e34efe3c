"""Parameters are looked at again when a run starts, whoever asked for it."""

from pathlib import Path

import pytest

from ostinato import DAG, EmptyOperator, Param
from ostinato.errors import ParameterError
from ostinato.model.state import RunState
from tests.unit.coordinator.site import Site


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rows": 0}, "parameter 'rows' of flow 'etl': 0 is less than 1"),
        ({"row": 2}, "no parameter 'row'"),
    ],
)
def test_run_that_waits_with_parameters_that_do_not_fit_is_not_started(
    params: dict[str, int], message: str, tmp_path: Path
) -> None:
    with DAG("etl", params={"rows": Param(1, type="integer", minimum=1)}) as flow:
        EmptyOperator(task_id="a")
    site = Site(tmp_path, flow)
    first = site.runner()
    run_id = site.create(first, params=params)
    first.close()

    with pytest.raises(ParameterError, match=message):
        site.resume(site.handle(run_id))

    row = site.store.run(run_id)
    assert row is not None
    assert (row.state, row.owner) == (RunState.QUEUED, 0)
    site.close()

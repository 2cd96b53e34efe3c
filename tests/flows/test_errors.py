"""This module tests what flows that are functions say of mistakes: the line, and the step."""

from pathlib import Path
from typing import Any

import pytest

from ostinato import flow, task
from ostinato.errors import RunFailed, ValueNotSerialisable


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path))


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_step_that_is_never_awaited() -> None:
    @task
    async def load() -> int:
        return 1

    @flow
    def forgetful() -> None:
        load()

    with pytest.raises(RunFailed, match=r"test_errors.py:\d+: step load\[0\] is never awaited"):
        forgetful()


def test_result_that_cannot_be_stored() -> None:
    @task
    def opened() -> Any:
        return (number for number in range(3))

    @flow
    def careless() -> None:
        opened()

    with pytest.raises(ValueNotSerialisable, match=r"test_errors.py:\d+: step opened\[0\]: the re"):
        careless()

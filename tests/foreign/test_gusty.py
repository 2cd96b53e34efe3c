"""This module compares folders with what gusty makes of them, live."""

import json
from pathlib import Path

import pytest

from tests.foreign.conftest import Foreign
from tests.foreign.gusty_cases import (
    HERE,
    Json,
    answer,
    is_alike,
    is_intended,
    random_cases,
    recorded,
    written_cases,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def ask_gusty(foreign: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a function of cases
    monkeypatch.setenv("GUSTY_HOME", str(HERE))

    def ask(cases: dict[str, Json]) -> dict[str, Json]:
        (tmp_path / "cases.json").write_text(json.dumps(cases))
        answers: dict[str, Json] = foreign(
            "gusty_answers.py", tmp_path / "cases.json", GUSTY_HOME=str(HERE)
        )
        return answers

    return ask


def test_what_is_recorded_is_what_gusty_says(ask_gusty) -> None:  # type: ignore[no-untyped-def]  # as above
    answers = recorded()
    cases = {**written_cases(), **random_cases(range(60))}

    said = ask_gusty(cases)

    assert cases.keys() == answers.keys()
    assert [name for name in cases if not is_alike(said[name], answers[name])] == []


def test_random_folders_mean_what_they_mean_to_gusty(ask_gusty) -> None:  # type: ignore[no-untyped-def]  # as above
    cases = random_cases(range(1000, 1300))

    said = ask_gusty(cases)

    differ = []
    for name, case in cases.items():
        ours = answer(case)
        if not is_alike(said[name], ours) and not is_intended(said[name], ours):
            differ.append(name)
    assert differ == []

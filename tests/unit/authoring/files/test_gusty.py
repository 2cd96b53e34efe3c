"""This module tests that folders mean what they mean to gusty, whose answers are recorded."""

import pytest

from tests.foreign.gusty_cases import (
    HERE,
    SEEDS,
    Json,
    answer,
    is_alike,
    is_intended,
    random_cases,
    recorded,
    written_cases,
)

CASES = {**written_cases(), **random_cases(SEEDS)}
ANSWERS = recorded()


@pytest.mark.parametrize("name", sorted(CASES))
def test_folder_means_what_it_means_to_gusty(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUSTY_HOME", str(HERE))
    theirs: Json = ANSWERS[name]

    ours = answer(CASES[name])

    if not is_intended(theirs, ours):
        assert is_alike(theirs, ours), f"{theirs}\n{ours}"

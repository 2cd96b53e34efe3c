"""Values that cannot be stored, and values that are stored whole or not at all."""

import os
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import ValueNotSerialisable
from ostinato.model.value import StoredValue
from ostinato.runtime.values import decode_value, encode_value
from tests.unit.runtime.attempts import spec_of


def store(value: Any, folder: Path) -> StoredValue:
    return encode_value("return_value", value, spec_of("task"), str(folder))


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Raising:
    def __reduce__(self) -> Any:
        raise ConnectionError("not now")


class RaisingText(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class RaisingWithoutText:
    def __reduce__(self) -> Any:
        raise RaisingText


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Raising(), r"task 'task' cannot be stored: .*Raising \(not now\)"),
        (RaisingWithoutText(), "RaisingText whose __str__ raised"),
        (nested(100_000), "recursion"),
        ((n for n in range(3)), "generator"),
    ],
    ids=["raising", "without text", "too deep", "generator"],
)
def test_what_cannot_be_stored_is_named(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueNotSerialisable, match=message):
        store(value, tmp_path)


def test_a_list_that_contains_itself_comes_back(tmp_path: Path) -> None:
    value: list[Any] = [1]
    value.append(value)

    read = decode_value(store(value, tmp_path), str(tmp_path))

    assert read[1] is read


class NoPreview:
    def __repr__(self) -> str:
        raise RuntimeError


class OddPreview:
    def __repr__(self) -> str:
        return "caf\ud800"


@pytest.mark.parametrize(("value", "preview"), [(NoPreview(), ""), (OddPreview(), "caf\\ud800")])
def test_any_preview_can_be_sent(value: Any, preview: str, tmp_path: Path) -> None:
    assert store(value, tmp_path).preview == preview


def test_what_found_no_place_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        store("x" * 100_000, tmp_path)

    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []

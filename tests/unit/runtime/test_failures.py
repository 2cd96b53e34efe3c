"""Any exception becomes data that can be sent."""

from typing import Any

import msgspec
import pytest

from ostinato.runtime.failures import MAX_FRAMES, describe_failure, plain_text


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Sly(Exception):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


Odd = type("Odd", (Exception,), {"__module__": 5})


def nested_group(depth: int) -> BaseException:
    error: Exception = ValueError("innermost")
    for _ in range(depth):
        error = ExceptionGroup("group", [error] * 6)
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoText(), "__str__ raised"),
        (ValueError("caf\ud800"), "caf\\ud800"),
        (SystemExit(NoText()), "sys.exit"),
        (SystemExit(3), "sys.exit(3)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Odd("odd"), "odd"),
        (nested_group(3), "ValueError: innermost"),
        (nested_group(50), "group"),
    ],
    ids=["no text", "surrogate", "exit", "exit code", "ctrl-c", "odd type", "group", "deep group"],
)
def test_any_exception_can_be_described_and_sent(error: BaseException, text: str) -> None:
    failure = describe_failure(error)

    assert text in failure.message
    assert msgspec.msgpack.encode(failure)


def test_a_chain_of_causes_that_is_a_circle_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert msgspec.msgpack.encode(describe_failure(first))


def test_a_deep_recursion_keeps_its_ends() -> None:
    def recurse(depth: int) -> None:
        if depth == 0:
            raise ValueError("deep")
        recurse(depth - 1)

    with pytest.raises(ValueError, match="deep") as caught:
        recurse(200)

    assert len(describe_failure(caught.value).frames) == MAX_FRAMES


def test_text_of_a_value_without_text() -> None:
    assert plain_text(NoText()).endswith("NoText whose __str__ raised>")

"""A task's code reaches connections and variables without its context at hand."""

from collections.abc import Callable
from typing import Any

import pytest

from ostinato import Connection, Variable, dag, get_connection, get_current_context, task, testing
from ostinato.errors import UnknownConnection, UnknownVariable, UsageError


def result_of(code: Callable[[], Any], **given: Any) -> Any:
    """Return what code gives inside of a task."""

    @dag
    def flow() -> None:
        @task
        def inside() -> Any:
            return code()

        inside()

    with testing.run(flow(), **given) as run:
        run.raise_for_state()
        return run.result("inside")


def test_connection_is_found_by_its_id() -> None:
    shop = Connection.from_uri("pg://ann@db/shop")

    assert result_of(lambda: get_connection("shop").host, connections={"shop": shop}) == "db"


def test_variables_are_read_set_and_deleted() -> None:
    def code() -> list[Any]:
        Variable.set("new", {"a": 1})
        Variable.set("quoted", "text", serialize_json=True)
        return [
            Variable.get("region"),
            Variable.get("new"),
            Variable.get("new", deserialize_json=True),
            Variable.get("quoted"),
            Variable.get("none", "default"),
            Variable.delete("new"),
            Variable.delete("new"),
            Variable.get("new", None),
        ]

    found = result_of(code, variables={"region": "eu"})

    assert found == ["eu", '{"a":1}', {"a": 1}, '"text"', "default", True, False, None]


def test_what_is_nowhere_or_no_json_is_an_error() -> None:
    def code() -> list[str]:
        context = get_current_context()
        errors = []
        for ask in (
            lambda: context.variable("regoin"),
            lambda: context.variable("region", json=True),
            lambda: context.connection("shpo"),
        ):
            try:
                ask()
            except (UnknownVariable, UnknownConnection, UsageError) as error:
                errors.append(f"{type(error).__name__}: {error}")
        return errors

    found = result_of(code, connections={"shop": "pg://h"}, variables={"region": "eu"})

    assert found[0].startswith("UnknownVariable: there is no variable 'regoin'")
    assert found[0].endswith("(did you mean 'region'?)")
    assert found[1] == "UsageError: variable 'region' holds no JSON"
    assert found[2].endswith("(did you mean 'shop'?)")


def test_variable_that_something_else_wins_over_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OSTINATO_VAR_REGION", "eu")

    result_of(lambda: Variable.set("region", "us"))

    assert "variable 'region' was set, but the environment has another value" in caplog.text


@pytest.mark.parametrize(
    "call",
    [
        lambda: get_connection("a"),
        lambda: Variable.get("a"),
        lambda: Variable.set("a", 1),
        lambda: Variable.delete("a"),
    ],
)
def test_outside_of_a_task_it_is_an_error(call: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="works inside a running task only"):
        call()

"""This module tests that results fit the parameters that they are given to."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import pytest

from ostinato import DAG, BashOperator, PythonOperator, dag, task, task_group
from ostinato.authoring.edge_types import may_fit
from ostinato.errors import EdgeTypeError


class Row(TypedDict):
    name: str


class Animal: ...


class Dog(Animal): ...


class HasName(Protocol):
    name: str


T = TypeVar("T")
Id = NewType("Id", int)


@pytest.mark.parametrize(
    ("produced", "wanted", "fits"),
    [
        (str, int, False),
        (int, float, True),
        (bool, int, True),
        (float, int, False),
        (int, int | None, True),
        (int | None, int, True),
        (str | None, int, False),
        (None, int, False),
        (None, Optional[int], True),  # noqa: UP045 - the old spelling
        (Union[int, str], str, True),  # noqa: UP007 - the old spelling
        (list[str], list[int], True),
        (list[str], Sequence[str], True),
        (list[str], dict[str, str], False),
        (dict[str, int], Mapping[str, Any], True),
        (Row, dict[str, Any], True),
        (dict[str, Any], Row, True),
        (Row, list[Any], False),
        (Dog, Animal, True),
        (Animal, Dog, True),
        (Dog, str, False),
        (str, object, True),
        (Any, int, True),
        (str, Any, True),
        (T, int, True),
        (str, T, True),
        (Id, str, False),
        (Id, int, True),
        (Annotated[str, "unit"], int, False),
        (Literal["a", "b"], str, True),
        (Literal["a"], int, False),
        (str, Literal["a"], True),
        (int, HasName, True),
        (str, Iterable[str], True),
        (list[int], Iterator[int], False),
        (typing.List[int], list, True),  # noqa: UP006 - the old spelling
        (type[int], str, False),
        (Path, str, False),
        ("unresolved", int, True),
    ],
)
def test_what_cannot_be_is_told_from_what_may_be(produced: Any, wanted: Any, fits: bool) -> None:
    assert may_fit(produced, wanted) is fits


def place_of(caught: pytest.ExceptionInfo[EdgeTypeError]) -> str:
    return str(caught.value).partition(": ")[0].partition(":")[0]


def test_wrong_type_on_an_edge_names_both_ends() -> None:
    @task
    def extract() -> str:
        return "data"

    @task
    def load(data: int) -> None: ...

    @dag
    def flow() -> None:
        load(extract())

    with pytest.raises(EdgeTypeError) as caught:
        flow()

    error = caught.value
    assert error.message == "'load' takes data: int, but 'extract' returns str"
    assert place_of(caught) == "tests/unit/authoring/test_edge_types.py"
    assert error.place is not None
    assert error.hint == f"'extract' is at {error.place}"


@task
def text() -> str:
    return "a"


@task
def number() -> int:
    return 1


@task
def texts() -> list[str]:
    return ["a"]


@task
def table() -> dict[str, int]:
    return {"a": 1}


@task
def pair() -> tuple[int, str]:
    return (1, "a")


@task
def take_number(value: int) -> int:
    return value


@task
def take_numbers(value: list[int]) -> int:
    return sum(value)


@task
def take_any(value) -> None: ...  # type: ignore[no-untyped-def]  # what is tested


@task_group
def group(value: Any) -> Any:
    return take_number(value)


def fan() -> Any:
    return take_number.expand(value=[1, 2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: take_number.expand(value=texts()), "but the items of 'texts' are str"),
        (lambda: take_number.expand(value=table()), "but the items of 'table' are tuple[str, int]"),
        (lambda: take_number(texts()), "'texts' returns list[str]"),
        (lambda: take_number(fan()), "the mapped 'take_number' gives a sequence of int"),
        (
            lambda: take_numbers(text.override(task_id="t").expand_kwargs([{}])),
            "'take_numbers' takes value: list[int], but the mapped 't' gives a sequence of str",
        ),
        (lambda: take_numbers(table()["a"]), "the result of 'table'['a'] is int"),
        (lambda: take_number.expand(value=number()), "which returns int, no list or dict"),
        (lambda: take_number.expand(value=text()), "which returns str, no list or dict"),
        (
            lambda: group.expand(value=texts()),
            "'group.take_number' takes value: int, but the items",
        ),
        (lambda: group.expand(value=number()), "'group' is mapped over 'number', which returns"),
        (
            lambda: take_number(BashOperator(task_id="b", bash_command="true").output),
            "'b' returns str",
        ),
        (
            lambda: PythonOperator(
                task_id="p", python_callable=take_number.function, op_kwargs={"value": text()}
            ),
            "'p' takes value: int, but 'text' returns str",
        ),
    ],
)
def test_values_that_cannot_fit_are_refused(build: Any, message: str) -> None:
    with DAG("flow") as flow:
        build()

    with pytest.raises(EdgeTypeError) as caught:
        _ = flow.definition

    assert message in str(caught.value)


def test_values_that_may_fit_are_accepted() -> None:
    @task
    def take_sequence(value: Sequence[int]) -> None: ...

    @task
    def take_tuple(value: tuple[int, ...]) -> None: ...

    @task
    def take_pair(value: tuple[str, int]) -> None: ...

    @task
    def take_either(value: int | str) -> None: ...

    @task
    def untyped():  # type: ignore[no-untyped-def]  # what is tested
        ...

    @dag
    def flow() -> None:
        for wanted in (take_numbers, take_sequence, take_tuple, take_any):
            wanted(fan())
        take_pair.expand(value=table())
        take_either.expand(value=pair())
        take_number.expand(value=fan())
        take_number.expand(value=untyped())
        take_number(untyped())
        take_number(table()["a"])
        take_number(fan().map(str))
        take_number.expand(value=texts().map(int))
        take_number(number().pushed("text"))
        group.expand(value=fan())

    assert flow().definition.tasks


def test_type_of_a_parameter_is_checked_too() -> None:
    @dag
    def flow(day: str) -> None:
        take_number(day)

    with pytest.raises(EdgeTypeError, match="takes value: int, but the parameter 'day' is str"):
        flow()


def test_annotations_are_resolved_late_and_unresolvable_ones_are_no_types() -> None:
    namespace: dict[str, Any] = {}
    exec(
        """
from __future__ import annotations
from ostinato import Context, dag, task

@task
def extract() -> Later: ...
@task
def load(data: int, context: Context, other: NowhereToBeFound = None) -> Never2: ...
@task
def text() -> str: ...
class Later: ...
@dag
def good(): load(text().map(int)); load.expand(data=text().zip([1]))
@dag
def bad(): load(extract())
""",
        namespace,
    )

    assert namespace["good"]().definition
    with pytest.raises(EdgeTypeError, match="takes data: int, but 'extract' returns Later"):
        namespace["bad"]()


def test_generators_say_nothing_about_their_value() -> None:
    @task
    def rows() -> Iterator[int]:
        yield 1

    with DAG("flow") as flow:
        take_numbers(rows())

    assert flow.definition.tasks

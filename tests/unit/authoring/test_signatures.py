"""This module tests what functions are found to take."""

import functools
from typing import Any

import pytest

from ostinato import Context, Resource
from ostinato.authoring.signatures import UNTYPED, name_of, resolved_annotations, signature_of


class Warehouse(Resource): ...


def test_signature_is_worked_out_once_for_each_function() -> None:
    def one(a: int) -> None: ...

    @functools.wraps(one)
    def other(*args: Any) -> None: ...

    assert signature_of(one) is signature_of(one)
    assert signature_of(other) is not signature_of(one)
    assert signature_of(other).function is other


def test_methods_and_callable_objects_have_signatures() -> None:
    class Adder:
        def add(self, value: int) -> int:
            """Add."""
            return value

        def __call__(self, value: str) -> str:
            return value

    assert signature_of(Adder().add).names == {"value"}
    assert signature_of(Adder().add).types == {"value": int, "return": int}
    assert signature_of(Adder().add).doc == "Add."
    assert signature_of(Adder()).types == {"value": str, "return": str}
    assert signature_of(Adder()).doc == ""


def test_callable_without_a_signature_takes_anything_and_is_given_nothing() -> None:
    signature = signature_of(dict)

    assert signature.bind((1,), {"x": 1}) == ((1,), {"x": 1})
    assert signature.returns is UNTYPED


def test_context_and_resources_are_told_by_their_annotations() -> None:
    def use(where: Context, maybe: Context | None, store: Warehouse | None, rows: int) -> None: ...

    signature = signature_of(use)

    assert signature.context_parameters == {"where": "", "maybe": ""}
    assert signature.resource_types == {"store": Warehouse}
    with pytest.raises(TypeError, match="missing 1 required argument 'rows'"):
        signature.bind((), {})
    assert signature.bind((), {"rows": 1}) == ((), {"rows": 1})


def test_resource_of_the_flow_is_not_missing() -> None:
    def use(db: Any, rows: int, other: int) -> None: ...

    with pytest.raises(TypeError, match="missing 2 required arguments 'rows', 'other'"):
        signature_of(use).bind((), {}, given={"db"})


def test_context_is_told_by_its_name_where_the_annotation_cannot_be_resolved() -> None:
    namespace: dict[str, Any] = {}
    exec("def use(where: 'ostinato.Context', rows: 'Nowhere'): ...", namespace)

    signature = signature_of(namespace["use"])

    assert signature.context_parameters == {"where": ""}
    assert signature.types == {}


def test_annotations_see_the_names_around_a_function() -> None:
    class Local: ...

    def use(value: "Local") -> "list[Local]":
        return [value, Local()]

    assert resolved_annotations(use) == {"value": Local, "return": list[Local]}
    assert resolved_annotations(functools.partial(use)) == {"value": Local, "return": list[Local]}


def test_functions_have_names() -> None:
    def use() -> None: ...

    assert name_of(functools.partial(use)) == "use"
    assert name_of(use) == "use"

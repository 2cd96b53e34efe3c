"""This module tells whether what one task returns can be what another accepts.

Types are gradual: what is not annotated, or too clever to be judged, fits everything.
"""

import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin

from ostinato.authoring.signatures import UNTYPED

#: What Python's type checkers let pass for another class, beside subclasses.
_PROMOTED = {(int, float), (int, complex), (float, complex), (bytearray, bytes)}


def may_fit(produced: Any, wanted: Any) -> bool:
    """Whether some value of one type is also one of the other.

    Args:
        produced: Annotation of a result.
        wanted: Annotation of a parameter.

    >>> may_fit(str, int), may_fit(int, float), may_fit(list[str], list)
    (False, True, True)
    """
    return any(
        _class_may_fit(one, other) for one in _classes(produced) for other in _classes(wanted)
    )


def item_type(produced: Any) -> Any:
    """Return the type of what a mapping over a value takes; None if it cannot be mapped over.

    Args:
        produced: Annotation of the value.
    """
    if not any(map(_may_be_mapped, _classes(produced))):
        return None
    origin, args = get_origin(produced), get_args(produced)
    if not isinstance(origin, type) or not args:
        return UNTYPED
    if issubclass(origin, Mapping):
        return tuple.__class_getitem__(args) if len(args) == 2 else UNTYPED
    if origin is tuple and args[1:] != (...,):
        return typing.Union[args]  # noqa: UP007 - made at run time
    return args[0] if issubclass(origin, Iterable) else UNTYPED


def fits_several(item: Any, wanted: Any) -> bool:
    """Whether a parameter accepts the sequence of all results of a mapped task.

    Args:
        item: Annotation of one result.
        wanted: Annotation of the parameter.
    """
    for member in _members(wanted):
        kinds = _classes(member)
        if not any(_takes_sequence(kind) for kind in kinds):
            continue
        args = get_args(member)
        if not args or get_origin(member) is tuple or may_fit(item, args[0]):
            return True
    return False


def item_of_dict(produced: Any) -> Any:
    """Return the type of ``result["key"]``, ``UNTYPED`` if nothing is known.

    Args:
        produced: Annotation of the result.
    """
    origin, args = get_origin(produced), get_args(produced)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2:
        return args[1]
    return UNTYPED


def written(annotation: Any) -> str:
    """Return an annotation as a user would write it."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _may_be_mapped(kind: Any) -> bool:
    return kind not in (str, bytes) and any(
        _class_may_fit(kind, series) for series in (Iterable, list, dict)
    )


def _takes_sequence(kind: Any) -> bool:
    return kind is tuple or _class_may_fit(list, kind)


def _class_may_fit(produced: Any, wanted: Any) -> bool:
    if produced is Any or wanted is Any:
        return True
    if (produced, wanted) in _PROMOTED or getattr(wanted, "_is_protocol", False):
        return True
    try:
        return issubclass(produced, wanted) or issubclass(wanted, produced)
    except TypeError:  # a class that forbids the question
        return True


def _classes(annotation: Any) -> list[Any]:
    """Return the classes of which a value may be; Any stands for what is not known."""
    classes: list[Any] = []
    for member in _members(annotation):
        if get_origin(member) is Literal:
            classes += [type(value) for value in get_args(member)]
            continue
        kind = get_origin(member) or member
        if kind is None:
            kind = type(None)
        if kind is UNTYPED or not isinstance(kind, type):
            kind = Any
        elif typing.is_typeddict(kind):
            kind = dict
        classes.append(kind)
    return classes


def _members(annotation: Any) -> list[Any]:
    if isinstance(annotation, NewType):
        return _members(annotation.__supertype__)
    if isinstance(annotation, TypeVar) or annotation is inspect.Parameter.empty:
        return [Any]
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _members(get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _members(member)]
    return [annotation]

"""This module knows what a function takes, and what an attempt gives it unasked."""

import contextlib
import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args, get_origin

from ostinato.authoring.ports import Context, Resource
from ostinato.authoring.suggestions import did_you_mean

#: What an attempt gives to a parameter of this name: an attribute of the context, or, where
#: there is none, the context itself.
CONTEXT_NAMES = {
    "conn": "conn",
    "context": "",
    "ctx": "",
    "dag": "dag",
    "dag_run": "dag_run",
    "ti": "",
    "task_instance": "",
    "data_interval_end": "data_interval_end",
    "data_interval_start": "data_interval_start",
    "ds": "ds",
    "ds_nodash": "ds_nodash",
    "execution_date": "logical_date",
    "inlets": "inlets",
    "logger": "logger",
    "logical_date": "logical_date",
    "macros": "macros",
    "map_index": "map_index",
    "outlets": "outlets",
    "params": "params",
    "partition": "partition_key",
    "partition_key": "partition_key",
    "prev_data_interval_end_success": "prev_data_interval_end_success",
    "prev_data_interval_start_success": "prev_data_interval_start_success",
    "prev_end_date_success": "prev_end_date_success",
    "prev_start_date_success": "prev_start_date_success",
    "run_id": "run_id",
    "task": "task",
    "task_instance_key_str": "task_instance_key_str",
    "test_mode": "test_mode",
    "try_number": "try_number",
    "ts": "ts",
    "ts_nodash": "ts_nodash",
    "ts_nodash_with_tz": "ts_nodash_with_tz",
    "var": "var",
}

#: What ``**kwargs`` receives: all but what costs a call of the coordinator.
_FREE_NAMES = {k: v for k, v in CONTEXT_NAMES.items() if not k.startswith("prev_")}

#: Stands for an annotation that is missing or cannot be resolved.
UNTYPED = inspect.Parameter.empty


class Signature:
    """What a function takes.

    Args:
        function: Any callable; one without a signature takes anything.

    Attributes:
        function: The callable.
        positional: Parameters that can be given by position, in order.
        names: Parameters that can be given by name.
        required: Those without a default.
        takes_any_positional: Whether it has ``*args``.
        takes_any_keyword: Whether it has ``**kwargs``.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # some builtins have none
            parameters = types.MappingProxyType({})
            self.takes_any_positional = self.takes_any_keyword = True
            self._takes_context = False
        else:
            kinds = {parameter.kind for parameter in parameters.values()}
            self.takes_any_positional = inspect.Parameter.VAR_POSITIONAL in kinds
            self._takes_context = inspect.Parameter.VAR_KEYWORD in kinds
            self.takes_any_keyword = self._takes_context
        named = [p for p in parameters.values() if p.kind not in _VARIADIC]
        self.parameters = {p.name: p for p in named}
        self.names = frozenset(self.parameters)
        self.positional = tuple(p.name for p in named if p.kind in _POSITIONAL)
        self.required = frozenset(p.name for p in named if p.default is p.empty)
        self._positional_only = tuple(p.name for p in named if p.kind is p.POSITIONAL_ONLY)
        self._context_names = {
            p.name: CONTEXT_NAMES[p.name]
            for p in named
            if p.name in CONTEXT_NAMES and (p.default is p.empty or p.default is None)
        }

    @functools.cached_property
    def types(self) -> dict[str, Any]:
        """Annotations by parameter, ``return`` for the result; unresolvable ones are left out."""
        return resolved_annotations(self.function)

    @functools.cached_property
    def returns(self) -> Any:
        """Type of the result, ``UNTYPED`` if nothing is known."""
        if inspect.isgeneratorfunction(self.function):
            return UNTYPED
        return self.types.get("return", UNTYPED)

    @functools.cached_property
    def doc(self) -> str:
        """The function's docstring."""
        is_plain = inspect.isfunction(self.function) or inspect.ismethod(self.function)
        return (inspect.getdoc(self.function) or "") if is_plain else ""

    @functools.cached_property
    def context_parameters(self) -> dict[str, str]:
        """Parameters that the context fills, with its attribute or nothing for all of it."""
        annotated = {name: "" for name in self.names if self._is_context(name)}
        return self._context_names | annotated

    @functools.cached_property
    def resource_types(self) -> dict[str, type[Resource]]:
        """Parameters whose annotation is a kind of resource."""
        found = {}
        for name in self.names:
            for kind in _members(self.types.get(name)):
                if isinstance(kind, type) and issubclass(kind, Resource):
                    found[name] = kind
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        # It lies on the function as an attribute: a function that is pickled leaves it behind.
        return type(None), ()

    def _is_context(self, name: str) -> bool:
        annotation = self.parameters[name].annotation
        if isinstance(annotation, str) and annotation.split(".")[-1] == "Context":
            return True
        return Context in _members(self.types.get(name))

    def bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, given: Collection[str] = ()
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the surplus positional arguments, and the others by name.

        Args:
            args: As in the call.
            kwargs: As in the call.
            given: Names of resources, which an attempt gives.

        Raises:
            TypeError: If they do not fit, worded as Python does, with a guess.
        """
        surplus, named = self.assign(args, kwargs)
        if not self.required <= named.keys():
            self._check_missing(named, given)
        return surplus, named

    def assign(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the same as ``bind`` and let arguments be missing.

        Args:
            args: As in the call.
            kwargs: As in the call.

        Raises:
            TypeError: If there are too many arguments.
        """
        named = dict(zip(self.positional, args, strict=False))
        surplus = args[len(self.positional) :]
        if surplus and not self.takes_any_positional:
            count = len(self.positional)
            message = (
                f"takes {count} positional argument{'s' * (count != 1)} but {len(args)} were given"
            )
            raise TypeError(message)
        for name in kwargs:
            if name in named:
                message = f"got multiple values for argument {name!r}"
                raise TypeError(message)
            if name not in self.names and not self.takes_any_keyword:
                guess = did_you_mean(name, self.names)
                message = f"got an unexpected argument {name!r}{f' ({guess})' if guess else ''}"
                raise TypeError(message)
        named.update(kwargs)
        return surplus, named

    def _check_missing(self, named: Mapping[str, Any], given: Collection[str]) -> None:
        missing = [
            name
            for name in self.parameters
            if name in self.required
            and name not in named
            and name not in given
            and name not in self.context_parameters
            and name not in self.resource_types
        ]
        if missing:
            names = ", ".join(map(repr, missing))
            message = f"missing {len(missing)} required argument{'s' * (len(missing) != 1)} {names}"
            raise TypeError(message)

    def call(
        self,
        surplus: Sequence[Any],
        named: Mapping[str, Any],
        *,
        context: Context,
        resources: Mapping[str, Any],
    ) -> Any:
        """Call the function inside an attempt.

        Args:
            surplus: Positional arguments beyond the named ones.
            named: Arguments by name.
            context: Fills parameters named like it or annotated as ``Context``.
            resources: As they are declared; the opened ones are in the context.
        """
        arguments = {**self._from_context(named, context), **named}
        for name, resource in self._resource_names(arguments, resources).items():
            arguments[name] = context.resources[resource]
        positional, by_name = self.arrange(surplus, arguments)
        return self.function(*positional, **by_name)

    def arrange(
        self, surplus: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the arguments of a call, by position and by name.

        Args:
            surplus: Positional arguments beyond the named ones.
            named: Arguments by name.
        """
        by_name = dict(named)
        ahead = self.positional if surplus else self._positional_only
        positional = [by_name.pop(name) for name in ahead if name in by_name]
        return (*positional, *surplus), by_name

    def _from_context(self, named: Mapping[str, Any], context: Context) -> dict[str, Any]:
        wanted = self.context_parameters
        if self._takes_context:
            wanted = {k: v for k, v in _FREE_NAMES.items() if k not in self.names} | wanted
        return {
            name: getattr(context, attribute) if attribute else context
            for name, attribute in wanted.items()
            if name not in named
        }

    def _resource_names(
        self, arguments: Mapping[str, Any], resources: Mapping[str, Any]
    ) -> dict[str, str]:
        found = {}
        for name in self.parameters:
            if name in arguments:
                continue
            if name in resources:
                found[name] = name
            elif name in self.resource_types:
                kind = self.resource_types[name]
                matching = [key for key, value in resources.items() if isinstance(value, kind)]
                found[name] = matching[0] if matching else name
        return found


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return what a function takes; worked out once for each function."""
    known = getattr(function, _ATTRIBUTE, None)
    # functools.wraps copies attributes, and a method shows those of its function.
    if isinstance(known, Signature) and known.function is function:
        return known
    signature = Signature(function)
    with contextlib.suppress(AttributeError, TypeError):  # it takes no attributes
        setattr(function, _ATTRIBUTE, signature)
    return signature


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, seen through ``functools.partial``."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def resolved_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function whose names are known by now.

    Args:
        function: Any callable.
    """
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    annotated = function if hasattr(function, "__annotations__") else type(function).__call__
    enclosing = _enclosing_names(annotated)
    resolved = {}
    for name, annotation in getattr(annotated, "__annotations__", {}).items():
        if not isinstance(annotation, str):
            resolved[name] = annotation
            continue
        try:
            resolved[name] = eval(annotation, getattr(annotated, "__globals__", {}), enclosing)
        except Exception:  # noqa: BLE001 - the user's names; what cannot be resolved is untyped
            continue
    return resolved


def _enclosing_names(function: Callable[..., Any]) -> dict[str, Any]:
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    enclosing = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        with contextlib.suppress(ValueError):  # not assigned yet
            enclosing[name] = cell.cell_contents
    return enclosing


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or the annotation alone."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_ATTRIBUTE = "__ostinato_signature__"

"""This module holds functions whose call declares a task group."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.authoring.groups import TaskGroup, open_group
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.references import (
    MORE_ARGUMENTS,
    ElementReference,
    OptionalItemReference,
    Reference,
    SeriesReference,
    factors_of,
    series_of,
)
from ostinato.authoring.signatures import name_of, signature_of
from ostinato.authoring.wiring import Declarer
from ostinato.errors import InvalidArgument


class GroupFunction(Declarer):
    """A function whose call declares a task group.

    Args:
        function: Declares the group's tasks.
        options: Arguments of ``TaskGroup``.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.function = function
        self._options = options
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Declare the group; return what the function returns, or else the group.

        Args:
            args: Of the function; they may be or hold results.
            kwargs: Of the function; they may be or hold results.

        Raises:
            InvalidArgument: If they do not fit the function.
        """
        return self._declare(self._bind(args, kwargs), {})

    def override(self, **options: Any) -> "GroupFunction":
        """Return the same group with other arguments of ``TaskGroup``.

        Args:
            options: Such as ``group_id``.
        """
        return GroupFunction(self.function, {**self._options, **options})

    def partial(self, **fixed: Any) -> "PartialGroup":
        """Fix some arguments; the group is then mapped over others by ``expand``.

        Args:
            fixed: Arguments that are the same for all indices.
        """
        return PartialGroup(self, fixed)

    def expand(self, **mapped: Any) -> Any:
        """Map the group: all of its tasks once for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.
        """
        return PartialGroup(self, {}).expand(**mapped)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """Map the group: all of its tasks once for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        return PartialGroup(self, {}).expand_kwargs(kwargs)

    def declare_mapped(
        self, fixed: Mapping[str, Any], factors: Mapping[str, SeriesReference]
    ) -> Any:
        """Declare the group once for all indices of what it is mapped over.

        Args:
            fixed: Arguments that are the same for all indices.
            factors: What is mapped over, by argument.
        """
        if MORE_ARGUMENTS not in factors:
            self._bind((), {**fixed, **factors})
        return self._declare(((), dict(fixed)), factors)

    def _bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            inspect.signature(self.function).bind(*args, **kwargs)
        except TypeError:
            pass
        else:
            return args, dict(kwargs)
        try:
            signature_of(self.function).bind(args, kwargs)
            message = "got arguments that do not fit it"
        except TypeError as err:
            message = str(err)
        raise InvalidArgument(
            f"{name_of(self.function)}() {message}", place=relative_place(calling_place())
        )

    def _declare(
        self,
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        factors: Mapping[str, SeriesReference],
    ) -> Any:
        around = open_group.get()
        if around is None:
            message = f"group {name_of(self.function)!r} stands in no flow"
            raise InvalidArgument(
                message, place=relative_place(calling_place()), hint="call it in a @dag function"
            )
        options = dict(self._options)
        wanted = around.child_prefix + (options.pop("group_id", None) or name_of(self.function))
        free = around.graph.free_id(wanted)
        options.setdefault("tooltip", signature_of(self.function).doc.partition("\n")[0])
        group = TaskGroup(free[len(around.child_prefix) :], **options)
        group.factors = dict(factors)
        args, kwargs = arguments
        with group:
            result = self.function(*args, **kwargs, **self._elements(group, kwargs))
        return group if result is None else result

    def _elements(self, group: TaskGroup, fixed: Mapping[str, Any]) -> dict[str, Reference]:
        elements: dict[str, Reference] = {
            name: ElementReference(group, factor, series)
            for factor, (name, series) in enumerate(group.factors.items())
        }
        whole = elements.pop(MORE_ARGUMENTS, None)
        if whole is not None:
            for name, parameter in signature_of(self.function).parameters.items():
                if name not in fixed:
                    elements[name] = (
                        whole[name]
                        if parameter.default is parameter.empty
                        else OptionalItemReference(whole, name, parameter.default)
                    )
        return elements

    def __repr__(self) -> str:
        return f"<task_group {name_of(self.function)!r}>"


class PartialGroup:
    """A group of which some arguments are fixed; mapped by ``expand``.

    Args:
        group_function: The group.
        fixed: Arguments that are the same for all indices.
    """

    def __init__(self, group_function: GroupFunction, fixed: Mapping[str, Any]) -> None:
        self._group = group_function
        self._fixed = fixed

    def expand(self, **mapped: Any) -> Any:
        """Map the group: all of its tasks once for each combination of the values.

        Args:
            mapped: Lists, dicts or results by argument; the last one varies fastest.
        """
        return self._group.declare_mapped(self._fixed, factors_of(mapped, self._fixed))

    def expand_kwargs(self, kwargs: Any) -> Any:
        """Map the group: all of its tasks once for each dict of arguments.

        Args:
            kwargs: A list of dicts, or a result that is one.
        """
        series = series_of(kwargs, "expand_kwargs()")
        return self._group.declare_mapped(self._fixed, {MORE_ARGUMENTS: series})

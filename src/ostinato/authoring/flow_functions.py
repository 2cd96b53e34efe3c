"""This module holds functions whose call declares a flow."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ostinato.authoring import session
from ostinato.authoring.dag import DAG
from ostinato.authoring.parameters import REQUIRED, ParameterOptions
from ostinato.authoring.places import calling_place, relative_place
from ostinato.authoring.signatures import UNTYPED, Signature, name_of, signature_of
from ostinato.errors import InvalidArgument


class FlowFunction:
    """A function whose call declares a flow; its parameters are those of the flow.

    Args:
        function: Declares the flow's tasks.
        options: Arguments of ``DAG``.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.function = function
        self._options = options
        functools.update_wrapper(self, function, updated=())

    @property
    def name(self) -> str:
        """Of the flow that a call declares."""
        options = self._options
        return str(options.get("name") or options.get("dag_id") or name_of(self.function))

    def __call__(self, *args: Any, **kwargs: Any) -> DAG:
        """Declare the flow, check it and return it.

        Args:
            args: Defaults of its parameters, instead of those in the function's signature.
            kwargs: The same, by name.

        Raises:
            DefinitionError: If it cannot be run.
        """
        registry = session.registry.get()
        # What a body leaves half declared announces itself to nobody.
        token = session.registry.set(None)
        try:
            dag = self._build(*self._parameters(args, kwargs))
        finally:
            session.registry.reset(token)
        if registry is not None:
            registry.register(dag)
        return dag

    def _parameters(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Signature, dict[str, Any]]:
        signature = signature_of(self.function)
        name = name_of(self.function)
        if signature.takes_any_positional or signature.takes_any_keyword:
            message = f"{name}() has *args or **kwargs, but a flow's parameters have names"
            raise InvalidArgument(message, place=relative_place(calling_place()))
        try:
            _, given = signature.assign(args, kwargs)
        except TypeError as err:
            message = f"{name}() {err}"
            raise InvalidArgument(message, place=relative_place(calling_place())) from None
        return signature, given

    def _build(self, signature: Signature, given: Mapping[str, Any]) -> DAG:
        options = dict(self._options)
        name = self.name
        options = {key: value for key, value in options.items() if key not in ("name", "dag_id")}
        if "doc_md" not in options and "description" not in options:
            options["doc_md"] = signature.doc
        dag = DAG(name, **options)
        arguments = {}
        for key, parameter in signature.parameters.items():
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            if key in given:
                is_option = isinstance(default, ParameterOptions)
                default = default.with_default(given[key]) if is_option else given[key]
            annotation = signature.types.get(key, UNTYPED)
            arguments[key] = dag.add_parameter(key, default, annotation)
        with dag:
            self.function(**arguments)
        dag.definition  # noqa: B018 - what is wrong is said here, at the user's call
        return dag

    def __repr__(self) -> str:
        return f"<dag {name_of(self.function)!r}>"

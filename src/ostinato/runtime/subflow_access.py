"""This module is what the body of a subflow reaches: its parameters, and its coordinator."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.authoring.ports import BuiltFlow
from ostinato.errors import InternalError
from ostinato.runtime.context import Port
from ostinato.runtime.messages import RunInfo


class SubflowPort:
    """The way from a subflow to the coordinator: through the flow that calls it."""

    def __init__(self, outer: Port, token: int) -> None:
        self._outer = outer
        self._token = token

    def call(self, token: int, method: str, args: dict[str, Any]) -> Any:
        """Pass a call on."""
        inner = {"token": token, "method": method, "args": args}
        return self._outer.call(self._token, "in_subflow", inner)

    def resources(self, dag: BuiltFlow) -> Mapping[str, Any]:
        """Return the resources of a flow."""
        return self._outer.resources(dag)


class SubflowParameters:
    """Resolves what stands for the parameters of a subflow; it reads nothing else."""

    def __init__(self, info: RunInfo) -> None:
        self._params: dict[str, Any] = msgspec.json.decode(info.params)

    def param(self, name: str) -> Any:
        """Return a parameter."""
        return self._params[name]

    def __getattr__(self, name: str) -> Any:
        message = f"a flow's body asks for {name}"
        raise InternalError(message)

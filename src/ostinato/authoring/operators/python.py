"""This module holds the operator that calls a Python function."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.places import relative_place
from ostinato.authoring.ports import Context
from ostinato.authoring.references import MORE_ARGUMENTS, Reference
from ostinato.authoring.signatures import Signature, signature_of
from ostinato.errors import InvalidArgument

#: Argument under which `arguments()` shows positional ones; no parameter is called so.
_SURPLUS = "*args"

#: Argument under which `arguments()` shows the templates that are no argument of the function.
_TEMPLATES = "templates_dict"


class FunctionOperator(Operator):
    """Call a function in some way; what an attempt adds is injected by name or annotation.

    Args:
        task_id: Unique in its group.
        python_callable: The function, ``async`` ones too.
        op_args: Positional arguments.
        op_kwargs: Arguments by name.
        templates_dict: Texts to be rendered, for a parameter of that name.
        templates_exts: How names of template files end; none by default.
        options: Policies and what other operators take.
    """

    template_fields = ("op_args", "op_kwargs", "templates_dict")

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        templates_dict: Mapping[str, Any] | None = None,
        templates_exts: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self.python_callable = python_callable
        self.op_args: Any = op_args
        self.op_kwargs: Any = {} if op_kwargs is None else op_kwargs
        self.templates_dict = templates_dict
        if templates_exts:
            self.template_ext = templates_exts
        super().__init__(task_id, **options)
        self._check_callable(python_callable)

    def _check_callable(self, value: object) -> None:
        if not callable(value):
            message = f"python_callable of {self.node_id!r} is not callable: {value!r}"
            raise InvalidArgument(message, place=relative_place(self.place))

    @property
    def signature(self) -> Signature:
        """What the function takes."""
        return signature_of(self.python_callable)

    @property
    def doc(self) -> str:
        """Markdown for people: what the policies say, else the function's docstring."""
        return self.settings.doc or self.signature.doc

    def arguments(self) -> dict[str, Any]:
        """Return the function's arguments by name; the values may hold references."""
        shown: dict[str, Any] = {}
        if isinstance(self.op_args, Reference) or self.op_args:
            shown[_SURPLUS] = self.op_args
        if isinstance(self.op_kwargs, Reference):
            shown[MORE_ARGUMENTS] = self.op_kwargs
        else:
            shown.update(self.op_kwargs)
        if self.templates_dict:
            shown[_TEMPLATES] = self.templates_dict
        return shown

    def bind(self, arguments: Mapping[str, Any]) -> Operator:
        """Return a copy for one attempt, with resolved arguments.

        Args:
            arguments: What ``arguments()`` returned, with all references replaced.
        """
        named = dict(arguments)
        bound = {"op_args": tuple(named.pop(_SURPLUS, ()))}
        if self.templates_dict:
            bound[_TEMPLATES] = named.pop(_TEMPLATES)
        named.update(named.pop(MORE_ARGUMENTS, None) or {})
        return super().bind({**bound, "op_kwargs": named})

    def call(self, context: Context) -> Any:
        """Call the function with its arguments and what the context adds; await an ``async`` one.

        Args:
            context: Of the attempt.
        """
        signature = self.signature
        op_kwargs = self.op_kwargs
        if self.templates_dict and (_TEMPLATES in signature.names or signature.takes_any_keyword):
            op_kwargs = {_TEMPLATES: self.templates_dict, **op_kwargs}
        surplus, named = signature.assign(self.op_args, op_kwargs)
        resources = self.graph.resources if self.graph else {}
        result = signature.call(surplus, named, context=context, resources=resources)
        return self.await_result(result) if inspect.iscoroutine(result) else result

    def await_result(self, coroutine: Any) -> Any:
        """Return what a coroutine function returns in the end.

        Args:
            coroutine: What calling it returned.
        """
        return asyncio.run(coroutine)


class PythonOperator(FunctionOperator):
    """Call a Python function; what it returns is the task's result.

    Args:
        task_id: Unique in its group.
        python_callable: The function, ``async`` ones too. A parameter named ``context`` or
            annotated as ``Context`` receives the context; one named ``ds``, ``params``,
            ``logical_date`` and so on that part of it; one annotated as a kind of ``Resource``
            or named like one of the flow's resources that resource.
        op_args: Positional arguments; they may hold results of other tasks.
        op_kwargs: Arguments by name; they may hold results of other tasks.
        templates_dict: Texts that are rendered for a parameter of this name.
        templates_exts: How names of template files end, in all of these; none by default.
        multiple_outputs: Whether the result is a dict whose items are stored under their own
            keys too, for ``context.pull(task_id, key=...)``.
        options: Policies, see ``Policies``.

    Example:
        ``PythonOperator(task_id="add", python_callable=operator.add, op_args=[1, 2])``
    """

    operator_name = "python"

    def __init__(
        self,
        task_id: str,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | Reference = (),
        op_kwargs: Mapping[str, Any] | Reference | None = None,
        templates_dict: Mapping[str, Any] | None = None,
        templates_exts: Sequence[str] | None = None,
        multiple_outputs: bool = False,
        **options: Any,
    ) -> None:
        self.multiple_outputs = multiple_outputs
        super().__init__(
            task_id,
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            templates_dict=templates_dict,
            templates_exts=templates_exts,
            **options,
        )

    @property
    def result_type(self) -> Any:
        """What the function is annotated to return."""
        return self.signature.returns

    def execute(self, context: Context) -> Any:
        """Call the function and return what it returns.

        Args:
            context: Of the attempt.
        """
        result = self.call(context)
        if self.multiple_outputs:
            self._push_items(result, context)
        return result

    def take_over(self, result: Any, context: Context) -> None:
        """Store the items of a result of several, which another run has left.

        Args:
            result: It.
            context: Of the attempt.
        """
        if self.multiple_outputs:
            self._push_items(result, context)

    def _push_items(self, result: Any, context: Context) -> None:
        if not isinstance(result, Mapping) or not all(isinstance(key, str) for key in result):
            message = (
                f"{self.node_id!r} has multiple_outputs and must return a dict with text keys, "
                f"not {type(result).__name__}"
            )
            raise TypeError(message)
        for key, value in result.items():
            context.push(key, value)

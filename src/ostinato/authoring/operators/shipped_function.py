"""This module sends a function to another Python by its source."""

import ast
import builtins
import inspect
import pickle
import symtable
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ostinato.errors import ExecutionError, ValueNotSerialisable

#: Every Python 3 from 3.4 on reads it.
PICKLE_PROTOCOL = 4

#: Runs the function on the other side.
MAIN = Path(__file__).with_name("shipped_main.py")

_BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__"}


@runtime_checkable
class HasSource(Protocol):
    """A function that knows its source without being imported."""

    @property
    def path(self) -> str:
        """Its file."""
        ...

    def source_lines(self) -> tuple[list[str], int]:
        """Return its lines, and the number of the first."""
        ...


class ShippedFunction(NamedTuple):
    """A function as text.

    Attributes:
        name: What it is called in its source.
        source: Without decorators and indentation; annotations are not evaluated.
        file: Where it stands.
        line: Its first line there.
    """

    name: str
    source: str
    file: str
    line: int

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "ShippedFunction":
        """Return a function as text.

        Args:
            function: Written with ``def``, using nothing from outside of itself.

        Raises:
            ValueError: If it cannot be understood without its surroundings.
        """
        unwrapped: Any = inspect.unwrap(function)
        if isinstance(unwrapped, HasSource):
            return cls._of_text(*unwrapped.source_lines(), unwrapped.path)
        function = unwrapped
        if not inspect.isfunction(function):
            message = f"{function!r} is no function written with def, so its source cannot be sent"
            raise ValueError(message)
        if function.__name__ == "<lambda>":
            message = "a lambda cannot be sent by its source; write it with def"
            raise ValueError(message)
        try:
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError):
            message = f"the source of {function.__name__!r} cannot be found"
            raise ValueError(message) from None
        return cls._of_text(lines, first, inspect.getsourcefile(function) or "<task>")

    @classmethod
    def _of_text(cls, lines: Sequence[str], first: int, file: str) -> "ShippedFunction":
        text = "".join(lines)
        # What is indented stands in a block of its own, for dedenting would change its texts.
        block = "if True:\n" if text[:1].isspace() else ""
        tree = ast.parse(block + text)
        node = next(each for each in ast.walk(tree) if isinstance(each, _FUNCTIONS))
        # Decorators are of this side.
        plain = block + "".join((block + text).splitlines(keepends=True)[node.lineno - 1 :])
        outside = sorted(set(_outside_names(plain, node.name)))
        if outside:
            names = ", ".join(map(repr, outside))
            message = (
                f"{node.name!r} runs in another Python and uses {names} from outside of itself; "
                "import it in the function or pass it as an argument"
            )
            raise ValueError(message)
        ahead = f"{_FUTURE}\n{block}"
        line = first + node.lineno - 1 - block.count("\n") - ahead.count("\n")
        return cls(node.name, f"{_FUTURE}\n{plain}", file, line)

    def write_call(self, folder: Path, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Write down what ``MAIN`` is to run.

        Args:
            folder: That it is called with.
            args: Positional arguments.
            kwargs: Arguments by name.

        Raises:
            ValueNotSerialisable: If an argument cannot be sent.
        """
        try:
            arguments = pickle.dumps((tuple(args), dict(kwargs)), protocol=PICKLE_PROTOCOL)
        except Exception as err:  # the users' classes decide what pickling them raises
            message = f"an argument of {self.name!r} cannot be sent to another Python: {err}"
            raise ValueNotSerialisable(message) from err
        call = {**self._asdict(), "arguments": arguments, "protocol": PICKLE_PROTOCOL}
        (folder / "call.pickle").write_bytes(pickle.dumps(call, protocol=PICKLE_PROTOCOL))

    def read_result(self, folder: Path) -> Any:
        """Return what the function returned.

        Args:
            folder: That ``MAIN`` was called with.

        Raises:
            ExecutionError: If it raised.
            ValueNotSerialisable: If its result cannot be read on this side.
        """
        answer = pickle.loads((folder / "result.pickle").read_bytes())
        if "value" not in answer:
            message = (
                f"{answer['type']}: {answer['message']}" if answer["message"] else answer["type"]
            )
            raise ExecutionError(message)
        try:
            return pickle.loads(answer["value"])
        except Exception as err:  # the classes of another environment decide what this raises
            message = (
                f"what {self.name!r} returned cannot be read outside of its environment: {err}"
            )
            hint = "return builtin types, or write a file and return its path"
            raise ValueNotSerialisable(message, hint=hint) from err


_FUTURE = "from __future__ import annotations"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _outside_names(source: str, name: str) -> Iterator[str]:
    """Yield names that a function reads and that nothing in it or in Python defines."""
    # Annotations are not evaluated on the other side, so what they name does not matter.
    tree = _WithoutAnnotations().visit(ast.parse(source))
    top = symtable.symtable(ast.unparse(tree), "<task>", "exec")
    for table in _tables(top):
        for symbol in table.get_symbols():
            known = symbol.get_name()
            is_outside = not symbol.is_assigned() if table is top else symbol.is_global()
            if is_outside and symbol.is_referenced() and known not in {name, *_BUILTIN}:
                yield known


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

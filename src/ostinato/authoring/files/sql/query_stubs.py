"""This module renders the templates of queries before anything runs, to see what they name.

What only a run knows is stood for by a value that takes part in anything. Where a template
decides by such a value, or by ``is_incremental()``, it is rendered for both answers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from jinja2 import Template, nodes
from jinja2.runtime import Undefined
from jinja2.visitor import NodeTransformer

from ostinato.authoring.files.kept_names import LoadingEnvironment
from ostinato.authoring.files.sql.query_marks import MARK, REF, SOURCE, THIS, UNKNOWN
from ostinato.authoring.template_engine import DATE_FILTERS

#: Turns of loops and calls that a template may take; a query that needs more has gone astray.
MAX_STEPS = 50_000

#: What is written for values that are not known: as a name, as a number, and as nothing, one of
#: which fits wherever a query may have them.
SUBSTITUTES = (UNKNOWN, "1", "")

#: Names of the context whose values have a form that queries may rely on.
SAMPLES: Mapping[str, str] = {
    "ds": "2000-01-01",
    "ds_nodash": "20000101",
    "ts": "2000-01-01T00:00:00+00:00",
    "ts_nodash": "20000101T000000",
    "ts_nodash_with_tz": "20000101T000000+0000",
}

_COUNTED = MARK + "counted"


class TooManyStepsError(Exception):
    """Tell that a template goes on and on."""


class Named:
    """What a template names with ``ref`` or ``source``, in order.

    Args:
        function: Which of the two.
        mark: Begins what stands in the query.
    """

    def __init__(self, function: str, mark: str) -> None:
        self.function = function
        self.names: list[str] = []
        self._mark = mark

    def __call__(self, *parts: object) -> str:
        """Note a name, and return what stands for it in the query.

        A name that only the run knows is not noted: no task can wait for it.
        """
        if any(isinstance(part, Undefined) or UNKNOWN in str(part) for part in parts):
            return f'{self._mark}unknown."{UNKNOWN}"'
        texts = [str(part) for part in parts]
        # As in dbt, ref may name a package before the model.
        name = ".".join(texts) if self.function == "source" else (texts or [""])[-1]
        if name not in self.names:
            self.names.append(name)
        # The last part stays, since columns are written with it.
        last = name.rpartition(".")[2].rpartition("/")[2].replace('"', "")
        return f'{self._mark}{self.names.index(name)}."{last or "?"}"'


class Rendering:
    """One way through a template, by the answers that are given where it decides.

    Args:
        adds: What ``is_incremental()`` says.
        truth: What a value is that is not known.
        substitute: What is written for it.

    Attributes:
        refs, sources: What it names.
        settings: What ``config()`` says.
        asks_adds: Whether it asked ``is_incremental()``.
        asks_truth: Whether it decided by a value that is not known.
        is_unsure: Whether such a value is in the text.
    """

    def __init__(self, *, adds: bool, truth: bool, substitute: str) -> None:
        self.adds = adds
        self.truth = truth
        self.substitute = substitute
        self.refs = Named("ref", REF)
        self.sources = Named("source", SOURCE)
        self.settings: dict[str, Any] = {}
        self.asks_adds = self.asks_truth = self.is_unsure = False
        self._steps = 0

    def pieces(
        self,
        source: str,
        loader: Any,
        *,
        this: str,
        values: Mapping[str, Any],
        functions: Mapping[str, Any],
        filters: Mapping[str, Any],
    ) -> list[str]:
        """Return what a template says, in the pieces that it is made of.

        Args:
            source: The template.
            loader: Finds what it includes.
            this: Name of the table that is made.
            values: Known values, such as parameters.
            functions: What it may call beside its own.
            filters: Functions for ``{{ value | name }}``.

        Raises:
            jinja2.TemplateError: It does not parse or cannot be rendered.
            TooManyStepsError: It goes on and on.
        """
        environment = _Environment(self, loader)
        environment.filters.update({**DATE_FILTERS, **filters})
        environment.globals.update(
            {name: self._guarded(function) for name, function in functions.items()}
        )
        environment.globals.update(SAMPLES)
        environment.globals.update(values)
        environment.globals.update(
            {
                "ref": self.refs,
                "source": self.sources,
                "is_incremental": self._is_incremental,
                "config": self._config,
                "this": f'{THIS}."{this}"',
                _COUNTED: self.counted,
            }
        )
        template: Template = environment.from_string(source)
        render: Callable[[Any], Iterable[Any]] = template.root_render_func
        context = template.new_context()
        try:
            return [str(piece) for piece in self.counted(render(context))]
        except Exception:  # noqa: BLE001 - it is raised again, at the lines of the template
            environment.handle_exception()

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """Iterate over items as long as the template keeps within its steps."""
        for item in items:
            self.step()
            yield item

    def step(self) -> None:
        """Count a turn of a loop or a call.

        Raises:
            TooManyStepsError: There were enough.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooManyStepsError(f"it takes more than {MAX_STEPS:,} turns of loops and calls")

    def _is_incremental(self) -> bool:
        self.asks_adds = True
        return self.adds

    def _config(self, **settings: Any) -> str:
        self.settings.update(settings)
        return ""

    def _guarded(self, function: Any) -> Any:
        if not callable(function):
            return function

        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception:  # noqa: BLE001 - users' code; it may need what only the run has
                return unknown_of(self)(name="")

        return guarded


class UnknownValue(Undefined):
    """A value that only the run knows: it takes part in anything, and gives another one."""

    rendering: ClassVar[Rendering]
    # Read by the sandbox, which must not get another such value.
    unsafe_callable: ClassVar[bool] = False
    alters_data: ClassVar[bool] = False

    __slots__ = ()

    def _same(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _decide(self, *args: Any) -> bool:
        self.rendering.asks_truth = True
        return self.rendering.truth

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __str__(self) -> str:
        self.rendering.is_unsure = True
        return self.rendering.substitute

    def __iter__(self) -> Iterator[Any]:
        yield self

    def __len__(self) -> int:
        return 1

    def __int__(self) -> int:  # type: ignore[override]  # Undefined refuses
        return 1

    def __index__(self) -> int:
        return 1

    def __float__(self) -> float:  # type: ignore[override]  # as above
        return 1.0

    def __hash__(self) -> int:
        return id(type(self))

    __call__ = __getitem__ = _same
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _same
    __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = _same
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _decide  # type: ignore[assignment]  # Undefined refuses them
    __contains__ = _decide


def unknown_of(rendering: Rendering) -> type[UnknownValue]:
    """Return the class of the values that one rendering does not know."""
    return type("UnknownValue", (UnknownValue,), {"rendering": rendering, "__slots__": ()})


class Parameters(dict[str, Any]):
    """Parameters by name; those without a default have a value that is not known.

    Args:
        values: Those with a default.
        unknown: Class of the others' values.
    """

    def __init__(self, values: Mapping[str, Any], unknown: type[UnknownValue]) -> None:
        super().__init__(values)
        self._unknown = unknown

    def __missing__(self, name: str) -> Any:
        return self._unknown(name=name)


class _Environment(LoadingEnvironment):
    def __init__(self, rendering: Rendering, loader: Any) -> None:
        super().__init__(
            undefined=unknown_of(rendering), loader=loader, extensions=["jinja2.ext.do"]
        )
        self._rendering = rendering

    def call(self, context: Any, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._rendering.step()
        return super().call(context, called, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree


class _Counting(NodeTransformer):
    """Let each loop of a template count its turns."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - as Jinja finds it
        self.generic_visit(node)
        counted = nodes.Name(_COUNTED, "load", lineno=node.lineno)
        node.iter = nodes.Call(counted, [node.iter], [], None, None, lineno=node.lineno)
        return node

"""This module renders the templates in ``METADATA.yml``, and in headers where a flow asks for it.

A text may use the tag functions, the keys around it and the names of its own file. What is unknown
stays as it is, since it may be known when a task runs.
"""

import inspect
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, KeyPath, Keys
from ostinato.authoring.templates import MARKS

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

#: Is no template in itself: it is rendered when its task runs.
NOT_RENDERED = frozenset({"sql"})


def render_keys(keys: Keys, functions: Mapping[str, Any], problems: list[FileProblem]) -> Keys:
    """Return keys with their texts rendered.

    Texts are rendered in order, so that one sees those before it rendered. Whether or not it is a
    template, each loses the indent that all of its lines share and the empty lines around it.

    Args:
        keys: As constructed.
        functions: What templates may call, by name.
        problems: Receives what is wrong.
    """
    rendering = _Rendering(keys, functions, problems)
    values = rendering.run()
    return Keys(
        keys.file,
        values,
        keys.places,
        keys.line,
        keys.reads_surroundings or rendering.is_used,
    )


class _Rendering:
    """One pass over the keys of a file."""

    def __init__(
        self, keys: Keys, functions: Mapping[str, Any], problems: list[FileProblem]
    ) -> None:
        self._keys = keys
        self._problems = problems
        own = {name: value for name, value in keys.values.items() if name not in NOT_RENDERED}
        self._names = {**functions, **own}
        self._environment: SandboxedEnvironment | None = None
        #: Whether there is any template.
        self.is_used = False

    def run(self) -> dict[str, Any]:
        """Return the rendered values."""
        rendered = dict(self._keys.values)
        for name, value in self._keys.values.items():
            if name not in NOT_RENDERED:
                # In its place while it is rendered: what it holds may name what is before.
                self._names[name] = copied = _copied(value)
                rendered[name] = self._names[name] = self._rendered(copied, (name,))
        return rendered

    def _rendered(self, value: Any, path: KeyPath) -> Any:
        # As gusty, only what is exactly one of these: a tag may give a subclass.
        if type(value) is str:
            return self._text(value, path)
        if type(value) is list:
            return [self._rendered(item, (*path, index)) for index, item in enumerate(value)]
        if type(value) is dict:
            for name, item in value.items():
                value[name] = self._rendered(item, (*path, name))
        return value

    def _text(self, text: str, path: KeyPath) -> str:
        if any(mark in text for mark in MARKS):
            self.is_used = True
            text = self._render(text, path)
        return inspect.cleandoc(text)

    def _render(self, text: str, path: KeyPath) -> str:
        import jinja2  # noqa: PLC0415 - heavy, and few files have templates

        if self._environment is None:
            self._environment = _environment()
        for name, value in self._names.items():
            if isinstance(value, types.FunctionType | types.MethodType):
                self._environment.filters[name] = value
        try:
            return self._environment.from_string(text).render(self._names)
        except (jinja2.UndefinedError, jinja2.TemplateAssertionError):
            # Names and filters that only the run knows.
            return text
        except jinja2.TemplateSyntaxError as error:
            line = f"line {error.lineno} of the template: " if "\n" in text else ""
            message = f"the template of {path[0]} does not parse: {line}{error.message}"
        except jinja2.TemplateError as error:
            message = f"the template of {path[0]} cannot be rendered: {_line_of(error)}"
        except Exception as error:  # noqa: BLE001 - templates call users' code
            said = f"{type(error).__name__}: {_line_of(error)}"
            message = f"the template of {path[0]} cannot be rendered: {said}"
        self._problems.append(problem("F023", message, self._keys.position(*path)))
        return text


def _environment() -> "SandboxedEnvironment":
    """Return an environment that reaches no Python but the functions it is given."""
    from ostinato.authoring.files import kept_names  # noqa: PLC0415 - imports Jinja

    return kept_names.LoadingEnvironment(undefined=kept_names.KeptName)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value


def _line_of(error: Exception) -> str:
    return " ".join(str(error).split())

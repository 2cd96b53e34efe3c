"""This module compiles Jinja templates and says what is wrong with them.

A name is looked up if a template mentions it, so that none costs anything that is not used.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import jinja2
from jinja2.nativetypes import NativeEnvironment
from jinja2.runtime import Context, Undefined
from jinja2.utils import missing

from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.template_problems import TemplateProblem
from ostinato.errors import OstinatoError

#: Compiled texts that are kept; texts that tasks make at run time would otherwise pile up.
KEPT_TEMPLATES = 10_000

#: Variable under which a template's context holds the names of the attempt.
_NAMES = "__ostinato__"


class Engine:
    """Compile and render the templates of one flow.

    Args:
        folders: Where included files are looked for.
        macros: Names that templates may use beside those of the attempt.
        filters: Functions for ``{{ value | name }}``.
        is_native: Whether a template gives the Python object that its text spells.
        options: Arguments of ``jinja2.Environment``.
    """

    def __init__(
        self,
        folders: Sequence[str],
        *,
        macros: Mapping[str, Any],
        filters: Mapping[str, Any],
        is_native: bool,
        options: Mapping[str, Any],
    ) -> None:
        kind = NativeEnvironment if is_native else jinja2.Environment
        defaults: dict[str, Any] = {
            "undefined": UnknownValue,
            "loader": jinja2.FileSystemLoader(folders),
            "extensions": ["jinja2.ext.do"],
        }
        self.environment = kind(**{**defaults, **options})
        self.environment.context_class = LazyContext
        self.environment.globals.update(macros)
        self.environment.filters.update(DATE_FILTERS)
        self.environment.filters.update(filters)
        #: What the engine raises itself; ``problem_of`` says all about it.
        self.errors = (jinja2.TemplateError,)
        self._is_native = is_native
        self._globals = dict(self.environment.globals)
        self._texts: dict[str, jinja2.Template] = {}
        self._files: dict[Path, tuple[tuple[int, int], jinja2.Template]] = {}

    def compile(self, text: str) -> jinja2.Template:
        """Return the template of a text; a known text is not compiled again.

        Raises:
            jinja2.TemplateSyntaxError: It does not parse.
        """
        # Hot path: rendering costs about 10 µs, compiling a thousand.
        template = self._texts.get(text)
        if template is None:
            if len(self._texts) >= KEPT_TEMPLATES:
                self._texts.clear()
            template = self._texts[text] = self.environment.from_string(text)
            # A plain dict, which each rendering copies, instead of a slow chain of two.
            template.globals = self._globals
        return template

    def compile_file(self, path: Path) -> jinja2.Template:
        """Return the template of a file; one that has not changed is not compiled again.

        Raises:
            jinja2.TemplateSyntaxError: It does not parse.
            OSError: It cannot be read.
        """
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._files.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        environment = self.environment
        code = environment.compile(
            path.read_text(encoding="utf-8"), name=path.name, filename=str(path)
        )
        template = environment.template_class.from_code(environment, code, self._globals)
        self._files[path] = (stamp, template)
        return template

    def render(self, template: jinja2.Template, names: Mapping[str, Any]) -> Any:
        """Return what a template says: text, or an object where the flow asks for them.

        Args:
            template: As compiled.
            names: What it can use; looked up as it does.
        """
        rendered: Any = template.render({_NAMES: names})
        if self._is_native and isinstance(rendered, Undefined):
            # An expression alone is given back as it is; putting it to use says what is wrong.
            return str(rendered)
        return rendered

    def render_pieces(self, template: jinja2.Template, names: Mapping[str, Any]) -> list[str]:
        """Return what a template says in the pieces that it is made of.

        Args:
            template: As compiled.
            names: What it can use; looked up as it does.
        """
        try:
            return [
                str(piece)
                for piece in template.root_render_func(template.new_context({_NAMES: names}))
            ]
        except Exception:  # noqa: BLE001 - it is raised again, at the lines of the template
            self.environment.handle_exception()

    def problem_of(self, error: Exception, known: Iterable[str]) -> TemplateProblem:
        """Describe why a template does not parse or cannot be rendered.

        Args:
            error: What was raised.
            known: Names that it could have used.
        """
        if isinstance(error, jinja2.TemplateSyntaxError):
            message, hint = _explain_syntax(error, self.environment)
            return TemplateProblem(message, error.lineno, hint, error.filename or "", is_final=True)
        line, file = _place_in_template(error.__traceback__)
        if isinstance(error, UnknownName) and error.name is not None:
            message, hint = _explain_name(error, known)
            return TemplateProblem(message, line, hint, file, is_final=error.owner is missing)
        if isinstance(error, jinja2.TemplateNotFound):
            return TemplateProblem(f"there is no file {error.name!r} to include", line, "", file)
        if isinstance(error, OstinatoError):
            return TemplateProblem(error.message, line, error.hint, file)
        text = " ".join(str(error).split())
        return TemplateProblem(f"{type(error).__name__}: {text}", line, "", file)


class LazyContext(Context):
    """Look names up in the attempt as a template uses them."""

    def resolve_or_missing(self, key: str) -> Any:
        """Return the value of a name: the template's own, a macro, or the attempt's."""
        if key in self.vars:
            return self.vars[key]
        parent = self.parent
        if key in parent:
            return parent[key]
        names = parent.get(_NAMES)
        return names[key] if names is not None and key in names else missing


class UnknownName(jinja2.UndefinedError):
    """Tell that a template uses what is not there.

    Args:
        message: What is wrong.
        name: What was asked for.
        owner: Of what; ``missing`` for a name alone.
    """

    def __init__(self, message: str | None, *, name: str | None, owner: Any) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


class UnknownValue(jinja2.StrictUndefined):
    """Stand for what is not there; any use but ``is defined`` and ``default`` is an error."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Callable[..., Exception] = jinja2.UndefinedError,
    ) -> None:
        if exc is jinja2.UndefinedError:
            exc = partial(UnknownName, name=name, owner=obj)
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]  # it is only called


def _explain_syntax(
    error: jinja2.TemplateSyntaxError, environment: jinja2.Environment
) -> tuple[str, str]:
    message = (error.message or "it does not parse").strip().rstrip(".")
    for kind, known in (("filter", environment.filters), ("test", environment.tests)):
        if message.startswith(f"No {kind} named "):
            name = message.removeprefix(f"No {kind} named ").strip("'\"")
            return f"there is no {kind} {name!r}", did_you_mean(name, known)
    return message, ""


def _explain_name(error: UnknownName, known: Iterable[str]) -> tuple[str, str]:
    name, owner = str(error.name), error.owner
    if owner is missing:
        return f"{name!r} is unknown", did_you_mean(name, known)
    names = owner if isinstance(owner, Mapping) else dir(owner)
    what = "None" if owner is None else f"a {type(owner).__name__}"
    return f"{what} has no {name!r}", did_you_mean(name, [n for n in names if isinstance(n, str)])


def _place_in_template(traceback: TracebackType | None) -> tuple[int, str]:
    """Return line and file of the innermost frame of a template; Jinja makes such frames."""
    line, file = 0, ""
    while traceback is not None:
        frame = traceback.tb_frame
        if "__jinja_exception__" in frame.f_globals:
            line, name = traceback.tb_lineno, frame.f_code.co_filename
            file = "" if name.startswith("<") else name
        traceback = traceback.tb_next
    return line, file


# The filters of Airflow


def _date_filter(pattern: str) -> Callable[[datetime | None], str | None]:
    return lambda value: None if value is None else value.strftime(pattern)


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _iso_nodash(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("-", "").replace(":", "")


#: Dates in the forms of the names ``ds``, ``ts`` and so on; None stays None.
DATE_FILTERS: dict[str, Callable[[datetime | None], str | None]] = {
    "ds": _date_filter("%Y-%m-%d"),
    "ds_nodash": _date_filter("%Y%m%d"),
    "ts": _iso,
    "ts_nodash": _date_filter("%Y%m%dT%H%M%S"),
    "ts_nodash_with_tz": _iso_nodash,
}

"""This module calls the parse hooks with which users read types of files of their own."""

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.reading.rendering import render_keys
from ostinato.authoring.files.reading.tags import TagFunctions
from ostinato.authoring.files.reading.yaml_text import construct_tag
from ostinato.authoring.files.spec import FileProblem, Keys, Position

#: Receives the path of a file, and returns what the file says.
ParseHook = Callable[..., Any]


class HookTools:
    """What a parse hook may ask for by the names of its parameters.

    Args:
        functions: What tags and templates call.
        render_on_create: Whether the flow renders templates while it is loaded.
    """

    def __init__(self, functions: TagFunctions, *, render_on_create: bool) -> None:
        self._functions = functions
        self.render_on_create = render_on_create

    @cached_property
    def loader(self) -> Any:
        """A class for ``yaml.load`` that knows all tags."""
        import yaml  # noqa: PLC0415 - heavy; only where a hook reads YAML

        functions = self._functions

        class Loader(yaml.SafeLoader):
            """Safe YAML, with the tags of the flow."""

        for name in functions.of_tags:
            Loader.add_constructor(f"!{name}", lambda _, node: construct_tag(node, functions))
        return Loader

    @property
    def runner(self) -> "TemplateRunner":
        """What renders templates."""
        return TemplateRunner(self._functions.of_templates)

    def run(
        self, hook: ParseHook, path: str, file: str, problems: list[FileProblem]
    ) -> Keys | None:
        """Return what a hook says of a file; None if it fails.

        Args:
            hook: Of the user.
            path: Of the file.
            file: As the user would write it.
            problems: Receives what is wrong.
        """
        position = Position(file, 1, 1)
        try:
            found = hook(path, **self._arguments(hook))
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            said = " ".join(str(error).split())
            message = f"the parse hook of this type failed: {type(error).__name__}: {said}"
            problems.append(problem("F024", message, position))
            return None
        if not isinstance(found, Mapping):
            kind = "None" if found is None else f"a {type(found).__name__}"
            message = f"the parse hook of this type returned {kind} where keys and values must be"
            problems.append(problem("F024", message, position))
            return None
        values = {name: value for name, value in found.items() if isinstance(name, str)}
        return Keys(file, values, reads_surroundings=True)

    def _arguments(self, hook: ParseHook) -> dict[str, Any]:
        try:
            names = inspect.signature(hook).parameters
        except (TypeError, ValueError):
            return {}
        wanted = ("loader", "runner", "render_on_create")
        return {name: getattr(self, name) for name in wanted if name in names}


class TemplateRunner:
    """Renders templates with the functions of the flow.

    Args:
        extra_context: Names that templates may use.
    """

    def __init__(self, extra_context: Mapping[str, Any]) -> None:
        self.extra_context = dict(extra_context)

    def render(self, text: str, **names: Any) -> str:
        """Return a text with its templates rendered; what is unknown stays.

        Raises:
            ValueError: A template does not parse or fails.
        """
        problems: list[FileProblem] = []
        keys = Keys("template", {"template": text})
        rendered = render_keys(keys, {**self.extra_context, **names}, problems)
        if problems:
            raise ValueError(problems[0].message)
        return str(rendered.values["template"])

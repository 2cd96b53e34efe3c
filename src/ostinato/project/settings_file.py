"""This module works out the settings that hold: of a project, an environment, a command.

From the weakest: defaults, ``ostinato.yaml``, its environment, variables, command-line flags.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import msgspec
from msgspec import Struct

from ostinato.authoring.suggestions import did_you_mean
from ostinato.errors import InvalidArgument, InvalidConnection, Place, SettingsError
from ostinato.model.notice import Moment
from ostinato.project.alert_settings import DAYS, Then, read_alerts
from ostinato.project.document import Document, KeyPath, read_document
from ostinato.project.settings import RESERVED, Durability, ExecutorName, Overrides, Settings

#: Variable that names the environment.
ENVIRONMENT_VARIABLE = "OSTINATO_ENVIRONMENT"

#: Begins the name of a variable that sets a key: ``OSTINATO_STORE__PATH``.
PREFIX = "OSTINATO_"

#: Settings that are one of a few words.
_WORDS: dict[str, tuple[str, ...]] = {
    "store.durability": get_args(Durability),
    "executor": get_args(ExecutorName),
    "alerts.rules.on": tuple(moment.value for moment in Moment),
    "alerts.rules.quiet.days": DAYS,
    "alerts.rules.quiet.then": get_args(Then),
}

#: What variables can set; ``version`` and ``environments`` say what the file is.
_SECTIONS = (
    "compute",
    "defaults",
    "pools",
    "retention",
    "server",
    "storage",
    "store",
    "telemetry",
)
_PLAIN_KEYS = ("executor", "flows", "max_children", "name", "timezone")

#: Begin the names of variables that are no settings.
_NO_SECTIONS = ("CONN_", "VAR_", "PARAM_")

#: The path at the end of msgspec's messages, such as `` - at `$.store.path` ``.
_MESSAGE = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_TYPE_NAMES = {"array": "a list", "object": "keys and values", "str": "text", "int": "an integer"}

Locate = Callable[[KeyPath], Place]


def read_settings(
    file: Path | None, *, overrides: Mapping[str, Any], environ: Mapping[str, str]
) -> Settings:
    """Return the settings that hold.

    Args:
        file: The project's ``ostinato.yaml``, or None where there is none.
        overrides: From command-line flags, by key.
        environ: Environment variables.

    Raises:
        SettingsError: Something unknown or of the wrong type was said; names the place.
    """
    settings = Settings()
    given: dict[KeyPath, Place] = {}
    raw: dict[str, Any] = {}
    if file is not None:
        document = read_document(file, _readable(file))
        _spell_out_store(document)
        _check_document(document)
        raw = {key: value for key, value in document.content.items() if key != "environments"}
        given.update({path: document.place(path) for path in document.lines})
        _lay_environment(raw, given, document, environ.get(ENVIRONMENT_VARIABLE, ""))
    for name in sorted(environ):
        _lay_variable(raw, given, name, environ[name])
    for key, value in overrides.items():
        raw[key] = value
        given[key,] = Place(f"--{key.replace('_', '-')}")
    if raw:
        locate = _locator(given, Place("" if file is None else _readable(file)))
        settings = _convert(raw, Settings, locate)
        _check_zone(settings.timezone, locate)
        _check_defaults(settings.defaults, locate)
        read_alerts(settings.alerts, settings.timezone, locate)
    return settings


def _spell_out_store(document: Document) -> None:
    """Write ``store: postgresql://...`` as the setting that it stands for, and a path too."""
    environments = document.content.get("environments")
    outer: list[tuple[KeyPath, Any]] = [((), document.content)]
    if isinstance(environments, dict):
        outer += [(("environments", name), each) for name, each in environments.items()]
    for path, content in outer:
        text = content.get("store") if isinstance(content, dict) else None
        if isinstance(text, str):
            key = "url" if "://" in text or text.startswith("${") else "path"
            content["store"] = {key: text}
            document.lines[*path, "store", key] = document.lines[*path, "store"]


def _check_document(document: Document) -> None:
    """Refuse what is wrong anywhere in the file, also in environments that do not hold."""
    _check_keys(document.content, Settings, (), document.place)
    settings = _convert(document.content, Settings, document.place)
    _check_vault(settings, document.place)
    for name, overrides in settings.environments.items():
        path = ("environments", name)

        def locate(inner: KeyPath, outer: KeyPath = path) -> Place:
            return document.place(outer + inner)

        _check_keys(overrides, Overrides, (), locate)
        overriding = _convert(overrides, Overrides, locate)
        _check_zone(overriding.timezone, locate)
        # Fields of a connection may be laid over those of the file: only what is whole is checked.
        _check_backends(overriding, locate)
        _check_defaults(overriding.defaults, locate)


def _check_keys(raw: dict[str, Any], schema: type[Struct], path: KeyPath, locate: Locate) -> None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(schema)}
    for key, value in raw.items():
        own = (*path, key)
        if key not in known:
            _refuse_key(own, list(known), locate(own))
        inner = _struct_in(known[key])
        if inner is None:
            continue
        if isinstance(value, dict):
            _check_keys(value, inner, own, locate)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _check_keys(item, inner, (*own, str(index)), locate)


def _struct_in(annotation: Any) -> type[Struct] | None:
    """Return the schema of a value: alone, as an alternative, or of the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    if get_origin(annotation) is dict:
        return None
    found = (_struct_in(member) for member in get_args(annotation))
    return next((schema for schema in found if schema is not None), None)


def _refuse_key(path: KeyPath, known: list[str], place: Place) -> NoReturn:
    key = path[-1]
    if len(path) == 1 and key in RESERVED:
        message = f"{key!r} is kept for a later version and does nothing in this one"
        raise SettingsError(message, place=place, hint="remove it")
    inside = f" in {'.'.join(path[:-1])!r}" if len(path) > 1 else ""
    hint = did_you_mean(key, known) or f"known are {', '.join(sorted(known))}"
    raise SettingsError(f"unknown key {key!r}{inside}", place=place, hint=hint)


def _convert(raw: Any, schema: type[Any], locate: Locate) -> Any:
    try:
        return msgspec.convert(raw, schema)
    except msgspec.ValidationError as error:
        found = _MESSAGE.match(str(error))
        text, where = (found[1], found[2] or "") if found else (str(error), "")
        path = tuple(re.findall(r"\.{3}|[^.\[\]]+", where))
        if "..." in path:
            path = _with_name(raw, schema, path)
        raise _wrong(path, text, locate(path)) from None


def _with_name(raw: Any, schema: type[Any], path: KeyPath) -> KeyPath:
    """Return a path with the name of the entry that msgspec leaves out, as in ``pools[...]``."""
    outer = path[: path.index("...")]
    entries = raw
    for key in outer:
        entries = entries[int(key)] if isinstance(entries, list) else entries[key]
    for name, value in entries.items():
        alone: Any = {name: value}
        for key in reversed(outer):
            alone = {key: alone}
        try:
            msgspec.convert(alone, schema)
        except msgspec.ValidationError:
            return (*outer, name, *path[len(outer) + 1 :])
    return outer


def _wrong(path: KeyPath, text: str, place: Place) -> SettingsError:
    """Turn msgspec's words into those of people who write YAML."""
    named = ".".join(path) or "content"
    # A flag has the name of its setting already.
    subject = "" if place.file.startswith("--") else f"{named}: "
    enum = re.match(r"Invalid enum value '(.*)'", text)
    if enum:
        words = _WORDS[re.sub(r"\.\d+", "", named)]
        hint = did_you_mean(enum[1], words) or f"there are {', '.join(words)}"
        return SettingsError(f"{subject}there is no {enum[1]!r}", place=place, hint=hint)
    plain = re.sub(r"`(\w+)`", lambda found: _TYPE_NAMES.get(found[1], found[1]), text)
    plain = plain.replace("`", "").replace("Expected", "must be").replace(", got", ", not")
    return SettingsError(f"{subject}{plain}", place=place)


def _lay_environment(
    raw: dict[str, Any], given: dict[KeyPath, Place], document: Document, name: str
) -> None:
    environments = document.content.get("environments") or {}
    if not name:
        return
    if name not in environments:
        hint = did_you_mean(name, list(environments)) or "declare it under 'environments'"
        message = f"there is no environment {name!r}"
        raise SettingsError(message, place=document.place(("environments",)), hint=hint)
    outer = ("environments", name)
    _lay(raw, environments[name])
    for path, line in document.lines.items():
        if path[:2] == outer:
            given[path[2:]] = Place(document.file, line)


def _lay(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            below[key] = dict(inner)
            _lay(below[key], value)
        else:
            below[key] = value


def _lay_variable(raw: dict[str, Any], given: dict[KeyPath, Place], name: str, text: str) -> None:
    path = _path_of(name, raw)
    if not path:
        return
    place = Place(name)
    schema: Any = Settings
    for depth, key in enumerate(path):
        if not (isinstance(schema, type) and issubclass(schema, Struct)):
            # Free names: policies of any type, or slots of a pool.
            schema = Any if path[0] == "defaults" else int
            continue
        fields = {field.name: field.type for field in msgspec.structs.fields(schema)}
        if key not in fields:
            _refuse_key(path[: depth + 1], list(fields), place)
        schema = fields[key]
    value = _read_text(text, schema, path, place)
    inner = raw
    for key in path[:-1]:
        inner[key] = dict(inner.get(key) or {})
        inner = inner[key]
    inner[path[-1]] = value
    given[path] = place


def _path_of(variable: str, raw: dict[str, Any]) -> KeyPath:
    """Return the key that a variable sets, nothing if it is no setting."""
    if not variable.startswith(PREFIX) or variable == ENVIRONMENT_VARIABLE:
        return ()
    rest = variable.removeprefix(PREFIX)
    if rest.startswith(_NO_SECTIONS):
        return ()
    section, separator, key = rest.partition("__")
    own = section.lower()
    if not separator:
        return (own,) if own in _PLAIN_KEYS else ()
    if own not in _SECTIONS:
        hint = did_you_mean(own, _SECTIONS) or f"sections are {', '.join(_SECTIONS)}"
        raise SettingsError(f"there is no section {own!r}", place=Place(variable), hint=hint)
    spelled = [name for name in raw.get(own) or {} if name.upper() == key]
    return (own, spelled[0] if spelled else key.lower())


def _read_text(text: str, schema: Any, path: KeyPath, place: Place) -> Any:
    if path == ("flows",):
        return [part.strip() for part in text.split(",") if part.strip()]
    if schema is Any:
        return _plain(text)
    try:
        if get_origin(schema) is dict:
            return msgspec.json.decode(text, type=schema)
        return msgspec.convert(text, schema, strict=False)
    except msgspec.DecodeError as error:
        raise _wrong(path, str(error), place) from None


def _plain(text: str) -> Any:
    """Return the number, truth value, list or text that a variable spells."""
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text


def _check_defaults(defaults: Mapping[str, Any], locate: Locate) -> None:
    """Refuse what is no policy, or none that a file can say."""
    for name, value in defaults.items():
        # Few projects have defaults, and the module of the policies takes 5 ms.
        from ostinato.authoring import policies  # noqa: PLC0415 - see above

        try:
            policies.read_settings(policies.canonical({name: value}, "defaults"))
        except InvalidArgument as error:
            place = locate(("defaults", name))
            raise SettingsError(error.message, place=place, hint=error.hint) from None


def _check_zone(name: str, locate: Locate) -> None:
    if name == "UTC":
        return
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - 4 ms, seldom needed

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        hint = did_you_mean(name, sorted(available_timezones())) or "such as Europe/Berlin"
        message = f"there is no time zone {name!r}"
        raise SettingsError(message, place=locate(("timezone",)), hint=hint) from None


def _check_vault(settings: Overrides, locate: Locate) -> None:
    """Refuse connections that cannot be read, whatever their references stand for."""
    _check_backends(settings, locate)
    if not settings.connections:
        return
    # 3 ms, and few projects have connections in their file.
    from ostinato.model.connection import Connection  # noqa: PLC0415 - see above
    from ostinato.project.interpolation import without_references  # noqa: PLC0415 - as above

    for conn_id, content in settings.connections.items():
        try:
            Connection.parse(without_references(content), conn_id)
        except InvalidConnection as error:
            # A reference that is the whole text stands for a URI of its own.
            if not (isinstance(content, str) and content.strip().startswith("${")):
                place = locate(("connections", conn_id))
                raise SettingsError(error.message, place=place, hint=error.hint) from None


def _check_backends(settings: Overrides, locate: Locate) -> None:
    for backend in settings.secrets.backends:
        if len({"file", "class"} & backend.keys()) != 1:
            message = "a secrets back-end has either 'file' or 'class'"
            raise SettingsError(message, place=locate(("secrets", "backends")))


def _locator(given: dict[KeyPath, Place], otherwise: Place) -> Locate:
    def locate(path: KeyPath) -> Place:
        while path and path not in given:
            path = path[:-1]
        return given.get(path, otherwise)

    return locate


def _readable(file: Path) -> str:
    return str(file).removeprefix(os.path.join(os.getcwd(), ""))

"""This module names runs for people, by the templates of their flows."""

import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from ostinato.engine.timetable import zone_of
from ostinato.model.flow import FlowDefinition

logger = logging.getLogger(__name__)

#: Longer names are cut.
MAX_NAME = 200


def run_name(
    flow: FlowDefinition, params: Mapping[str, Any], logical_date_us: int, timezone: str
) -> str:
    """Return what people call a run of a flow, by its template; empty where that fails.

    The template is ``{day}`` or ``{{ day }}``. It sees the parameters, those that are dates as
    dates, and ``flow``, ``logical_date`` and ``ds``.

    Args:
        flow: What runs.
        params: Values that were validated against its parameters.
        logical_date_us: Logical date of the run, in microseconds since the epoch.
        timezone: Zone in which that is read.
    """
    template = flow.run_name
    if not template:
        return ""
    moment = datetime.fromtimestamp(logical_date_us / 1e6, UTC).astimezone(zone_of(timezone))
    names = {"flow": flow.name, "logical_date": moment, "ds": moment.strftime("%Y-%m-%d")}
    formats = {each.name: each.schema.get("format") for each in flow.parameters}
    names.update({name: _typed(value, formats.get(name)) for name, value in params.items()})
    try:
        return _rendered(template, names)[:MAX_NAME]
    except Exception as error:  # noqa: BLE001 - users' templates may raise anything
        logger.warning("a run of %r has no name: %s: %s", flow.name, template, error)
        return ""


def _rendered(template: str, names: Mapping[str, Any]) -> str:
    if "{{" not in template:
        return template.format(**names)
    # 95 ms, for such templates only.
    from jinja2 import StrictUndefined  # noqa: PLC0415 - see above
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415 - see above

    return SandboxedEnvironment(undefined=StrictUndefined).from_string(template).render(names)


def _typed(value: Any, text_format: object) -> Any:
    """Return a date as such, so that a template can write it as it likes."""
    try:
        if text_format == "date":
            return date.fromisoformat(value)
        if text_format == "date-time":
            return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    return value

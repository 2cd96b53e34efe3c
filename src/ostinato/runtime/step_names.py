"""This module names the steps of flows that are functions for people."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.authoring.steps import StepTask
from ostinato.runtime.masking import masker

logger = logging.getLogger(__name__)

#: Longer names are cut.
MAX_NAME = 200


def step_name(task: StepTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return what people call a step, by its task's template; empty where that fails.

    Args:
        task: Its task, whose template is ``{day}`` or ``{{ day }}``.
        args: Of the call, by position.
        kwargs: Of the call, by name.
    """
    template = task.map_name
    try:
        bound = inspect.signature(task.function).bind(*args, **kwargs)
        bound.apply_defaults()
        if "{{" not in template:
            text = template.format(**bound.arguments)
        else:
            # 95 ms, for such templates only.
            from jinja2 import StrictUndefined, Template  # noqa: PLC0415 - see above

            text = Template(template, undefined=StrictUndefined).render(bound.arguments)
    except Exception as error:  # noqa: BLE001 - templates and users' __format__ may raise anything
        logger.warning("a step of %r has no name: %s: %s", task.task_id, template, error)
        return ""
    return masker.mask(text)[:MAX_NAME]

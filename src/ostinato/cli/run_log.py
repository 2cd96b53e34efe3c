"""This module logs the runs of a worker: that they begin, and how they end."""

import logging
from typing import Any

from ostinato.cli.opening import name_of
from ostinato.coordinator.run_news import RunNews
from ostinato.model.state import RunState

logger = logging.getLogger(__name__)

#: Of runs that ended otherwise than they should.
_LEVELS = {RunState.FAILED: logging.ERROR, RunState.CANCELLED: logging.WARNING}


def log_run(news: RunNews) -> None:
    """Log that a run was taken up, or how it has ended; its ids are fields."""
    row = news.row
    fields: dict[str, Any] = {
        "run": name_of(row),
        "run_id": str(row.id),
        "flow": row.flow,
        "trigger": row.trigger,
    }
    if not news.state.is_terminal:
        logger.info("run taken up", extra=fields)
        return
    if news.started_us:
        fields["took_s"] = round((news.at_us - news.started_us) / 1e6, 3)
    if news.reason:
        fields["reason"] = news.reason
    level = _LEVELS.get(news.state, logging.INFO)
    logger.log(level, "run %s", news.state.label, extra=fields)

"""This module shows the callbacks and alerts of a run."""

from collections.abc import Sequence

from ostinato.cli.display import columns, error_line, moment
from ostinato.client.views import NoticeView
from ostinato.model.notice import NoticeState

#: Notices that are listed; those that did not go well first.
MAX_LISTED = 20

_ORDER = (NoticeState.FAILED, NoticeState.PENDING, NoticeState.DROPPED, NoticeState.DONE)


def notice_lines(notices: Sequence[NoticeView]) -> list[str]:
    """Return a heading and a line for each notice; nothing where there are none."""
    if not notices:
        return []
    # Sorted by how urgent they are, which keeps the order of time inside.
    urgent = sorted(notices, key=lambda each: _ORDER.index(NoticeState(each.state)))
    table = [
        [f"  {each.moment}", each.name, each.recipient, _outcome(each)]
        for each in urgent[:MAX_LISTED]
    ]
    lines = ["callbacks and alerts", *columns(table)]
    if len(notices) > MAX_LISTED:
        lines.append(f"  … {len(notices) - MAX_LISTED} more; --format json lists them all")
    return lines


def _outcome(notice: NoticeView) -> str:
    why = f": {error_line(notice.failure)}" if notice.failure is not None else ""
    again = f" (try {notice.tries})" if notice.tries > 1 else ""
    match NoticeState(notice.state):
        case NoticeState.PENDING if notice.failure is not None:
            return f"tried again at {moment(notice.due_us)}{why}"
        case NoticeState.PENDING:
            is_held = notice.due_us > notice.created_us
            return f"held until {moment(notice.due_us)}" if is_held else "not done"
        case NoticeState.DONE:
            return f"done at {moment(notice.ended_us)}{again}"
        case NoticeState.FAILED:
            return f"failed{again}{why}"
        case NoticeState.DROPPED:
            return "dropped: it came in a quiet time"

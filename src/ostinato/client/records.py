"""This module is the records of the store that clients show as they are."""

from ostinato.store.protocol import RunFilter
from ostinato.store.records import CoordinatorRow, LoggedEvent, NewRun, RunRow

__all__ = ["CoordinatorRow", "LoggedEvent", "NewRun", "RunFilter", "RunRow"]

"""This module is what an attempt can read of its run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

#: Airflow's word for what asked for a run, by ours.
_RUN_TYPES = {"schedule": "scheduled", "backfill": "backfill", "asset": "asset_triggered"}


class CurrentRun(NamedTuple):
    """The run of an attempt; ``dag_run`` in Airflow's words.

    Attributes:
        id: Of the run, as text.
        number: 1, 2, 3 ... within its flow.
        flow: Name of the flow.
        project: Name of the project.
        trigger: What asked for it.
        params: Its parameters.
        logical_date: The moment that it stands for.
        data_interval_start: Start of the data that it covers.
        data_interval_end: End of the data, not included.
        partition_key: Its partition, or empty.
        start_date: When it started.
        name: What people call it, or empty.
    """

    id: str
    number: int
    flow: str
    project: str
    trigger: str
    params: Mapping[str, Any]
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    partition_key: str
    start_date: datetime
    name: str = ""

    @property
    def run_id(self) -> str:
        """Its id, as Airflow calls it."""
        return self.id

    @property
    def dag_id(self) -> str:
        """Name of its flow, as Airflow calls it."""
        return self.flow

    @property
    def conf(self) -> Mapping[str, Any]:
        """Its parameters, as Airflow calls them."""
        return self.params

    @property
    def run_type(self) -> str:
        """What asked for it, in Airflow's words: ``manual``, ``scheduled``, ``backfill`` ..."""
        return _RUN_TYPES.get(self.trigger, "manual")

    @property
    def run_after(self) -> datetime:
        """The end of its data interval, from which on it may run."""
        return self.data_interval_end


class PreviousSuccess(NamedTuple):
    """The last run of the flow before this one that succeeded; all None if there is none.

    Attributes:
        data_interval_start: Start of the data that it covered.
        data_interval_end: End of the data, not included.
        start_date: When it started.
        end_date: When it ended.
    """

    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None

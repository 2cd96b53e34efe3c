"""This module is where users look for schedules; see ``DAG(schedule=...)``."""

from ostinato.authoring.timetables import Cron, Dates, Interval, RRule, Timetable

__all__ = ["Cron", "Dates", "Interval", "RRule", "Timetable"]

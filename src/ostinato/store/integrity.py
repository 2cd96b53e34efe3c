"""This module finds what is unsound in a store."""

from collections.abc import Mapping

from ostinato.store.database import Database

#: What is wrong where a statement returns rows, and what each row is; by the statement's name.
_PROBLEMS = {
    "check_orphan_task_runs": "there are task runs of a run that does not exist",
    "check_orphan_events": "there are events of a run that does not exist",
    "check_orphan_expansions": "there are lengths of mapped tasks of a run that does not exist",
    "check_orphan_notices": "there are notices of a run that does not exist",
    "check_orphan_attempts": "an earlier attempt belongs to no task run in run",
    "check_orphan_values": "a value belongs to no task run in run",
    "check_live_task_runs": "there are live task runs in the ended run",
    "check_owned_ends": "there is an owner of the ended run",
    "check_manifests": "there are no definitions of run",
    "check_moments": "an earlier id has the later moment of creation than run",
}


def find_problems(database: Database, statements: Mapping[str, str]) -> list[str]:
    """Return what is unsound, in sentences; nothing when all is well.

    Args:
        database: Of the store.
        statements: Its statements by name.
    """
    pages = database.read(statements["check_pages"])
    found = [f"SQLite: {text}" for (text,) in pages if text != "ok"]
    for name, problem in _PROBLEMS.items():
        found.extend(f"{problem} {run_id}" for (run_id,) in database.read(statements[name]))
    return found

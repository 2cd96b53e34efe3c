"""This module reads what front matter says of what a task makes: columns, checks, freshness."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cronsim import CronSim, CronSimError

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.spec import FileProblem, KeyPath
from ostinato.authoring.files.task_specs import TaskSpec
from ostinato.authoring.quantities import seconds_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.model.asset import Check, Column, Freshness

#: Checks that there are. Others are users' own, and may be there when they are asked.
KNOWN_CHECKS = (
    "between",
    "freshness",
    "in_set",
    "matches",
    "not_empty",
    "not_null",
    "row_count",
    "schema",
    "sql",
    "unique",
)

#: Names by which dbt and Dagster call them.
_CHECK_ALIASES = {"accepted_values": "in_set", "range": "between"}

_SEVERITIES = ("error", "warn")

#: What ``freshness`` may say, and what each fills.
_FRESHNESS = ("warn", "fail", "cron", "timezone", "tz", "lower_bound", "lower_bound_delta")


class AssetTexts:
    """Read the keys of one task; what is wrong is among the problems.

    Args:
        spec: Of the task.
        inherited: What METADATA around it says.
        problems: Takes what is wrong.
    """

    def __init__(
        self, spec: TaskSpec, inherited: Mapping[str, Any], problems: list[FileProblem]
    ) -> None:
        self._spec = spec
        self._inherited = inherited
        self._problems = problems

    def columns(self) -> tuple[Column, ...]:
        """Return the declared columns, in their order."""
        said = self._spec.values.get("columns")
        if not isinstance(said, Mapping):
            return ()
        found: list[Column] = []
        for name, value in said.items():
            path = ("columns", name)
            if isinstance(value, Mapping):
                self._refuse_unknown(value, ("type", "description", "checks"), path)
                checks = tuple(self._checks(value.get("checks"), (*path, "checks")))
                kind, doc = str(value.get("type") or ""), str(value.get("description") or "")
                found.append(Column(str(name), kind, doc, checks))
            else:
                found.append(Column(str(name), "" if value is None else str(value)))
        return tuple(found)

    def checks(self) -> tuple[Check, ...]:
        """Return the checks of the whole."""
        return tuple(self._checks(self._spec.values.get("checks"), ("checks",)))

    def freshness(self) -> Freshness | None:
        """Return how old it may become, None if nothing is said."""
        said = self._said("freshness")
        if said is None:
            return None
        path: KeyPath = ("freshness",)
        if not isinstance(said, Mapping):
            return Freshness(fail_s=self._seconds(said, path))
        self._refuse_unknown(said, _FRESHNESS, path)
        cron = str(said.get("cron") or "")
        if cron and not _is_cron(cron):
            self._note(f"freshness.cron is {cron!r}, no cron expression", (*path, "cron"))
        return Freshness(
            self._seconds(said.get("warn"), (*path, "warn")),
            self._seconds(said.get("fail"), (*path, "fail")),
            cron,
            str(said.get("timezone") or said.get("tz") or ""),
            self._seconds(
                said.get("lower_bound", said.get("lower_bound_delta")), (*path, "lower_bound")
            ),
        )

    def owners(self) -> tuple[str, ...]:
        """Return who is asked about it."""
        return _texts(self._said("owners"))

    def produces(self) -> tuple[str, ...]:
        """Return the files that the task makes."""
        return _texts(self._spec.values.get("produces"))

    def partition(self) -> str:
        """Return what divides it, as it is written."""
        said = self._spec.values.get("partition")
        if isinstance(said, Mapping):
            return str(said.get("column") or "")
        return "" if said is None else str(said)

    def _said(self, name: str) -> Any:
        own = self._spec.values.get(name)
        return self._inherited.get(name) if own is None else own

    def _checks(self, said: Any, path: KeyPath) -> Iterator[Check]:
        if isinstance(said, Mapping):
            for name, value in said.items():
                yield self._check({str(name): value}, (*path, name))
        elif isinstance(said, Sequence) and not isinstance(said, str):
            for index, item in enumerate(said):
                if isinstance(item, str | Mapping) and item:
                    yield self._check(item, (*path, index))
        elif isinstance(said, str):
            yield self._check(said, path)

    def _check(self, item: str | Mapping[Any, Any], path: KeyPath) -> Check:
        if isinstance(item, str):
            return Check(self._named(item, path))
        values = {str(name): value for name, value in item.items()}
        severity = str(values.pop("severity", "error"))
        if "name" in values:
            name, arguments = str(values.pop("name")), values
        else:
            # One key is the check; beside it may stand a severity.
            name, value = next(iter(values.items()), ("", None))
            arguments = _arguments(value)
            severity = str(arguments.pop("severity", severity))
        if severity not in _SEVERITIES:
            hint = did_you_mean(severity, _SEVERITIES) or "it is error or warn"
            self._note(f"the severity of a check is {severity!r}", path, hint)
        return Check(self._named(name, path), arguments, severity)

    def _named(self, name: str, path: KeyPath) -> str:
        name = _CHECK_ALIASES.get(name, name)
        if name not in KNOWN_CHECKS and (guess := did_you_mean(name, KNOWN_CHECKS)):
            position = self._spec.position(*path)
            self._problems.append(
                problem("F013", f"there is no check {name!r} of ours", position, guess)
            )
        return name

    def _seconds(self, value: Any, path: KeyPath) -> float:
        if value is None:
            return 0.0
        try:
            return seconds_of(value)
        except ValueError as error:
            self._note(str(error).partition(";")[0], path, "write seconds, or text like '5m'")
            return 0.0

    def _refuse_unknown(self, said: Mapping[Any, Any], known: Sequence[str], path: KeyPath) -> None:
        for name in said:
            if name not in known:
                hint = did_you_mean(str(name), known) or f"known are {', '.join(known)}"
                self._note(f"{path[0]} has no {name!r}", (*path, name), hint)

    def _note(self, message: str, path: KeyPath, hint: str = "") -> None:
        self._problems.append(problem("F014", message, self._spec.position(*path), hint))


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if value is None or value is True:
        return {}
    return {"values": list(value)} if isinstance(value, list | tuple) else {"value": value}


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(str, value))
    return (str(value),)


def _is_cron(text: str) -> bool:
    from datetime import UTC, datetime  # noqa: PLC0415 - only where there is one

    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True

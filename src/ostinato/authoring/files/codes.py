"""This module lists what can be wrong in a folder of files, by code."""

from typing import NamedTuple

from ostinato.authoring.files.spec import FileProblem, Position, Severity


class Code(NamedTuple):
    """What a code stands for.

    Attributes:
        meaning: In one line, for the reference.
        severity: Where nothing else is said.
        under_strict: Severity in flows that say ``strict: true``.
    """

    meaning: str
    severity: Severity = "error"
    under_strict: Severity = "error"


#: Every code there is. Codes are stable: a number is never given to another meaning.
CODES: dict[str, Code] = {
    "F001": Code("The YAML does not parse"),
    "F002": Code("A header is never closed"),
    "F003": Code("A header or METADATA.yml holds something else than keys and values"),
    "F004": Code("The file is no text in UTF-8"),
    "F005": Code("The file is larger than is read"),
    "F006": Code("The file cannot be read"),
    "F007": Code("A key stands twice; the last one counts", "warning"),
    "F008": Code("A YAML tag is unknown"),
    "F009": Code("What a YAML tag calls has failed"),
    "F010": Code("No operator is named and the file's type has no default"),
    "F011": Code("The operator is unknown or cannot be imported"),
    "F012": Code("The query reads a table that nothing makes", "warning"),
    "F013": Code("A key is no argument of the operator", "warning"),
    "F014": Code("A key has a value of the wrong type"),
    "F015": Code("A file's or folder's name makes no id"),
    "F016": Code("Two tasks or groups have one id"),
    "F017": Code("A dependency is unknown", "warning"),
    "F018": Code("Tasks wait for each other"),
    "F019": Code("A callable is not in the file"),
    "F020": Code("A root task has tasks above it or a leaf task has tasks below it"),
    "F021": Code("A key of METADATA.yml is unknown", "warning"),
    "F022": Code("Settings of a wait sensor conflict"),
    "F023": Code("A template does not parse or cannot be rendered"),
    "F024": Code("A parse hook has failed"),
    "F025": Code("What extends the loader cannot be imported"),
    "F026": Code("The operator refuses its arguments"),
    "F027": Code("The Python of the file does not parse"),
    "F028": Code("The notebook is none"),
    "F029": Code("The SQL does not parse; only ref() and source() count", "warning", "warning"),
    "F030": Code("ref() or source() names what is not there"),
    "F031": Code("No connection is named; one that is not known is a warning"),
    "F032": Code("It is not clear which function of the file is the task"),
    "F033": Code("A PEP 723 block is wrong"),
    "F034": Code("What runs this type of file is not installed", "warning", "warning"),
    "F035": Code("The operator is Airflow's own, and Airflow is not installed"),
    "F036": Code("External dependencies are not written as they must be"),
    "F037": Code("A condition, a schedule or a mapping of a task is wrong"),
    "F038": Code("Folders are linked in a circle or nested too deep"),
    "F039": Code("A seed cannot be loaded"),
    "F040": Code("METADATA.yml and METADATA.yaml are both there; the first counts", "warning"),
    "F041": Code("A link to a folder is not followed", "warning", "warning"),
    "F042": Code("Nothing gives an argument of a function", "warning"),
    "F043": Code("A script declares functions and calls none", "warning"),
    "F044": Code("What a decorator says can be known by an import only", "warning"),
}


def problem(code: str, message: str, position: Position, hint: str = "") -> FileProblem:
    """Return a problem with the severity of its code."""
    return FileProblem(code, message, position, hint, CODES[code].severity)


def strictly(problems: list[FileProblem]) -> list[FileProblem]:
    """Return the problems as they count in a flow that says ``strict: true``."""
    return [
        FileProblem(one.code, one.message, one.position, one.hint, CODES[one.code].under_strict)
        for one in problems
    ]

"""This module finds the header of a task's file, which configures the task.

Each type of file has its way to say it: the whole of a YAML file, a block between lines of three
dashes, a block comment, or a comment whose first and last lines are three dashes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ostinato.authoring.files.codes import problem
from ostinato.authoring.files.keys.key import TASK
from ostinato.authoring.files.keys.known import keys_in
from ostinato.authoring.files.reading.yaml_text import AT_THE_TOP, Origin
from ostinato.authoring.files.spec import FileProblem, Position
from ostinato.authoring.suggestions import did_you_mean

_BOUNDARY = re.compile(r"-{3,}\s*")

#: The first key of a line.
_KEY = re.compile(r"(?:\{\s*)?[\"']?([A-Za-z_]\w*)[\"']?\s*:(?:\s|$)")

#: Encodings and editors are told in such comments, before a header.
_CODING = re.compile(r"#.*?(coding[:=]|-\*-|vim?:)")

#: How comments begin, by the suffix of the file; without a suffix a script says `#!`.
COMMENT_MARKS: Mapping[str, str] = {
    ".py": "#",
    ".sh": "#",
    ".R": "#",
    ".r": "#",
    ".rb": "#",
    ".js": "//",
    ".ts": "//",
}


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        text: YAML.
        origin: Where it stands in the file.
        body: The text after it.
        body_line: Where that begins, 1-based.
        is_there: Whether the file has a header at all.
    """

    text: str = ""
    origin: Origin = AT_THE_TOP
    body: str = ""
    body_line: int = 1
    is_there: bool = True


class UnclosedHeaderError(Exception):
    """Say that a header is never closed.

    Args:
        line: Where it begins, 1-based.
        end: What would close it.
    """

    def __init__(self, line: int, end: str) -> None:
        super().__init__(line, end)
        self.line = line
        self.end = end

    def problem(self, file: str) -> FileProblem:
        """Return it as a problem of a file."""
        message = "the header is never closed"
        return problem("F002", message, Position(file, self.line, 1), f"end it with {self.end}")


def find_header(text: str, suffix: str) -> Header:
    r"""Return the header of a file of any type but notebooks.

    Args:
        text: Of the file, with newlines as ``\n``.
        suffix: Of its name.

    Raises:
        UnclosedHeaderError: It begins and never ends.
    """
    if suffix in (".yml", ".yaml"):
        return Header(text)
    if suffix in (".sql", ".js", ".ts") and text.startswith("/*"):
        return _block_comment(text)
    if suffix in COMMENT_MARKS or text.startswith("#!"):
        return _comment(text, COMMENT_MARKS.get(suffix, "#"))
    return _front_matter(text)


def _front_matter(text: str) -> Header:
    """Return what stands between two lines of dashes; later ones belong to the body."""
    lines = text.split("\n")
    # `--- words` is a comment of SQL.
    if not text.startswith("---") or not _BOUNDARY.fullmatch(lines[0]):
        return Header(body=text, is_there=False)
    for index in range(1, len(lines)):
        if lines[index].startswith("---") and _BOUNDARY.fullmatch(lines[index]):
            header = "\n".join([*lines[1:index], ""])
            body, line = _stripped("\n".join(lines[index + 1 :]), index + 2)
            return Header(header, Origin(2), body, line)
    raise UnclosedHeaderError(1, "a line `---`")


def _block_comment(text: str) -> Header:
    """Return what stands in a comment at the top, if it says keys and values."""
    end = re.search(r"\*/[ \t]*$", text, re.MULTILINE)
    if end is None:
        end = re.search(r"\*/", text)
    if end is None:
        raise UnclosedHeaderError(1, "`*/`")
    header = text[2 : end.start()]
    if not _says_keys(header):
        return Header(body=text, is_there=False)
    line = text.count("\n", 0, end.end()) + 1
    body, body_line = _stripped(text[end.end() :], line)
    return Header(header, Origin(1, (2,)), body, body_line)


def _comment(text: str, mark: str) -> Header:
    """Return what stands in a comment between two lines of dashes, before any code."""
    lines = text.split("\n")
    start = _header_comment(lines, mark)
    if start is None:
        return Header(body=text, is_there=False)
    inner: list[str] = []
    shifts: list[int] = []
    for index in range(start + 1, len(lines)):
        line = lines[index]
        if not line.startswith(mark):
            break
        content, shift = _without_mark(line, mark)
        if _is_dashes(content):
            if not _says_keys("\n".join(inner)):
                return Header(body=text, is_there=False)
            origin = Origin(start + 2, tuple(shifts))
            return Header(_without_jupyter([*inner, ""]), origin, text, 1)
        inner.append(content)
        shifts.append(shift)
    if not _says_keys("\n".join(inner)):
        return Header(body=text, is_there=False)
    raise UnclosedHeaderError(start + 1, f"a line `{mark} ---`")


def _header_comment(lines: Sequence[str], mark: str) -> int | None:
    """Return the index of the line with which a header begins, None without one."""
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.startswith(mark) and _is_dashes(_without_mark(line, mark)[0]):
            return index
        if mark == "#" and line.rstrip() == "# /// script":
            index = _after_block(lines, index)
        elif _is_passed_over(line, index, mark):
            index += 1
        elif mark == "#" and (after := _after_docstring(lines, index)):
            index = after
        else:
            return None
    return None


def _is_passed_over(line: str, index: int, mark: str) -> bool:
    if line.strip() in ("", mark):
        return True
    return (index == 0 and line.startswith("#!")) or (index < 2 and bool(_CODING.match(line)))


def _after_block(lines: Sequence[str], index: int) -> int:
    """Return the index behind a PEP 723 block; behind its first line if it never ends."""
    for end in range(index + 1, len(lines)):
        if not lines[end].startswith("#"):
            break
        if lines[end].rstrip() == "# ///":
            return end + 1
    return index + 1


def _after_docstring(lines: Sequence[str], index: int) -> int:
    """Return the index behind a docstring, 0 if none begins here."""
    begin = re.match(r"[rRuU]?(\"\"\"|'''|\"|')", lines[index])
    if begin is None:
        return 0
    quotes = begin.group(1)
    rest = lines[index][begin.end() :]
    if len(quotes) == 1:
        return index + 1 if quotes in rest else 0
    while quotes not in rest.replace("\\" + quotes[0], ""):
        index += 1
        if index == len(lines):
            return 0
        rest = lines[index]
    return index + 1


def _without_mark(line: str, mark: str) -> tuple[str, int]:
    width = len(mark) + 1 if line.startswith(f"{mark} ") else len(mark)
    return line[width:], width


def _without_jupyter(lines: Sequence[str]) -> str:
    """Return the lines without what Jupytext keeps for notebooks, which are left empty."""
    kept = []
    is_jupyter = False
    for line in lines:
        if re.fullmatch(r"jupyter\s*:\s*", line):
            is_jupyter = True
        elif line and not line[0].isspace():
            is_jupyter = False
        kept.append("" if is_jupyter else line)
    return "\n".join(kept)


def _is_dashes(content: str) -> bool:
    return content.startswith("---") and content.rstrip() == "---"


def _says_keys(text: str) -> bool:
    """Return whether a comment is a header and no remark for people.

    A line that begins with a key is taken for one if the key is known or nearly so, or if it is in
    small letters as all keys are.
    """
    for line in text.split("\n"):
        key = _KEY.match(line.lstrip())
        if key:
            name = key.group(1)
            return name.islower() or bool(did_you_mean(name.lower(), keys_in(TASK)))
    return False


def _stripped(body: str, line: int) -> tuple[str, int]:
    """Return a body without empty lines around it, and the line with which it begins."""
    start = len(body) - len(body.lstrip("\n"))
    return body.strip("\n"), line + start

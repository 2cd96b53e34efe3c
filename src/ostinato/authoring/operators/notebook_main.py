"""This module executes a notebook: it is a script, called with a folder that says what to do.

``call.json`` in the folder says which notebook and with what. ``failure.json`` says which cell
raised, if one did. It is a process of its own, so that Papermill's threads, event loop and signal
handlers stay away from those of tasks.
"""

import ast
import json
import logging
import os
import re
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import DeadKernelError
from nbformat.warnings import MissingIDFieldWarning
from papermill.exceptions import PapermillExecutionError

#: Name of the kernel that is a Python whose path is known.
KERNEL = "ostinato-python"

#: Seconds that a kernel may take to start; its libraries may lie on a slow disk.
START_TIMEOUT_S = 120

#: No history is kept, and the kernel's own warnings are nothing that the notebook wrote.
_KERNEL_OPTIONS = ("--HistoryManager.enabled=False", "--IPKernelApp.log_level=50")

#: What IPython says of the place of a cell that does not parse.
_CELL_FILE = re.compile(r" \(\d+\.py, line \d+\)")

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PARAMETERS, _INJECTED = "parameters", "injected-parameters"


def main(folder: Path) -> int:
    """Execute the notebook; return the exit code."""
    call = json.loads((folder / "call.json").read_text())
    # Notebooks of older versions are executed all the same.
    warnings.simplefilter("ignore", MissingIDFieldWarning)
    # What Papermill logs of outputs is printed below, as it comes.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        notebook = _read(call["path"])
    except Exception as error:  # noqa: BLE001 - whatever is in the file
        return _fail(folder, {"message": f"this is no notebook: {_first_line(error)}"})
    kernel, language = _kernel(notebook, call, folder)
    offered = {k: v for k, v in call["offered"].items() if k in _declared(notebook, language)}
    code = 0
    try:
        papermill.execute_notebook(
            call["path"],
            call["output"],
            parameters={**offered, **call["parameters"]},
            kernel_name=kernel,
            language=language,
            cwd=call["cwd"],
            progress_bar=False,
            log_output=True,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            start_timeout=START_TIMEOUT_S,
        )
    except PapermillExecutionError as error:
        code = _fail(folder, _failure_of_cell(error, notebook))
    except DeadKernelError:
        code = _fail(folder, {"message": "the kernel died", **_place_of_death(call, notebook)})
    except NoSuchKernel as error:
        known = ", ".join(sorted(KernelSpecManager().find_kernel_specs()))
        code = _fail(folder, {"message": f"there is no kernel {error.name!r} (there are {known})"})
    except Exception as error:  # noqa: BLE001 - kernels and Papermill raise all sorts
        traceback.print_exc()
        code = _fail(folder, {"message": f"{type(error).__name__}: {_first_line(error)}"})
    if call["html"] and os.path.exists(call["output"]):
        _write_page(call["output"], call["html"])
    return code


def _read(path: str) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it has no types


def _fail(folder: Path, failure: dict[str, Any]) -> int:
    (folder / "failure.json").write_text(json.dumps(failure))
    return 1


def _kernel(notebook: Any, call: dict[str, Any], folder: Path) -> tuple[str, str]:
    """Return the kernel's name and its language.

    A notebook names the kernel that its author had. Where that is a Python, ours does.
    """
    named = notebook.metadata.get("kernelspec", {})
    info = notebook.metadata.get("language_info", {})
    language = call["language"] or named.get("language") or info.get("name") or "python"
    if call["kernel_name"] and not call["python"]:
        return call["kernel_name"], language
    if language != "python" and named.get("name"):
        return named["name"], language
    spec = folder / "jupyter" / "kernels" / KERNEL
    spec.mkdir(parents=True)
    python = call["python"] or sys.executable
    arguments = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}", *_KERNEL_OPTIONS]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": arguments, "display_name": "Python", "language": "python"})
    )
    before = os.environ.get("JUPYTER_PATH")
    ours = str(folder / "jupyter")
    os.environ["JUPYTER_PATH"] = f"{ours}{os.pathsep}{before}" if before else ours
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    return KERNEL, "python"


def _declared(notebook: Any, language: str) -> set[str]:
    """Return the names that the cell with the tag ``parameters`` assigns."""
    cell = next((c for c in notebook.cells if _PARAMETERS in _tags(c)), None)
    if cell is None:
        return set()
    if language != "python":
        return set(re.findall(r"(?m)^\s*([A-Za-z]\w*)\s*(?:<-|=)", cell.source))
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return set()
    targets = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags") or [])


def _failure_of_cell(error: PapermillExecutionError, notebook: Any) -> dict[str, Any]:
    lines = _COLOURS.sub("", "\n".join(error.traceback)).rstrip()
    print(lines, file=sys.stderr)
    in_cell = re.findall(r"(?:Cell |File <ipython-)[^\n]*?, line (\d+)", lines)
    place = _place_of(error.source, error.cell_index, notebook)
    if in_cell:
        # The first is the line of the cell itself; the others are of functions in it and others.
        place["cell_line"] = int(in_cell[0])
    text = _CELL_FILE.sub("", _first_line(error.evalue))
    return {"message": f"{error.ename}: {text}".rstrip(": "), **place}


def _place_of(source: str, index: int, notebook: Any) -> dict[str, Any]:
    """Return which cell of the users' notebook one of the executed notebook is."""
    # Papermill has put in a cell of parameters, or not.
    for candidate in (index, index - 1):
        if 0 <= candidate < len(notebook.cells) and notebook.cells[candidate].source == source:
            return {"cell": candidate + 1, "source": source}
    return {"cell": 0, "source": source}


def _place_of_death(call: dict[str, Any], notebook: Any) -> dict[str, Any]:
    """Return the cell that was begun last."""
    try:
        executed = _read(call["output"])
    except Exception:  # noqa: BLE001 - it may be half written
        return {}
    begun = [
        (index, cell)
        for index, cell in enumerate(executed.cells)
        if cell.metadata.get("papermill", {}).get("start_time")
    ]
    return _place_of(begun[-1][1].source, begun[-1][0], notebook) if begun else {}


def _write_page(path: str, page: str) -> None:
    """Write a notebook as a page that needs no other files."""
    from nbconvert import HTMLExporter  # noqa: PLC0415 - only where a page is wanted: 0.4 s

    try:
        exporter = HTMLExporter(embed_images=True)  # type: ignore[no-untyped-call]  # no types
        text, _ = exporter.from_filename(path)
        Path(page).write_text(text, encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - the notebook counts, not its page
        print(f"the page of the notebook cannot be made: {_first_line(error)}", file=sys.stderr)


def _first_line(value: object) -> str:
    return str(value).strip().partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

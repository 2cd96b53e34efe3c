"""This module imports the code of users that extends how folders are read: their own operators."""

import importlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType

from ostinato.authoring.files.operator_names.airflow_names import airflow_names
from ostinato.authoring.places import relative_file
from ostinato.model.identity import PRIVATE_MODULE_PREFIX

#: Seconds that one module may take; imports of data libraries take a few.
IMPORT_LIMIT_S = 60.0


class ExtensionError(Exception):
    """Say in one line why a module of the user's cannot be imported."""


def import_named(path: str, *, limit_s: float = IMPORT_LIMIT_S) -> ModuleType:
    """Return a module by its dotted name.

    Args:
        path: Dotted.
        limit_s: How long it may take.

    Raises:
        ExtensionError: It cannot be imported.
    """
    with _explained(), _limited(limit_s):
        return importlib.import_module(path)


def import_file(name: str, path: str, *, limit_s: float = IMPORT_LIMIT_S) -> ModuleType:
    """Return the module of a file; what lies beside it can be imported from it.

    Args:
        name: Of the module, as the user would write it.
        path: Of the file.
        limit_s: How long it may take.

    Raises:
        ExtensionError: It cannot be imported.
    """
    private = f"{PRIVATE_MODULE_PREFIX}operators__{name}"
    known = sys.modules.get(private)
    if known is not None and known.__file__ == path:
        return known
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(private, path)
    if spec is None or spec.loader is None:
        message = f"{relative_file(path)} is no Python file"
        raise ExtensionError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        with _explained(), airflow_names(), _limited(limit_s):
            spec.loader.exec_module(module)
    except ExtensionError:
        del sys.modules[private]
        raise
    return module


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        kind = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        place = ""
        if frames and not frames[-1].filename.startswith("<"):
            frame = next((f for f in reversed(frames) if _is_users(f.filename)), None)
            if frame is not None:
                place = f" ({relative_file(frame.filename)}:{frame.lineno})"
        message = f"{kind}: {text}{place}" if text else f"{kind}{place}"
        raise ExtensionError(message) from error


def _is_users(file: str) -> bool:
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return not file.startswith(("<", os.path.join(package, ""), os.path.dirname(os.__file__)))


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    # A signal reaches the main thread only; elsewhere whoever waits for the loading has a limit.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        message = f"it takes longer than {limit_s:g} s"
        raise TimeoutError(message)

    before = signal.signal(signal.SIGALRM, stop)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s)
        signal.signal(signal.SIGALRM, before)

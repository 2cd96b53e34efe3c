"""This module makes flows of folders: for the loader, for Python, and in the way of gusty."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ostinato.authoring import session
from ostinato.authoring.dag import DAG
from ostinato.authoring.files.building import BuildOptions, build
from ostinato.authoring.files.keys.known import wrong_types
from ostinato.authoring.files.operator_names.resolution import local_folders
from ostinato.authoring.files.reading.folder_reading import read_folder
from ostinato.authoring.files.reading.kept_files import KeptFiles
from ostinato.authoring.files.spec import Keys
from ostinato.authoring.places import calling_place, relative_file, relative_place
from ostinato.errors import InvalidArgument, Place
from ostinato.model.layout import DATA_FOLDER, file_cache_path, query_cache_path


def folder_flow(
    path: str | os.PathLike[str],
    *,
    task_group_defaults: Mapping[str, Any] | None = None,
    wait_for_defaults: Mapping[str, Any] | None = None,
    latest_only: bool = False,
    parse_hooks: Mapping[str, Callable[..., Any]] | None = None,
    dag_constructors: Any = None,
    extra_tags: Sequence[str] | None = None,
    render_on_create: bool = False,
    leaf_tasks_from_dict: Mapping[str, Mapping[str, Any]] | None = None,
    wait_for_class: Any = None,
    only_gusty: bool = False,
    **flow_arguments: Any,
) -> DAG:
    """Return the flow that a folder is; decorated tasks and operators can be added to it.

    Args:
        path: Of the folder, a relative one from the file that calls.
        task_group_defaults: What METADATA of groups says where they say nothing.
        wait_for_defaults: Settings of the sensors that wait for other flows.
        latest_only: Whether runs for past dates are skipped, where METADATA does not say.
        parse_hooks: Functions that read further types of files, by suffix.
        dag_constructors: Functions that YAML tags and templates may call: a list, or by name.
        extra_tags: Tags in addition to those of METADATA.
        render_on_create: Whether templates of front matter are rendered at once.
        leaf_tasks_from_dict: Further leaf tasks, by id.
        wait_for_class: Class of the sensors that wait for other flows.
        only_gusty: Whether only files of the types that gusty knows are tasks.
        flow_arguments: What METADATA of the flow says where it says nothing.

    Raises:
        InvalidArgument: There is no such folder.
        FolderProblems: Something in it is wrong.

    Example:
        ``with folder_flow("shop") as shop: report(shop.operators["revenue"].output)``
    """
    place = calling_place()
    folder = _found(path, place.file)
    if not os.path.isdir(folder):
        message = f"there is no folder {os.fspath(path)!r}"
        raise InvalidArgument(message, place=relative_place(place))
    given = {name: value for name, value in flow_arguments.items() if value is not None}
    _check(given, "flow", place)
    _check(task_group_defaults, "group", place, name="task_group_defaults")
    for name, value in (
        ("wait_for_defaults", wait_for_defaults),
        ("parse_hooks", parse_hooks),
        ("leaf_tasks_from_dict", leaf_tasks_from_dict),
    ):
        _check_mapping(name, value, place)
    for task_id, values in (leaf_tasks_from_dict or {}).items():
        _check_mapping(f"leaf_tasks_from_dict[{task_id!r}]", values, place)
    _check({"tags": extra_tags}, "flow", place, name="extra_tags")
    macros = dict(given.get("user_defined_macros") or {})
    spec, problems = read_folder(
        folder,
        hooks=parse_hooks or {},
        constructors=dag_constructors or {},
        macros=macros,
        defaults=given,
        render_on_create=render_on_create,
        only_gusty=only_gusty,
        kept=KeptFiles(_kept(folder, file_cache_path)),
    )
    functions = _by_name(dag_constructors or {})
    if functions or macros:
        given["user_defined_macros"] = {**functions, **macros}
    options = BuildOptions(
        task_group_defaults=task_group_defaults or {},
        wait_for_defaults=wait_for_defaults or {},
        wait_for_class=wait_for_class,
        latest_only=latest_only,
        extra_tags=extra_tags or (),
        leaf_tasks_from_dict=leaf_tasks_from_dict or {},
        flow_arguments=given,
        only_gusty=only_gusty,
        operator_folders=local_folders(session.source_root.get() or os.getcwd(), folder),
        kept_queries=_kept(folder, query_cache_path),
    )
    return build(spec, problems, options)


def _check(given: object, scope: str, place: Place, *, name: str = "") -> None:
    """Refuse an argument of the call that is of another type than METADATA may hold."""
    _check_mapping(name, given, place)
    if not given:
        return
    assert isinstance(given, Mapping)
    # A model of Pydantic may be the parameters here.
    for found in wrong_types(Keys("", dict(given)), scope, besides={"params"}):
        message = f"{name}: {found.message}" if name else found.message
        raise InvalidArgument(message, place=relative_place(place))
    params = given.get("params")
    if not isinstance(params, type):
        _check_mapping("params", params, place)


def _check_mapping(name: str, value: object, place: Place) -> None:
    is_plain = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if value is not None and not is_plain:
        message = f"{name} must be keys and values, not {value!r}"
        raise InvalidArgument(message, place=relative_place(place))


def _kept(folder: str, name: Callable[[str], str]) -> str:
    """Return a file that keeps what is read of a folder, empty outside of projects."""
    root = session.source_root.get()
    # A project in which nothing was run yet stays as it is.
    if not root or not os.path.isdir(os.path.join(root, DATA_FOLDER)):
        return ""
    return os.path.join(root, DATA_FOLDER, name(relative_file(folder, root)))


def _found(path: str | os.PathLike[str], calling: str) -> str:
    text = os.path.expanduser(os.fspath(path))
    beside = os.path.join(os.path.dirname(os.path.abspath(calling)), text)
    chosen = beside if not calling.startswith("<") and os.path.isdir(beside) else text
    return os.path.normpath(os.path.abspath(chosen))


def _by_name(constructors: Any) -> dict[str, Any]:
    if isinstance(constructors, Mapping):
        return {str(name).strip("!"): function for name, function in constructors.items()}
    return {function.__name__: function for function in constructors}

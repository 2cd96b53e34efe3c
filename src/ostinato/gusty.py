"""This module makes flows of folders with the functions and arguments of gusty."""

import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from ostinato.authoring.dag import DAG
from ostinato.authoring.files.folders import folder_flow

__all__ = ["create_dag", "create_dags"]


def create_dag(
    dag_dir: str | os.PathLike[str],
    task_group_defaults: Mapping[str, Any] | None = None,
    wait_for_defaults: Mapping[str, Any] | None = None,
    latest_only: bool = True,  # noqa: FBT001, FBT002 - gusty's order of arguments
    parse_hooks: Mapping[str, Callable[..., Any]] | None = None,
    dag_constructors: Any = None,
    extra_tags: Sequence[str] | None = None,
    render_on_create: bool = False,  # noqa: FBT001, FBT002 - gusty's order of arguments
    **kwargs: Any,
) -> DAG:
    """Return the flow that a folder is.

    Args:
        dag_dir: The folder; its name is that of the flow.
        task_group_defaults: What METADATA of groups says where they say nothing.
        wait_for_defaults: Settings of the sensors that wait for other flows.
        latest_only: Whether runs for past dates are skipped, where METADATA does not say.
        parse_hooks: Functions that read further types of files, by suffix.
        dag_constructors: Functions that YAML tags and templates may call: a list, or by name.
        extra_tags: Tags in addition to those of METADATA.
        render_on_create: Whether templates of front matter are rendered at once.
        kwargs: Arguments of ``DAG`` and what METADATA of the flow may say, as well as
            ``leaf_tasks_from_dict`` and ``wait_for_class``.

    Raises:
        InvalidArgument: There is no such folder.
        FolderProblems: Something in it is wrong.

    Example:
        ``dag = create_dag("dags/shop", latest_only=False, schedule="@daily")``
    """
    return folder_flow(
        dag_dir,
        task_group_defaults=task_group_defaults,
        wait_for_defaults=wait_for_defaults,
        latest_only=latest_only,
        parse_hooks=parse_hooks,
        dag_constructors=dag_constructors,
        extra_tags=extra_tags,
        render_on_create=render_on_create,
        only_gusty=True,
        **kwargs,
    )


def create_dags(
    dags_dir: str | os.PathLike[str],
    caller_env: MutableMapping[str, Any],
    concurrent: bool = False,  # noqa: FBT001, FBT002 - gusty's order of arguments
    concurrent_timeout: float | None = None,
    max_concurrency: int = 8,
    current_dag_id: str | None = None,
    **kwargs: Any,
) -> None:
    """Make a flow of every folder in a folder, but of those whose names end in ``__``.

    Args:
        dags_dir: The folder.
        caller_env: Takes the flows by name: ``globals()``.
        concurrent: Has no effect; reading is fast.
        concurrent_timeout: Has no effect.
        max_concurrency: Has no effect.
        current_dag_id: The one flow that is wanted; all by default.
        kwargs: Arguments of ``create_dag``.

    Raises:
        FolderProblems: Something in one of them is wrong.
    """
    del concurrent, concurrent_timeout, max_concurrency
    for name in sorted(os.listdir(dags_dir)):
        path = os.path.join(dags_dir, name)
        if not os.path.isdir(path) or name.endswith("__"):
            continue
        if current_dag_id is None or current_dag_id == name:
            caller_env[name] = create_dag(path, **kwargs)

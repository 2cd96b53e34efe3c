"""This module holds the code that a generated file needs where functions take more than values."""

#: Names that a generated file uses itself.
NAMES = frozenset(
    {
        "CronTriggerTimetable",
        "DAG",
        "DeltaTriggerTimetable",
        "Label",
        "Param",
        "TaskGroup",
        "_Context",
        "_given",
        "_script",
        "_tables",
        "BaseHook",
        "asyncio",
        "dag",
        "functools",
        "get_current_context",
        "inspect",
        "logging",
        "pendulum",
        "task",
        "types",
    }
)

#: What each part imports.
IMPORTS = {
    "context": ("import logging",),
    "given": ("import asyncio", "import functools", "import inspect"),
    "script": (),
    "tables": ("import functools", "import inspect"),
}

_CONTEXT = '''\
class _Context:
    """Answer as Ostinato's context does, from Airflow's."""

    def __init__(self):
        self._names = get_current_context()

    def __getattr__(self, name):
        if name == "logger":
            return logging.getLogger("airflow.task")
        if name in ("attempt", "try_number"):
            return self._names["ti"].try_number
        if name in ("task_id", "map_index"):
            return getattr(self._names["ti"], name)
        return self._names[name]

    def pull(self, task_id, key="return_value"):
        return self._names["ti"].xcom_pull(task_ids=task_id, key=key)

    def push(self, key, value):
        self._names["ti"].xcom_push(key=key, value=value)

    def xcom_pull(self, task_ids=None, key="return_value"):
        return self._names["ti"].xcom_pull(task_ids=task_ids, key=key)

    xcom_push = push'''

_GIVEN = '''\
def _given(function, params=None, items=None, context=None, inside=()):
    """Return a function that puts into its arguments what Airflow does not put there.

    `params` are parameters of the run by where they stand among the arguments, `items` the keys
    of results there, `context` what parameters take of the context, and `inside` the prefix and
    the ids of the group around a branch, which may name them without the prefix.
    """

    def put(arguments, path, change):
        name, *rest = path
        if rest:
            arguments[name] = arguments[name].copy()
            put(arguments[name], rest, change)
        else:
            arguments[name] = change(arguments[name])

    def item(value, key):
        if isinstance(key, str) and not hasattr(value, "keys"):
            return [each[key] for each in value]
        return value[key]

    @functools.wraps(function)
    def call(*args, **kwargs):
        for path, name in (params or {}).items():
            put(kwargs, path, lambda _: get_current_context()["params"][name])
        for path, keys in (items or {}).items():
            put(kwargs, path, lambda value: functools.reduce(item, keys, value))
        for name, part in (context or {}).items():
            kwargs.setdefault(name, getattr(_Context(), part) if part else _Context())
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        if inside and result is not None:
            chosen = [result] if isinstance(result, str) else result
            return [inside[0] + name if inside[0] + name in inside else name for name in chosen]
        return result

    signature = inspect.signature(function)
    kept = [each for each in signature.parameters.values() if each.name not in (context or {})]
    # Airflow looks at what is called, not at what it calls.
    del call.__wrapped__
    call.__signature__ = signature.replace(parameters=kept)
    return call'''

_SCRIPT = '''\
def _script(name, text):
    """Run a script."""
    exec(compile(text, name, "exec"), {"__name__": "__main__", "__file__": name})'''

_TABLES = '''\
def _tables(function, reads=None, conn_id="", table=""):
    """Return a function that is given tables as frames, and keeps the frame that it returns.

    `reads` are connection and table by argument; `conn_id` and `table` say where a frame goes.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        for name, (source, query) in (reads or {}).items():
            hook = BaseHook.get_connection(source).get_hook()
            kwargs[name] = hook.get_df(f"SELECT * FROM {query}", df_type="pandas")
        result = function(*args, **kwargs)
        if table and hasattr(result, "to_pandas"):
            result = result.to_pandas()
        if table and hasattr(result, "to_sql"):
            schema, _, name = table.rpartition(".")
            engine = BaseHook.get_connection(conn_id).get_hook().get_sqlalchemy_engine()
            result.to_sql(name, engine, schema=schema or None, if_exists="replace", index=False)
            return {"table": table, "rows": len(result)}
        return result

    signature = inspect.signature(function)
    kept = [each for each in signature.parameters.values() if each.name not in (reads or {})]
    del call.__wrapped__
    call.__signature__ = signature.replace(parameters=kept)
    return call'''

#: Text of each part.
PARTS = {"context": _CONTEXT, "given": _GIVEN, "script": _SCRIPT, "tables": _TABLES}

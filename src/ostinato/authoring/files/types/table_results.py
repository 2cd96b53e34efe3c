"""This module makes tables of the frames that functions of files return."""

import functools
import inspect
from typing import Any

from ostinato.authoring.files.types.file_functions import FileFunction
from ostinato.authoring.files.types.file_values import Built
from ostinato.authoring.files.types.table_arguments import WithTables
from ostinato.authoring.files.types.tables import Tables, connection_of
from ostinato.authoring.hooks import SqlHook
from ostinato.authoring.materializations import wants_full_refresh
from ostinato.authoring.operators.connecting import hook_of
from ostinato.authoring.operators.python import PythonOperator
from ostinato.authoring.ports import Context
from ostinato.authoring.table_loading import is_frame, load_frame


def keep_frames(task: Built, tables: Tables) -> None:
    """Let a task make a table of the frame that its function returns, if it has a connection.

    The task is that of a ``.py`` file that names no operator. A mapped one makes no table: each
    of its task runs would replace that of the others.

    Args:
        task: Whose operator is changed.
        tables: Of the flow.
    """
    spec, operator = task.spec, task.operator
    if type(operator) is not PythonOperator or operator.factors or spec.values.get("operator"):
        return
    function: Any = operator.python_callable
    innermost = function.function if isinstance(function, WithTables) else function
    if isinstance(innermost, functools.partial):
        innermost = innermost.func
    maker = tables.maker(spec)
    connection = connection_of(spec, tables.inherited(maker))
    if isinstance(innermost, FileFunction) and connection:
        operator.python_callable = WithResultTable(function, str(connection), maker.table)


class WithResultTable(WithTables):
    """Call a function, and make a table of what it returns if that is a frame.

    Args:
        function: The function.
        conn_id: Connection of the database.
        table: Name of the table.
    """

    def __init__(self, function: Any, conn_id: str, table: str) -> None:
        super().__init__(function, {})
        self.conn_id = conn_id
        self.table = table

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function and make the table.

        Args:
            args: Positional arguments.
            kwargs: Arguments by name, the context among them.
        """
        context: Context = kwargs["context"]
        result = super().__call__(*args, **kwargs)
        if inspect.iscoroutine(result):
            return self._awaited(result, context)
        return self._kept(result, context)

    async def _awaited(self, coroutine: Any, context: Context) -> Any:
        return self._kept(await coroutine, context)

    def _kept(self, result: Any, context: Context) -> Any:
        if is_frame(result):
            conn_id = str(context.render(self.conn_id))
            hook = hook_of(context, conn_id, SqlHook, "speaks no SQL")
            refreshes = wants_full_refresh(context.params)
            made = load_frame(hook, self.table, result, is_full_refresh=refreshes)
            context.logger.info("made the table %s: %d rows", made["table"], made["rows"])
        return result

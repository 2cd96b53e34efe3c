"""This module holds the operator that loads a file into a table."""

from pathlib import Path
from typing import Any, Unpack

from ostinato.authoring.hooks import SqlHook
from ostinato.authoring.materializations import wants_full_refresh
from ostinato.authoring.operators.connecting import check_conn_id, hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.sql_dialects import Relation
from ostinato.authoring.table_loading import load_file
from ostinato.authoring.templates import is_template
from ostinato.errors import UsageError

#: What seeds end with.
SEED_SUFFIXES = (".csv", ".parquet")


class SeedOperator(Operator):
    """Put the rows of a ``.csv`` or ``.parquet`` file in the place of a table.

    The first line of a CSV file has the names of the columns; a column has the type that all of
    its values look like, else text. Who reads the table sees the rows before or those after.

    Args:
        task_id: Unique in its group.
        path: Of the file.
        conn_id: Connection of a database, or a URI.
        table: Name of what is made, such as ``raw.countries``; the task's id by default.
        policies: How it is run, see ``Policies``.

    Example:
        ``SeedOperator(task_id="countries", path="countries.csv", conn_id="shop")``
    """

    operator_name = "seed"
    template_fields = ("path", "conn_id", "table")

    def __init__(
        self,
        task_id: str,
        *,
        path: str | Path | Reference,
        conn_id: str | Reference,
        table: str = "",
        **policies: Unpack[Policies],
    ) -> None:
        self.path: Any = path
        self.conn_id: Any = conn_id
        self.table = table or task_id
        super().__init__(task_id, **policies)
        check_conn_id(self, conn_id)
        text = str(path)
        if isinstance(path, str | Path) and not is_template(text):
            if not text.lower().endswith(SEED_SUFFIXES):
                raise self.refusal(f"path is {text!r}, neither .csv nor .parquet")
        elif not isinstance(path, str | Reference):
            raise self.refusal(f"path is {path!r}, no path")
        if not is_template(self.table):
            try:
                Relation.parse(self.table)
            except UsageError as err:
                raise self.refusal(f"table: {err.message}", hint=err.hint) from None

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the file.

        Args:
            context: Of the attempt.

        Returns:
            Name of the ``table`` and number of ``rows``.

        Raises:
            UsageError: The connection leads to no database.
            ExecutionError: The file is not there, or cannot be read.
        """
        hook = hook_of(context, self.conn_id, SqlHook, "speaks no SQL")
        refreshes = wants_full_refresh(context.params)
        made = load_file(hook, self.table, Path(self.path), is_full_refresh=refreshes)
        context.logger.info("made the table %s: %d rows", made["table"], made["rows"])
        return made

"""This module holds the operator that executes SQL, and the sensor that waits for a row."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Unpack

from ostinato.authoring.hooks import SqlHook, fetch_all
from ostinato.authoring.operators.connecting import check_conn_id, hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.sensor import PokeReturn, Sensor
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Fail
from ostinato.errors import ExecutionError

_NO_SQL = "speaks no SQL"


class SqlOperator(Operator):
    """Execute SQL; the result are the rows of the last statement, None if it has none.

    All statements are executed in one transaction, unless ``autocommit`` says otherwise.

    Args:
        task_id: Unique in its group.
        sql: Statements: text, a list, or the name of a file that ends in ``.sql``.
        conn_id: Connection of a database, or a URI such as ``duckdb:///data/shop.duckdb``.
        parameters: Of the statements, as the database's driver has them.
        autocommit: Whether each statement is committed by itself.
        handler: Makes a result of the cursor after a statement; ``None`` fetches nothing.
        split_statements: Whether text is split into statements at semicolons.
        return_last: Whether the result is that of the last statement, else the list of all.
        policies: How it is run, see ``Policies``.

    Example:
        ``SqlOperator(task_id="count", conn_id="shop", sql="SELECT count(*) FROM orders")``
    """

    operator_name = "sql"
    template_fields = ("sql", "parameters", "conn_id")
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        task_id: str,
        *,
        sql: str | Sequence[str] | Reference,
        conn_id: str | Reference,
        parameters: Sequence[Any] | Mapping[str, Any] | Reference | None = None,
        autocommit: bool = False,
        handler: Callable[[Any], Any] | None = fetch_all,
        split_statements: bool = True,
        return_last: bool = True,
        **policies: Unpack[Policies],
    ) -> None:
        self.sql: Any = sql
        self.conn_id: Any = conn_id
        self.parameters: Any = parameters
        self.autocommit = autocommit
        self.handler = handler
        self.split_statements = split_statements
        self.return_last = return_last
        super().__init__(task_id, **policies)
        self._check()

    def _check(self) -> None:
        check_conn_id(self, self.conn_id)
        check_sql(self, self.sql)
        if not isinstance(self.parameters, Sequence | Mapping | Reference | None) or isinstance(
            self.parameters, str
        ):
            raise self.refusal(f"parameters are {self.parameters!r}, neither a list nor a dict")
        if self.handler is not None and not callable(self.handler):
            raise self.refusal(f"handler is {self.handler!r}, no function")

    def execute(self, context: Context) -> Any:
        """Execute the statements and return what they find.

        Args:
            context: Of the attempt.

        Raises:
            UsageError: If the connection leads to no database.
        """
        self._check()
        hook = hook_of(context, self.conn_id, SqlHook, _NO_SQL)
        is_script = isinstance(self.sql, str) and not self.split_statements
        results = hook.execute(
            [self.sql] if is_script else self.sql,
            self.parameters,
            handler=self.handler,
            autocommit=self.autocommit,
        )
        return results[-1] if self.return_last else results


#: Airflow's name.
SQLExecuteQueryOperator = SqlOperator


class SqlSensor(Sensor):
    """Wait until the first cell of a query's first row is true; that cell is the result.

    Args:
        task_id: Unique in its group.
        sql: A query; or the name of a file that ends in ``.sql``.
        conn_id: Connection of a database, or a URI.
        parameters: Of the query, as the database's driver has them.
        success: Takes the cell, and says whether the condition is met.
        failure: Takes the cell, and says whether there is no more use in waiting: the task
            fails then, with no retry.
        selector: Takes the row, and returns the cell; the first one by default.
        fail_on_empty: Whether a query without rows fails the task instead of waiting on.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``SqlSensor(task_id="loaded", conn_id="shop", sql="SELECT count(*) > 0 FROM orders")``
    """

    operator_name = "sql_sensor"
    template_fields = ("sql", "parameters", "conn_id")
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        task_id: str,
        *,
        sql: str | Reference,
        conn_id: str | Reference,
        parameters: Sequence[Any] | Mapping[str, Any] | Reference | None = None,
        success: Callable[[Any], Any] | None = None,
        failure: Callable[[Any], Any] | None = None,
        selector: Callable[[tuple[Any, ...]], Any] = itemgetter(0),
        fail_on_empty: bool = False,
        **options: Any,
    ) -> None:
        self.sql: Any = sql
        self.conn_id: Any = conn_id
        self.parameters: Any = parameters
        self.success = success
        self.failure = failure
        self.selector = selector
        self.fail_on_empty = fail_on_empty
        super().__init__(task_id, **options)
        check_conn_id(self, conn_id)
        check_sql(self, sql)
        for name in ("success", "failure", "selector"):
            function = getattr(self, name)
            if not callable(function) and (function is not None or name == "selector"):
                raise self.refusal(f"{name} is {function!r}, no function")

    def poke(self, context: Context) -> PokeReturn:
        """Ask the database.

        Args:
            context: Of the attempt.

        Raises:
            Fail: If ``failure`` says so.
            ExecutionError: If there is no row, and ``fail_on_empty``.
        """
        row = hook_of(context, self.conn_id, SqlHook, _NO_SQL).get_first(self.sql, self.parameters)
        if row is None:
            if self.fail_on_empty:
                raise ExecutionError(f"{self.node_id!r}: the query found no row")
            return PokeReturn(is_done=False)
        cell = self.selector(row)
        if self.failure is not None and self.failure(cell):
            raise Fail(f"{self.node_id!r}: {cell!r} means that there is nothing to wait for")
        return PokeReturn(bool(cell if self.success is None else self.success(cell)), cell)


def check_sql(operator: Operator, sql: object) -> None:
    """Refuse what cannot be SQL.

    Raises:
        InvalidArgument: If it is neither text nor a list of texts.
    """
    texts = list(sql) if isinstance(sql, list | tuple) else [sql]
    is_text = all(isinstance(text, str) and text.strip() for text in texts)
    if not texts or not (is_text or isinstance(sql, Reference)):
        raise operator.refusal(f"sql is {sql!r}, neither text nor a list of texts")

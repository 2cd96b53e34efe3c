"""This module must pass the type checkers as it is: what users write."""

from datetime import datetime, timedelta

from ostinato import (
    DAG,
    BashOperator,
    Context,
    EmptyOperator,
    Label,
    Operator,
    Param,
    PythonOperator,
    Resource,
    TaskGroup,
    TriggerRule,
    chain,
    dag,
    task,
    task_group,
)


class Warehouse(Resource):
    path = "db"


class Greet(Operator):
    template_fields = ("name",)

    def __init__(self, task_id: str, name: str) -> None:
        self.name = name
        super().__init__(task_id, retries=2, retry_delay="5m")

    def execute(self, context: Context) -> str:
        return f"hello {self.name} on {context.ds}"


@task
def extract(day: str, context: Context) -> list[int]:
    context.logger.info("extracting %s", day)
    return [1, 2]


@task(retries=3, retry_delay=timedelta(minutes=1), trigger_rule=TriggerRule.ALL_DONE, pool="db")
def load(rows: list[int], store: Warehouse | None = None) -> int:
    return len(rows)


@task.branch
def choose(count: int) -> str:
    return "a" if count else "b"


@task.short_circuit(ignore_downstream_trigger_rules=False, retries=1)
def check(count: int) -> bool:
    return count > 0


@task.sensor(poke_interval=60, timeout="1h", mode="reschedule")
def wait(day: str) -> bool:
    return bool(day)


@task.bash(env={"A": 1})
def shell() -> str:
    return "true"


@task_group
def clean(rows: list[int]) -> object:
    return load(rows)


@dag(schedule="@daily", start_date=datetime(2025, 1, 1), default_args={"retries": 2})  # noqa: DTZ001 - naive
def etl(day: str, rows: int = Param(10, minimum=1)) -> None:
    extracted = extract(day)
    loaded = load(extracted)
    choose(loaded) >> [EmptyOperator(task_id="a"), EmptyOperator(task_id="b")]
    load.partial(store=None).expand(rows=[[1], [2]])
    clean.expand(rows=extracted)
    wait(day) >> Label("then") >> check.override(retries=2)(loaded) >> shell()


flow: DAG = etl()
count: int = load.function([1, 2])
code: str = Greet("greet", name="you").execute.__name__

with DAG("objects", schedule=timedelta(hours=1), tags=["a"], catchup=False) as objects:
    a = BashOperator(task_id="a", bash_command="echo a", cwd="/", retries=2)
    b = PythonOperator(task_id="b", python_callable=print, op_args=[a.output])
    with TaskGroup("g") as g:
        c = EmptyOperator(task_id="c", execution_timeout=5)
    a >> [b, g] >> EmptyOperator(task_id="d")
    chain(a, [b, c], Label("x"))

run = objects.run(date=datetime(2025, 1, 1), x=5)  # noqa: DTZ001 - naive
result: object = run.raise_for_state().result("b")

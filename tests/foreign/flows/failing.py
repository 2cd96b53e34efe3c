"""Declare tasks that fail, are tried again and are cleaned up after."""

from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir

from ostinato import Fail, Skip, dag, task
from ostinato.operators import BashOperator, EmptyOperator, PythonOperator


def broken() -> None:
    raise ValueError("as it should be")


@dag(max_active_tasks=4, timeout=timedelta(hours=1))
def failing() -> None:
    @task(retries=2, retry_delay=timedelta(seconds=0))
    def second_time(run_id: str) -> str:
        mark = Path(gettempdir()) / f"ostinato-{abs(hash(run_id))}"
        if not mark.exists():
            mark.touch()
            raise RuntimeError("the first time")
        mark.unlink()
        return "the second time"

    @task(retries=3)
    def hopeless() -> None:
        raise Fail("no use in trying")

    @task
    def left_out() -> None:
        raise Skip("not today")

    fails = PythonOperator(task_id="fails", python_callable=broken)
    skips = BashOperator(task_id="skips", bash_command="exit 99")
    after = EmptyOperator(task_id="after")
    rules = {
        rule: EmptyOperator(task_id=rule, trigger_rule=rule)
        for rule in ("all_done", "one_failed", "all_failed", "none_skipped", "one_success")
    }
    fails >> after
    [fails, skips, second_time()] >> rules["all_done"]
    [fails, skips] >> rules["one_failed"]
    fails >> rules["all_failed"]
    [fails, left_out()] >> rules["none_skipped"]
    [hopeless(), EmptyOperator(task_id="fine")] >> rules["one_success"]
    up = EmptyOperator(task_id="up").as_setup()
    work = PythonOperator(task_id="work", python_callable=broken)
    down = EmptyOperator(task_id="down").as_teardown(setups=up)
    up >> work >> down


failing()

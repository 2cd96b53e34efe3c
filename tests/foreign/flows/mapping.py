"""Declare mapped tasks, items of results, and what functions are given unasked."""

import json
from datetime import timedelta

from ostinato import Context, dag, task
from ostinato.operators import BashOperator, PythonOperator

RATES = {"EUR": 1.0, "USD": 1.1}


def rate(currency: str) -> float:
    """Look a rate up."""
    return RATES[currency]


def shout(text: str) -> str:
    return text.upper()


@dag(schedule=timedelta(hours=6), params={"limit": 2})
def mapping(currency: str = "USD", limit: int = 2) -> None:
    factor = 10

    @task
    def extract(count: int, unit: str) -> list[int]:
        return [number * int(rate(unit) * factor) for number in range(1, count + 1)]

    @task(max_active=1)
    def double(number: int, *, scale: int = 1, word: str = "") -> dict[str, int]:
        assert word in ("A", "B"), word
        return {"value": number * 2 * scale}

    @task
    def total(values: list[int], *, context: Context) -> dict[str, object]:
        context.logger.info("adding up for %s", context.ds)
        found = {"total": sum(values), "parts": list(values), "limit": context.params["limit"]}
        return dict(json.loads(json.dumps(found)))

    @task
    def check(amount: int, *, first: int, options: dict[str, object]) -> None:
        assert (amount, first) == (264, 22), (amount, first)
        assert options == {"currency": "USD", "more": [22, "plain"]}, options

    @task
    async def waits(ds: str) -> str:
        return ds

    @task.bash
    def command(number: int) -> str:
        return f"test {number} = 11"

    words = ["a", "b"]
    numbers = extract(limit, currency)
    doubled = double.partial(scale=2).expand(number=numbers, word=shouted(words))
    found = total(doubled["value"])
    first = found["parts"]
    # Two numbers by two words: 2 * (44 + 88).
    check(
        found["total"],
        first=PythonOperator(
            task_id="half", python_callable=lambda parts: parts[0] // 2, op_args=[first]
        ).output,
        options={"currency": currency, "more": [numbers[1], "plain"]},
    )
    waits()
    command(numbers[0])
    BashOperator.partial(task_id="says", env={"WHO": "{{ params.currency }}"}).expand(
        bash_command=["test $WHO = USD", "true"]
    )


@task
def shouted(words: list[str]) -> list[str]:
    return [shout(word) for word in words]


mapping()

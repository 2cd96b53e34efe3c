"""This module is the hello run of Ostinato."""

from ostinato import dag, task


@task
def greet() -> None:
    print("hello")


@dag
def hello() -> None:
    greet()


hello()

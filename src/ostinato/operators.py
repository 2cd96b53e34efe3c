"""This module is where users look for operators and sensors."""

from ostinato.authoring.operators.bash import BashOperator
from ostinato.authoring.operators.branch import BranchOperator, BranchPythonOperator
from ostinato.authoring.operators.empty import EmptyOperator
from ostinato.authoring.operators.operator import BaseOperator, Operator
from ostinato.authoring.operators.python import PythonOperator
from ostinato.authoring.operators.sensor import (
    BaseSensorOperator,
    PokeReturn,
    PythonSensor,
    Sensor,
)
from ostinato.authoring.operators.short_circuit import ShortCircuitOperator

__all__ = [
    "BaseOperator",
    "BaseSensorOperator",
    "BashOperator",
    "BranchOperator",
    "BranchPythonOperator",
    "EmptyOperator",
    "Operator",
    "PokeReturn",
    "PythonOperator",
    "PythonSensor",
    "Sensor",
    "ShortCircuitOperator",
]

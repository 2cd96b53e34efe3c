"""Make up the orders of a day."""

import random

import pandas as pd


def main(ds):
    chance = random.Random(ds)
    ids = range(1, 21)
    return pd.DataFrame(
        {
            "order_id": ids,
            "customer_id": [chance.randint(1, 3) for _ in ids],
            "amount": [chance.randint(5, 50) for _ in ids],
        }
    )

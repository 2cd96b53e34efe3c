"""Check a sum as a script, with imports at its top."""

import math


def half(number: float) -> int:
    return math.floor(number / 2)


if __name__ == "__main__":
    assert half(17) == 8

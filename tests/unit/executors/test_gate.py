"""This module tests who is let into a coordinator."""

import threading

from ostinato.executors.gate import Gate


def enters_elsewhere(gate: Gate) -> bool:
    """Return whether another thread could come in."""
    found: list[bool] = []

    def enter() -> None:
        found.append(gate.enter_nowait())
        if found[0]:
            gate.__exit__()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return found[0]


def test_one_thread_is_inside_as_often_as_it_likes() -> None:
    gate = Gate()

    with gate, gate:
        assert not enters_elsewhere(gate)
        assert gate.enter_nowait()
        gate.__exit__()
        assert not enters_elsewhere(gate)

    assert enters_elsewhere(gate)


def test_others_come_in_while_a_thread_is_outside_for_a_while() -> None:
    gate = Gate()

    with gate, gate:
        with gate.outside():
            assert enters_elsewhere(gate)
            with gate:
                assert not enters_elsewhere(gate)
            assert enters_elsewhere(gate)
        assert not enters_elsewhere(gate)

    assert enters_elsewhere(gate)


def test_a_thread_that_is_not_inside_leaves_nothing() -> None:
    gate = Gate()

    with gate.outside():
        assert enters_elsewhere(gate)

    assert enters_elsewhere(gate)

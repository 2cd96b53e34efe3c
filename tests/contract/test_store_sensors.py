"""This module holds every store to its contract: sensors, ticks, messages, ends of runs."""

from ostinato.engine.events import RunEnded, RunStarted
from ostinato.model.identity import RunId
from ostinato.model.sensor_state import SensorState, TickRow
from ostinato.store.records import Batch, EventRow
from ostinato.store.sensors import KEPT_TICKS, PRUNE_EVERY
from tests.contract.conftest import START_US, House

TICK = TickRow(0, 10, 20, 1, "requested", "", 2, 1, "7,8", "printed")
SKIP = TickRow(0, 10, 20, 1, "skipped", "nothing new")


def ticked(house: House, tick: TickRow, cursor: str | None = None) -> bool:
    """Keep a tick of the one sensor."""
    sensors = house.store.sensors
    before = sensors.ensure("shop", "looks")
    after = before._replace(cursor=cursor, ticked_us=tick.ended_us, succeeded_us=tick.ended_us)
    return sensors.keep_tick(before, after, tick)


def test_sensor_is_begun_once(house: House) -> None:
    sensors = house.store.sensors

    first = sensors.ensure("shop", "looks", is_paused=True, cursor="a")
    second = house.other().sensors.ensure("shop", "looks", cursor="b")

    assert first == second == SensorState("shop", "looks", True, "a", 0, 0, 0, "", 0)
    assert sensors.all("shop") == [first]
    assert sensors.all("bank") == []
    assert sensors.find("shop", "other") is None


def test_tick_and_cursor_are_kept_together(house: House) -> None:
    sensors = house.store.sensors
    before = sensors.ensure("shop", "looks")
    after = before._replace(cursor="c", ticked_us=20, succeeded_us=20, last_run_key="k")

    assert sensors.keep_tick(before, after, TICK)

    assert sensors.find("shop", "looks") == after._replace(number=1)
    assert sensors.ticks("shop", "looks") == [TICK._replace(number=1)]


def test_tick_that_another_one_has_overtaken_changes_nothing(house: House) -> None:
    sensors = house.store.sensors
    before = sensors.ensure("shop", "looks")
    assert sensors.keep_tick(before, before._replace(cursor="first"), TICK)

    assert not sensors.keep_tick(before, before._replace(cursor="second"), TICK)

    state = sensors.find("shop", "looks")
    assert state is not None
    assert (state.cursor, state.number) == ("first", 1)
    assert len(sensors.ticks("shop", "looks")) == 1


def test_change_by_a_person_overtakes_a_tick(house: House) -> None:
    sensors = house.store.sensors
    before = sensors.ensure("shop", "looks")

    assert sensors.set_cursor("shop", "looks", "9")
    assert sensors.pause("shop", "looks", is_paused=True)

    assert not sensors.keep_tick(before, before._replace(cursor="c"), TICK)
    state = sensors.find("shop", "looks")
    assert state is not None
    assert (state.cursor, state.is_paused, state.number) == ("9", True, 2)
    assert not sensors.set_cursor("shop", "other", "9")
    assert not sensors.pause("shop", "other", is_paused=True)


def test_ticks_that_skip_for_one_reason_are_one_row(house: House) -> None:
    for tick in (SKIP, SKIP._replace(ended_us=30), SKIP._replace(reason="other"), TICK, SKIP):
        assert ticked(house, tick)

    assert house.store.sensors.ticks("shop", "looks") == [
        SKIP._replace(number=5),
        TICK._replace(number=4),
        SKIP._replace(number=3, reason="other"),
        SKIP._replace(number=1, ended_us=30, times=2),
    ]


def test_ticks_are_read_page_by_page(house: House) -> None:
    for _ in range(5):
        ticked(house, TICK)

    sensors = house.store.sensors
    assert [tick.number for tick in sensors.ticks("shop", "looks", limit=2)] == [5, 4]
    assert [tick.number for tick in sensors.ticks("shop", "looks", before=4, limit=9)] == [3, 2, 1]


def test_old_ticks_are_forgotten(house: House) -> None:
    for _ in range(KEPT_TICKS + PRUNE_EVERY):
        ticked(house, TICK)

    kept = house.store.sensors.ticks("shop", "looks", limit=10_000)

    assert [kept[0].number, kept[-1].number] == [KEPT_TICKS + PRUNE_EVERY, PRUNE_EVERY + 1]


def test_message_is_kept_once_until_its_runs_are_there(house: House) -> None:
    sensors = house.store.sensors

    assert sensors.receive("shop", "webhook orders", "m1", b"{}")
    assert not house.other().sensors.receive("shop", "webhook orders", "m1", b"{}")
    assert sensors.receive("shop", "webhook orders", "m2", b"7")
    assert sensors.receive("shop", "webhook other", "m1", b"[]")

    found = sensors.messages("shop", "webhook orders")
    assert [(each.message_id, each.body, each.received_us) for each in found] == [
        ("m1", b"{}", START_US),
        ("m2", b"7", START_US),
    ]
    sensors.forget_messages([found[0].id])
    assert sensors.messages("shop", "webhook orders") == found[1:]


def test_files_are_known_until_they_are_gone(house: House) -> None:
    sensors = house.store.sensors
    sensors.note_files("shop", "files in/*", arrived=["a", "b"], gone=[])
    sensors.note_files("shop", "files other", arrived=["c"], gone=[])

    sensors.note_files("shop", "files in/*", arrived=["b", "c"], gone=["a", "d"])

    assert house.other().sensors.seen_files("shop", "files in/*") == {"b", "c"}


def test_events_of_runs_are_read_without_those_of_their_task_runs(house: House) -> None:
    run = house.run()
    batch = Batch()
    ended = RunEnded(5, "succeeded")
    batch.events += [
        EventRow(run.id, "", "", 1, RunStarted(1)),
        EventRow(run.id, "a", "", 2, RunStarted(2)),
        EventRow(run.id, "", "", 5, ended),
    ]
    before = house.store.event_cursor()
    house.store.commit(batch, house.lease)

    events = house.store.events(after=before, of_runs=True)

    assert [(event.run_id, event.task_id) for event in events] == [(RunId(run.id), "")] * 2
    assert events[-1].event == ended
    assert house.store.events(after=events[0].cursor, of_runs=True) == events[1:]
    assert house.store.events(after=house.store.event_cursor(), of_runs=True) == []

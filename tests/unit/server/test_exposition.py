"""What is written is read by Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from ostinato.model.measure import Histogram, Measure, counter, gauge, histogram
from ostinato.server.exposition import exposition


def read(*measures: Measure) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(measures))
        for sample in family.samples
    }


def test_counters_and_gauges_are_written_with_their_labels() -> None:
    found = read(
        counter("runs_ended", "Runs that ended.", {(("flow", "etl"), ("state", "failed")): 3}),
        gauge("live_runs", "Runs that go on.", {(): 2.5}),
    )

    assert found == {
        ("ostinato_runs_ended_total", (("flow", "etl"), ("state", "failed"))): 3.0,
        ("ostinato_live_runs", ()): 2.5,
    }


def test_odd_characters_in_labels_come_back_as_they_were() -> None:
    odd = 'a "flow"\\with\nlines'

    found = read(gauge("live_runs", 'Of a\n"flow" \\.', {(("flow", odd),): 1}))

    assert found == {("ostinato_live_runs", (("flow", odd),)): 1.0}


def test_buckets_of_a_histogram_add_up() -> None:
    delays = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        delays.add(seconds)

    found = read(histogram("delay_seconds", "How long.", {(): delays}))

    assert found == {
        ("ostinato_delay_seconds_bucket", (("le", "0.1"),)): 2.0,
        ("ostinato_delay_seconds_bucket", (("le", "1"),)): 3.0,
        ("ostinato_delay_seconds_bucket", (("le", "+Inf"),)): 4.0,
        ("ostinato_delay_seconds_count", ()): 4.0,
        ("ostinato_delay_seconds_sum", ()): 7.65,
    }


def test_measures_of_one_name_from_two_parts_are_one_family() -> None:
    text = exposition(
        [gauge("live_runs", "Runs.", {(("part", part),): 1}) for part in ("worker", "scheduler")]
    )

    assert text.count("# TYPE ostinato_live_runs gauge") == 1

"""What ``alerts`` in ``ostinato.yaml`` may say, and what is wrong with what it says."""

from pathlib import Path

import pytest

from ostinato.errors import SettingsError
from ostinato.model.alert import AlertRule, Alerts, Channel, QuietTime
from ostinato.model.notice import Moment
from ostinato.project.alert_settings import read_alerts
from ostinato.project.settings_file import read_settings

GIVEN = """\
timezone: Europe/Berlin
alerts:
  channels:
    team: json://localhost/hook
    oncall: [mailto://a, "${B}"]
    ops: {connection: slack}
  rules:
    - on: failure
      channels: team
    - on: [failure, deadline]
      name: night
      channels: [team, oncall]
      flows: etl_*
      tags: [prod]
      every: 1h
      quiet: {from: 22:00, to: "07:00", days: [sat, mon], then: drop}
"""


def read(folder: Path, text: str) -> Alerts:
    (folder / "ostinato.yaml").write_text(text)
    settings = read_settings(folder / "ostinato.yaml", overrides={}, environ={})
    return read_alerts(settings.alerts, settings.timezone)


def test_channels_and_rules_are_read(tmp_path: Path) -> None:
    alerts = read(tmp_path, GIVEN)

    assert alerts.channels == {
        "team": Channel("team", ("json://localhost/hook",)),
        "oncall": Channel("oncall", ("mailto://a", "${B}")),
        "ops": Channel("ops", connection="slack"),
    }
    assert alerts.rules == (
        AlertRule("rule 1", (Moment.FAILURE,), ("team",)),
        AlertRule(
            "night",
            (Moment.FAILURE, Moment.DEADLINE),
            ("team", "oncall"),
            flows=("etl_*",),
            tags=("prod",),
            every_s=3600,
            quiet=QuietTime(22 * 60, 7 * 60, "Europe/Berlin", (0, 5), is_dropped=True),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "on: failure\n",
            "on: failed\n",
            "8: alerts.rules.0.on: there is no 'failed' (did you mean 'failure'?)",
        ),
        (
            "[failure, deadline]",
            "[failure, nights]",
            "10: alerts.rules.1.on.1: there is no 'nights'",
        ),
        (
            "channels: team\n",
            "channels: taem\n",
            "9: alerts.rules.0.channels: there is no channel 'taem' (did you mean 'team'?)",
        ),
        ("channels: team\n", "channels: []\n", "9: alerts.rules.0.channels: names no channel"),
        ("every: 1h", "every: soon", "15: alerts.rules.1.every: 'soon' is no duration"),
        (
            "every: 1h",
            "evry: 1h",
            "15: unknown key 'evry' in 'alerts.rules.1' (did you mean 'every'?)",
        ),
        ("to: ", "too: ", "16: unknown key 'too' in 'alerts.rules.1.quiet'"),
        ("[sat, mon]", "[sat, moon]", "16: alerts.rules.1.quiet.days.1: there is no 'moon'"),
        ("then: drop", "then: wait", "16: alerts.rules.1.quiet.then: there is no 'wait'"),
        (
            "22:00",
            '"24:00"',
            '16: alerts.rules.1.quiet.from: is no time of day (such as "22:00")',
        ),
        ("22:00", "noon", "16: alerts.rules.1.quiet.from: is no time of day"),
        (
            "then: drop",
            "timezone: Mars/X",
            "16: alerts.rules.1.quiet.timezone: there is no time zone 'Mars/X'",
        ),
        (
            '{from: 22:00, to: "07:00", days: [sat, mon], then: drop}',
            '{from: "07:00", to: "07:00"}',
            "16: alerts.rules.1.quiet: never ends",
        ),
        ("name: night", "name: rule 1", "11: alerts.rules.1.name: 'rule 1' is the name of two"),
        ("json://localhost/hook", "5", "4: alerts.channels.team: must be str | object | array"),
        ("json://localhost/hook", "nowhere", "4: alerts.channels.team: is no URL (such as"),
        ("json://localhost/hook", "[]", "4: alerts.channels.team: has no URL"),
        ("ops: {connection: slack}", '"o[1]": json://x', "6: alerts.channels.o[1]: has a bracket"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GIVEN
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, GIVEN.replace(old, new, 1))

    assert str(caught.value).startswith(f"{tmp_path}/ostinato.yaml:{message}")


def test_a_whole_day_may_be_quiet_and_end_at_midnight(tmp_path: Path) -> None:
    quiet = '{from: "00:00", to: "24:00", days: sun}'
    old = '{from: 22:00, to: "07:00", days: [sat, mon], then: drop}'

    alerts = read(tmp_path, GIVEN.replace(old, quiet))

    assert alerts.rules[1].quiet == QuietTime(0, 0, "Europe/Berlin", (6,))


def test_no_message_shows_a_url(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, GIVEN.replace("json://localhost/hook", "s3cret"))

    assert "s3cret" not in str(caught.value)


def test_an_environment_has_channels_of_its_own(tmp_path: Path) -> None:
    text = (
        GIVEN + "environments:\n  laptop:\n    alerts:\n      channels:\n        team: json://x\n"
    )
    (tmp_path / "ostinato.yaml").write_text(text)

    settings = read_settings(
        tmp_path / "ostinato.yaml", overrides={}, environ={"OSTINATO_ENVIRONMENT": "laptop"}
    )

    assert settings.alerts.channels["team"] == "json://x"
    assert len(settings.alerts.channels) == 3

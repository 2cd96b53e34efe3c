"""The message of an alert, what it is sent by, and what nobody may see of a channel."""

from typing import Any

import pytest

from ostinato.authoring.notifiers import Notifier
from ostinato.errors import AlertNotSent, InvalidArgument, MissingPackage, UnknownConnection
from ostinato.model.alert import Channel
from ostinato.model.connection import Connection
from ostinato.model.notice import MESSAGE_NAMES, Moment
from ostinato.runtime import alert_messages
from ostinato.runtime.alert_messages import (
    mask_url,
    resolve_urls,
    secrets_of,
    send_message,
    usual_body,
    usual_title,
)
from ostinato.runtime.context import TaskContext
from ostinato.runtime.notices import OWN_NAMES


def no_connection(conn_id: str) -> Connection:
    raise UnknownConnection(f"there is no connection {conn_id!r}")


def names(**given: Any) -> dict[str, Any]:
    usual = {
        "moment": "failure",
        "run_name": "etl#17",
        "task_run": "load[3]",
        "reason": "",
        "error": "etl.py:3: ValueError: bad",
        "try_number": 1,
        "ts": "2025-01-31T00:00:00+00:00",
        "command": "ostinato show 'etl#17' 'load[3]'",
    }
    return usual | given


def test_every_moment_has_a_usual_title() -> None:
    titles = {moment: usual_title(names(moment=moment.value)) for moment in Moment}

    assert titles[Moment.RETRY] == "etl#17: load[3] failed and is tried again"
    assert usual_title(names(moment="deadline", task_run="")) == "etl#17 is late"
    assert len(set(titles.values())) >= len(Moment) - 2


def test_a_usual_body_says_each_thing_once() -> None:
    same = "etl.py:3: ValueError: bad"

    assert usual_body(names(reason=same, try_number=3)).splitlines() == [
        same,
        "attempt 3",
        "logical date 2025-01-31T00:00:00+00:00",
        "look at it: ostinato show 'etl#17' 'load[3]'",
    ]


def test_names_that_templates_are_promised_are_there() -> None:
    context = {name for name, member in vars(TaskContext).items() if not callable(member)}

    assert context | OWN_NAMES.keys() >= MESSAGE_NAMES
    assert OWN_NAMES.keys() <= MESSAGE_NAMES | {"task", "max_tries"}


@pytest.mark.parametrize(
    ("url", "secrets", "plain"),
    [
        (
            "mailto://ann:pa55@mail.shop.test?to=b@shop.test",
            {"pa55"},
            {"mail.shop.test", "ann"},
        ),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazk/", {"T1JJ3T3L2", "A1BRTD4JD"}, set()),
        ("json://localhost:8080/hooks?token=abc123xyz", {"abc123xyz"}, {"localhost", "hooks"}),
        ("json://ann:p%40ss@localhost", {"p%40ss", "p@ss"}, {"ann"}),
        ("pover://user@averyveryverylongtoken", {"user@averyveryverylongtoken"}, {"user"}),
        ("json://[::1", set(), set()),
    ],
)
def test_what_may_be_secret_of_a_url_is_masked(
    url: str, secrets: set[str], plain: set[str]
) -> None:
    found = set(secrets_of(url))

    assert found >= secrets | {url}
    assert not found & plain
    assert mask_url(f"cannot reach {url}", url) == "cannot reach ***"


def test_variables_are_filled_in_where_a_url_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel("team", ("slack://${TOKEN_OF_TEAM}/data", "json://host"))
    with pytest.raises(AlertNotSent, match="needs the variable TOKEN_OF_TEAM, which is not set"):
        resolve_urls(channel, no_connection)

    monkeypatch.setenv("TOKEN_OF_TEAM", "T0")

    assert resolve_urls(channel, no_connection) == ("slack://T0/data", "json://host")


def test_a_connection_is_a_url_or_holds_one() -> None:
    channel = Channel("ops", connection="ops")
    plain = Connection.from_uri("json://host:8080/hook", "ops")
    holding = Connection("ops", "generic", extra={"url": "slack://T0/data"})

    assert resolve_urls(channel, lambda _: plain) == ("json://host:8080/hook",)
    assert resolve_urls(channel, lambda _: holding) == ("slack://T0/data",)
    with pytest.raises(UnknownConnection):
        resolve_urls(channel, no_connection)


def test_a_channel_that_was_taken_away_is_named() -> None:
    with pytest.raises(AlertNotSent, match="channel 'team' is no longer declared"):
        resolve_urls(Channel("team"), no_connection)


def test_all_urls_are_tried_and_what_went_wrong_is_told_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[str, ...]] = []

    def send(*message: str) -> None:
        sent.append(message)
        if "bad" in message[0]:
            raise ConnectionError(f"cannot reach {message[0]}")

    # Foreign code, found by its entry point.
    monkeypatch.setattr(alert_messages, "sender_for", lambda url: send)
    channel = Channel("team", ("x://bad/t0ken1", "x://good"))

    with pytest.raises(AlertNotSent) as caught:
        send_message(channel, ("title", "body"), no_connection)

    assert caught.value.message == (
        "channel 'team' was not reached: ConnectionError: cannot reach ***"
    )
    assert sent[1] == ("x://good", "title", "body")


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)

    with pytest.raises(MissingPackage, match=r"pip install 'ostinato\[alerts\]'"):
        send_message(Channel("team", ("json://host",)), ("title", "body"), no_connection)


@pytest.mark.parametrize("wrong", [{"target": ""}, {"target": 5}, {"target": "a", "title": None}])
def test_a_notifier_takes_text(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="Notifier takes text as its"):
        Notifier(**wrong)


def test_a_notifier_shows_no_url() -> None:
    assert repr(Notifier("slack://s3cret")) == "Notifier('slack://…')"
    assert repr(Notifier("${HOOK}")) == "Notifier('${…}')"
    assert Notifier("team").declare(Moment.FAILURE).channel == "team"
    assert Notifier("json://x").declare(Moment.FAILURE).channel == ""

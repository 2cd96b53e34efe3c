"""Alerts really reach somebody: a mail server, a webhook; also when others do not listen."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from tests.cli.conftest import Ostinato

pytestmark = pytest.mark.slow

FLOW = """\
from ostinato import Notifier, dag, task


@dag(tags=["prod"])
def etl():
    @task
    def load():
        raise ValueError("row 3 is bad")

    load()


@dag(on_success=Notifier("team", title="{{ run_name }} is ready", body="{{ params.day }}"))
def report(day: str = "today"):
    @task
    def draw():
        return 1

    draw()


etl()
report()
"""


class Hook:
    """A web hook that keeps what it is sent.

    Attributes:
        received: What came, as JSON.
        status: What it answers.
        is_open: Set while it answers at all.
    """

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self.is_open = threading.Event()
        self.is_open.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                hook.received.append(json.loads(self.rfile.read(size)))
                hook.is_open.wait(30)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/s3cret-t0ken"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.received]

    def close(self) -> None:
        self.is_open.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def configure(folder: Path) -> Callable[..., None]:
    """Write a project with channels, and rules that send failures to all of them."""

    def write(*rules: dict[str, Any], **channels: Any) -> None:
        given = [*rules] or [{"on": ["failure", "run_failure"], "channels": list(channels)}]
        settings = {"name": "shop", "flows": ["etl.py"]}
        alerts = {"channels": channels, "rules": given}
        # JSON is YAML.
        (folder / "ostinato.yaml").write_text(json.dumps({**settings, "alerts": alerts}))
        (folder / "etl.py").write_text(FLOW)

    return write


Configure = Callable[..., None]


def notices(ostinato: Ostinato, run: str = "etl") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ostinato("show", run, "--format", "json").json["notices"]
    return found


def kept_files(folder: Path) -> Iterator[Path]:
    """Yield all that a project has written down."""
    yield from (path for path in (folder / ".ostinato").rglob("*") if path.is_file())


def test_a_web_hook_is_told_and_its_secret_is_nowhere(
    hook: Hook, configure: Configure, ostinato: Ostinato, folder: Path
) -> None:
    configure(team="${TEAM_HOOK}")

    ostinato("run", "etl", code=1, variables={"TEAM_HOOK": hook.url})

    assert sorted(hook.titles) == ["etl#1 failed", "etl#1: load failed"]
    message = next(each["message"] for each in hook.received if ":" in each["title"])
    assert "etl.py:8: ValueError: row 3 is bad" in message
    assert "ostinato show 'etl#1' 'load'" in message
    assert [each["state"] for each in notices(ostinato)] == ["done", "done"]
    assert all(b"s3cret-t0ken" not in path.read_bytes() for path in kept_files(folder))


def test_a_mail_server_is_told(configure: Configure, ostinato: Ostinato) -> None:
    mails: list[Any] = []

    class Keep(Message):
        def handle_message(self, message: Any) -> None:
            mails.append(message)

    controller = Controller(Keep(), hostname="127.0.0.1", port=closed_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?mode=insecure&from=a@shop.test&to=b@shop.test"
        configure({"on": "failure", "channels": "mail"}, mail=url)

        ostinato("run", "etl", code=1)
    finally:
        controller.stop()

    (mail,) = mails
    assert mail["Subject"] == "etl#1: load failed"
    assert "row 3 is bad" in str(mail)


def test_a_channel_that_is_down_keeps_no_other_waiting_and_is_tried_later(
    hook: Hook, configure: Configure, ostinato: Ostinato, folder: Path, begin: Any
) -> None:
    nowhere = f"json://127.0.0.1:{closed_port()}/s3cret-t0ken"
    configure({"on": "failure", "channels": ["down", "team"]}, down=nowhere, team=hook.url)

    process = begin("run", "etl")
    while not hook.received or "tried again" not in ostinato("show", "etl").out:
        time.sleep(0.05)
    # The first Ctrl-C ends the wait for the channel: the run itself has ended.
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "etl#1 failed" in output
    down, team = notices(ostinato)
    assert (team["state"], down["state"]) == ("done", "pending")
    assert down["tries"] >= 1
    assert down["failure"]["message"].startswith("channel 'down' was not reached: ")
    assert all(b"s3cret-t0ken" not in path.read_bytes() for path in kept_files(folder))


def test_a_channel_that_hangs_keeps_neither_tasks_nor_others_waiting(
    hook: Hook, configure: Configure, ostinato: Ostinato, begin: Any
) -> None:
    stuck = Hook()
    stuck.is_open.clear()
    url = f"{stuck.url}?rto=25&cto=25"
    try:
        configure({"on": "failure", "channels": ["stuck", "team"]}, stuck=url, team=hook.url)
        process = begin("run", "etl")
        while not hook.received or not stuck.received:
            assert process.poll() is None
            time.sleep(0.02)

        assert ostinato("show", "etl", "--format", "json").json["state"] == "failed"
    finally:
        stuck.close()
    process.communicate(timeout=30)
    assert [each["state"] for each in notices(ostinato)] == ["done", "done"]


def test_what_a_killed_process_did_not_send_is_sent_by_hand(
    hook: Hook, configure: Configure, ostinato: Ostinato, begin: Any
) -> None:
    configure({"on": "failure", "channels": "team"}, team=f"{hook.url}?rto=25")
    hook.is_open.clear()
    process = begin("run", "etl")
    while not hook.received:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hook.is_open.set()
    assert [each["state"] for each in notices(ostinato)] == ["pending"]

    ostinato("alerts", "send")

    assert hook.titles == ["etl#1: load failed"] * 2
    assert [each["state"] for each in notices(ostinato)] == ["done"]


def test_what_was_not_sent_is_sent_by_the_next_run_of_any_flow(
    hook: Hook, configure: Configure, ostinato: Ostinato, begin: Any
) -> None:
    configure({"on": "failure", "channels": "team"}, team=f"{hook.url}?rto=25")
    hook.is_open.clear()
    process = begin("run", "etl")
    while not hook.received:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hook.is_open.set()

    ostinato("run", "report")

    assert sorted(hook.titles[1:]) == ["etl#1: load failed", "report#1 is ready"]


def test_an_alert_is_not_repeated_in_the_next_command(
    hook: Hook, configure: Configure, ostinato: Ostinato
) -> None:
    configure({"on": "failure", "channels": "team", "every": "1h"}, team=hook.url)

    ostinato("run", "etl", code=1)
    ostinato("run", "etl", code=1)

    assert hook.titles == ["etl#1: load failed"]


def test_a_notifier_sends_to_a_channel_of_the_project(
    hook: Hook, configure: Configure, ostinato: Ostinato
) -> None:
    configure({"on": "failure", "channels": "team"}, team=hook.url)

    ostinato("run", "report", "-p", "day=monday")

    assert [(each["title"], each["message"]) for each in hook.received] == [
        ("report#1 is ready", "monday")
    ]


def test_a_channel_leads_to_a_connection(
    hook: Hook, configure: Configure, ostinato: Ostinato
) -> None:
    configure({"on": "failure", "channels": "ops"}, ops={"connection": "ops_hook"})

    ostinato("run", "etl", code=1, variables={"OSTINATO_CONN_OPS_HOOK": hook.url})

    assert hook.titles == ["etl#1: load failed"]


def test_a_variable_that_is_not_set_is_named(configure: Configure, ostinato: Ostinato) -> None:
    configure(team="${TEAM_HOOK}")

    said = ostinato("alerts", "test", "team", code=2).err

    assert said == "error: channel 'team' needs the variable TEAM_HOOK, which is not set\n"


# The command


def test_a_channel_can_be_tried(hook: Hook, configure: Configure, ostinato: Ostinato) -> None:
    configure(team=hook.url)

    assert ostinato("alerts", "test", "team").out == "sent to team\n"
    assert ostinato("alerts", "test", hook.url).out == "sent to of this URL\n"
    assert hook.titles == ["Ostinato reaches you"] * 2


def test_what_is_wrong_with_a_channel_is_said_without_its_secret(
    hook: Hook, configure: Configure, ostinato: Ostinato
) -> None:
    configure(team=hook.url, wrong="nothing://s3cret-t0ken")
    hook.status = 503

    refused = ostinato("alerts", "test", "team", code=2).err
    wrong = ostinato("alerts", "test", "wrong", code=2).err
    unknown = ostinato("alerts", "test", "taem", code=2).err

    assert "channel 'team' was not reached: " in refused
    assert "503" in refused or "Service Unavailable" in refused
    assert "Apprise takes no such URL of nothing://" in wrong
    assert "s3cret" not in refused + wrong
    assert unknown == "error: there is no channel 'taem' (did you mean 'team'?)\n"


def test_channels_and_rules_are_listed_without_secrets(
    configure: Configure, ostinato: Ostinato
) -> None:
    rule = {"on": "failure", "channels": ["team", "ops"], "flows": "etl_*", "every": "1h"}
    configure(rule, team=["slack://s3cret", "${HOOK}"], ops={"connection": "ops_hook"})

    said = ostinato("alerts", "list").out
    as_json = ostinato("alerts", "list", "--format", "json").json

    assert "team  slack://…, ${…}" in said
    assert "connection ops_hook" in said
    assert "flows etl_*" in said
    assert "s3cret" not in said + json.dumps(as_json)
    assert as_json["rules"][0]["every_s"] == 3600


def test_a_template_is_checked_before_anything_fails(
    configure: Configure, ostinato: Ostinato
) -> None:
    rule = {"on": "failure", "channels": "team", "title": "{{ flow }", "body": "{{ taks_id }}"}
    configure(rule, team="json://localhost")

    said = ostinato("check", code=2).out

    assert "alerts.rules.0.title: " in said
    assert "'taks_id' is unknown (did you mean 'task_id'?)" in said


def test_a_notifier_of_an_unknown_channel_is_refused(
    configure: Configure, ostinato: Ostinato
) -> None:
    configure({"on": "failure", "channels": "crew"}, crew="json://localhost")

    said = ostinato("run", "report", code=2).err

    assert "etl.py:23: flow 'report' notifies 'team', which is no channel" in said

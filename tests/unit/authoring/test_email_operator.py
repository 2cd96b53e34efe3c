"""This module tests mail against a real server."""

import email
import email.policy
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from ostinato import DAG, EmailOperator, testing
from ostinato.errors import ExecutionError, InvalidArgument, UsageError
from tests.unit.authoring.fakes import FakeContext, FakeResolver, execute


class Box:
    """Keep what is delivered; refuse what is for nobody."""

    def __init__(self) -> None:
        self.delivered: list[Any] = []
        self.address = ""

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd calls it
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 unknown here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        self.delivered.append(envelope)
        return "250 OK"

    def read(self) -> EmailMessage:
        read = email.message_from_bytes(self.delivered[-1].content, policy=email.policy.default)
        assert isinstance(read, EmailMessage)
        return read


@pytest.fixture
def box() -> Iterator[Box]:
    box = Box()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    box.address = f"smtp://127.0.0.1:{port}?tls=none&from_email=shop@example.com"
    yield box
    controller.stop()


def send(box: Box, **options: Any) -> None:
    given = {"to": "a@example.com", "subject": "Hello", "html_content": "<b>Hi</b>", **options}
    execute(EmailOperator(task_id="tell", conn_id=box.address, **given))


def test_mail_reaches_all_and_hides_whom_it_should(box: Box) -> None:
    send(box, to="a@example.com; b@example.com", cc=["c@example.com"], bcc="d@example.com")

    (envelope,) = box.delivered
    assert envelope.mail_from == "shop@example.com"
    assert sorted(envelope.rcpt_tos) == [f"{name}@example.com" for name in "abcd"]
    assert box.read()["To"] == "a@example.com, b@example.com"
    assert box.read()["Cc"] == "c@example.com"
    assert box.read()["Bcc"] is None
    assert box.read()["Date"] == "Fri, 31 Jan 2025 00:00:00 +0000"


def test_mail_has_text_and_pictures_and_files(box: Box, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    (tmp_path / "odd.unknown").write_bytes(b"\0")

    send(
        box,
        text_content="Hi\n",
        from_email="me@example.com",
        files=[tmp_path / "rows.csv", str(tmp_path / "odd.unknown")],
        custom_headers={"X-Run": 7},
        subject="Größe\n 5",
    )

    message = box.read()
    bodies = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    assert [part and part.get_content().strip() for part in bodies.values()] == ["Hi", "<b>Hi</b>"]
    attached = [(part.get_filename(), part.get_content()) for part in message.iter_attachments()]
    assert attached == [("rows.csv", "a,b\n"), ("odd.unknown", b"\0")]
    assert (message["From"], message["X-Run"], message["Subject"]) == (
        "me@example.com",
        "7",
        "Größe 5",
    )


def test_plain_text_is_enough(box: Box) -> None:
    send(box, html_content=None, text_content="Hi")

    assert box.read().get_content_type() == "text/plain"


def test_retried_attempt_sends_the_same_mail(box: Box) -> None:
    send(box)
    first = box.read()["Message-ID"]
    send(box)

    assert box.read()["Message-ID"] == first
    assert box.read().get_content_type() == "text/html"


def test_refusal_is_an_error_in_one_line(box: Box) -> None:
    with pytest.raises(
        ExecutionError,
        match=r"^the mail to nobody@example\.com was not sent: nobody@example\.com: 550 unknown",
    ):
        send(box, to="nobody@example.com")


def test_server_that_is_not_there_is_an_error_in_one_line(box: Box) -> None:
    box.address = "smtp://127.0.0.1:1?tls=none&from_email=a@b.c"

    with pytest.raises(ExecutionError, match=r"^the mail to a@.* was not sent: .*refused"):
        send(box)


def test_missing_file_is_an_error(box: Box, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"none\.csv cannot be attached: No such file"):
        send(box, files=[tmp_path / "none.csv"])


def test_connection_must_send_mail() -> None:
    operator = EmailOperator(
        task_id="a", to="a@b.c", subject="", html_content="", conn_id="sqlite:///:memory:"
    )

    with pytest.raises(UsageError, match="has the type 'sqlite', which sends no mail"):
        execute(operator)


def test_templates_and_results_make_a_mail(box: Box, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text("<p>{{ ds }}</p>")
    with DAG("flow", params={"to": "team"}, template_searchpath=[str(tmp_path)]) as flow:
        EmailOperator(
            task_id="tell",
            to=["{{ params.to }}@example.com"],
            subject="On {{ ds }}",
            html_content="mail.html",
            conn_id=box.address,
        )

    testing.run(flow, date="2025-01-31").raise_for_state()

    assert box.read()["Subject"] == "On 2025-01-31"
    assert box.read()["To"] == "team@example.com"
    assert box.read().get_content().strip() == "<p>2025-01-31</p>"


def test_receivers_may_be_a_result(box: Box) -> None:
    with DAG("flow"):
        source = EmailOperator(task_id="source", to="a@b.c", subject="", html_content="")
        operator = EmailOperator(
            task_id="tell", to=source.output, subject="", html_content="", conn_id=box.address
        )

    execute(operator, FakeResolver({"source": ["b@example.com"]}), FakeContext())

    assert box.delivered[0].rcpt_tos == ["b@example.com"]
    with pytest.raises(InvalidArgument, match="to is 5, neither an address nor several"):
        execute(operator, FakeResolver({"source": 5}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": 5}, "to is 5, neither an address nor several"),
        ({"to": []}, "it is to nobody"),
        ({"cc": [5]}, r"cc is \[5\], neither"),
        ({"subject": None}, "subject is None, not text"),
        ({"html_content": None}, "it needs html_content, text_content or both"),
        ({"html_content": 5}, "html_content is 5, not text"),
        ({"files": "a.csv"}, "files are 'a.csv', not a list of paths"),
        ({"custom_headers": "a"}, "custom_headers are 'a', not a dict"),
        ({"conn_id": ""}, "conn_id is '', neither"),
        ({"attachments": []}, "takes no argument 'attachments'"),
    ],
)
def test_wrong_argument_is_told_with_its_line(options: Any, message: str) -> None:
    given = {"to": "a@b.c", "subject": "s", "html_content": "h", **options}
    with pytest.raises(InvalidArgument, match=rf"test_email_operator\.py:\d+: .*{message}"):
        EmailOperator(task_id="a", **given)

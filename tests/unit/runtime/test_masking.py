"""Secrets that have reached a process are hidden in all that is shown of it."""

from pathlib import Path

import msgspec
import pytest

from ostinato import testing
from ostinato.authoring.decorators import dag, task
from ostinato.clock import VirtualClock
from ostinato.model.layout import log_path
from ostinato.model.log import LogRecord
from ostinato.runtime import log_writer
from ostinato.runtime.context import get_current_context
from ostinato.runtime.failures import describe_failure
from ostinato.runtime.inputs import render_inputs
from ostinato.runtime.log_writer import MAX_LINE_CHARACTERS, AttemptLog
from ostinato.runtime.masking import Masker
from ostinato.runtime.messages import AttemptSpec

KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


@pytest.fixture
def masker(monkeypatch: pytest.MonkeyPatch) -> Masker:
    """The secrets of a process of its own."""
    made = Masker()
    for module in (
        "log_writer",
        "failures",
        "inputs",
        "context",
        "vault_access",
        "attempt",
        "capture",
    ):
        monkeypatch.setattr(f"ostinato.runtime.{module}.masker", made)
    return made


class Log:
    """The log of an attempt, and what is in its file."""

    def __init__(self, root: Path) -> None:
        spec = AttemptSpec(token=1, run_id=1, task_id="t")
        self.writer = AttemptLog(str(root), spec, VirtualClock(0))
        self._path = root / log_path(1, "t", (), 0, 1)

    @property
    def lines(self) -> list[str]:
        """What was written."""
        self.writer.close()
        records = msgspec.json.Decoder(LogRecord).decode_lines(self._path.read_bytes())
        return [record.message for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_text_without_secrets_stays_the_same_object() -> None:
    masker = Masker()
    text = "nothing to hide"

    assert masker.mask(text) is text
    assert masker.longest == 0


def test_secrets_are_hidden_wherever_they_stand() -> None:
    masker = Masker()
    masker.add(["s3cret", "s3cret-longer"])
    masker.add(["s3cret"])

    assert masker.mask("a s3cret-longer, s3crets3cret") == "a ***, ******"
    assert masker.longest == len("s3cret-longer")


@pytest.mark.parametrize("short", ["", "a", "ab", "    "])
def test_texts_that_are_everywhere_are_not_hidden(short: str) -> None:
    masker = Masker()
    masker.add([short])

    assert masker.mask("ab a    b") == "ab a    b"


@pytest.mark.parametrize("secret", ["a'b\"c", "tab\there", "back\\slash", "Ünï", "[x].*+"])
def test_secrets_are_hidden_as_repr_and_json_write_them(secret: str) -> None:
    masker = Masker()
    masker.add([secret])

    assert masker.mask(f"<{secret}>") == "<***>"
    assert masker.mask(repr({"p": secret})) in ("{'p': '***'}", "{'p': \"***\"}")
    assert masker.mask(msgspec.json.encode({"p": secret}).decode()) == '{"p":"***"}'


def test_lines_of_a_secret_are_hidden_one_by_one() -> None:
    masker = Masker()
    masker.add([KEY])

    assert masker.mask(f"<{KEY}>") == "<***>"
    assert masker.mask("x MIIEvQIBADANBg y") == "x *** y"
    # Too short to be told from other words.
    assert masker.mask("abc") == "abc"


def test_log_lines_are_masked(masker: Masker, log: Log) -> None:
    masker.add(["s3cret"])

    log.writer.write("INFO", "root", "a s3cret\nb s3cret")
    log.writer.write_stream("INFO", "stdout", "c s3cret\n")

    assert log.lines == ["a ***", "b ***", "c ***"]


def test_secret_in_several_writes_is_masked(masker: Masker, log: Log) -> None:
    masker.add(["s3cret"])

    for piece in ["a s3", "cr", "et b", "\n", "s3cr", "et"]:
        log.writer.write_stream("INFO", "stdout", piece)

    assert log.lines == ["a *** b", "***"]


def test_secret_of_several_lines_is_masked_in_streams_and_messages(
    masker: Masker, log: Log
) -> None:
    masker.add([KEY])

    log.writer.write("INFO", "root", f"key: {KEY}")
    log.writer.write_stream("INFO", "stdout", f"{KEY}\n")
    for line in KEY.splitlines(keepends=True):
        log.writer.write_stream("INFO", "stdout", line)

    assert log.lines[:2] == ["key: ***", "***"]
    assert not [line for line in log.lines if "MII" in line or "kqh" in line]


def test_secret_where_a_long_line_is_cut_is_masked(masker: Masker, log: Log) -> None:
    masker.add(["s3cret"])

    log.writer.write_stream("INFO", "stdout", "x" * (MAX_LINE_CHARACTERS + 10) + "s3c")
    log.writer.write_stream("INFO", "stdout", "ret" + "y" * 10 + "\n")

    assert "".join(log.lines) == "x" * (MAX_LINE_CHARACTERS + 10) + "***" + "y" * 10


def test_secret_that_a_split_of_a_long_line_would_cut_is_masked(
    masker: Masker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    masker.add(["s3cret"])
    monkeypatch.setattr(log_writer, "MAX_LINE_CHARACTERS", 10)

    log.writer.write("INFO", "root", "12345678s3cret9")

    assert log.lines == ["12345678**", "*9"]


def test_failure_is_masked_in_all_its_parts(masker: Masker) -> None:
    masker.add(["s3cret"])
    failure = None
    try:
        try:
            raise ValueError("cause s3cret")
        except ValueError as cause:
            error = RuntimeError("x" * 9_998 + "s3cret")
            error.add_note("note s3cret")
            raise error from cause
    except RuntimeError as raised:
        failure = describe_failure(raised)

    assert failure.message == "x" * 9_998 + "**"
    assert failure.notes == ("note ***",)
    assert failure.cause is not None
    assert failure.cause.message == "cause ***"
    assert failure.cause.frames[0].code == 'raise ValueError("cause ***")'


def test_rendered_inputs_are_masked_by_value_and_by_name(masker: Masker) -> None:
    masker.add(["s3cret"])

    shown = render_inputs(
        {
            "text": "x" * 1020 + "s3cret",
            "password": "other",
            "nested": {"api_key": "k", "list": ["s3cret"]},
            "max_tokens": 100,
            "token": "",
        }
    )

    assert "s3cret" not in shown
    fields = msgspec.json.decode(shown)
    assert fields["text"].endswith("***")
    assert fields["password"] == "***"
    assert fields["nested"] == {"api_key": "***", "list": ["***"]}
    assert (fields["max_tokens"], fields["token"]) == (100, "")


def test_what_a_task_asks_for_is_masked_from_then_on(masker: Masker) -> None:
    @dag
    def flow() -> None:
        @task
        def leak() -> None:
            context = get_current_context()
            password = context.connection("shop").password
            token = context.variable("api_token")
            plain = context.variable("region")
            raise ValueError(f"{password} {token} {plain}")

        leak()

    with testing.run(
        flow(),
        connections={"shop": "pg://ann:s3cret@h"},
        variables={"api_token": "t0ken", "region": "eu"},
    ) as run:
        failure = run.task_run("leak").failure

    assert failure is not None
    assert failure.message == "*** *** eu"


def test_password_of_an_address_is_not_shown_with_the_arguments() -> None:
    shown = render_inputs({"conn_id": "postgres://ann:s%2Fcret@db:5433/shop", "time": "at 5:6@7"})

    assert shown is not None
    assert "postgres://ann:***@db:5433/shop" in shown
    assert "at 5:6@7" in shown


def test_very_long_secret_is_hidden_as_a_whole(masker: Masker) -> None:
    secret = "line of it\n" * 300_000
    masker.add([secret])

    assert masker.mask(f"<{secret}>") == "<***>"
    assert masker.mask("line of it") == "line of it"

"""This module holds the operator that sends mail."""

import hashlib
import mimetypes
import smtplib
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Unpack

from ostinato.authoring.operators.connecting import MailHook, check_conn_id, hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.errors import ExecutionError

#: Airflow's name of the connection that is meant where none is named.
DEFAULT_CONNECTION = "smtp_default"

Addresses = str | Sequence[str] | Reference


class EmailOperator(Operator):
    """Send a mail.

    A retried attempt sends it with the same ``Message-ID``, by which mail programs know it again.

    Args:
        task_id: Unique in its group.
        to: Addresses: several, or text that separates them by commas or semicolons.
        subject: One line.
        html_content: The mail; or the name of a file that ends in ``.html``.
        text_content: The mail as plain text, beside or instead of ``html_content``.
        from_email: The sender; by default the connection's.
        cc: Addresses that all can see.
        bcc: Addresses that nobody can see.
        files: Paths of files to attach.
        custom_headers: More headers by name.
        conn_id: Connection of a mail server, or a URI such as ``smtp://mail.example.com``.
        policies: How it is run, see ``Policies``.

    Example:
        ``EmailOperator(task_id="tell", to="team@example.com", subject="{{ ds }}", ...)``
    """

    operator_name = "email"
    template_fields = (
        "to",
        "subject",
        "html_content",
        "text_content",
        "from_email",
        "cc",
        "bcc",
        "files",
        "custom_headers",
        "conn_id",
    )
    template_ext: Sequence[str] = (".html",)

    def __init__(
        self,
        task_id: str,
        *,
        to: Addresses,
        subject: str | Reference,
        html_content: str | Reference | None = None,
        text_content: str | Reference | None = None,
        from_email: str | Reference | None = None,
        cc: Addresses | None = None,
        bcc: Addresses | None = None,
        files: Sequence[str | Path] | Reference | None = None,
        custom_headers: Mapping[str, str] | Reference | None = None,
        conn_id: str | Reference = DEFAULT_CONNECTION,
        **policies: Unpack[Policies],
    ) -> None:
        self.to: Any = to
        self.subject: Any = subject
        self.html_content: Any = html_content
        self.text_content: Any = text_content
        self.from_email: Any = from_email
        self.cc: Any = cc
        self.bcc: Any = bcc
        self.files: Any = files
        self.custom_headers: Any = custom_headers
        self.conn_id: Any = conn_id
        super().__init__(task_id, **policies)
        self._check()

    def _check(self) -> None:
        check_conn_id(self, self.conn_id)
        for name in ("subject", "html_content", "text_content", "from_email"):
            value = getattr(self, name)
            if not isinstance(value, str | Reference) and (value is not None or name == "subject"):
                raise self.refusal(f"{name} is {value!r}, not text")
        if self.html_content is None and self.text_content is None:
            raise self.refusal("it needs html_content, text_content or both")
        for name in ("to", "cc", "bcc"):
            value = getattr(self, name)
            if not isinstance(value, Reference):
                self._addresses(name)
        if not isinstance(self.to, Reference) and not self._addresses("to"):
            raise self.refusal("it is to nobody")
        files = self.files
        if isinstance(files, str) or not isinstance(files, Sequence | Reference | None):
            raise self.refusal(f"files are {files!r}, not a list of paths")
        if not isinstance(self.custom_headers, Mapping | Reference | None):
            raise self.refusal(f"custom_headers are {self.custom_headers!r}, not a dict")

    def _addresses(self, name: str) -> list[str]:
        value = getattr(self, name)
        several = value.replace(";", ",").split(",") if isinstance(value, str) else value or []
        if not isinstance(several, Sequence | set) or not all(
            isinstance(each, str | Reference) for each in several
        ):
            raise self.refusal(f"{name} is {value!r}, neither an address nor several")
        return [each.strip() for each in several if isinstance(each, str) and each.strip()]

    def execute(self, context: Context) -> None:
        """Send the mail.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: If the server cannot be reached or refuses, or a file is missing.
            UsageError: If the connection leads to no mail server.
        """
        self._check()
        hook = hook_of(context, self.conn_id, MailHook, "sends no mail")
        message = self._message(context)
        try:
            hook.send(message)
        except (smtplib.SMTPException, OSError) as err:
            receivers = ", ".join(self._addresses("to"))
            reason = _reason(err)
            raise ExecutionError(f"the mail to {receivers} was not sent: {reason}") from err

    def _message(self, context: Context) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(self.subject.split())
        for header, name in (("To", "to"), ("Cc", "cc"), ("Bcc", "bcc")):
            addresses = self._addresses(name)
            if addresses:
                message[header] = ", ".join(addresses)
        if self.from_email:
            message["From"] = self.from_email
        message["Date"] = format_datetime(context.now)
        digest = hashlib.sha256(context.idempotency_key.encode()).hexdigest()
        message["Message-ID"] = f"<{digest[:32]}@ostinato>"
        for name, value in (self.custom_headers or {}).items():
            message[name] = str(value)
        if self.text_content is not None:
            message.set_content(self.text_content)
        if self.html_content is not None and self.text_content is not None:
            message.add_alternative(self.html_content, subtype="html")
        elif self.html_content is not None:
            message.set_content(self.html_content, subtype="html")
        for file in self.files or ():
            _attach(message, Path(file))
        return message


def _attach(message: EmailMessage, file: Path) -> None:
    kind, encoding = mimetypes.guess_type(file.name)
    main, _, sub = (kind if kind and not encoding else "application/octet-stream").partition("/")
    try:
        content = file.read_bytes()
    except OSError as err:
        raise ExecutionError(f"{file} cannot be attached: {err.strerror}") from None
    message.add_attachment(content, maintype=main, subtype=sub, filename=file.name)


def _reason(err: Exception) -> str:
    if isinstance(err, smtplib.SMTPRecipientsRefused):
        refused = [f"{who}: {_answer(*why)}" for who, why in err.recipients.items()]
        return "; ".join(refused)
    if isinstance(err, smtplib.SMTPResponseException):
        return _answer(err.smtp_code, err.smtp_error)
    return str(err) or type(err).__name__


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"

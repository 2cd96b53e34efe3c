"""This module holds the operator that sends requests of HTTP, and the sensor that waits by them."""

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Unpack
from urllib.parse import urlsplit

from ostinato.authoring.hooks import hook_for
from ostinato.authoring.operators.connecting import HttpHook, check_conn_id, hook_of
from ostinato.authoring.operators.operator import Operator
from ostinato.authoring.operators.sensor import PokeReturn, Sensor
from ostinato.authoring.policies import Policies
from ostinato.authoring.ports import Context
from ostinato.authoring.references import Reference
from ostinato.authoring.signals import Retry
from ostinato.authoring.signatures import signature_of
from ostinato.authoring.suggestions import did_you_mean
from ostinato.authoring.templates import is_template
from ostinato.authoring.triggers import Trigger
from ostinato.errors import ExecutionError
from ostinato.model.connection import Connection

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

#: Keys of ``extra_options`` by what HTTPX calls them.
_OPTIONS = {
    "allow_redirects": "follow_redirects",
    "cert": "cert",
    "follow_redirects": "follow_redirects",
    "proxy": "proxy",
    "timeout": "timeout",
    "trust_env": "trust_env",
    "verify": "verify",
}

#: The key that says whether an answer of 400 or more is a failure.
_CHECK = "check_response"

_NO_HTTP = "speaks no HTTP"

#: Characters of an answer that an error shows.
_SHOWN = 200

_FIRST_ERROR = 400
#: Codes by which a service may say when to come again.
_COME_AGAIN = (429, 503)


class Request(NamedTuple):
    """A request, relative to the address of a connection.

    Attributes:
        method: In capitals.
        endpoint: Path, or a whole address.
        params: What stands behind the question mark.
        data: Body: text and bytes as they are, a dict as a form.
        json: Body as JSON.
        headers: Beside those of the connection.
    """

    method: str
    endpoint: str
    params: Any = None
    data: Any = None
    json: Any = None
    headers: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """The request in messages; what stands behind the question mark may be secret."""
        return f"{self.method} {self.endpoint.partition('?')[0] or '/'}"

    def arguments(self) -> dict[str, Any]:
        """Return what ``httpx.Client.request`` takes."""
        given = {"params": self.params, "json": self.json, "headers": self.headers}
        given["content" if isinstance(self.data, str | bytes) else "data"] = self.data
        named = {name: value for name, value in given.items() if value is not None}
        return {"method": self.method, "url": self.endpoint, **named}


class HttpOperator(Operator):
    """Send a request; the result is the text of the answer.

    An answer of 400 or more is a failure; one of 429 or 503 that says when to come again decides
    the delay of the retry.

    Args:
        task_id: Unique in its group.
        endpoint: Path below the connection's address, or a whole address.
        conn_id: Connection of a service, or a URI; not needed with a whole address.
            Airflow: ``http_conn_id``.
        method: Such as ``GET``.
        request_params: What stands behind the question mark.
        data: Body: text or bytes as they are, a dict as a form. With ``GET`` a dict is what
            stands behind the question mark, as in Airflow.
        json: Body as JSON, instead of ``data``.
        headers: Beside those of the connection.
        response_check: Takes the answer (of HTTPX), and parts of the context by name; something
            falsy is a failure.
        response_filter: Takes the same, and returns the result.
        pagination_function: Takes an answer, and returns what is to be asked next as a dict with
            ``endpoint``, ``request_params``, ``data``, ``json`` or ``headers``; None at the end.
            The result is then the list of all answers, or what the filter makes of that list.
        extra_options: ``timeout`` in seconds, ``verify``, ``cert``, ``proxy``, ``trust_env``,
            ``allow_redirects``, and ``check_response`` for whether 400 or more is a failure.
        log_response: Whether the answer is written to the log.
        policies: How it is run, see ``Policies``.

    Example:
        ``HttpOperator(task_id="order", conn_id="shop", endpoint="orders", json={"item": 5})``
    """

    operator_name = "http"
    template_fields = ("endpoint", "request_params", "data", "json", "headers", "conn_id")

    def __init__(
        self,
        task_id: str,
        *,
        endpoint: str | Reference = "",
        conn_id: str | Reference | None = None,
        http_conn_id: str | Reference | None = None,
        method: str = "POST",
        request_params: Mapping[str, Any] | str | Reference | None = None,
        data: Mapping[str, Any] | str | bytes | Reference | None = None,
        json: Any = None,
        headers: Mapping[str, str] | Reference | None = None,
        response_check: Callable[..., Any] | None = None,
        response_filter: Callable[..., Any] | None = None,
        pagination_function: Callable[[Any], Mapping[str, Any] | None] | None = None,
        extra_options: Mapping[str, Any] | None = None,
        log_response: bool = False,
        **policies: Unpack[Policies],
    ) -> None:
        self.endpoint: Any = endpoint
        self.conn_id: Any = http_conn_id if conn_id is None else conn_id
        self.method = str(method).upper()
        self.request_params: Any = request_params
        self.data: Any = data
        self.json = json
        self.headers: Any = headers
        self.response_check = response_check
        self.response_filter = response_filter
        self.pagination_function = pagination_function
        self.extra_options = dict(extra_options or {})
        self.log_response = log_response
        super().__init__(task_id, **policies)
        check_request(self)

    def execute(self, context: Context) -> Any:
        """Send the request, and those that follow from the answers.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: If the service cannot be reached, or says that something is wrong.
            Retry: If it says when to come again.
        """
        check_request(self)
        request: Request | None = request_of(self)
        answers = []
        with open_client(self, context) as client:
            while request is not None:
                answer = self._ask(client, request, context)
                answers.append(answer)
                request = self._next(request, answer)
        found: Any = answers if self.pagination_function is not None else answers[0]
        if self.response_filter is not None:
            return call_with(self.response_filter, found, context)
        return [answer.text for answer in answers] if found is answers else found.text

    def _ask(self, client: Any, request: Request, context: Context) -> Any:
        # The client is HTTPX's, so it is loaded by now.
        import httpx  # noqa: PLC0415 - see above

        try:
            answer = client.request(**request.arguments())
        except httpx.HTTPError as err:
            raise _unreachable(request, err) from err
        if self.log_response:
            context.logger.info("%s", answer.text)
        if answer.status_code >= _FIRST_ERROR and self.extra_options.get(_CHECK, True):
            message = f"{request.name} was answered {_excerpt(answer)}"
            pause_s = _pause_s(answer)
            raise ExecutionError(message) if pause_s is None else Retry(message, after=pause_s)
        check = self.response_check
        if check is not None and not call_with(check, answer, context):
            message = f"{request.name}: response_check does not accept the answer"
            raise ExecutionError(f"{message} {_excerpt(answer)}")
        return answer

    def _next(self, request: Request, answer: Any) -> Request | None:
        if self.pagination_function is None:
            return None
        changes = self.pagination_function(answer)
        if not changes:
            return None
        named = {_ARGUMENTS.get(name, name): value for name, value in changes.items()}
        unknown = sorted(named.keys() - {*Request._fields})
        if unknown:
            hint = did_you_mean(unknown[0], [*Request._fields, *_ARGUMENTS])
            raise self.refusal(f"pagination_function returned {unknown[0]!r}", hint=hint)
        return request._replace(**named)


#: Airflow's name of old.
SimpleHttpOperator = HttpOperator


class HttpTrigger(Trigger):
    """Send a request again and again, until the answer is a good one.

    Attributes:
        conn_id: Connection, or empty with a whole address.
        method: In capitals.
        endpoint: Path, or a whole address.
        params: What stands behind the question mark.
        codes: Those that mean "not yet".
        options: As ``extra_options``.
        interval_s: Between requests.
    """

    conn_id: str
    method: str
    endpoint: str
    params: Any
    codes: list[str]
    options: dict[str, Any]
    interval_s: float

    async def run(self) -> None:
        """Return once the answer is a good one."""
        connection = await self._connection()
        hook: Any = hook_for(connection)
        options = _client_options(self.options)
        if "verify" not in options and "verify" not in connection.extra:
            options["verify"] = _certificates()
        request = Request(self.method, self.endpoint, self.params)
        is_good = False
        while not is_good:
            # First, for the poke that this follows on has just asked.
            await asyncio.sleep(self.interval_s)
            # A client for each request: thousands of triggers keep no connections open.
            async with hook.open_async(**options) as client:
                is_good = await self._ask(client, request)

    async def _ask(self, client: Any, request: Request) -> bool:
        # The client is HTTPX's, so it is loaded by now.
        import httpx  # noqa: PLC0415 - see above

        try:
            answer = await client.request(**request.arguments())
        except httpx.HTTPError as err:
            raise _unreachable(request, err) from err
        return _is_good(request, answer, self.codes)

    async def _connection(self) -> Connection:
        if "://" in self.conn_id or not self.conn_id:
            return Connection.from_uri(self.conn_id or _address(self.endpoint))
        answer = await self.call("connection", conn_id=self.conn_id)
        if "missing" in answer:
            raise ExecutionError(answer["missing"][0], hint=answer["missing"][1])
        return Connection.from_json(answer["connection"], self.conn_id)


class HttpSensor(Sensor):
    """Wait until a service gives a good answer.

    Args:
        task_id: Unique in its group.
        endpoint: Path below the connection's address, or a whole address.
        conn_id: Connection of a service, or a URI; not needed with a whole address.
            Airflow: ``http_conn_id``.
        method: Such as ``GET``.
        request_params: What stands behind the question mark.
        data: Body: text or bytes as they are, a dict as a form.
        json: Body as JSON, instead of ``data``.
        headers: Beside those of the connection.
        response_error_codes_allowlist: Codes that mean "not yet"; any other of 400 or more is a
            failure.
        response_check: Takes the answer (of HTTPX), and parts of the context by name; returns
            whether it is the awaited one, or a ``PokeReturn``.
        extra_options: As ``HttpOperator`` has them.
        options: What ``Sensor`` takes, and policies.

    Example:
        ``HttpSensor(task_id="up", endpoint="http://localhost:8080/health", poke_interval=5)``
    """

    operator_name = "http_sensor"
    template_fields = ("endpoint", "request_params", "data", "json", "headers", "conn_id")

    def __init__(
        self,
        task_id: str,
        *,
        endpoint: str | Reference = "",
        conn_id: str | Reference | None = None,
        http_conn_id: str | Reference | None = None,
        method: str = "GET",
        request_params: Mapping[str, Any] | str | Reference | None = None,
        data: Mapping[str, Any] | str | bytes | Reference | None = None,
        json: Any = None,
        headers: Mapping[str, str] | Reference | None = None,
        response_error_codes_allowlist: Sequence[str | int] = ("404",),
        response_check: Callable[..., Any] | None = None,
        extra_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.endpoint: Any = endpoint
        self.conn_id: Any = http_conn_id if conn_id is None else conn_id
        self.method = str(method).upper()
        self.request_params: Any = request_params
        self.data: Any = data
        self.json = json
        self.headers: Any = headers
        self.response_check = response_check
        self.extra_options = dict(extra_options or {})
        super().__init__(task_id, **options)
        codes: Any = response_error_codes_allowlist
        if isinstance(codes, str | int) or not all(str(code).isdecimal() for code in codes):
            raise self.refusal(f"response_error_codes_allowlist is {codes!r}, not a list of codes")
        self.codes = [str(code) for code in codes]
        check_request(self)

    def poke(self, context: Context) -> bool | PokeReturn:
        """Ask the service.

        Args:
            context: Of the attempt.

        Raises:
            ExecutionError: If it cannot be reached, or says that something is wrong.
        """
        # Heavy and optional: the hook says how to install it.
        check_request(self)
        request = request_of(self)
        with open_client(self, context) as client:
            import httpx  # noqa: PLC0415 - see above

            try:
                answer = client.request(**request.arguments())
            except httpx.HTTPError as err:
                raise _unreachable(request, err) from err
        if self.extra_options.get(_CHECK, True) and not _is_good(request, answer, self.codes):
            return False
        if self.response_check is None:
            return True
        found = call_with(self.response_check, answer, context)
        return found if isinstance(found, PokeReturn) else bool(found)

    def trigger(self, context: Context) -> Trigger | None:
        """Return what asks again.

        None where the trigger could not: with back-off, or with a function that judges the
        answer. Headers and bodies may hold secrets, which a trigger must not: it is stored.

        Args:
            context: Of the attempt.
        """
        del context
        judged = self.response_check is not None or not self.extra_options.get(_CHECK, True)
        if judged or self.backoff > 1 or self.headers or self.data or self.json is not None:
            return None
        conn_id = "" if self.conn_id is None else self.conn_id
        if "://" in conn_id or "@" in self.endpoint:
            return None
        return HttpTrigger(
            conn_id,
            self.method,
            self.endpoint,
            self.request_params,
            self.codes,
            self.extra_options,
            self.poke_interval_s,
        )


_ARGUMENTS = {"request_params": "params"}


def check_request(operator: HttpOperator | HttpSensor) -> None:
    """Refuse arguments of which no request can be made.

    Raises:
        InvalidArgument: If there is one.
    """
    endpoint = operator.endpoint
    if not isinstance(endpoint, str | Reference):
        raise operator.refusal(f"endpoint is {endpoint!r}, not text")
    check_conn_id(operator, operator.conn_id, is_optional=True)
    is_whole = isinstance(endpoint, Reference) or is_template(endpoint) or "://" in endpoint
    if operator.conn_id is None and not is_whole:
        hint = "give conn_id=, or a whole address such as https://example.com/orders"
        raise operator.refusal(f"nothing says where {endpoint!r} is", hint=hint)
    if operator.method not in METHODS:
        hint = did_you_mean(operator.method, METHODS)
        raise operator.refusal(f"there is no method {operator.method!r}", hint=hint)
    if operator.data is not None and operator.json is not None:
        raise operator.refusal("it takes either data= or json=")
    for name in ("response_check", "response_filter", "pagination_function"):
        function = getattr(operator, name, None)
        if function is not None and not callable(function):
            raise operator.refusal(f"{name} is {function!r}, no function")
    for name in operator.extra_options:
        if name not in _OPTIONS and name != _CHECK:
            hint = did_you_mean(name, [*_OPTIONS, _CHECK])
            raise operator.refusal(f"unknown key {name!r} in extra_options", hint=hint)


def request_of(operator: HttpOperator | HttpSensor) -> Request:
    """Return the request that the arguments of an operator amount to."""
    params, data = operator.request_params, operator.data
    if operator.method in ("GET", "HEAD") and isinstance(data, Mapping):
        params, data = {**(params or {}), **data}, None
    headers = operator.headers and {name: str(value) for name, value in operator.headers.items()}
    return Request(operator.method, operator.endpoint, params, data, operator.json, headers)


def open_client(operator: HttpOperator | HttpSensor, context: Context) -> Any:
    """Return a client of HTTPX for an operator's connection; close it after use."""
    conn_id = operator.conn_id or _address(operator.endpoint)
    hook = hook_of(context, conn_id, HttpHook, _NO_HTTP)
    return hook.open(**_client_options(operator.extra_options))


def call_with(function: Callable[..., Any], answer: Any, context: Context) -> Any:
    """Call a user's function with an answer, and with the parts of the context that it names."""
    surplus, named = signature_of(function).assign((answer,), {})
    return signature_of(function).call(surplus, named, context=context, resources={})


def _address(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def _client_options(extra_options: Mapping[str, Any]) -> dict[str, Any]:
    return {_OPTIONS[name]: value for name, value in extra_options.items() if name != _CHECK}


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Return what checks certificates: all triggers of a process share it, for it takes 20 ms."""
    import httpx  # noqa: PLC0415 - heavy and optional, and loaded by now

    return httpx.create_ssl_context()


def _is_good(request: Request, answer: Any, codes: Sequence[str]) -> bool:
    """Return whether a sensor's answer is a good one, False for one that means "not yet"."""
    if answer.status_code < _FIRST_ERROR:
        return True
    if str(answer.status_code) in codes or _pause_s(answer) is not None:
        return False
    raise ExecutionError(f"{request.name} was answered {_excerpt(answer)}")


def _pause_s(answer: Any) -> int | None:
    """Return in how many seconds a service wants to be asked again, None if it does not say."""
    wait = answer.headers.get("Retry-After", "")
    return int(wait) if answer.status_code in _COME_AGAIN and wait.isdecimal() else None


def _excerpt(answer: Any) -> str:
    text = " ".join(answer.text.split())
    shown = f"{text[:_SHOWN]}..." if len(text) > _SHOWN else text
    return f"{answer.status_code} {answer.reason_phrase}{f': {shown}' if shown else ''}"


def _unreachable(request: Request, err: Exception) -> ExecutionError:
    return ExecutionError(f"{request.name} failed: {str(err) or type(err).__name__}")

"""HTTP without a framework: what a call brings and an answer takes, preferences, and problems (RFC 9457)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.body_reader import LONGEST_KEY
from revoke_core.domain.errors import Fault, InvalidRequest, Refused
from revoke_core.domain.moments import parsed
from revoke_core.domain.results import Correlation

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_KEY_HEADER: Final = "x-functions-key"
_KEY_PARAMETER: Final = "code"
_PROBLEM_TYPES: Final = "urn:entra-session-revoker:problem:"
_LARGEST_PAGE: Final = 1000
_PAGE: Final = 100
_LONGEST_WAIT: Final = 100
_LONGEST_CORRELATION: Final = 200
_DIGITS: Final = re.compile(r"0*([0-9]{1,9})")
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One call: header names in lower case, query parameters, the raw body."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def function_key(self) -> str | None:
        """The key that the host let this call in with, if it asked for one."""
        in_query = (value for name, value in self.query.items() if is_key_parameter(name))
        return self.headers.get(_KEY_HEADER) or next(in_query, None)


def is_key_parameter(name: str) -> bool:
    """Whether a query parameter holds a function key; the host takes ``code`` in any case."""
    return name.lower() == _KEY_PARAMETER


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """One answer; the Functions worker adds the charset to a text type."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


type Route[**P] = Callable[P, Coroutine[Any, Any, HttpAnswer]]


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a submitter wants to wait: ``within`` is ``None`` for not at all; ``applied`` is what it asked for."""

    within: timedelta | None
    applied: str | None = None


def answering[**P](route: Route[P]) -> Route[P]:
    """Turn whatever a route raises into a problem; nothing else ever leaves the app."""

    @wraps(route)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> HttpAnswer:
        try:
            return await route(*args, **kwargs)
        except (InvalidRequest, Refused) as problem:
            return problem_answer(problem)
        except Exception as problem:  # noqa: BLE001 -- the edge: its class is logged, the caller gets a 500
            logs.failure("request_crashed", problem, route=route.__name__)
            return unexpected_answer()

    return answer


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """A JSON answer; what it says changes, so nobody may keep it."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return HttpAnswer(status=status, body=body, headers={"Cache-Control": "no-store"} | dict(headers or {}))


def problem_answer(problem: InvalidRequest | Refused) -> HttpAnswer:
    """``application/problem+json`` for a call that was turned away."""
    if isinstance(problem, InvalidRequest):
        detail = "Nothing was done. Correct what errors names and send the request again."
        return _problem(400, "invalid-request", "Invalid request", detail, errors=problem.listed())
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    headers |= {"WWW-Authenticate": problem.challenge} if problem.challenge else {}
    return _problem(problem.status, problem.kind, problem.title, problem.detail, headers)


def unexpected_answer() -> HttpAnswer:
    """The answer for a fault of the app itself; the cause is in the log, never on the wire."""
    detail = "The app failed. Repeat the call with the same Idempotency-Key; if it lasts, look into the app's log."
    return _problem(500, "internal-error", "Internal error", detail)


def _problem(
    status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> HttpAnswer:
    content = {"type": _PROBLEM_TYPES + kind, "title": title, "status": status, "detail": detail, **more}
    answer = json_answer(status, content, headers)
    return HttpAnswer(status=status, body=answer.body, content_type="application/problem+json", headers=answer.headers)


def preference(call: HttpCall, default: timedelta) -> Preference:
    """``Prefer: respond-async`` or ``wait=N`` (1 to 100 s); what cannot be followed is ignored, as RFC 7240 asks."""
    wanted = [part.strip().lower() for part in call.headers.get("prefer", "").split(",")]
    if "respond-async" in wanted:
        return Preference(None, "respond-async")
    for part in wanted:
        name, _, value = part.partition("=")
        seconds = _whole(value.strip().strip('"'), _LONGEST_WAIT) if name.strip() == "wait" else None
        if seconds:
            return Preference(timedelta(seconds=seconds), f"wait={seconds}")
    return Preference(default)


def _whole(text: str, most: int) -> int | None:
    """A whole number from 1 to ``most``; Python refuses to read one of thousands of digits at all."""
    match = _DIGITS.fullmatch(text)
    number = int(match[1]) if match else 0
    return number if 1 <= number <= most else None


def idempotency_key(call: HttpCall) -> str | None:
    """The ``Idempotency-Key`` header: 1 to 255 printable ASCII characters."""
    key = call.headers.get("idempotency-key")
    if key is None:
        return None
    if len(key) > LONGEST_KEY or not _KEY.fullmatch(key):
        detail = f"the header must have 1 to {LONGEST_KEY} printable ASCII characters"
        raise InvalidRequest([Fault("/Idempotency-Key", detail)])
    return key


def correlation(call: HttpCall) -> Correlation:
    """What Logic Apps and Power Automate send along, cut to a sensible length."""

    def header(*names: str) -> str | None:
        found = next((call.headers[name] for name in names if call.headers.get(name)), None)
        return found[:_LONGEST_CORRELATION] if found else None

    return Correlation(
        client_request_id=header("x-ms-client-request-id", "client-request-id"),
        workflow_run_id=header("x-ms-workflow-run-id"),
        workflow_name=header("x-ms-workflow-name"),
        traceparent=header("traceparent"),
    )


class Query:
    """Query parameters read one by one; ``InvalidRequest`` names all that are wrong."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call
        self._faults: list[Fault] = []

    def text(self, name: str) -> str | None:
        """A parameter, or ``None`` when it is absent or empty."""
        return self._call.query.get(name) or None

    def choice(self, name: str, choices: list[str]) -> str | None:
        """A parameter that must be one of the choices."""
        value = self.text(name)
        if value is not None and value not in choices:
            self.fault(name, f"must be one of {', '.join(choices)}")
        return value

    def moment(self, name: str) -> datetime | None:
        """An RFC 3339 time with a zone; a plus sign that was not encoded has become a blank."""
        value = self.text(name)
        try:
            return parsed(value.replace(" ", "+")) if value else None
        except ValueError:
            self.fault(name, "must be an RFC 3339 time such as 2026-09-10T14:32:27Z")
            return None

    def page_size(self) -> int:
        """``pageSize``, 1 to 1000."""
        value = self.text("pageSize")
        if value is None:
            return _PAGE
        size = _whole(value, _LARGEST_PAGE)
        if size is None:
            self.fault("pageSize", f"must be a whole number from 1 to {_LARGEST_PAGE}")
        return size or _PAGE

    def fault(self, name: str, detail: str) -> None:
        """Note that a parameter is wrong."""
        self._faults.append(Fault(f"/{name}", detail))

    def check(self) -> None:
        """Raise when anything was wrong."""
        if self._faults:
            raise InvalidRequest(self._faults)

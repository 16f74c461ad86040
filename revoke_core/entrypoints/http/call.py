"""An HTTP call without a framework: its headers, query parameters and preferences, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from revoke_core.domain.body_reader import escaped
from revoke_core.domain.errors import Fault, Faults, InvalidRequest
from revoke_core.domain.identifiers import LONGEST_KEY, USER_FORM, UserRef, is_idempotency_key, parse_user
from revoke_core.domain.redaction import redacted
from revoke_core.domain.request_record import Correlation
from revoke_core.domain.timestamps import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LARGEST_PAGE: Final = 1000
_DEFAULT_PAGE: Final = 100
_LONGEST_WAIT: Final = 100
_LONGEST_CORRELATION: Final = 200
_NO_PARAMETERS: Final = "this call takes none: what a POST is to do stands in its JSON body"
_DIGITS: Final = re.compile(r"0*([0-9]{1,9})")
_KEY_PARAMETER: Final = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One call: header names in lower case, query parameters, its whole URL, the raw body.

    The host joins the values of a parameter that is repeated and leaves out one that is empty; the URL has them all.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    body: bytes = b""

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Names and values of the query as they were sent, those that are repeated or empty, too."""
        sent = parse_qsl(self.url.partition("?")[2], keep_blank_values=True)
        names = {name for name, _ in sent}
        return sent + [(name, value) for name, value in self.query.items() if name not in names]

    @property
    def function_key(self) -> str | None:
        """The function key that the host accepted, if it asked for one.

        Of a key that is given twice the host accepts the first, and hands both on joined by a comma.
        """
        in_query = (value for name, value in self.query.items() if name.lower() == _KEY_PARAMETER)
        given = self.headers.get("x-functions-key") or next(in_query, "")
        return given.partition(",")[0].strip() or None

    def idempotency_key(self, content: Any) -> str | None:
        """The ``Idempotency-Key`` header or, for callers who cannot set one, the body's ``idempotencyKey``.

        ``InvalidRequest`` unless it has 1 to 255 printable ASCII characters, and where the two differ.
        """
        in_header = self.headers.get("idempotency-key")
        in_body = content.get("idempotencyKey") if isinstance(content, dict) else None
        for pointer, key in (("/Idempotency-Key", in_header), ("/idempotencyKey", in_body)):
            if key is not None and not is_idempotency_key(key):
                detail = f"must have 1 to {LONGEST_KEY} printable ASCII characters"
                raise InvalidRequest([Fault(pointer, detail)])
        if in_header is not None and in_body is not None and in_header != in_body:
            detail = "is not the key in the header Idempotency-Key; give one of them, or the same twice"
            raise InvalidRequest([Fault("/idempotencyKey", detail)])
        return in_header if in_header is not None else in_body

    @property
    def correlation(self) -> Correlation:
        """What Logic Apps and Power Automate send to find the call again, redacted and cut to 200 characters."""

        def header(*names: str) -> str | None:
            found = next((self.headers[name] for name in names if self.headers.get(name)), None)
            return redacted(found)[:_LONGEST_CORRELATION] if found else None

        return Correlation(
            client_request_id=header("x-ms-client-request-id", "client-request-id"),
            workflow_run_id=header("x-ms-workflow-run-id"),
            workflow_name=header("x-ms-workflow-name"),
            traceparent=header("traceparent"),
        )


def is_platform_parameter(name: str) -> bool:
    """Whether a query parameter is the host's, which takes a key and the key's name in any case."""
    return name.lower() in (_KEY_PARAMETER, "clientid")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a submitter waits: ``within`` is ``None`` for not at all, ``applied`` the preference it asked for."""

    within: timedelta | None
    applied: str | None = None


def preference(call: HttpCall, default: timedelta) -> Preference:
    """``Prefer: respond-async`` or ``wait=N`` (1 to 100 s); any other preference is ignored, as RFC 7240 asks."""
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
    """A whole number from 1 to ``most``; Python refuses to convert a text of thousands of digits."""
    match = _DIGITS.fullmatch(text)
    number = int(match[1]) if match else 0
    return number if 1 <= number <= most else None


class Query:
    """Query parameters read one by one; ``check`` raises one ``InvalidRequest`` for all that are wrong.

    A parameter that the route did not read is wrong: its caller believes that it does something.
    """

    def __init__(self, call: HttpCall) -> None:
        self._call = call
        self._faults = Faults()
        self._known: dict[str, None] = {}

    def text(self, name: str) -> str | None:
        """A parameter, or ``None`` when it is absent or empty."""
        self._known[name] = None
        return self._call.query.get(name) or None

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """A parameter that must be one of the choices."""
        value, allowed = self.text(name), list(choices)
        if value is not None and value not in allowed:
            self.add_fault(name, f"must be one of {', '.join(allowed)}")
        return value

    def timestamp(self, name: str) -> datetime | None:
        """An RFC 3339 time with a zone; a plus sign that was not encoded arrives as a blank."""
        value = self.text(name)
        try:
            return parsed(value.replace(" ", "+")) if value else None
        except ValueError:
            self.add_fault(name, "must be an RFC 3339 time such as 2026-09-10T14:32:27Z")
            return None

    def user(self, name: str) -> UserRef | None:
        """A user; no name holds a blank, so one within it is a plus sign that was not encoded."""
        value = self.text(name)
        user = parse_user(value.strip().replace(" ", "+")) if value else None
        if value and user is None:
            self.add_fault(name, USER_FORM)
        return user

    def page_size(self) -> int:
        """``pageSize``, 1 to 1000."""
        value = self.text("pageSize")
        size = _DEFAULT_PAGE if value is None else _whole(value, _LARGEST_PAGE)
        if size is None:
            self.add_fault("pageSize", f"must be a whole number from 1 to {_LARGEST_PAGE}")
        return size or _DEFAULT_PAGE

    def add_fault(self, name: str, detail: str) -> None:
        """Note that a parameter is wrong."""
        self._faults.add(f"/{name}", detail)

    def check(self) -> None:
        """Raise ``InvalidRequest`` when any parameter was wrong or unknown."""
        known = f"known are {', '.join(self._known)}" if self._known else _NO_PARAMETERS
        for name in dict.fromkeys(name for name, _ in self._call.parameters):
            if name not in self._known and not is_platform_parameter(name):
                self._faults.add(f"/{escaped(name)}", f"is not a known query parameter; {known}")
        if self._faults:
            raise InvalidRequest(self._faults)

"""Callbacks: where the word that a request has ended may go, how it is signed, and when it is tried again.

Signed as Standard Webhooks 1.0 says
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from revoke_core.domain.redaction import short

LONGEST_CALLBACK_URL: Final = 2000
CALLBACK_LIFETIME: Final = timedelta(hours=24)
_FIRST_PAUSE: Final = timedelta(seconds=5)
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- how every secret begins
_SECRET_BYTES: Final = range(24, 65)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|{_NAME})")
# So strict that every parser finds the same host: no user, no fragment, no backslash, nothing but printable ASCII.
_URL: Final = re.compile(rf"(?i:(https?))://{_HOST.pattern}(?::([0-9]{{1,5}}))?(?:/[!$-;=?-Z\[\]_a-z~]*)?")
_HIGHEST_PORT: Final = 65_535


class CallbackStatus(StrEnum):
    """Where the latest callback of a request stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class CallbackEvent(StrEnum):
    """What a receiver is told of."""

    HELD = "held"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackState:
    """The latest callback as the request shows it.

    ``last_status`` is the HTTP status of the latest answer; ``last_error`` says why there was none: ``noAnswer``, or
    ``hostNotAllowed`` and ``inputsLost``, after which it is not tried again.
    """

    status: CallbackStatus = CallbackStatus.PENDING
    attempts: int = 0
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRules:
    """What the operator allows: exact host names in lower case, any port; without any callbacks are off."""

    hosts: frozenset[str] = frozenset()
    secret: bytes = field(default=b"", repr=False)


def callback_mistake(text: str, hosts: frozenset[str]) -> str | None:
    """What keeps a text from being a callback URL, ``None`` for one that may be called.

    The URL may hold a secret, so no more of it than its host is ever part of the answer.
    """
    if not hosts:
        return (
            "cannot be used here: callbacks are off until an operator sets CALLBACK_HOSTS and CALLBACK_SECRET. Leave "
            "it out and poll the request instead"
        )
    if len(text) > LONGEST_CALLBACK_URL:
        return f"is longer than {LONGEST_CALLBACK_URL} characters"
    match = _URL.fullmatch(text)
    if match is None or not 0 < int(match[3] or 443) <= _HIGHEST_PORT:
        return (
            "must be an address such as https://hooks.contoso.com/revocations in printable ASCII (percent-encode the "
            "rest, write an international host as xn--…), without user name, password or #fragment"
        )
    scheme, host = match[1].lower(), host_of(text)
    if scheme != "https" and host not in _LOOPBACK:
        return "must begin with https://; plain http is for this machine alone"
    if host not in hosts:
        return f"names the host {short(host)}, which is not in CALLBACK_HOSTS; an operator of this app has to add it"
    return None


def host_of(url: str) -> str:
    """The host of a URL that passed ``callback_mistake`` before, in lower case and without brackets."""
    match = _URL.fullmatch(url)
    return match[2].strip("[]").lower() if match else ""


def parse_host(text: str) -> str | None:
    """A host as the operator lists it, in the form of ``host_of``; ``None`` for anything else, such as a URL."""
    name = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    return name.strip("[]").lower() if _HOST.fullmatch(name) else None


def parse_secret(text: str) -> bytes | None:
    """The key in ``whsec_`` and base64 of 24 to 64 bytes."""
    if not text.startswith(_SECRET_PREFIX):
        return None
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) in _SECRET_BYTES else None


def webhook_id(request_id: str, event: CallbackEvent) -> str:
    """One event's own id, the same at every try, so that a receiver can drop repetitions."""
    return f"{request_id}-{event}"


def signed_headers(secret: bytes, event_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """The three headers of one try."""
    seconds = int(moment.timestamp())
    mac = hmac.new(secret, f"{event_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def next_try(since: datetime, attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many failures: 5 s, 10 s, 20 s … later, the last time a day after the event.

    ``None`` when that time has passed.
    """
    ends = since + CALLBACK_LIFETIME
    # Doubling more often leads beyond the day.
    pause = _FIRST_PAUSE * (1 << min(attempts - 1, 20))
    return min(now + pause, ends) if now < ends else None

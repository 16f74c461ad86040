"""Counts Graph calls that a host sends before a ``Retry-After`` has passed, seen from the host's side of the proxy."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.testbed.proxy import Exchange

_THROTTLED: Final = 429
# A call that left in the same moment as the answer arrived could not have known of it.
_GRACE_SECONDS: Final = 0.05


@dataclass(slots=True)
class EarlyCalls:
    """Counts, per kind, calls of one host that arrive between a 429's answer and the end of its ``Retry-After``."""

    calls: int = 0
    _gates: dict[str, tuple[float, float]] = field(default_factory=dict)

    def on_request(self, exchange: Exchange) -> None:
        """Count the call when it leaves inside a pause."""
        if exchange.side != "graph":
            return
        closed_at, until = self._gates.get(_kind(exchange), (0.0, 0.0))
        if closed_at + _GRACE_SECONDS < exchange.arrived_at < until - _GRACE_SECONDS:
            self.calls += 1

    def on_response(self, exchange: Exchange) -> None:
        """Remember the pause that an answer asks for."""
        if exchange.side != "graph":
            return
        pause = max(_pauses(exchange), default=0.0)
        if pause:
            now = time.monotonic()
            closed_at, until = self._gates.get(_kind(exchange), (now, 0.0))
            self._gates[_kind(exchange)] = (closed_at if until > now else now, max(until, now + pause))


def _kind(exchange: Exchange) -> str:
    writes = b"revokeSignInSessions" in exchange.body or "revokeSignInSessions" in exchange.path
    return "write" if writes else "read"


def _pauses(exchange: Exchange) -> Iterator[float]:
    """The pauses that the items of a batch ask for, in seconds."""
    if not re.search(rb'"status":\s*429', exchange.answer):
        return
    content: dict[str, Any] = json.loads(exchange.answer)
    for item in content.get("responses", []):
        headers = {name.lower(): value for name, value in (item.get("headers") or {}).items()}
        if item.get("status") == _THROTTLED and "retry-after" in headers:
            yield float(headers["retry-after"])

"""Fault rules for the proxies: a rule fires once, at the Nth exchange that matches."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.testbed.proxy import Exchange

Phase = Literal["before", "after"]


@dataclass(slots=True, kw_only=True)
class Rule:
    """Calls ``action`` at the ``nth`` exchange that ``matches``, and never again.

    ``phase`` is ``before`` the request is forwarded, or ``after`` the answer came and before it is passed on. With
    ``abort`` the proxy also breaks that exchange's connection. ``fired`` is set once the rule has fired.
    """

    name: str
    matches: Callable[[Exchange], bool]
    nth: int
    phase: Phase
    action: Callable[[], None]
    abort: bool = True
    seen: int = 0
    fired_at: float | None = None
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def fires(self, exchange: Exchange, phase: Phase) -> bool:
        """Whether this is the exchange; then ``action`` has been called."""
        if self.fired_at is not None or phase != self.phase or not self.matches(exchange):
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.fired_at = time.monotonic()
        self.action()
        self.fired.set()
        return True


class RuleInterceptor:
    """An ``Interceptor`` with rules and callbacks.

    ``on_request`` callbacks get each exchange before it is forwarded, ``on_response`` callbacks once it is answered.
    ``outage`` names the requests that are broken as long as it is set.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.on_request: list[Callable[[Exchange], None]] = []
        self.on_response: list[Callable[[Exchange], None]] = []
        self.outage: Callable[[Exchange], bool] | None = None

    def intercept_request(self, exchange: Exchange) -> bool:
        """Call the request callbacks, then apply the rules for the phase before forwarding."""
        for callback in self.on_request:
            callback(exchange)
        return self._apply_rules(exchange, "before") or (self.outage is not None and self.outage(exchange))

    def intercept_response(self, exchange: Exchange) -> bool:
        """Call the response callbacks, then apply the rules for the phase before the answer is passed on."""
        for callback in self.on_response:
            callback(exchange)
        return self._apply_rules(exchange, "after")

    def _apply_rules(self, exchange: Exchange, phase: Phase) -> bool:
        fired = [rule for rule in self.rules if rule.fires(exchange, phase)]
        return any(rule.abort for rule in fired)

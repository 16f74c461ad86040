"""What is to happen at which exchange: a rule strikes once, at the Nth exchange that matches."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.rig.proxy import Exchange

Moment = Literal["before", "after"]


@dataclass(slots=True, kw_only=True)
class Rule:
    """Do something before the Nth matching request is forwarded, or after, before its answer is passed on.

    ``cut`` breaks that exchange's connection as well. ``fired`` is set once it has struck; it never strikes again.
    """

    name: str
    matches: Callable[[Exchange], bool]
    nth: int
    when: Moment
    act: Callable[[], None]
    cut: bool = True
    seen: int = 0
    fired_at: float | None = None
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def strikes(self, exchange: Exchange, moment: Moment) -> bool:
        """Whether this is the exchange; then ``act`` has been called."""
        if self.fired_at is not None or moment != self.when or not self.matches(exchange):
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.fired_at = time.monotonic()
        self.act()
        self.fired.set()
        return True


class Watch:
    """A ``Watcher``: the rules in force and the onlookers, who are told of each exchange that was answered."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.onlookers: list[Callable[[Exchange], None]] = []
        self.heralds: list[Callable[[Exchange], None]] = []

    def arrived(self, exchange: Exchange) -> bool:
        """Tell the heralds of the request, then look for a rule that strikes before it goes on."""
        for herald in self.heralds:
            herald(exchange)
        return self._struck(exchange, "before")

    def answered(self, exchange: Exchange) -> bool:
        """Tell the onlookers, then look for a rule that strikes before the answer is passed on."""
        for onlooker in self.onlookers:
            onlooker(exchange)
        return self._struck(exchange, "after")

    def _struck(self, exchange: Exchange, moment: Moment) -> bool:
        struck = [rule for rule in self.rules if rule.strikes(exchange, moment)]
        return any(rule.cut for rule in struck)

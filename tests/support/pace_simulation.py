"""A discrete-event simulation of one large request against servers that limit writes in different ways.

It drives ``revoke_core.domain.pacing`` itself; only the servers and the sender's loop are played. Time is in seconds.
A call carries up to 20 items and takes 0.35 s x uniform(0.7, 1.5). The server admits or refuses every item separately
at the moment the call is sent; the answer, with its ``Retry-After``, is known when the call ends.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from revoke_core.domain.lanes import Lane
from revoke_core.domain.pacing import Block, ConcurrencyLimit, Pace

BATCH = 20
CALL_SECONDS = 0.35
RETRY_AFTER = 10.0
ZERO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Bucket:
    """A token bucket, full at the start by default; a refused item may cost a token, too."""

    capacity: float = 3000
    refill: float = 20
    refusal_costs: float = 0
    tokens: float = 3000
    at: float = 0

    def take(self, now: float) -> float | None:
        """``None`` when admitted, else the Retry-After."""
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.refill)
        self.at = now
        if self.tokens >= 1 - 1e-6:
            self.tokens -= 1
            return None
        self.tokens = max(-self.capacity, self.tokens - self.refusal_costs)
        return RETRY_AFTER

    def bound(self, items: int) -> float:
        """The shortest time in which so many items can be admitted."""
        return (items - self.tokens) / self.refill


@dataclass(kw_only=True)
class FixedWindow:
    """So many items per window; Retry-After leads to the window's end."""

    capacity: int = 3000
    length: float = 150
    number: int = 0
    used: int = 0

    def take(self, now: float) -> float | None:
        """``None`` when admitted, else the Retry-After."""
        number = int((now + 1e-6) // self.length)
        if number > self.number:
            self.number, self.used = number, 0
        if self.used < self.capacity:
            self.used += 1
            return None
        return (self.number + 1) * self.length - now

    def bound(self, items: int) -> float:
        """The start of the window that admits the last item."""
        return (items - 1) // self.capacity * self.length


@dataclass(kw_only=True)
class Hiccups(Bucket):
    """A bucket whose service answers the first calls 429, one item of each, though its quota is untouched."""

    left: int = 6
    last: float = -1.0

    def take(self, now: float) -> float | None:
        """``None`` when admitted, else the Retry-After: one second for a hiccup."""
        if self.left and now != self.last:
            self.left, self.last = self.left - 1, now
            return 1.0
        return super().take(now)


SERVERS = {
    "hiccups": Hiccups,
    "bucket": Bucket,
    "refusals cost": lambda: Bucket(refusal_costs=1),
    "fixed window": FixedWindow,
    "hidden limit": lambda: Bucket(capacity=500, tokens=500, refill=12, refusal_costs=1),
    "empty": lambda: Bucket(tokens=0, refusal_costs=1),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it went: share of the bound, and share of items that met a 429 (one item may meet several)."""

    share_of_bound: float
    refused_share: float
    refusals: int
    seconds: float


class Sender:
    """The loop of one large request: takes tokens, keeps a window of calls on their way, obeys the gate."""

    def __init__(self, server: Bucket | FixedWindow, items: int, seed: int, per_second: float) -> None:
        self.per_second = per_second
        self.server = server
        self.pending = self.items = items
        self.bound = server.bound(items)
        self.random = random.Random(seed)  # noqa: S311 -- call durations of a simulation
        self.pace = Pace.start(3000, ZERO)
        self.block = Block()
        self.used_at = ZERO
        self.window = ConcurrencyLimit.of(items, 3000)
        self.gate = self.done = 0.0
        self.in_flight = self.refusals = 0
        self.events: list[tuple[float, int, tuple[float, int, list[float]] | None]] = [(0.0, 0, None)]
        self.numbers = itertools.count(1)

    def run(self) -> Outcome:
        """Play it to the end."""
        while self.events:
            now, _, answer = heapq.heappop(self.events)
            if answer:
                self._answered(now, *answer)
            self._send(now)
        seconds = self.done
        return Outcome(
            share_of_bound=self.bound / seconds,
            refused_share=self.refusals / self.items,
            refusals=self.refusals,
            seconds=seconds,
        )

    def _send(self, now: float) -> None:
        moment = ZERO + timedelta(seconds=now)
        most = min(self.window.size, self.pace.on(moment).most_calls(CALL_SECONDS, BATCH))
        while self.pending and self.in_flight < most:
            if now < self.gate:
                return self._wake(self.gate)
            if self.items - self.pending > now * self.per_second:
                return self._wake((self.items - self.pending + 1) / self.per_second)
            count = self._take(now)
            if count == 0:
                pace = self.pace.on(moment)
                block = self.block
                moment = block.next_at(BATCH, pace) if block.left else pace.next_at(BATCH, lane=Lane.LARGE)
                return self._wake(max(now + 0.001, (moment - ZERO).total_seconds()))
            self.in_flight += 1
            self.pending -= count
            refused = [pause for _ in range(count) if (pause := self.server.take(now)) is not None]
            end = now + CALL_SECONDS * self.random.uniform(0.7, 1.5)
            heapq.heappush(self.events, (end, next(self.numbers), (now, count, refused)))
        return None

    def _wake(self, moment: float) -> None:
        if not any(answer is None and at <= moment for at, _, answer in self.events):
            heapq.heappush(self.events, (moment, next(self.numbers), None))

    def _take(self, now: float) -> int:
        moment = ZERO + timedelta(seconds=now)
        wanted = min(BATCH, self.pending)
        block = self.block.still_valid(self.pace.on(moment), used_at=self.used_at, is_idle=False)
        if not block.left:
            block, self.pace = self.pace.take(wanted, moment, lane=Lane.LARGE)
            self.used_at = moment
        given, self.block = block.spend(wanted, self.pace.on(moment), lane=Lane.LARGE)
        if given:
            self.used_at = moment
        return given

    def _answered(self, now: float, sent: float, count: int, refused: list[float]) -> None:
        self.in_flight -= 1
        if len(refused) < count:
            self.done = now
        self.pace = self.pace.on(ZERO + timedelta(seconds=now)).sent(count)
        if not refused:
            self.pace = self.pace.regain(count)
            self.window = self.window.after_clean()
            return
        self.pending += len(refused)
        self.refusals += len(refused)
        self.window = self.window.after_throttled()
        moment, pause = ZERO + timedelta(seconds=now), max(refused)
        self.gate = max(self.gate, now + pause)
        sent_at = ZERO + timedelta(seconds=sent)
        self.pace = self.pace.on(moment).throttled(sent_at=sent_at, now=moment, pause=timedelta(seconds=pause))


def simulate(server: str, items: int, *, seed: int, per_second: float = 1e9) -> Outcome:
    """One large request of so many items, planned at so many a second, against one of ``SERVERS``."""
    return Sender(SERVERS[server](), items, seed, per_second).run()


def simulate_after_hiccups(items: int, *, seed: int, quiet: float) -> Outcome:
    """The same, ``quiet`` seconds after an app's first six single calls, twelve seconds apart, were answered 429."""
    sender = Sender(Bucket(), items, seed, 1e9)
    for number in range(6):
        moment = ZERO + timedelta(seconds=12 * number - 60 - 1 - quiet)
        pace = sender.pace if number else Pace.start(3000, moment)
        _, pace = pace.take(1, moment, lane=Lane.SMALL)
        sender.pace = pace.on(moment).sent(1).throttled(sent_at=moment, now=moment, pause=timedelta(seconds=1))
    return sender.run()

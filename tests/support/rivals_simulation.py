"""A discrete-event simulation of many instances that take blocks from one row under optimistic concurrency.

It drives ``revoke_core.domain.pacing`` itself; only storage and the instances' loops are played, as ``StoredBudget``
and ``SharedPaceRow`` have them: a write names the ETag read last, a refused one waits a little and reads again.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from revoke_core.domain.lanes import Lane
from revoke_core.domain.pacing import Block, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 20
CALL_SECONDS = 0.35
STORAGE_SECONDS = 0.015
FRESH_SECONDS = 0.8


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What the row saw: storage calls, and tokens spent of those that the quota allowed."""

    calls_per_block: float
    share_of_bound: float


class Row:
    """The row and its version, and how often it was asked."""

    def __init__(self) -> None:
        self.pace = Pace.start(3000, ZERO)
        self.version = self.calls = self.spent = 0


class Rival:
    """One instance with more work than the rate allows."""

    def __init__(self, row: Row, seed: int) -> None:
        self.row = row
        self.random = random.Random(seed)  # noqa: S311 -- jitter of a simulation
        self.now = self.random.uniform(0, 1)
        self.pace, self.version, self.current_at = row.pace, 0, 0.0
        self.block = Block(tokens=0, free_at=ZERO)

    @property
    def moment(self) -> datetime:
        """Now."""
        return ZERO + timedelta(seconds=self.now)

    def play(self) -> Iterator[float]:
        """Send for ever; each value is a pause in seconds, after which ``now`` is set."""
        while True:
            if not self.block.tokens:
                yield from self._take_block()
            if not self.block.tokens:
                until = (self.pace.next_at(BATCH, lane=Lane.LARGE) - ZERO).total_seconds()
                yield max(0.02, until - self.now)
                continue
            given, self.block = self.block.spend(BATCH, self.moment, lane=Lane.LARGE)
            self.row.spent += given
            free = (self.block.free_at - ZERO).total_seconds()
            yield CALL_SECONDS * self.random.uniform(0.7, 1.5) if given else max(0.001, free - self.now)

    def _take_block(self) -> Iterator[float]:
        for again in (False, True):
            if again and self.now - self.current_at > FRESH_SECONDS:
                yield from self._read()
            for _ in range(8):
                granted, left = self.pace.on(self.moment).take(BATCH, self.moment, lane=Lane.LARGE)
                if not granted:
                    break
                self.row.calls += 1
                yield STORAGE_SECONDS
                if self.row.version == self.version:
                    self.row.version += 1
                    self.row.pace, self.version, self.pace = left, self.row.version, left
                    self.current_at = self.now
                    self.block = Block.of(granted, left, self.moment)
                    return
                yield self.random.uniform(0, 0.03)
                yield from self._read()

    def _read(self) -> Iterator[float]:
        self.row.calls += 1
        self.current_at = self.now
        yield STORAGE_SECONDS
        self.pace, self.version = self.row.pace, self.row.version


def simulate_rivals(instances: int, *, seed: int, seconds: float = 600) -> Traffic:
    """So many instances with work for all that time, from a full bucket."""
    row = Row()
    rivals = [Rival(row, seed * 1000 + number) for number in range(instances)]
    events = [(rival.now, number) for number, rival in enumerate(rivals)]
    plays = [rival.play() for rival in rivals]
    heapq.heapify(events)
    while events[0][0] < seconds:
        now, number = heapq.heappop(events)
        rivals[number].now = now
        heapq.heappush(events, (now + next(plays[number]), number))
    return Traffic(
        calls_per_block=row.calls / (row.spent / row.pace.block),
        share_of_bound=row.spent / (row.pace.quota + seconds * row.pace.rate),
    )

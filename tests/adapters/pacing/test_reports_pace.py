"""The reporting API's own pace: one row for all instances."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from engine import HandSetClock

from revoke_core.adapters.pacing.reports import StoredReportsPace

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.adapters.storage import Storage

SPACE = timedelta(seconds=2.2)


class NotingClock(HandSetClock):
    """Stands still; the moments that calls were told to wait for are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[datetime] = []

    async def sleep_until(self, moment: datetime) -> None:
        """A call leaves at this moment."""
        self.turns.append(moment)


async def test_several_instances_share_one_pace(storage: Storage) -> None:
    """Six at once: each call has a moment of its own, at least 2.2 s from every other, so at most five in 10 s."""
    row, clock = secrets.token_hex(8), NotingClock()

    async def instance() -> None:
        pace = StoredReportsPace(storage=storage, clock=clock, row=row)
        for _ in range(4):
            while not await pace.turn(clock.now() + timedelta(hours=1)):
                """Others came first, eight times in a row."""

    await asyncio.gather(*(instance() for _ in range(6)))
    clock.turns.sort()
    assert len(clock.turns) == 24
    assert all(second - first >= SPACE for first, second in pairwise(clock.turns))


async def test_a_turn_that_comes_too_late_is_not_taken(storage: Storage) -> None:
    """Whoever has no time left takes nobody's turn away."""
    row, clock = secrets.token_hex(8), HandSetClock()
    pace = StoredReportsPace(storage=storage, clock=clock, row=row)
    assert await pace.turn(clock.now())
    assert not await pace.turn(clock.now() + timedelta(seconds=1))
    began = clock.now()
    assert await pace.turn(clock.now() + timedelta(seconds=3))
    assert clock.now() - began < SPACE + timedelta(milliseconds=5)


async def test_a_pause_holds_for_every_instance(storage: Storage) -> None:
    """What one is told by Graph keeps the others away, and the longer of two pauses wins."""
    row, clock = secrets.token_hex(8), HandSetClock()
    first, second = (StoredReportsPace(storage=storage, clock=clock, row=row) for _ in range(2))
    await first.close_for(timedelta(seconds=100))
    await first.close_for(timedelta(seconds=10))
    assert not await second.turn(clock.now() + timedelta(seconds=99))
    assert await second.turn(clock.now() + timedelta(seconds=101))

"""Hosts whose clocks differ, from each other's and from Graph's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps import ago, begun, person

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock


async def test_a_host_whose_clock_is_ahead_takes_no_read_for_the_last(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """What it reads first tells it Graph's time; the call in doubt was sent a few seconds ago by that."""
    engine, clock = still
    record, _ = await begun(engine, [person(1, sent_at=ago(seconds=3), attempts=1)])
    clock.jump(minutes=3)
    await engine.resume(record.id, patience=10)
    (row,) = await engine.log.all_rows(record.id)
    assert row.sent_at
    assert await directory.served() == []

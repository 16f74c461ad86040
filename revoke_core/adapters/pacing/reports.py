"""The pace of the reporting API, apart from that of lookups and revokes: one row says when the next call may leave.

Graph takes 5 calls per 10 s from one app in one tenant, both logs and all instances together
(https://learn.microsoft.com/graph/throttling-limits). Every call takes its turn by a conditional write of the row, so
the pace holds however many instances run, as far as their clocks agree.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.adapters.pacing.row import PARTITION
from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.adapters.tables.table import REPLACE, Table
from revoke_core.domain.timestamps import parsed_or_none, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from revoke_core.adapters.storage import Storage
    from revoke_core.ports.shared import Clock

# Five calls in 10 s would be one every 2 s; the rest is for calls that take longer to arrive than the next ones.
_BETWEEN_CALLS: Final = timedelta(seconds=2.2)
_TRIES: Final = 8
_JITTER_SECONDS: Final = 0.1


class StoredReportsPace:
    """The ``ReportsPace`` port over a row of its own beside the gates."""

    def __init__(self, *, storage: Storage, clock: Clock, row: str = "reports") -> None:
        self._table = Table(storage=storage, name=STATE_TABLE)
        self._clock = clock
        self._keys = {"PartitionKey": PARTITION, "RowKey": row}

    async def turn(self, until: datetime) -> bool:
        """Take the next free moment and wait for it."""
        taken: datetime | None = None

        def take(free_at: datetime) -> datetime | None:
            nonlocal taken
            taken = free_at if free_at <= until else None
            return taken + _BETWEEN_CALLS if taken else None

        if not await self._change(take) or taken is None:
            return False
        await self._clock.sleep_until(taken)
        return True

    async def close_for(self, pause: timedelta) -> None:
        """Move the next free moment behind the pause."""
        end = self._clock.now() + pause
        logs.event("reports_paused", seconds=round(pause.total_seconds(), 1))
        await self._change(lambda free_at: end if free_at < end else None)

    async def _change(self, change: Callable[[datetime], datetime | None]) -> bool:
        """Write what ``change`` makes of the next free moment; ``False`` when it is ``None``, or others came first."""
        for _ in range(_TRIES):
            stored = await self._table.get(PARTITION, self._keys["RowKey"])
            now = self._clock.now()
            free_at = (parsed_or_none(stored.get("FreeAt")) if stored else None) or now
            moved = change(max(free_at, now))
            if moved is None:
                return False
            # Rounded up to what is written: whole milliseconds.
            entity = self._keys | {"FreeAt": written(moved + timedelta(milliseconds=1))}
            if stored is None:
                is_written = await self._table.insert(entity)
            else:
                is_written = await self._table.update(entity, REPLACE, etag=stored.metadata["etag"])
            if is_written:
                return True
            await asyncio.sleep(random.uniform(0, _JITTER_SECONDS))  # noqa: S311 -- keeps instances apart
        return False

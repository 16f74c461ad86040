"""The system clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """The ``Clock`` port over the machine's own time."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        """Return once the moment has come."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))

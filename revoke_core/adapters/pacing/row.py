"""What all instances know about Graph's limits: one row of ``RevocationState`` with the gates and the write budget.

Optimistic concurrency: a write names the last ETag, and a refused one reads the row again. So a successful write also
proves that this instance's copy was current.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.adapters.tables.table import REPLACE, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from revoke_core.adapters.storage import Storage
    from revoke_core.ports.shared import Clock, GateKind

PARTITION: Final = "pace"
ROW: Final = "1"
# The column of each gate's end; the budget reads that of writes, too.
UNTIL: Final[dict[GateKind, str]] = {"read": "ReadUntil", "write": "WriteUntil"}
# A change by another instance has to be seen within one second, the read's own time included.
_FRESH: Final = timedelta(milliseconds=800)
_TRIES: Final = 8
_JITTER_SECONDS: Final = 0.03
_KEYS: Final = {"PartitionKey": PARTITION, "RowKey": ROW}


class SharedPaceRow:
    """This instance's copy of the row; ``StoredGates`` and ``StoredBudget`` share one.

    ``columns`` are those read last, none while the row does not exist.
    """

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._table = Table(storage=storage, name=STATE_TABLE)
        self._clock = clock
        self.columns: Mapping[str, Any] = {}
        self._etag: str | None = None
        self._current_at: datetime | None = None
        # One read or write at a time: a task that waited has the result of the one before.
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the row unless the copy was current within the last 0.8 s."""
        async with self._lock:
            now = self._clock.now()
            # A moment in the future is from before the clock was set back.
            if self._current_at is None or not now - _FRESH < self._current_at <= now:
                await self._read()

    async def change(self, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> bool:
        """Write what ``change`` makes of the columns; ``False`` when that is ``None``: nothing to write.

        Columns that it leaves out stay, those that are ``None`` go. When another instance has written since, the row is
        read again and ``change`` is called anew, up to eight times; then the answer is ``False``.
        """
        async with self._lock:
            if self._current_at is None:
                await self._read()
            for _ in range(_TRIES):
                changed = change(self.columns)
                if changed is None:
                    return False
                if await self._write({**self.columns, **changed}):
                    return True
                jitter = random.uniform(0, _JITTER_SECONDS)  # noqa: S311 -- keeps instances apart, guards no secret
                await self._clock.sleep_until(self._clock.now() + timedelta(seconds=jitter))
                await self._read()
        logs.event("pace_contended")
        return False

    async def _read(self) -> None:
        began = self._clock.now()
        found = await self._table.get(PARTITION, ROW)
        self.columns = {name: value for name, value in found.items() if name not in _KEYS} if found else {}
        self._etag = found.metadata["etag"] if found else None
        self._current_at = began

    async def _write(self, columns: dict[str, Any]) -> bool:
        began = self._clock.now()
        columns = {name: value for name, value in columns.items() if value is not None}
        if self._etag is None:
            etag = await self._table.insert(columns | _KEYS)
        else:
            etag = await self._table.update(columns | _KEYS, REPLACE, etag=self._etag)
        if etag is not None:
            self.columns, self._etag, self._current_at = columns, etag, began
        return etag is not None

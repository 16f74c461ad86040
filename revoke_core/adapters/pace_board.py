"""What all instances know about Graph's limits: one row of ``RevocationState``, gates and write budget together.

It is written under the version that was seen last; whoever meets a newer one looks again. So a write that succeeds is a
look as well: nobody has changed anything since the last one.
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import STATE_TABLE, Storage, answering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from revoke_core.ports import Clock, GateKind

PARTITION: Final = "pace"
ROW: Final = "1"
# In which column each gate's end stands: the budget needs that of writes as well.
UNTIL: Final[dict[GateKind, str]] = {"read": "ReadUntil", "write": "WriteUntil"}
# What is written elsewhere has to be seen within one second, the read's own time included.
_FRESH: Final = timedelta(milliseconds=800)
_TRIES: Final = 8
_JITTER_SECONDS: Final = 0.03
_KEYS: Final = {"PartitionKey": PARTITION, "RowKey": ROW}


class PaceBoard:
    """The row as this instance saw it last; ``StoredGates`` and ``StoredBudget`` share one."""

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._row: Mapping[str, Any] = {}
        self._version: str | None = None
        self._looked_at: datetime | None = None
        # One read or write at a time: whoever waited has the result of the one before.
        self._busy = asyncio.Lock()

    @property
    def row(self) -> Mapping[str, Any]:
        """The columns as seen last; empty when nobody has written any."""
        return self._row

    async def look(self) -> None:
        """Read the row unless that was done within 0.8 s; ``Unavailable`` when storage does not answer."""
        async with self._busy:
            now = self._clock.now()
            # A look that seems to lie ahead is from before the clock was set back.
            if self._looked_at is None or not now - _FRESH < self._looked_at <= now:
                await self._read()

    async def change(self, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> bool:
        """Write what ``change`` makes of the columns; ``False`` when that is ``None``: nothing to write.

        The columns that it leaves out stay, those that are ``None`` go. On a version that is not the latest any more
        it looks again and asks ``change`` anew, some times; then it gives up with ``False``.
        """
        async with self._busy:
            if self._looked_at is None:
                await self._read()
            for _ in range(_TRIES):
                changed = change(self._row)
                if changed is None:
                    return False
                if await self._write({**self._row, **changed}):
                    return True
                jitter = random.uniform(0, _JITTER_SECONDS)  # noqa: S311 -- keeps rivals apart, guards no secret
                await self._clock.sleep_until(self._clock.now() + timedelta(seconds=jitter))
                await self._read()
        logs.event("pace_contended")
        return False

    async def _read(self) -> None:
        began = self._clock.now()
        found = await self._storage.row(STATE_TABLE, PARTITION, ROW, select=None)
        self._row = {name: value for name, value in found.items() if name not in _KEYS} if found else {}
        self._version = found.metadata["etag"] if found else None
        self._looked_at = began

    async def _write(self, columns: dict[str, Any]) -> bool:
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.core.exceptions import (  # noqa: PLC0415 -- as above
            ResourceExistsError,
            ResourceModifiedError,
            ResourceNotFoundError,
        )
        from azure.data.tables import UpdateMode  # noqa: PLC0415 -- as above

        began, table = self._clock.now(), self._storage.table(STATE_TABLE)
        row = {name: value for name, value in columns.items() if value is not None}
        with answering():
            try:
                if self._version is None:
                    answer = await table.create_entity(row | _KEYS)
                else:
                    answer = await table.update_entity(
                        row | _KEYS,
                        mode=UpdateMode.REPLACE,
                        etag=self._version,
                        match_condition=MatchConditions.IfNotModified,
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return False
        self._row, self._version, self._looked_at = row, answer["etag"], began
        return True

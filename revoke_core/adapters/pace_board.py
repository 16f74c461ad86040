"""What all instances know about Graph's limits: one partition of ``RevocationState``, read by one query.

Every row is written under the version that was seen last; whoever meets a newer one looks again.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import STATE_TABLE, Storage, answering

if TYPE_CHECKING:
    from collections.abc import Callable

    from revoke_core.ports import Clock

PARTITION: Final = "pace"
# What is written elsewhere has to be seen within one second, the query's own time included.
_FRESH: Final = timedelta(milliseconds=800)
_TRIES: Final = 8
_JITTER_SECONDS: Final = 0.03


@dataclass(frozen=True, slots=True)
class _Seen:
    """A row, its version, and the number of the step that saw it; no row and no version when there is none."""

    row: dict[str, Any]
    version: str | None
    step: int


class PaceBoard:
    """The partition as this instance saw it last; ``StoredGates`` and ``StoredBudget`` share one."""

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._step = 0
        self._looked_at: datetime | None = None
        self._looking = asyncio.Lock()

    @property
    def known(self) -> bool:
        """Whether this instance has looked at all."""
        return self._looked_at is not None

    def row(self, name: str) -> dict[str, Any]:
        """A row's columns as seen last; empty when there is no such row."""
        seen = self._seen.get(name)
        return seen.row if seen else {}

    async def look(self, *, anew: bool = False) -> None:
        """Read the partition unless that was done within 0.8 s; ``Unavailable`` when storage does not answer.

        ``anew`` reads it in any case.
        """
        asked_at = self._clock.now()
        async with self._looking:
            # Whoever waited for somebody else's look has its result.
            fresh_since = asked_at if anew else self._clock.now() - _FRESH
            if self._looked_at is not None and self._looked_at > fresh_since:
                return
            began, step = self._clock.now(), self._next_step()
            with answering():
                query = self._table.query_entities("PartitionKey eq @pace", parameters={"pace": PARTITION})
                found = {row["RowKey"]: row async for row in query}
            for name in {*found, *self._seen}:
                seen = self._seen.get(name)
                if seen is None or seen.step < step:
                    row = found.get(name)
                    self._seen[name] = _Seen(dict(row or {}), row.metadata["etag"] if row else None, step)
            self._looked_at = began

    async def change(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> bool:
        """Replace a row by what ``change`` makes of its columns; ``False`` when that is ``None``: nothing to write.

        On a version that is not the latest any more it looks again and asks ``change`` anew, some times; then it gives
        up with ``False``.
        """
        if not self.known:
            await self.look()
        for _ in range(_TRIES):
            columns = change(self.row(name))
            if columns is None:
                return False
            if await self._write(name, columns):
                return True
            jitter = random.uniform(0, _JITTER_SECONDS)  # noqa: S311 -- keeps rivals apart, guards no secret
            await self._clock.sleep_until(self._clock.now() + timedelta(seconds=jitter))
            await self.look(anew=True)
        logs.event("pace_contended", row=name)
        return False

    async def _write(self, name: str, columns: dict[str, Any]) -> bool:
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.core.exceptions import (  # noqa: PLC0415 -- as above
            ResourceExistsError,
            ResourceModifiedError,
            ResourceNotFoundError,
        )
        from azure.data.tables import UpdateMode  # noqa: PLC0415 -- as above

        seen = self._seen.get(name)
        entity = columns | {"PartitionKey": PARTITION, "RowKey": name}
        with answering():
            try:
                if seen is None or seen.version is None:
                    answer = await self._table.create_entity(entity)
                else:
                    answer = await self._table.update_entity(
                        entity,
                        mode=UpdateMode.REPLACE,
                        etag=seen.version,
                        match_condition=MatchConditions.IfNotModified,
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return False
        self._seen[name] = _Seen(columns, answer["etag"], self._next_step())
        return True

    def _next_step(self) -> int:
        self._step += 1
        return self._step

    @property
    def _table(self) -> Any:
        return self._storage.table(STATE_TABLE)

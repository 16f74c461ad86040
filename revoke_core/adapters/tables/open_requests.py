"""The open markers in the table ``Revocations``: one beside the row of every request that has not ended.

Callback markers stand among them, so that one reading finds whatever is due.

A marker's row key holds the time at which the request was made, so a partition's markers come oldest first, behind all
request rows, whose keys are hexadecimal.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.rows import (
    CALLBACK_SUFFIX,
    MARKER_PREFIX,
    callback_keys,
    marker_bound,
    marker_keys,
    partitions_between,
)
from revoke_core.adapters.tables.table import MERGE, ROWS_PER_TRANSACTION, Table
from revoke_core.domain.timestamps import written
from revoke_core.ports.shared import OpenRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from datetime import datetime

    from revoke_core.adapters.storage import Storage

# The most that storage gives in one answer.
_MARKERS_AT_ONCE: Final = 1000
_FIRST_WAIT: Final = timedelta(seconds=45)
_LONGEST_WAIT: Final = timedelta(minutes=8)
# Doubling more often than this leads beyond the longest wait.
_MOST_DOUBLINGS: Final = 4


class TableOpenRequests:
    """The ``OpenRequests`` port; ``keep`` is how long ago an open request can have been accepted at most."""

    def __init__(self, *, storage: Storage, keep: timedelta) -> None:
        self._table = Table(storage=storage, name=REQUESTS_TABLE)
        self._keep = keep

    async def due(self, now: datetime, *, paused: bool) -> AsyncIterator[list[OpenRequest]]:
        """Read the markers of each partition in key order, the oldest partition first; in a second pass the rest."""
        is_due = "RedriveAt le @now" if paused else "(RedriveAt le @now or Paused eq true)"
        for is_new in ("Redriven eq 0", "Redriven gt 0"):
            async for batch in self._markers(f"{is_due} and {is_new}", {"now": written(now)}, None, now):
                yield [_open_request(entity) for entity in batch]

    async def of_caller(self, caller: str, since: datetime | None, now: datetime) -> AsyncIterator[list[str]]:
        """The markers that bear the caller's name."""
        async for batch in self._markers("Caller eq @caller", {"caller": caller}, since, now):
            yield [_open_request(entity).request_id for entity in batch]

    async def count(self, caller: str, most: int, now: datetime) -> int:
        """Mostly one read: of each marker only its key comes."""
        found = 0
        async for batch in self._markers("Caller eq @caller", {"caller": caller}, None, now, select=["RowKey"]):
            found += len(batch)
            if found >= most:
                break
        return min(found, most)

    async def note_redriven(self, batch: Sequence[OpenRequest], now: datetime) -> None:
        """``Paused`` goes, or the request would be due again before its work message is received."""
        await self._merge(
            (callback_keys if request.is_callback else marker_keys)(request.request_id)
            | {
                "RedriveAt": written(now + _wait_after(request.redriven)),
                "Redriven": request.redriven + 1,
                "Paused": False,
            }
            for request in batch
        )

    async def mark_due(self, request_ids: Sequence[str], now: datetime) -> None:
        """As if no message had been sent yet."""
        columns = {"RedriveAt": written(now), "Redriven": 0, "Paused": False}
        await self._merge(marker_keys(request_id) | columns for request_id in request_ids)

    async def postpone(self, request_id: str, redrive_at: datetime, *, paused: bool = False) -> None:
        """Merge into the marker; a merge cannot remove a column, so ``Paused`` is written even when false."""
        columns = {"RedriveAt": written(redrive_at), "Redriven": 0, "Paused": paused}
        await self._table.update(marker_keys(request_id) | columns, MERGE)

    async def _merge(self, markers: Iterator[dict[str, Any]]) -> None:
        """In one transaction, or one by one when a request has ended since."""
        entities = list(markers)
        if await self._table.submit([("update", entity, MERGE) for entity in entities]) is None:
            for entity in entities:
                await self._table.update(entity, MERGE)

    async def _markers(
        self,
        query: str,
        values: Mapping[str, Any],
        since: datetime | None,
        now: datetime,
        *,
        select: list[str] | None = None,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Markers of the requests made since a moment, oldest first, at most 100 of one partition at a time."""
        oldest = max(since or now - self._keep, now - self._keep)
        bounds = {"first": marker_bound(oldest), "end": f"{MARKER_PREFIX}."}
        query = f"PartitionKey eq @partition and RowKey ge @first and RowKey lt @end and {query}"
        for partition in partitions_between(oldest, now):
            found = self._table.pages(
                query, {**values, **bounds, "partition": partition}, _MARKERS_AT_ONCE, select=select
            )
            async for page in found:
                for batch in batched(page, ROWS_PER_TRANSACTION, strict=False):
                    yield batch


def _wait_after(redriven: int) -> timedelta:
    return min(_FIRST_WAIT * (1 << min(redriven, _MOST_DOUBLINGS)), _LONGEST_WAIT)


def _open_request(entity: Any) -> OpenRequest:
    _, _, request_id = entity["RowKey"].removesuffix(CALLBACK_SUFFIX).split("-", 2)
    is_callback = entity["RowKey"].endswith(CALLBACK_SUFFIX)
    return OpenRequest(request_id=request_id, redriven=int(entity.get("Redriven") or 0), is_callback=is_callback)

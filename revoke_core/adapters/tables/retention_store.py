"""Removing what is older than the retention time: a request with its users, its entries by user, and its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, USERS_TABLE
from revoke_core.adapters.tables.inputs import inputs_partition
from revoke_core.adapters.tables.rows import MARKER_PREFIX, RECORD_COLUMNS, record_from, request_partition, row_key
from revoke_core.adapters.tables.shared_facts import CLAIM
from revoke_core.adapters.tables.table import ROWS_PER_TRANSACTION, Table
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.timestamps import written
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.adapters.tables.user_index import TableUserIndex
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.ports.status_log import StatusLog

_RECORDS_PER_PAGE: Final = 1000


class TableRetentionStore:
    """The ``RetentionStore`` port over the app's tables."""

    def __init__(self, *, storage: Storage, log: StatusLog, index: TableUserIndex) -> None:
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._users = Table(storage=storage, name=USERS_TABLE)
        self._state = Table(storage=storage, name=STATE_TABLE)
        self._log = log
        self._index = index

    async def accepted_before(self, moment: datetime, *, token: str | None) -> Page[RequestRecord]:
        """Requests accepted before a moment, the youngest of them first: ids hold inverted time."""
        newest = inverted_time(moment)
        query = "PartitionKey ge @partition and RowKey gt @row and RowKey lt @end"
        values = {"partition": request_partition(newest), "row": f"{newest}~", "end": MARKER_PREFIX}
        page = await self._requests.page(query, values, _RECORDS_PER_PAGE, token, select=RECORD_COLUMNS)
        return Page(items=[record_from(entity) for entity in page.items], token=page.token)

    async def remove(self, record: RequestRecord, *, in_time: Callable[[], bool]) -> bool:
        """Remove one request, a chunk of users after the other, its own row last: a removal broken off is found again.

        A user's row goes right after its entries by user, so that these are deleted only once.
        """
        async for rows in _chunks(self._log.iter_users(record.id)):
            if not in_time():
                return False
            await self._index.remove(record.id, rows)
            await _delete(self._users, [(record.id, row_key(row.position)) for row in rows])
        await _delete_found(self._state, "PartitionKey eq @key", {"key": inputs_partition(record.id)})
        # The run row is what is left here.
        await _delete_found(self._users, "PartitionKey eq @key", {"key": record.id})
        await self._requests.delete(request_partition(record.id), record.id)
        return True

    async def delete_claims(self, before: datetime) -> None:
        """Remove idempotency keys claimed before a moment."""
        query = "PartitionKey eq @claims and ClaimedAt lt @before"
        await _delete_found(self._state, query, {"claims": CLAIM, "before": written(before)})


async def _delete_found(table: Table, query: str, values: dict[str, Any]) -> None:
    async for chunk in _chunks(table.query(query, values, select=["PartitionKey", "RowKey"])):
        await _delete(table, [(entity["PartitionKey"], entity["RowKey"]) for entity in chunk])


async def _delete(table: Table, keys: list[tuple[str, str]]) -> None:
    """Delete rows of one partition, one by one where some of them are gone already."""
    if await table.submit([("delete", {"PartitionKey": partition, "RowKey": row}) for partition, row in keys]) is None:
        for partition, row in keys:
            await table.delete(partition, row)


async def _chunks[T](items: AsyncIterable[T]) -> AsyncIterator[list[T]]:
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == ROWS_PER_TRANSACTION:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""Removing what is older than the retention time: a request with its users, its entries by user, and its inputs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.adapters.storage import REQUESTS_TABLE, USERS_TABLE
from revoke_core.adapters.tables.inputs import StoredInputs
from revoke_core.adapters.tables.rows import (
    EVIDENCE_PREFIX,
    RECORD_COLUMNS,
    REQUESTS_END,
    callback_keys,
    marker_bound,
    partitions_between,
    record_from,
    request_partition,
    row_key,
)
from revoke_core.adapters.tables.table import Table, chunks, delete_found, delete_rows
from revoke_core.domain.identifiers import inverted_time
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.adapters.tables.user_index import TableUserIndex
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.ports.status_log import StatusLog

_RECORDS_PER_PAGE: Final = 1000
# A partition is 2.2 years, and retention comes every day.
_ONE_PARTITION: Final = timedelta(days=800)


class TableRetentionStore:
    """The ``RetentionStore`` port over the app's tables."""

    def __init__(self, *, storage: Storage, log: StatusLog, index: TableUserIndex) -> None:
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._users = Table(storage=storage, name=USERS_TABLE)
        self._inputs = StoredInputs(storage=storage)
        self._log = log
        self._index = index

    async def accepted_before(self, moment: datetime, *, token: str | None) -> Page[RequestRecord]:
        """Requests accepted before a moment, the youngest of them first: ids hold inverted time."""
        newest = inverted_time(moment)
        query = "PartitionKey ge @partition and RowKey gt @row and RowKey lt @end"
        values = {"partition": request_partition(newest), "row": f"{newest}~", "end": REQUESTS_END}
        page = await self._requests.page(query, values, _RECORDS_PER_PAGE, token, select=RECORD_COLUMNS)
        return Page(items=[record_from(entity) for entity in page.items], token=page.token)

    async def remove(self, record: RequestRecord, *, in_time: Callable[[], bool]) -> bool:
        """Remove one request, a chunk of users after the other, its own row last: a removal broken off is found again.

        A user's row goes right after its entries by user, so that these are deleted only once.
        """
        async for rows in chunks(self._log.iter_users(record.id)):
            if not in_time():
                return False
            await self._index.remove(record.id, rows)
            await delete_rows(self._users, [(record.id, row_key(row.position)) for row in rows])
        await self._inputs.discard(record.id)
        # The run row is what is left here.
        await delete_found(self._users, "PartitionKey eq @key", {"key": record.id})
        await self._delete_request(record)
        return True

    async def delete_evidence_markers(self, before: datetime) -> None:
        """Remove the markers that no timer has removed."""
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end"
        values = {"first": f"{EVIDENCE_PREFIX}-", "end": marker_bound(before, EVIDENCE_PREFIX)}
        for partition in partitions_between(before - _ONE_PARTITION, before):
            await delete_found(self._requests, query, values | {"partition": partition})

    async def _delete_request(self, record: RequestRecord) -> None:
        """The request's row with the idempotency key that it holds and the marker of its callback."""
        partition = request_partition(record.id)
        stored = await self._requests.get(partition, record.id, select=["ClaimRow"]) or {}
        rows = [record.id, stored.get("ClaimRow"), callback_keys(record.id)["RowKey"] if record.callback else None]
        await delete_rows(self._requests, [(partition, row) for row in rows if row])

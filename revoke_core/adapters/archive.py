"""Removing what is older than the retention time: a request with its users, its entries by user, and its inputs."""

from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.ledger import CLAIM
from revoke_core.adapters.paging import one_page
from revoke_core.adapters.rows import record_from, request_partition
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, USERS_TABLE, Storage, answering
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.moments import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from datetime import datetime

    from revoke_core.adapters.user_index import TableUserIndex
    from revoke_core.domain.results import RequestRecord
    from revoke_core.log_ports import Page
    from revoke_core.ports import StatusLog

_AT_ONCE: Final = 100


class TableArchive:
    """The ``Archive`` port over the app's tables."""

    def __init__(self, *, storage: Storage, log: StatusLog, index: TableUserIndex) -> None:
        self._storage = storage
        self._log = log
        self._index = index

    async def accepted_before(self, moment: datetime, *, token: str | None) -> Page[RequestRecord]:
        """Requests accepted before a moment, the youngest of them first: ids hold inverted time."""
        newest = inverted_time(moment)
        query = "PartitionKey ge @partition and RowKey gt @row"
        values: dict[str, Any] = {"partition": request_partition(newest), "row": f"{newest}~"}
        page = await one_page(self._storage.table(REQUESTS_TABLE), query, values, _AT_ONCE, token)
        return type(page)(items=[record_from(entity) for entity in page.items], token=page.token)

    async def remove(self, record: RequestRecord) -> None:
        """Remove one request, its own row last: what was begun is found again."""
        async for rows in _chunks(self._log.rows(record.id)):
            await self._index.remove(record.id, rows)
        await self._delete(USERS_TABLE, "PartitionKey eq @key", {"key": record.id})
        await self._delete(STATE_TABLE, "PartitionKey eq @key", {"key": f"input-{record.id}"})
        with answering():
            await self._storage.table(REQUESTS_TABLE).delete_entity(request_partition(record.id), record.id)

    async def forget_claims(self, before: datetime) -> None:
        """Remove idempotency keys claimed before a moment."""
        query = "PartitionKey eq @claims and ClaimedAt lt @before"
        await self._delete(STATE_TABLE, query, {"claims": CLAIM, "before": written(before)})

    async def _delete(self, table: str, query: str, values: dict[str, Any]) -> None:
        client = self._storage.table(table)
        with answering():
            found = client.query_entities(query, parameters=values, select=["PartitionKey", "RowKey"])
            keys = [(entity["PartitionKey"], entity["RowKey"]) async for entity in found]
            for batch in batched(keys, _AT_ONCE, strict=False):
                await client.submit_transaction(
                    [("delete", {"PartitionKey": partition, "RowKey": row}) for partition, row in batch]
                )


async def _chunks[T](items: AsyncIterable[T]) -> AsyncIterator[list[T]]:
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == _AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

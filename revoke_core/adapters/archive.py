"""Removing what is older than the retention time: a request with its users, its entries by user, and its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.ledger import CLAIM
from revoke_core.adapters.paging import one_page
from revoke_core.adapters.rows import RECORD_COLUMNS, record_from, request_partition, row_key
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, USERS_TABLE, Storage, answering
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.moments import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable
    from datetime import datetime

    from revoke_core.adapters.user_index import TableUserIndex
    from revoke_core.domain.results import RequestRecord
    from revoke_core.log_ports import Page
    from revoke_core.ports import StatusLog

# As many as a transaction takes.
_AT_ONCE: Final = 100
_RECORDS_PER_PAGE: Final = 1000


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
        table = self._storage.table(REQUESTS_TABLE)
        page = await one_page(table, query, values, _RECORDS_PER_PAGE, token, select=RECORD_COLUMNS)
        return type(page)(items=[record_from(entity) for entity in page.items], token=page.token)

    async def remove(self, record: RequestRecord, *, in_time: Callable[[], bool]) -> bool:
        """Remove one request, a chunk of users after the other, its own row last: what was begun is found again.

        A user's row goes right after its entries by user, so that nobody has to look for these twice.
        """
        async for rows in _chunks(self._log.rows(record.id)):
            if not in_time():
                return False
            await self._index.remove(record.id, rows)
            await self._delete_all(USERS_TABLE, [(record.id, row_key(row.position)) for row in rows])
        await self._delete(STATE_TABLE, "PartitionKey eq @key", {"key": f"input-{record.id}"})
        # The run row is what is left here.
        await self._delete(USERS_TABLE, "PartitionKey eq @key", {"key": record.id})
        with answering():
            await self._storage.table(REQUESTS_TABLE).delete_entity(request_partition(record.id), record.id)
        return True

    async def forget_claims(self, before: datetime) -> None:
        """Remove idempotency keys claimed before a moment."""
        query = "PartitionKey eq @claims and ClaimedAt lt @before"
        await self._delete(STATE_TABLE, query, {"claims": CLAIM, "before": written(before)})

    async def _delete(self, table: str, query: str, values: dict[str, Any]) -> None:
        with answering():
            found = self._storage.table(table).query_entities(
                query, parameters=values, select=["PartitionKey", "RowKey"]
            )
            async for chunk in _chunks(found):
                await self._delete_all(table, [(entity["PartitionKey"], entity["RowKey"]) for entity in chunk])

    async def _delete_all(self, table: str, keys: list[tuple[str, str]]) -> None:
        entities = [{"PartitionKey": partition, "RowKey": row} for partition, row in keys]
        with answering():
            await self._storage.table(table).submit_transaction([("delete", entity) for entity in entities])


async def _chunks[T](items: AsyncIterable[T]) -> AsyncIterator[list[T]]:
    chunk: list[T] = []
    async for item in items:
        chunk.append(item)
        if len(chunk) == _AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

"""``RevocationUsers``: the users of each request, with the request's run row among them.

The run row stands in the partition of its users, so that one entity-group transaction writes users, counts and fence
together (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions: at most 100
entities of one partition, all or nothing).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.paging import one_page
from revoke_core.adapters.rows import row_key, user_entity, user_from
from revoke_core.adapters.run_row import RUN_ROW, run_entity, run_from
from revoke_core.adapters.storage import USERS_TABLE, Storage, answering
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.moments import written
from revoke_core.log_ports import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from datetime import datetime

    from revoke_core.domain.results import UserRow, UserStatus
    from revoke_core.domain.run import Run

ROWS_PER_WRITE: Final = 99
_IDENTITIES_PER_PAGE: Final = 500


class TableUserRows:
    """The half of the ``StatusLog`` port that is about users and run rows."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def run(self, request_id: str) -> Run | None:
        """The run row."""
        entity = await self._storage.row(USERS_TABLE, request_id, RUN_ROW, select=None)
        return run_from(entity, entity.metadata["etag"]) if entity else None

    async def save(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """Write rows and run in one transaction, behind the fence."""
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.data.tables import TableTransactionError, UpdateMode  # noqa: PLC0415 -- as above

        write_id = secrets.token_hex(8)
        entity = run_entity(run, write_id)
        first: tuple[Any, ...] = ("create", entity)
        if run.version is not None:
            guard = {"mode": UpdateMode.REPLACE, "etag": run.version, "match_condition": MatchConditions.IfNotModified}
            first = ("update", entity, guard)
        replacing = {"mode": UpdateMode.REPLACE}
        operations = [first, *(("upsert", user_entity(run.request_id, row), replacing) for row in rows)]
        with answering():
            try:
                written_rows = await self._storage.table(USERS_TABLE).submit_transaction(operations)
            except TableTransactionError as problem:
                if problem.status_code not in (404, 409, 412):
                    raise
                return await self._own_write(run, write_id)
        return replace(run, version=written_rows[0]["etag"])

    async def request_cancel(self, request_id: str, now: datetime) -> bool:
        """Merge the wish into the run row; the worker's next save is refused once, and it finds the wish there."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- kept out of the app's import
        from azure.data.tables import UpdateMode  # noqa: PLC0415 -- as above

        entity = {"PartitionKey": request_id, "RowKey": RUN_ROW, "CancelRequested": True, "NextAt": written(now)}
        with answering():
            try:
                await self._storage.table(USERS_TABLE).update_entity(entity, mode=UpdateMode.MERGE)
            except ResourceNotFoundError:
                return False
        return True

    async def waiting_rows(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """Rows of a status behind a position. A page may come back short while there is more: then it is read on.

        What the last page has beyond ``limit`` is left for the next call: a caller writes all it gets at once.
        """
        query = "PartitionKey eq @id and RowKey gt @after and RowKey lt @run and Status eq @status"
        values = {"id": request_id, "after": row_key(after), "run": RUN_ROW, "status": status.value}
        found: list[UserRow] = []
        with answering():
            pages = self._storage.table(USERS_TABLE).query_entities(query, parameters=values, results_per_page=limit)
            async for page in pages.by_page():
                found += [user_from(entity) async for entity in page]
                if len(found) >= limit:
                    return found[:limit], False
        return found, True

    async def rows_at(self, request_id: str, positions: Sequence[int]) -> list[UserRow]:
        """The rows of some users, which stand close together."""
        if not positions:
            return []
        query = "PartitionKey eq @id and RowKey ge @first and RowKey le @last"
        values = {"id": request_id, "first": row_key(min(positions)), "last": row_key(max(positions))}
        wanted = set(positions)
        with answering():
            found = self._storage.table(USERS_TABLE).query_entities(query, parameters=values)
            return [row async for row in _users(found) if row.position in wanted]

    async def rows(self, request_id: str, *, after: int = 0) -> AsyncIterator[UserRow]:
        """All users behind a position."""
        query = "PartitionKey eq @id and RowKey gt @after and RowKey lt @run"
        values = {"id": request_id, "after": row_key(after), "run": RUN_ROW}
        with answering():
            async for row in _users(self._storage.table(USERS_TABLE).query_entities(query, parameters=values)):
                yield row

    async def identities(self, request_id: str, *, to: int) -> AsyncIterator[str]:
        """Two columns of each row, and half a page: a worker reads all users this way, and should not grow by it."""
        query = "PartitionKey eq @id and RowKey le @last"
        values = {"id": request_id, "last": row_key(to)}
        table = self._storage.table(USERS_TABLE)
        with answering():
            found = table.query_entities(
                query, parameters=values, select=["UserId", "Input"], results_per_page=_IDENTITIES_PER_PAGE
            )
            async for entity in found:
                yield entity.get("UserId") or entity["Input"]

    async def trim(self, request_id: str, *, after: int) -> None:
        """Delete the rows behind a position; what somebody else deletes meanwhile is no error."""
        from azure.data.tables import TableTransactionError  # noqa: PLC0415 -- kept out of the app's import

        while keys := [row_key(row.position) async for row in self.rows(request_id, after=after)]:
            with answering():
                try:
                    for batch in batched(keys, ROWS_PER_WRITE, strict=False):
                        entities = [{"PartitionKey": request_id, "RowKey": key} for key in batch]
                        await self._storage.table(USERS_TABLE).submit_transaction([("delete", one) for one in entities])
                except TableTransactionError as problem:
                    if problem.status_code != 404:  # noqa: PLR2004 -- HTTP's Not Found
                        raise

    async def row(self, request_id: str, position: int) -> UserRow | None:
        """One user of a request."""
        entity = await self._storage.row(USERS_TABLE, request_id, row_key(position), select=None)
        return user_from(entity) if entity else None

    async def row_page(
        self, request_id: str, *, status: UserStatus | None, size: int, token: str | None
    ) -> Page[UserRow]:
        """One page of a request's users."""
        query = "PartitionKey eq @id and RowKey lt @run" + (" and Status eq @status" if status else "")
        values: dict[str, Any] = {"id": request_id, "run": RUN_ROW} | ({"status": status.value} if status else {})
        page = await one_page(self._storage.table(USERS_TABLE), query, values, size, token)
        return Page(items=[user_from(entity) for entity in page.items], token=page.token)

    async def _own_write(self, run: Run, write_id: str) -> Run:
        """After a refusal: our own write whose answer was lost, or somebody else's."""
        entity = await self._storage.row(USERS_TABLE, run.request_id, RUN_ROW, select=None)
        if entity is None or entity.get("WriteId") != write_id:
            raise LeaseLost(run.request_id)
        # Somebody with a say may have written since: the write id is still ours.
        return run.hearing(run_from(entity, entity.metadata["etag"]))


async def _users(entities: AsyncIterable[Any]) -> AsyncIterator[UserRow]:
    async for entity in entities:
        yield user_from(entity)

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

from revoke_core.adapters.storage import USERS_TABLE
from revoke_core.adapters.tables.rows import row_key, user_entity, user_from
from revoke_core.adapters.tables.run_row import RUN_ROW, run_entity, run_from
from revoke_core.adapters.tables.table import MERGE, REPLACE, Table, guarded
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.problems import USER_NOT_FOUND
from revoke_core.domain.timestamps import written
from revoke_core.domain.user_state import identity_of
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.run import Run
    from revoke_core.domain.user_state import UserRow, UserStatus

ROWS_PER_WRITE: Final = 99
_IDENTITIES_PER_PAGE: Final = 500


class TableUserRows:
    """The ``UserRows`` port: users and run rows."""

    def __init__(self, *, storage: Storage) -> None:
        self._users = Table(storage=storage, name=USERS_TABLE)

    async def get_run(self, request_id: str) -> Run | None:
        """The run row."""
        entity = await self._users.get(request_id, RUN_ROW)
        return run_from(entity, entity.metadata["etag"]) if entity else None

    async def save_run(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """The run row's ETag is the fencing token: without it no user row is written.

        A refused transaction is this call's own write, its answer lost, when the stored run row has its write id.
        A control route may have written since: a merge keeps the write id.
        """
        write_id = secrets.token_hex(8)
        entity = run_entity(run, write_id)
        fence = ("create", entity) if run.version is None else ("update", entity, REPLACE | guarded(run.version))
        upserts = (("upsert", user_entity(run.request_id, row), REPLACE) for row in rows)
        saved = await self._users.submit([fence, *upserts])
        if saved is not None:
            return replace(run, version=saved[0]["etag"])
        stored = await self._users.get(run.request_id, RUN_ROW)
        if stored is None or stored.get("WriteId") != write_id:
            raise LeaseLost(run.request_id)
        return run.merge_signals(run_from(stored, stored.metadata["etag"]))

    async def request_cancel(self, request_id: str, now: datetime) -> bool:
        """Merge without a condition; the worker's next save is refused once and then finds the signal."""
        keys = {"PartitionKey": request_id, "RowKey": RUN_ROW}
        merged = await self._users.update(keys | {"CancelRequested": True, "DueAt": written(now)}, MERGE)
        return merged is not None

    async def list_waiting(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """Read on behind a short page.

        What the last page has beyond ``limit`` is left for the next call: a caller writes all it gets at once.
        """
        query = "PartitionKey eq @id and RowKey gt @after and RowKey lt @run and Status eq @status"
        values = {"id": request_id, "after": row_key(after), "run": RUN_ROW, "status": status.value}
        found: list[UserRow] = []
        async for page in self._users.pages(query, values, limit):
            found += map(user_from, page)
            if len(found) >= limit:
                return found[:limit], False
        return found, True

    async def get_users(self, request_id: str, positions: Sequence[int]) -> list[UserRow]:
        """The rows of some users, which stand close together."""
        if not positions:
            return []
        query = "PartitionKey eq @id and RowKey ge @first and RowKey le @last"
        values = {"id": request_id, "first": row_key(min(positions)), "last": row_key(max(positions))}
        wanted = set(map(row_key, positions))
        return [user_from(entity) async for entity in self._users.query(query, values) if entity["RowKey"] in wanted]

    async def iter_users(self, request_id: str, *, after: int = 0) -> AsyncIterator[UserRow]:
        """All users behind a position."""
        query = "PartitionKey eq @id and RowKey gt @after and RowKey lt @run"
        async for entity in self._users.query(query, {"id": request_id, "after": row_key(after), "run": RUN_ROW}):
            yield user_from(entity)

    async def iter_identities(self, request_id: str, *, to: int) -> AsyncIterator[str]:
        """Few columns of each row, and half a page: a worker reads all users this way, and should not grow by it."""
        query, values = "PartitionKey eq @id and RowKey le @last", {"id": request_id, "last": row_key(to)}
        columns = ["UserId", "Input", "Entity", "ErrorCode", "Attempts"]
        async for entity in self._users.query(query, values, select=columns, page_size=_IDENTITIES_PER_PAGE):
            is_unknown = entity.get("ErrorCode") == USER_NOT_FOUND.code and not entity.get("Attempts")
            yield identity_of(entity.get("Entity") or entity["Input"], entity.get("UserId"), is_unknown=is_unknown)

    async def delete_after(self, request_id: str, *, after: int) -> None:
        """Delete until no row is left; a transaction is refused when another worker deletes the same rows."""
        while keys := [row_key(row.position) async for row in self.iter_users(request_id, after=after)]:
            for batch in batched(keys, ROWS_PER_WRITE, strict=False):
                deletes = [("delete", {"PartitionKey": request_id, "RowKey": key}) for key in batch]
                if await self._users.submit(deletes) is None:
                    break

    async def get_user(self, request_id: str, position: int) -> UserRow | None:
        """One user of a request."""
        entity = await self._users.get(request_id, row_key(position))
        return user_from(entity) if entity else None

    async def list_users(
        self, request_id: str, *, status: UserStatus | None, size: int, token: str | None
    ) -> Page[UserRow]:
        """One page of a request's users."""
        query = "PartitionKey eq @id and RowKey lt @run" + (" and Status eq @status" if status else "")
        values: dict[str, Any] = {"id": request_id, "run": RUN_ROW} | ({"status": status.value} if status else {})
        page = await self._users.page(query, values, size, token)
        return Page(items=[user_from(entity) for entity in page.items], token=page.token)

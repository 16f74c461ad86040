"""The status log in Azure Table Storage: ``Revocations`` and ``RevocationUsers``.

A request's run row stands in the partition of its users, so that one entity-group transaction writes users, counts and
fence together (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions: at most 100
entities of one partition, all or nothing).
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.inputs import (
    PROPERTY_BYTES,
    cut,
    in_entities,
    joined,
    packed_head,
    packed_users,
    place_of,
    unpacked,
    unpacked_users,
)
from revoke_core.adapters.paging import one_page
from revoke_core.adapters.rows import (
    RUN_ROW,
    record_entity,
    record_from,
    request_partition,
    row_key,
    run_entity,
    run_from,
    user_entity,
    user_from,
)
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, USERS_TABLE, Storage, answering
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.request import NamedUsers
from revoke_core.domain.results import Counts
from revoke_core.ports import Page, Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.results import RequestedBy, RequestRecord, UserRow, UserStatus

ROWS_PER_WRITE: Final = 99
_HEAD_ROW: Final = "head-"
_OPEN: Final = "(Status eq 'pending' or Status eq 'revoked')"


class TableStatusLog:
    """The ``StatusLog`` port over two tables; large inputs stand beside them in ``RevocationState``.

    ``whole_inputs`` has ``inputs`` read all parts at once, for a worker that does not read them one by one.
    """

    def __init__(self, *, storage: Storage, whole_inputs: bool = False) -> None:
        self._storage = storage
        self._whole_inputs = whole_inputs

    async def create(self, record: RequestRecord, request: RevocationRequest | None) -> None:
        """Insert the request's row last: it is what makes the request durable.

        A conflict is our own insert whose answer was lost, for ids are random.
        """
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 -- kept out of the app's import

        entity = record_entity(record)
        with answering():
            if request is not None:
                entity |= await self._put_inputs(record.id, request)
            try:
                await self._storage.table(REQUESTS_TABLE).create_entity(entity)
            except ResourceExistsError:
                return

    async def get(self, request_id: str) -> RequestRecord | None:
        """The request's row, without what was asked for."""
        entity = await self._row(REQUESTS_TABLE, request_partition(request_id), request_id, select=_RECORD_COLUMNS)
        return record_from(entity) if entity else None

    async def inputs(self, request_id: str) -> RevocationRequest | None:
        """What was asked for, with its users when they stand in the request's row."""
        select = ["Input", "InputRows", "InputUsers"]
        entity = await self._row(REQUESTS_TABLE, request_partition(request_id), request_id, select=select)
        if entity is None or not (entity.get("Input") or entity.get("InputRows")):
            return None
        head: bytes = entity.get("Input") or b""
        for number in range(int(entity.get("InputRows") or 0)):
            pieces = await self._row(STATE_TABLE, _inputs_of(request_id), _HEAD_ROW + row_key(number), select=None)
            head += joined(pieces) if pieces else b""
        data = entity.get("InputUsers")
        request = unpacked(head, unpacked_users(data) if data else NamedUsers())
        if self._whole_inputs and request.named and not request.users:
            parts = [await self.named_users(request_id, part) or () for part in range(request.named_parts)]
            return replace(request, users=NamedUsers(user.given for users in parts for user in users))
        return request

    async def named_users(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """One part, read by itself; the only part of a small request stands in the request's row."""
        number, column = place_of(part)
        entity = await self._row(STATE_TABLE, _inputs_of(request_id), row_key(number), select=[column])
        data = entity.get(column) if entity else None
        if entity is None and part == 0:
            select = ["InputUsers"]
            entity = await self._row(REQUESTS_TABLE, request_partition(request_id), request_id, select=select)
            data = entity.get("InputUsers") if entity else None
        return unpacked_users(data) if data else None

    async def update(self, record: RequestRecord) -> None:
        """Merge what changes into the request's row."""
        from azure.data.tables import UpdateMode  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            await self._storage.table(REQUESTS_TABLE).update_entity(record_entity(record), mode=UpdateMode.MERGE)

    async def page(
        self,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[RequestRecord]:
        """Requests, newest first: keys hold inverted time, and a table is read in key order."""
        clauses: list[str] = []
        values: dict[str, Any] = {}
        if status:
            clauses.append("Status eq @status")
            values["status"] = status
        if requested_by:
            clauses.append("RequestedByKind eq @kind and RequestedById eq @caller")
            values |= {"kind": requested_by.kind, "caller": requested_by.id or ""}
        if since:
            clauses.append("PartitionKey le @partition and RowKey lt @row")
            oldest = inverted_time(since)
            values |= {"partition": request_partition(oldest), "row": f"{oldest}~"}
        page = await one_page(
            self._storage.table(REQUESTS_TABLE), " and ".join(clauses), values, size, token, select=_RECORD_COLUMNS
        )
        return Page(items=[record_from(entity) for entity in page.items], token=page.token)

    async def run(self, request_id: str) -> Run | None:
        """The run row."""
        entity = await self._row(USERS_TABLE, request_id, RUN_ROW, select=None)
        return run_from(entity, entity.metadata["etag"]) if entity else None

    async def save(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """Write rows and run in one transaction per 99 rows, each behind the fence."""
        chunks = [rows[start : start + ROWS_PER_WRITE] for start in range(0, len(rows), ROWS_PER_WRITE)]
        for chunk in chunks or [rows]:
            run = await self._save_chunk(run, chunk)
        return run

    async def drop_run(self, request_id: str) -> None:
        """Delete the run row; a row that is already gone is no error."""
        with answering():
            await self._storage.table(USERS_TABLE).delete_entity(request_id, RUN_ROW)

    async def rows(self, request_id: str, *, open_only: bool) -> list[UserRow]:
        """All users of a request, or those without a last word."""
        query = "PartitionKey eq @id and RowKey lt @run" + (f" and {_OPEN}" if open_only else "")
        with answering():
            found = self._storage.table(USERS_TABLE).query_entities(
                query, parameters={"id": request_id, "run": RUN_ROW}
            )
            return [user_from(entity) async for entity in found]

    async def row(self, request_id: str, position: int) -> UserRow | None:
        """One user of a request."""
        entity = await self._row(USERS_TABLE, request_id, row_key(position), select=None)
        return user_from(entity) if entity else None

    async def row_page(
        self, request_id: str, *, status: UserStatus | None, size: int, token: str | None
    ) -> Page[UserRow]:
        """One page of a request's users."""
        query = "PartitionKey eq @id and RowKey lt @run" + (" and Status eq @status" if status else "")
        values: dict[str, Any] = {"id": request_id, "run": RUN_ROW} | ({"status": status.value} if status else {})
        page = await one_page(self._storage.table(USERS_TABLE), query, values, size, token)
        return Page(items=[user_from(entity) for entity in page.items], token=page.token)

    async def _save_chunk(self, run: Run, rows: Sequence[UserRow]) -> Run:
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

    async def _own_write(self, run: Run, write_id: str) -> Run:
        """After a refusal: our own write whose answer was lost, or somebody else's."""
        entity = await self._row(USERS_TABLE, run.request_id, RUN_ROW, select=None)
        if entity is None or entity.get("WriteId") != write_id:
            raise LeaseLost(run.request_id)
        return replace(run, version=entity.metadata["etag"])

    async def _put_inputs(self, request_id: str, request: RevocationRequest) -> dict[str, Any]:
        """Store what does not fit the request's row; returns the columns that do."""
        parts = list(packed_users(request.users))
        head = packed_head(request, [size for size, _ in parts])
        columns: dict[str, Any] = {}
        rows: dict[str, dict[str, bytes]] = {}
        if len(head) <= PROPERTY_BYTES:
            columns["Input"] = head
        else:
            pieces = list(in_entities(cut(head)))
            rows |= {_HEAD_ROW + row_key(number): properties for number, properties in enumerate(pieces)}
            columns["InputRows"] = len(pieces)
        if len(parts) == 1:
            columns["InputUsers"] = parts[0][1]
        else:
            entities = in_entities([data for _, data in parts])
            rows |= {row_key(number): properties for number, properties in enumerate(entities)}
        table = self._storage.table(STATE_TABLE)
        await asyncio.gather(
            *(
                table.upsert_entity({"PartitionKey": _inputs_of(request_id), "RowKey": key} | properties)
                for key, properties in rows.items()
            )
        )
        return columns

    async def _row(self, table: str, partition: str, row: str, *, select: list[str] | None) -> Any:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            try:
                return await self._storage.table(table).get_entity(partition, row, select=select)
            except ResourceNotFoundError:
                return None


def _inputs_of(request_id: str) -> str:
    return f"input-{request_id}"


def _record_columns() -> list[str]:
    """Every column of a request's row but the inputs, which may be large."""
    import dataclasses  # noqa: PLC0415 -- once per process

    counts = [f"Counts{item.name.capitalize()}" for item in dataclasses.fields(Counts)]
    return [
        *("PartitionKey", "RowKey", "Status", "Source", "RequestedByKind", "RequestedById", "RequestedByName"),
        *(
            "RequestedByAppId",
            "RequestedByClaim",
            "RequestedAt",
            "CompletedAt",
            "Reason",
            "DryRun",
            "Verify",
            "Warnings",
            "MessageText",
        ),
        *("CorrelationClientRequestId", "CorrelationWorkflowRunId", "CorrelationWorkflowName"),
        *("CorrelationTraceparent", "ErrorCode", "ErrorMessage", "ErrorHint", "ErrorErrors", *counts),
    ]


_RECORD_COLUMNS: Final = _record_columns()

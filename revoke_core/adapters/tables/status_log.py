"""The status log in Azure Table Storage: ``Revocations`` here, ``RevocationUsers`` in ``user_rows``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revoke_core import logs
from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.inputs import StoredInputs
from revoke_core.adapters.tables.rows import (
    MARKER_PREFIX,
    RECORD_COLUMNS,
    marker_keys,
    record_entity,
    record_from,
    request_partition,
)
from revoke_core.adapters.tables.table import MERGE, Table
from revoke_core.adapters.tables.user_rows import TableUserRows
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.timestamps import written
from revoke_core.ports.status_log import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.request_record import RequestedBy, RequestRecord


class TableStatusLog(TableUserRows):
    """The ``StatusLog`` port over two tables; large inputs stand beside them in ``RevocationState``."""

    def __init__(self, *, storage: Storage) -> None:
        super().__init__(storage=storage)
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._inputs = StoredInputs(storage=storage)

    async def create_request(
        self, record: RequestRecord, request: RevocationRequest | None, *, redrive_at: datetime | None
    ) -> bool:
        """Insert the request's row last: it is what makes the request durable.

        ``False`` also after an insert of this call whose answer was lost and which the SDK has repeated.
        """
        entity = record_entity(record)
        if request is not None:
            entity |= await self._inputs.put(record.id, request)
        if redrive_at is None:
            return await self._requests.insert(entity) is not None
        marker = marker_keys(record.id) | {
            "RedriveAt": written(redrive_at),
            "Redriven": 0,
            "Caller": record.requested_by.caller,
        }
        return await self._requests.submit([("create", entity), ("create", marker)]) is not None

    async def get_request(self, request_id: str) -> RequestRecord | None:
        """The request's row, without what was asked for."""
        entity = await self._requests.get(request_partition(request_id), request_id, select=RECORD_COLUMNS)
        return record_from(entity) if entity else None

    async def get_inputs(self, request_id: str) -> RevocationRequest | None:
        """What was asked for, with its users when they stand in the request's row."""
        return await self._inputs.read(request_id)

    async def get_named_users(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """One part of the named users."""
        return await self._inputs.part(request_id, part)

    async def update_request(self, record: RequestRecord) -> None:
        """Merge into the request's row under the ETag with which it was read as open."""
        entity = record_entity(record)
        while True:
            stored = await self._requests.get(entity["PartitionKey"], record.id, select=RECORD_COLUMNS)
            if stored is None or record_from(stored).status.is_final:
                return
            if await self._requests.update(entity, MERGE, etag=stored.metadata["etag"]):
                return

    async def finish_request(self, record: RequestRecord) -> None:
        """Storage refuses the transaction when the marker is gone: the request has ended before."""
        final = ("update", record_entity(record), MERGE)
        await self._requests.submit([final, ("delete", marker_keys(record.id))])

    async def list_requests(
        self,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[RequestRecord]:
        """A table is read in key order, and keys hold inverted time: the newest request comes first."""
        clauses = ["RowKey lt @end"]
        values: dict[str, Any] = {"end": MARKER_PREFIX}
        if status:
            clauses.append("Status eq @status")
            values["status"] = status
        if requested_by:
            clauses.append("RequestedByKind eq @kind and RequestedById eq @caller")
            values |= {"kind": requested_by.kind, "caller": requested_by.id or ""}
        if since:
            oldest = inverted_time(since)
            clauses.append("PartitionKey le @partition")
            values |= {"partition": request_partition(oldest), "end": f"{oldest}~"}
        page = await self._requests.page(" and ".join(clauses), values, size, token, select=RECORD_COLUMNS)
        found = (_record_or_none(entity) for entity in page.items)
        return Page(items=[record for record in found if record], token=page.token)


def _record_or_none(entity: Any) -> RequestRecord | None:
    """A damaged row, or one of a later version of the app, keeps nobody from seeing the others."""
    try:
        return record_from(entity)
    except (KeyError, TypeError, ValueError) as problem:
        logs.failure("request_unreadable", problem, requestId=entity.get("RowKey"))
        return None

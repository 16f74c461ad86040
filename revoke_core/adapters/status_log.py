"""The status log in Azure Table Storage: ``Revocations`` here, ``RevocationUsers`` in ``user_rows``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from revoke_core.adapters.paging import one_page
from revoke_core.adapters.rows import (
    RECORD_COLUMNS,
    record_entity,
    record_from,
    request_partition,
)
from revoke_core.adapters.storage import REQUESTS_TABLE, Storage, answering
from revoke_core.adapters.stored_inputs import StoredInputs
from revoke_core.adapters.user_rows import TableUserRows
from revoke_core.domain.identifiers import inverted_time
from revoke_core.log_ports import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.results import RequestedBy, RequestRecord


class TableStatusLog(TableUserRows):
    """The ``StatusLog`` port over two tables; large inputs stand beside them in ``RevocationState``."""

    def __init__(self, *, storage: Storage) -> None:
        super().__init__(storage=storage)
        self._inputs = StoredInputs(storage=storage)

    async def create(self, record: RequestRecord, request: RevocationRequest | None) -> None:
        """Insert the request's row last: it is what makes the request durable.

        A conflict is our own insert whose answer was lost, for ids are random.
        """
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 -- kept out of the app's import

        entity = record_entity(record)
        with answering():
            if request is not None:
                entity |= await self._inputs.put(record.id, request)
            try:
                await self._storage.table(REQUESTS_TABLE).create_entity(entity)
            except ResourceExistsError:
                return

    async def get(self, request_id: str) -> RequestRecord | None:
        """The request's row, without what was asked for."""
        entity = await self._storage.row(
            REQUESTS_TABLE, request_partition(request_id), request_id, select=RECORD_COLUMNS
        )
        return record_from(entity) if entity else None

    async def inputs(self, request_id: str) -> RevocationRequest | None:
        """What was asked for, with its users when they stand in the request's row."""
        return await self._inputs.read(request_id)

    async def named_users(self, request_id: str, part: int) -> Sequence[UserRef] | None:
        """One part of the named users, read by itself."""
        return await self._inputs.part(request_id, part)

    async def update(self, record: RequestRecord) -> None:
        """Merge what changes into the request's row, unless it has its last word and this is another."""
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.core.exceptions import ResourceModifiedError  # noqa: PLC0415 -- as above
        from azure.data.tables import UpdateMode  # noqa: PLC0415 -- as above

        table = self._storage.table(REQUESTS_TABLE)
        entity = record_entity(record)
        guard: dict[str, Any] = {}
        while True:
            if not record.status.is_final:
                stored = await self._storage.row(
                    REQUESTS_TABLE, entity["PartitionKey"], record.id, select=RECORD_COLUMNS
                )
                if stored is None or record_from(stored).status.is_final:
                    return
                guard = {"etag": stored.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
            with answering(), suppress(ResourceModifiedError):
                await table.update_entity(entity, mode=UpdateMode.MERGE, **guard)
                return

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
            self._storage.table(REQUESTS_TABLE), " and ".join(clauses), values, size, token, select=RECORD_COLUMNS
        )
        return Page(items=[record_from(entity) for entity in page.items], token=page.token)

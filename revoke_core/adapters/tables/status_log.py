"""The status log in Azure Table Storage: ``Revocations`` here, ``RevocationUsers`` in ``user_rows``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.evidence_store import evidence_marker
from revoke_core.adapters.tables.inputs import StoredInputs
from revoke_core.adapters.tables.rows import (
    RECORD_COLUMNS,
    REQUESTS_END,
    callback_columns,
    callback_marker,
    claim_row,
    marker_keys,
    record_entity,
    record_from,
    request_partition,
)
from revoke_core.adapters.tables.table import MERGE, REPLACE, Table, guarded
from revoke_core.adapters.tables.user_rows import TableUserRows
from revoke_core.domain.callback import CallbackEvent, CallbackState
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.evidence import EvidenceMarker
from revoke_core.domain.identifiers import accepted_at, inverted_time
from revoke_core.domain.timestamps import written
from revoke_core.ports.status_log import Claim, Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.request_record import RequestedBy, RequestRecord
    from revoke_core.ports.status_log import IdempotencyKey


# A key is good for this long at least, also where a new partition begins meanwhile.
_KEY_LIFETIME: Final = timedelta(days=2)


class TableStatusLog(TableUserRows):
    """The ``StatusLog`` port over two tables; large inputs stand beside them in ``RevocationState``."""

    def __init__(self, *, storage: Storage) -> None:
        super().__init__(storage=storage)
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._inputs = StoredInputs(storage=storage)

    async def create_request(
        self,
        record: RequestRecord,
        request: RevocationRequest | None,
        *,
        redrive_at: datetime | None,
        key: IdempotencyKey | None = None,
    ) -> Claim | None:
        """Large inputs first: the transaction with the request's row is what makes the request durable.

        It is also refused when its own answer was lost and the SDK has repeated it; then the claim is this request's.
        """
        entity = record_entity(record) | callback_columns(record.callback)
        made_at = accepted_at(record.id)
        rows = [entity]
        if key is not None:
            if len(_claim_partitions(made_at)) > 1 and (holder := await self.get_claim(key.scope, key.key, made_at)):
                return holder
            entity["ClaimRow"] = claim_row(key.scope, key.key)
            claim = {"RowKey": entity["ClaimRow"], "RequestId": record.id, "Digest": key.digest}
            rows.append({"PartitionKey": entity["PartitionKey"]} | claim)
        if redrive_at is not None:
            marker = {"RedriveAt": written(redrive_at), "Redriven": 0, "Caller": record.requested_by.caller}
            rows.append(marker_keys(record.id) | marker)
        if request is not None:
            entity |= await self._inputs.put(record.id, request)
        if await self._requests.submit([("create", row) for row in rows]) is not None or key is None:
            return None
        holder = await self.get_claim(key.scope, key.key, made_at)
        if holder is None:
            raise Unavailable("The table storage has refused the request and holds no other under its key.")
        if holder.request_id == record.id:
            return None
        await self._inputs.discard(record.id)
        return holder

    async def get_claim(self, scope: str, key: str, now: datetime) -> Claim | None:
        """One point read; two soon after a new partition has begun."""
        for partition in _claim_partitions(now):
            claim = await self._requests.get(partition, claim_row(scope, key))
            if claim is not None:
                return Claim(request_id=claim["RequestId"], digest=claim["Digest"])
        return None

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

    async def update_request(self, record: RequestRecord, *, held_at: datetime | None = None) -> None:
        """Merge into the request's row under the ETag with which it was read as open."""
        entity = record_entity(record)
        event = _event(record, CallbackEvent.HELD, held_at)
        if event:
            entity |= callback_columns(CallbackState())
        while True:
            stored = await self._requests.get(entity["PartitionKey"], record.id, select=RECORD_COLUMNS)
            if stored is None or record_from(stored).status.is_final:
                return
            etag = stored.metadata["etag"]
            if event:
                written = await self._requests.submit([("update", entity, MERGE | guarded(etag)), *event]) is not None
            else:
                written = await self._requests.update(entity, MERGE, etag=etag) is not None
            if written:
                return

    async def finish_request(self, record: RequestRecord, *, evidence_at: datetime | None = None) -> None:
        """Storage refuses the transaction when the marker is gone: the request has ended before."""
        operations: list[tuple[Any, ...]] = [
            ("update", record_entity(record) | callback_columns(record.callback), MERGE),
            ("delete", marker_keys(record.id)),
            *_event(record, CallbackEvent.ENDED, record.completed_at),
        ]
        if evidence_at and record.completed_at:
            marker = EvidenceMarker(request_id=record.id, ended_at=record.completed_at, due_at=evidence_at)
            operations.append(("upsert", evidence_marker(marker)))
        await self._requests.submit(operations)

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
        values: dict[str, Any] = {"end": REQUESTS_END}
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


def _claim_partitions(now: datetime) -> list[str]:
    """The partitions in which a key that counts now may be claimed, newest first."""
    moments = (now, now - _KEY_LIFETIME)
    return list(dict.fromkeys(request_partition(inverted_time(moment)) for moment in moments))


def _event(record: RequestRecord, event: CallbackEvent, at: datetime | None) -> list[tuple[Any, ...]]:
    """What a transaction writes beside the request's row where its callback has to be told."""
    if record.callback is None or at is None:
        return []
    return [("upsert", callback_marker(record.id, event, at), REPLACE)]


def _record_or_none(entity: Any) -> RequestRecord | None:
    """A damaged row, or one of a later version of the app, keeps nobody from seeing the others."""
    try:
        return record_from(entity)
    except (KeyError, TypeError, ValueError) as problem:
        logs.failure("request_unreadable", problem, requestId=entity.get("RowKey"))
        return None

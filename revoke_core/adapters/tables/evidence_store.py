"""Evidence in storage: a marker beside the row of every ended request that still needs some, and columns of its users.

Nobody works on an ended request any more, so no fencing token is needed: evidence is merged into rows that are there,
its own columns alone, and a row that is gone stays gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import REQUESTS_TABLE, USERS_TABLE
from revoke_core.adapters.tables.evidence_columns import evidence_columns
from revoke_core.adapters.tables.rows import (
    EVIDENCE_PREFIX,
    marker_bound,
    marker_keys,
    moment_from,
    partitions_between,
    present,
    request_partition,
    row_key,
)
from revoke_core.adapters.tables.table import MERGE, Table
from revoke_core.domain.evidence import EvidenceMarker
from revoke_core.domain.timestamps import written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.user_state import UserRow

_MARKERS_AT_ONCE: Final = 1000


def evidence_marker(marker: EvidenceMarker) -> dict[str, Any]:
    """A marker as a row of ``Revocations``; ``finish_request`` writes the first one."""
    return marker_keys(marker.request_id, EVIDENCE_PREFIX) | {
        "EndedAt": written(marker.ended_at),
        "ReadAt": written(marker.due_at),
        "Rounds": marker.rounds,
        "Refusals": marker.refusals,
        "SignInRefusals": marker.sign_in_refusals,
    }


class TableEvidenceStore:
    """The ``EvidenceStore`` port; ``keep`` is how long ago a request with a marker can have been accepted at most."""

    def __init__(self, *, storage: Storage, keep: timedelta) -> None:
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)
        self._users = Table(storage=storage, name=USERS_TABLE)
        self._keep = keep

    async def due(self, now: datetime) -> list[EvidenceMarker]:
        """The markers of one page of each partition, whoever has waited longest first."""
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end and ReadAt le @now"
        first = marker_bound(now - self._keep, EVIDENCE_PREFIX)
        values = {"first": first, "end": f"{EVIDENCE_PREFIX}.", "now": written(now)}
        found: list[EvidenceMarker] = []
        for partition in partitions_between(now - self._keep, now):
            async for page in self._requests.pages(query, values | {"partition": partition}, _MARKERS_AT_ONCE):
                found += [marker for entity in page if (marker := _marker_or_none(entity))]
        return sorted(found, key=lambda marker: marker.due_at)

    async def move(self, marker: EvidenceMarker) -> None:
        """Merge into the marker; one that is gone stays gone."""
        await self._requests.update(evidence_marker(marker), MERGE)

    async def remove(self, request_id: str) -> None:
        """Delete the marker."""
        keys = marker_keys(request_id, EVIDENCE_PREFIX)
        await self._requests.delete(keys["PartitionKey"], keys["RowKey"])

    async def save(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """Merge the evidence of at most 100 users in one transaction, or one by one where some of them are gone."""
        keys = [{"PartitionKey": request_id, "RowKey": row_key(row.position)} for row in rows]
        entities = [key | present(evidence_columns(row.evidence)) for key, row in zip(keys, rows, strict=True)]
        if entities and await self._users.submit([("update", entity, MERGE) for entity in entities]) is None:
            for entity in entities:
                await self._users.update(entity, MERGE)

    async def warn(self, request_id: str, text: str) -> None:
        """Merge the one column; ``""`` takes the warning back."""
        keys = {"PartitionKey": request_partition(request_id), "RowKey": request_id}
        await self._requests.update(keys | present({"EvidenceWarning": text}), MERGE)


def _marker_or_none(entity: Any) -> EvidenceMarker | None:
    """A damaged marker keeps no other from being found."""
    try:
        return EvidenceMarker(
            request_id=entity["RowKey"].split("-", 2)[2],
            ended_at=moment_from(entity["EndedAt"]),
            due_at=moment_from(entity["ReadAt"]),
            rounds=int(entity.get("Rounds") or 0),
            refusals=int(entity.get("Refusals") or 0),
            sign_in_refusals=int(entity.get("SignInRefusals") or 0),
        )
    except (KeyError, IndexError, TypeError, ValueError) as problem:
        logs.failure("evidence_marker_unreadable", problem, row=entity.get("RowKey"))
        return None

"""The callback markers in the table ``Revocations``, each beside the row of its request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.rows import (
    CALLBACK_REDRIVEN,
    callback_columns,
    callback_keys,
    moment_from,
    request_partition,
)
from revoke_core.adapters.tables.table import MERGE, Table, guarded
from revoke_core.domain.callback import CallbackEvent
from revoke_core.domain.schedules import MESSAGE_GRACE
from revoke_core.domain.timestamps import written
from revoke_core.ports.status_log import CallbackMarker

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.callback import CallbackState


class TableCallbackMarkers:
    """The ``CallbackMarkers`` port; every change is conditional on the marker's ETag."""

    def __init__(self, *, storage: Storage) -> None:
        self._requests = Table(storage=storage, name=REQUESTS_TABLE)

    async def get(self, request_id: str) -> CallbackMarker | None:
        """One point read."""
        keys = callback_keys(request_id)
        entity = await self._requests.get(keys["PartitionKey"], keys["RowKey"])
        if entity is None:
            return None
        return CallbackMarker(
            request_id=request_id,
            event=CallbackEvent(entity["Event"]),
            since=moment_from(entity["Since"]),
            try_at=moment_from(entity["TryAt"]),
            attempts=int(entity["Attempts"]),
            version=entity.metadata["etag"],
        )

    async def claim(self, marker: CallbackMarker, until: datetime) -> CallbackMarker | None:
        """Move the next try behind this one."""
        etag = await self._requests.update(_waiting(marker, until), MERGE, etag=marker.version)
        return replace(marker, try_at=until, version=etag) if etag else None

    async def postpone(self, marker: CallbackMarker, state: CallbackState, try_at: datetime) -> None:
        """One transaction over the marker and the request's row."""
        moved = ("update", _waiting(marker, try_at) | {"Attempts": state.attempts}, MERGE | guarded(marker.version))
        await self._requests.submit([moved, _shown(marker.request_id, state)])

    async def close(self, marker: CallbackMarker, state: CallbackState) -> None:
        """One transaction; where it is refused, because retention has removed the request's row, the marker alone."""
        removed = ("delete", callback_keys(marker.request_id), guarded(marker.version))
        if await self._requests.submit([removed, _shown(marker.request_id, state)]) is None:
            await self._requests.submit([removed])


def _waiting(marker: CallbackMarker, try_at: datetime) -> dict[str, Any]:
    return callback_keys(marker.request_id) | {
        "TryAt": written(try_at),
        "RedriveAt": written(try_at + MESSAGE_GRACE),
        "Redriven": CALLBACK_REDRIVEN,
    }


def _shown(request_id: str, state: CallbackState) -> tuple[Any, ...]:
    keys = {"PartitionKey": request_partition(request_id), "RowKey": request_id}
    return ("update", keys | callback_columns(state), MERGE)

"""Graph's ``Retry-After`` as a gate in storage: every instance obeys what one of them was told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.storage import STATE_TABLE, Storage, answering
from revoke_core.domain.moments import parsed_or_none, written

if TYPE_CHECKING:
    from revoke_core.ports import Clock, GateKind

PARTITION: Final = "gate"
# A gate closed elsewhere has to be seen within one second.
_FRESH: Final = timedelta(milliseconds=500)
_TRIES: Final = 5


class StoredGates:
    """The ``Gates`` port: a look at storage is kept for half a second, what this instance saw counts at once."""

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._until: dict[str, datetime] = {}
        self._looked_at: dict[str, datetime] = {}

    async def closed_until(self, kind: GateKind) -> datetime | None:
        """When the gate opens, or ``None``."""
        now = self._clock.now()
        looked_at = self._looked_at.get(kind)
        if looked_at is None or now - looked_at >= _FRESH:
            stored, _ = await self._stored(kind)
            self._looked_at[kind] = now
            if stored:
                self._keep(kind, stored)
        until = self._until.get(kind)
        return until if until and until > self._clock.now() else None

    async def close_for(self, kind: GateKind, pause: timedelta) -> None:
        """Close here at once and then in storage; the later end of two wins."""
        until = self._clock.now() + pause
        self._keep(kind, until)
        logs.event("graph_gate_closed", kind=kind, seconds=round(pause.total_seconds(), 1))
        for _ in range(_TRIES):
            stored, version = await self._stored(kind)
            if (stored and stored >= until) or await self._store(kind, until, version):
                return

    def _keep(self, kind: GateKind, until: datetime) -> None:
        self._until[kind] = max(until, self._until.get(kind, until))

    async def _stored(self, kind: GateKind) -> tuple[datetime | None, str | None]:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            try:
                entity = await self._table.get_entity(PARTITION, kind)
            except ResourceNotFoundError:
                return None, None
        return parsed_or_none(entity["Until"]), entity.metadata["etag"]

    async def _store(self, kind: GateKind, until: datetime, version: str | None) -> bool:
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.core.exceptions import (  # noqa: PLC0415 -- as above
            ResourceExistsError,
            ResourceModifiedError,
        )

        entity = {"PartitionKey": PARTITION, "RowKey": kind, "Until": written(until)}
        with answering():
            try:
                if version is None:
                    await self._table.create_entity(entity)
                else:
                    await self._table.update_entity(entity, etag=version, match_condition=MatchConditions.IfNotModified)
            except (ResourceExistsError, ResourceModifiedError):
                return False
        return True

    @property
    def _table(self) -> Any:
        return self._storage.table(STATE_TABLE)

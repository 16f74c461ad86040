"""Graph's ``Retry-After`` in storage: a pause that Graph asks of one instance holds for all of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.pacing.row import UNTIL
from revoke_core.domain.pacing import PROBE_EVERY
from revoke_core.domain.timestamps import parsed_or_none, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.pacing.row import SharedPaceRow
    from revoke_core.ports.shared import Clock, GateKind

_PROBE_AT: Final[dict[GateKind, str]] = {"read": "ReadProbeAt", "write": "WriteProbeAt"}


class StoredGates:
    """The ``Gates`` port over the shared row; ``_unstored`` are ends of gates that only this instance knows yet."""

    def __init__(self, *, row: SharedPaceRow, clock: Clock) -> None:
        self._row = row
        self._clock = clock
        self._unstored: dict[GateKind, datetime] = {}

    async def closed_until(self, kind: GateKind) -> datetime | None:
        """The later end of the stored and the unstored gate, if it is not over."""
        await self._row.refresh()
        # Left from a write that failed, was refused too often or was cancelled.
        await self._store(kind)
        return self._closed(kind)

    async def close_for(self, kind: GateKind, pause: timedelta) -> None:
        """Close here at once and then in storage; the later end of two wins."""
        now = self._clock.now()
        end = max(now + pause, self._unstored.get(kind, now))
        # Rounded up to what is written: whole milliseconds.
        self._unstored[kind] = end + timedelta(microseconds=-end.microsecond % 1000)
        logs.event("graph_gate_closed", kind=kind, seconds=round(pause.total_seconds(), 1))
        await self._row.refresh()
        await self._store(kind)

    async def may_probe(self, kind: GateKind) -> bool:
        """One conditional write moves the next probe: of all callers, one succeeds."""
        await self._row.refresh()
        now = self._clock.now()

        def probed(columns: Mapping[str, Any]) -> dict[str, Any] | None:
            until, probe_at = parsed_or_none(columns.get(UNTIL[kind])), parsed_or_none(columns.get(_PROBE_AT[kind]))
            if until is None or until <= now or probe_at is None or probe_at > now:
                return None
            return {_PROBE_AT[kind]: written(now + PROBE_EVERY)}

        return await self._row.change(probed)

    async def next_try(self, kind: GateKind) -> datetime | None:
        """When the gate opens or may be probed, whichever comes first; ``None`` for now."""
        closed = await self.closed_until(kind)
        probe_at = parsed_or_none(self._row.columns.get(_PROBE_AT[kind]))
        moment = min(closed, probe_at) if closed and probe_at else closed
        return moment if moment and moment > self._clock.now() else None

    async def reopen(self, kind: GateKind) -> None:
        """End the gate now, here and in storage."""
        now = self._clock.now()
        self._unstored.pop(kind, None)

        def opened(columns: Mapping[str, Any]) -> dict[str, Any] | None:
            until = parsed_or_none(columns.get(UNTIL[kind]))
            return {UNTIL[kind]: written(now), _PROBE_AT[kind]: None} if until and until > now else None

        if await self._row.change(opened):
            logs.event("graph_gate_reopened", kind=kind)

    async def _store(self, kind: GateKind) -> None:
        """Write this instance's unstored end of a gate; the next ``closed_until`` repeats a write that fails."""
        now, until = self._clock.now(), self._unstored.get(kind)
        if until is None:
            return

        def closed(columns: Mapping[str, Any]) -> dict[str, Any] | None:
            stored = parsed_or_none(columns.get(UNTIL[kind]))
            if stored and stored >= until:
                return None
            probe_at = written(now + PROBE_EVERY) if until - now > PROBE_EVERY else None
            return {UNTIL[kind]: written(until), _PROBE_AT[kind]: probe_at}

        await self._row.change(closed)
        stored = self._stored(kind)
        # From here on the row alone counts, so that a gate which another instance reopens opens here, too.
        if stored and stored >= until and self._unstored.get(kind) == until:
            del self._unstored[kind]

    def _closed(self, kind: GateKind) -> datetime | None:
        ends = (self._stored(kind), self._unstored.get(kind))
        now = self._clock.now()
        return max((end for end in ends if end and end > now), default=None)

    def _stored(self, kind: GateKind) -> datetime | None:
        return parsed_or_none(self._row.columns.get(UNTIL[kind]))

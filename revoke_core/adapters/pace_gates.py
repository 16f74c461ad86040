"""Graph's ``Retry-After`` in storage: every instance obeys what one of them was told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.pace_board import UNTIL
from revoke_core.domain.moments import parsed_or_none, written
from revoke_core.domain.pace import PROBE_EVERY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.pace_board import PaceBoard
    from revoke_core.ports import Clock, GateKind

_PROBE_AT: Final[dict[GateKind, str]] = {"read": "ReadProbeAt", "write": "WriteProbeAt"}


class StoredGates:
    """The ``Gates`` port: a look at storage is kept for 0.8 s, what this instance saw counts at once."""

    def __init__(self, *, board: PaceBoard, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._unstored: dict[GateKind, datetime] = {}

    async def closed_until(self, kind: GateKind) -> datetime | None:
        """When the gate opens, or ``None``."""
        await self._board.look()
        # Left from a moment in which storage did not answer, or had too many rivals, or the caller was broken off.
        await self._store(kind)
        return self._closed(kind)

    async def close_for(self, kind: GateKind, pause: timedelta) -> None:
        """Close here at once and then in storage; the later end of two wins."""
        now = self._clock.now()
        self._unstored[kind] = _whole_milliseconds(max(now + pause, self._unstored.get(kind, now)))
        logs.event("graph_gate_closed", kind=kind, seconds=round(pause.total_seconds(), 1))
        await self._board.look()
        await self._store(kind)

    async def _store(self, kind: GateKind) -> None:
        """Let storage tell what only this instance knows of a gate; where that fails, the next look does it."""
        now, until = self._clock.now(), self._unstored.get(kind)
        if until is None:
            return

        def closed(row: Mapping[str, Any]) -> dict[str, Any] | None:
            stored = parsed_or_none(row.get(UNTIL[kind]))
            if stored and stored >= until:
                return None
            probe_at = written(now + PROBE_EVERY) if until - now > PROBE_EVERY else None
            return {UNTIL[kind]: written(until), _PROBE_AT[kind]: probe_at}

        await self._board.change(closed)
        stored = self._stored(kind)
        # From here on the row tells, so that a gate which is reopened elsewhere opens here, too.
        if stored and stored >= until and self._unstored.get(kind) == until:
            del self._unstored[kind]

    async def may_probe(self, kind: GateKind) -> bool:
        """Whether this caller is the one that may send one item through a long gate now."""
        await self._board.look()
        now = self._clock.now()

        def probed(row: Mapping[str, Any]) -> dict[str, Any] | None:
            until, probe_at = parsed_or_none(row.get(UNTIL[kind])), parsed_or_none(row.get(_PROBE_AT[kind]))
            if until is None or until <= now or probe_at is None or probe_at > now:
                return None
            return {_PROBE_AT[kind]: written(now + PROBE_EVERY)}

        return await self._board.change(probed)

    async def next_try(self, kind: GateKind) -> datetime | None:
        """When the gate opens or may be probed, whichever comes first; ``None`` for now."""
        closed = await self.closed_until(kind)
        probe_at = parsed_or_none(self._board.row.get(_PROBE_AT[kind]))
        moment = min(closed, probe_at) if closed and probe_at else closed
        return moment if moment and moment > self._clock.now() else None

    async def reopen(self, kind: GateKind) -> None:
        """Open the gate before its time, for a probe got through."""
        now = self._clock.now()
        self._unstored.pop(kind, None)

        def opened(row: Mapping[str, Any]) -> dict[str, Any] | None:
            until = parsed_or_none(row.get(UNTIL[kind]))
            return {UNTIL[kind]: written(now), _PROBE_AT[kind]: None} if until and until > now else None

        if await self._board.change(opened):
            logs.event("graph_gate_reopened", kind=kind)

    def _closed(self, kind: GateKind) -> datetime | None:
        ends = (self._stored(kind), self._unstored.get(kind))
        now = self._clock.now()
        return max((end for end in ends if end and end > now), default=None)

    def _stored(self, kind: GateKind) -> datetime | None:
        return parsed_or_none(self._board.row.get(UNTIL[kind]))


def _whole_milliseconds(moment: datetime) -> datetime:
    """As it will be written, and never earlier."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)

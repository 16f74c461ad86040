"""The write rate that all instances share, in storage."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.pacing.row import UNTIL
from revoke_core.domain.lanes import Lane
from revoke_core.domain.pacing import Block, ConcurrencyLimit, Pace
from revoke_core.domain.timestamps import parsed_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.pacing.row import SharedPaceRow
    from revoke_core.ports.shared import Clock

# Tokens that are idle for longer expire: the bucket has refilled meanwhile, and both together would be too much.
_IDLE: Final = timedelta(seconds=10)


class StoredBudget:
    """The ``Budget`` port: a conditional write of the shared row takes or books a block, to be spent from memory.

    A block that expires or is lost with its host costs the time in which it refills and nothing else: Graph has then
    received fewer writes than the bucket has counted. What of a booked block is due follows from the row as read last;
    who sends reads it for the gates, so it is not older than they are.
    """

    def __init__(self, *, row: SharedPaceRow, clock: Clock, quota: int) -> None:
        self._row = row
        self._clock = clock
        self._quota = quota
        self._block = Block()
        self._used_at = clock.now()
        self._clean = self._sent = 0
        self._lock = asyncio.Lock()

    async def take(self, wanted: int, *, lane: Lane) -> int:
        """Spend from the current block, which asks storage, once, when ``prefetch`` would."""
        if wanted > 0:
            await self.prefetch(wanted, lane=lane)
        return self._spend(wanted, lane=lane)

    async def prefetch(self, wanted: int, *, lane: Lane) -> None:
        """Take a block unless there is one: a task that waited for the lock finds the block taken before it."""
        if self._has_block(wanted, lane=lane):
            return
        async with self._lock:
            if not self._has_block(wanted, lane=lane):
                await self._take_block(wanted, lane=lane)

    async def give_back(self, tokens: int) -> None:
        """Keep them for the next call; while the gate is closed they are worth nothing."""
        if tokens > 0 and self._clock.now() >= self._pace().quiet_until:
            self._block = self._current_block().more(Block(tokens=tokens))
            self._used_at = self._clock.now()

    def next_at(self, wanted: int, *, lane: Lane) -> datetime:
        """From the current block, else from the bucket as read last."""
        now, block = self._clock.now(), self._current_block()
        pace = self._pace().on(now)
        if lane is Lane.LARGE and block.left:
            return max(now, block.next_at(wanted, pace))
        return now if block.due(pace) else max(now, pace.next_at(wanted, lane=lane))

    def concurrency_limit(self, items: int) -> ConcurrencyLimit:
        """By the quota."""
        return ConcurrencyLimit.of(items, self._quota)

    def most_calls(self, call_seconds: float, size: int) -> int:
        """From the bucket as read last."""
        return self._pace().on(self._clock.now()).most_calls(call_seconds, size)

    async def was_throttled(self, *, sent_at: datetime, pause: timedelta | None = None) -> None:
        """Write what the 429 teaches and drop the block, unless it teaches nothing new."""
        now = self._clock.now()
        if pause is None:
            until = self._gate_end(self._row.columns)
            pause = max(timedelta(0), until - now) if until else timedelta(0)

        def throttled(columns: Mapping[str, Any]) -> dict[str, Any] | None:
            before = self._pace(columns).on(now).regain(self._clean).sent(self._sent)
            after = before.throttled(sent_at=sent_at, now=now, pause=pause)
            return None if after == before else _columns(after)

        if await self._row.change(throttled):
            self._clean = 0
            self._block = self._current_block()
            logs.event("graph_rate_learnt", per_second=round(self._pace().rate, 2), pause=round(pause.total_seconds()))

    def was_sent(self, items: int) -> None:
        """Counted here and written with the next block."""
        self._sent += items

    def was_clean(self, items: int) -> None:
        """Counted here and written with the next block."""
        self._clean += items

    async def seconds_for(self, tokens: int) -> float:
        """The rest of a closed gate, and then the bucket's own time."""
        await self._row.refresh()
        now = self._clock.now()
        pace = self._pace().on(max(now, self._gate_end(self._row.columns) or now))
        return (pace.at - now).total_seconds() + pace.seconds_for(tokens)

    async def _take_block(self, wanted: int, *, lane: Lane) -> None:
        """Take a block from the bucket as read last; when there is none, refresh and try once more."""
        taken, clean, sent = Block(), 0, 0

        def without_block(columns: Mapping[str, Any]) -> dict[str, Any] | None:
            nonlocal taken, clean, sent
            now, clean, sent, taken = self._clock.now(), self._clean, self._sent, Block()
            gate_end = self._gate_end(columns)
            if gate_end and gate_end > now:
                # The block would expire before it could be spent.
                return None
            taken, left = self._pace(columns).on(now).regain(clean).sent(sent).take(wanted, now, lane=lane)
            return _columns(left) if taken.left else None

        written = await self._row.change(without_block)
        if not taken.left:
            await self._row.refresh()
            written = await self._row.change(without_block)
        if written:
            self._clean -= clean
            self._sent -= sent
            self._block = self._current_block().more(taken)
            self._used_at = self._clock.now()

    def _spend(self, wanted: int, *, lane: Lane) -> int:
        now = self._clock.now()
        given, self._block = self._current_block().spend(wanted, self._pace().on(now), lane=lane)
        if given:
            self._used_at = now
        return given

    def _has_block(self, wanted: int, *, lane: Lane) -> bool:
        """Whether there is no need to ask storage: a large request waits in the line, a small one does not."""
        block = self._current_block()
        return block.left > 0 if lane is Lane.LARGE else block.due(self._pace().on(self._clock.now())) >= wanted

    def _current_block(self) -> Block:
        """What is left of the block once tokens have expired."""
        now = self._clock.now()
        return self._block.still_valid(self._pace().on(now), used_at=self._used_at, is_idle=now - self._used_at > _IDLE)

    @staticmethod
    def _gate_end(columns: Mapping[str, Any]) -> datetime | None:
        return parsed_or_none(columns.get(UNTIL["write"]))

    def _pace(self, columns: Mapping[str, Any] | None = None) -> Pace:
        """The bucket in these columns, by default those read last; a full one while none is written."""
        columns = self._row.columns if columns is None else columns
        at, quiet_until = parsed_or_none(columns.get("At")), parsed_or_none(columns.get("QuietUntil"))
        if at is None or quiet_until is None:
            return Pace.start(self._quota, self._clock.now())
        return Pace(
            quota=self._quota,
            tokens=min(float(columns["Tokens"]), float(self._quota)),
            at=at,
            quiet_until=quiet_until,
            share=float(columns["Share"]),
            assumed=bool(columns["Assumed"]),
            spent=float(columns.get("Spent") or 0.0),
            used=float(columns.get("Used") or 0.0),
            served=float(columns.get("Served") or 0.0),
            queued=float(columns.get("Queued") or 0.0),
            voided=float(columns.get("Voided") or 0.0),
        )


def _columns(pace: Pace) -> dict[str, Any]:
    # Whole microseconds: a moment cut to milliseconds would add a part of a token with every write.
    return {
        "Tokens": float(pace.tokens),
        "At": pace.at.isoformat(timespec="microseconds"),
        "QuietUntil": pace.quiet_until.isoformat(timespec="microseconds"),
        "Share": float(pace.share),
        "Assumed": pace.assumed,
        "Spent": float(pace.spent),
        "Used": float(pace.used),
        "Served": float(pace.served),
        "Queued": float(pace.queued),
        "Voided": float(pace.voided),
    }

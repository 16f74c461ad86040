"""The write rate that all instances share, in storage."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.adapters.pace_board import UNTIL
from revoke_core.domain.moments import parsed_or_none
from revoke_core.domain.pace import Block, Pace, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.pace_board import PaceBoard
    from revoke_core.ports import Clock

# A block that rests longer is forgotten: the bucket has refilled meanwhile, and both together would be too much.
_BLOCK_RESTS: Final = timedelta(seconds=10)


class StoredBudget:
    """The ``Budget`` port: blocks are taken by a conditional write under the version seen last, and spent from memory.

    A block that is lost with its host, or forgotten, costs the time in which it refills and nothing else: Graph has
    then seen fewer writes than the bucket has counted.
    """

    def __init__(self, *, board: PaceBoard, clock: Clock, quota: int) -> None:
        self._board = board
        self._clock = clock
        self._quota = quota
        now = clock.now()
        self._block = Block(tokens=0, free_at=now)
        self._touched_at = now
        self._clean = 0
        self._taking = asyncio.Lock()

    async def take(self, wanted: int, *, small: bool) -> int:
        """Spend from the block in hand; only an empty one asks storage, once."""
        given = self._spend(wanted, small=small)
        if given or self._in_hand().tokens or wanted <= 0:
            return given
        await self.stock(wanted, small=small)
        return self._spend(wanted, small=small)

    async def stock(self, wanted: int, *, small: bool) -> None:
        """A block's write is a look at the gates, too: made first, it saves the one before the call."""
        async with self._taking:
            # Whoever waited here finds the block that somebody else has fetched.
            if not self._in_hand().tokens:
                await self._fetch(wanted, small=small)

    async def give_back(self, tokens: int) -> None:
        """Keep them for the next call; while the gate is closed they are worth nothing."""
        if tokens > 0 and self._clock.now() >= self._pace().quiet_until:
            self._block = self._in_hand().more(tokens)
            self._touched_at = self._clock.now()

    def next_at(self, wanted: int, *, small: bool) -> datetime:
        """From the block in hand, else from the bucket as seen last."""
        now, block = self._clock.now(), self._in_hand()
        if block.tokens:
            return now if small else max(now, block.free_at)
        return max(now, self._pace().next_at(wanted, small=small))

    def window(self, items: int) -> Window:
        """By the quota."""
        return Window.of(items, self._quota)

    def most_calls(self, call_seconds: float, size: int) -> int:
        """From the bucket as seen last."""
        return self._pace().on(self._clock.now()).most_calls(call_seconds, size)

    async def was_throttled(self, *, sent_at: datetime, pause: timedelta | None = None) -> None:
        """Drop the block, and write what the 429 teaches unless this gate's lesson is written already."""
        now = self._clock.now()
        if pause is None:
            until = self._opens_at()
            pause = max(timedelta(0), until - now) if until else timedelta(0)
        self._block = Block(tokens=0, free_at=now)

        def taught(row: Mapping[str, Any]) -> dict[str, Any] | None:
            before = self._pace(row).on(now)
            after = before.throttled(sent_at=sent_at, now=now, pause=pause)
            return None if after == before else _columns(after)

        if await self._board.change(taught):
            self._clean = 0
            logs.event("graph_rate_learnt", per_second=round(self._pace().rate, 2), pause=round(pause.total_seconds()))

    def was_clean(self, items: int) -> None:
        """Counted here and written with the next block."""
        self._clean += items

    async def seconds_for(self, tokens: int) -> float:
        """The rest of a closed gate, and then the bucket's own time."""
        await self._board.look()
        now = self._clock.now()
        opens_at = self._opens_at()
        pace = self._pace().on(max(now, opens_at or now))
        return (pace.at - now).total_seconds() + pace.seconds_for(tokens)

    async def _fetch(self, wanted: int, *, small: bool) -> None:
        """Take a block from the bucket as seen last; only when that is too low, see whether it still is."""
        granted, clean, left = 0, 0, self._pace()

        def less(row: Mapping[str, Any]) -> dict[str, Any] | None:
            nonlocal granted, clean, left
            now, clean, granted = self._clock.now(), self._clean, 0
            opens_at = self._opens_at(row)
            if opens_at and opens_at > now:
                # It would be forgotten before it could be spent.
                return None
            granted, left = self._pace(row).on(now).regain(clean).take(wanted, now, small=small)
            return _columns(left) if granted else None

        taken = await self._board.change(less)
        if not granted:
            await self._board.look()
            taken = await self._board.change(less)
        if taken:
            self._clean -= clean
            now = self._clock.now()
            self._block = Block.of(granted, left, now).more(self._in_hand().tokens)
            self._touched_at = now

    def _spend(self, wanted: int, *, small: bool) -> int:
        now = self._clock.now()
        given, self._block = self._in_hand().spend(wanted, now, small=small)
        if given:
            self._touched_at = now
        return given

    def _in_hand(self) -> Block:
        now = self._clock.now()
        rests_since = max(self._touched_at, self._block.free_at)
        # No token is handed out while a gate is closed, so a block touched before its end is from before the gate.
        void = now - rests_since > _BLOCK_RESTS or self._touched_at < self._pace().quiet_until
        return Block(tokens=0, free_at=now) if void else self._block

    def _opens_at(self, row: Mapping[str, Any] | None = None) -> datetime | None:
        return parsed_or_none((self._board.row if row is None else row).get(UNTIL["write"]))

    def _pace(self, row: Mapping[str, Any] | None = None) -> Pace:
        """The bucket in a row, by default the one seen last; a full one when there is none yet."""
        row = self._board.row if row is None else row
        at, quiet_until = parsed_or_none(row.get("At")), parsed_or_none(row.get("QuietUntil"))
        if at is None or quiet_until is None:
            return Pace.start(self._quota, self._clock.now())
        return Pace(
            quota=self._quota,
            tokens=min(float(row["Tokens"]), float(self._quota)),
            at=at,
            quiet_until=quiet_until,
            share=float(row["Share"]),
            assumed=bool(row["Assumed"]),
            spent=float(row.get("Spent") or 0.0),
        )


def _columns(pace: Pace) -> dict[str, Any]:
    # Whole microseconds: a moment cut to milliseconds would mint a part of a token with every write.
    return {
        "Tokens": float(pace.tokens),
        "At": pace.at.isoformat(timespec="microseconds"),
        "QuietUntil": pace.quiet_until.isoformat(timespec="microseconds"),
        "Share": float(pace.share),
        "Assumed": pace.assumed,
        "Spent": float(pace.spent),
    }

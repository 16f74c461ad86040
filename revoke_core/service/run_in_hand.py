"""A request while one worker holds it: every write goes through here, in order, behind one fence.

Writes are collected and committed together: the mark of the next call takes along what earlier calls and proofs have
found, so that a batch of 20 users costs one transaction. Each carries the run row, which renews the lease.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.results import moves_of
from revoke_core.domain.schedules import LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.results import UserRow
    from revoke_core.domain.run import Flight, Run
    from revoke_core.ports import Clock, StatusLog

ROWS_PER_COMMIT: Final = 99
# Findings wait this long for a mark that takes them along; a crash meanwhile costs reads, never a second revoke.
# At Graph's sustained rate the next mark is a second away, under a limit lower than published somewhat more.
LINGER: Final = timedelta(seconds=2)


@dataclass(slots=True, kw_only=True)
class _Write:
    """One indivisible change: rows with what they do to the counts, and parts of the run row."""

    rows: Sequence[UserRow]
    moves: Counter[str]
    takes_off: Flight | None = None
    lands: Flight | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    done: asyncio.Future[None]


class RunInHand:
    """Commits for one worker. ``run`` is what storage holds; ``LeaseLost`` once another worker has taken over."""

    def __init__(self, *, run: Run, log: StatusLog, clock: Clock) -> None:
        self.run = run
        # As they will stand once all that waits is committed.
        self.counts = run.counts
        self._log = log
        self._clock = clock
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: BaseException | None = None
        self._urgent = False
        self._listened_to = run.said
        # What the worker knows to be behind it when a commit is made.
        self.done_to: Callable[[], int] = lambda: run.done_to

    async def write(self, rows: Sequence[tuple[UserRow | None, UserRow]] = (), **changes: Any) -> None:
        """Commit now: rows as pairs of before (``None`` for a new one) and after, at most 99; parts of the run."""
        await self._enter(rows, changes)
        self._commit_now()
        await self.flush()

    async def take_off(self, flight: Flight) -> None:
        """Commit the mark of a call that is about to leave."""
        mark = _Write(rows=(), moves=Counter(), takes_off=flight, done=_future())
        self._add(mark)
        self._commit_now()
        # No longer than for itself: should a write behind it fail, a call that is announced may still leave.
        await mark.done

    async def land(self, flight: Flight, rows: Sequence[tuple[UserRow | None, UserRow]], **changes: Any) -> None:
        """Enter what became of a call; committed with the next mark, or soon without one."""
        await self._enter(rows, changes, lands=flight)

    async def note(self, rows: Sequence[tuple[UserRow | None, UserRow]] = (), **changes: Any) -> None:
        """Enter a finding that may wait a little."""
        await self._enter(rows, changes)

    async def add_page(self, rows: Sequence[UserRow], *, duplicates: int = 0, **changes: Any) -> None:
        """Enter freshly planned users. They count from the last of their commits on, which carries ``changes``."""
        chunks = list(batched(rows, ROWS_PER_COMMIT, strict=False)) or [()]
        for chunk in chunks[:-1]:
            self._add(_Write(rows=chunk, moves=Counter(), done=_future()))
            self._commit_now()
            await self.flush()
        moves = moves_of((None, row) for row in rows) + Counter(duplicates=duplicates)
        self._add(_Write(rows=chunks[-1], moves=moves, changes=changes, done=_future()))

    async def flush(self) -> None:
        """Commit everything that waits."""
        self._check()
        if self._waiting:
            self._commit_now()
            # Whoever is broken off while it waits must not break off the commit, in which others have a part.
            await asyncio.shield(self._waiting[-1].done)
        elif self._committing:
            await asyncio.shield(self._committing)
        self._check()

    def listen(self) -> None:
        """Take note of what has been said from outside so far: what is decided next is decided with it in mind."""
        self._listened_to = self.run.said

    @property
    def was_told_more(self) -> bool:
        """Whether something was said from outside that no decision has taken in yet; any commit may bring it."""
        return self.run.said != self._listened_to

    @property
    def is_sure(self) -> bool:
        """Whether nobody else can have taken over yet, nor will in the next seconds."""
        until = self.run.lease_until
        return until is not None and until - self._clock.now() > LEASE / 3

    @property
    def renew_at(self) -> datetime:
        """When the lease's second half begins."""
        return (self.run.lease_until or self._clock.now() + LEASE) - LEASE / 2

    async def renew(self) -> None:
        """Keep the lease while nothing else is written; done in its second half only."""
        if self._clock.now() > self.renew_at:
            await self.write()

    async def _enter(
        self, rows: Sequence[tuple[UserRow | None, UserRow]], changes: dict[str, Any], lands: Flight | None = None
    ) -> None:
        after = [row for _, row in rows]
        self._add(_Write(rows=after, moves=moves_of(rows), lands=lands, changes=changes, done=_future()))

    def _add(self, write: _Write) -> None:
        self._check()
        self.counts = self.counts.plus(write.moves)
        self._waiting.append(write)
        self._start_timer()

    def _check(self) -> None:
        if self._broken:
            raise self._broken

    def _commit_now(self) -> None:
        self._urgent = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._committing is None and self._waiting and self._broken is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        batch: list[_Write] = []
        try:
            while self._waiting and self._urgent:
                batch = self._next_batch()
                self._urgent = bool(self._waiting)
                await self._commit(batch)
                for write in batch:
                    write.done.set_result(None)
        except BaseException as problem:  # noqa: BLE001 -- told to everybody who waits for a commit, and raised there
            self._broken = problem
            for write in [*batch, *self._waiting]:
                if not write.done.done():
                    write.done.set_exception(problem)
                    # Findings have nobody waiting for them; the next call on this object raises the same.
                    write.done.exception()
            self._waiting.clear()
        finally:
            self._committing = None
            if self._waiting:
                self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is None and self._committing is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER.total_seconds(), self._commit_now)

    def _next_batch(self) -> list[_Write]:
        """As many whole writes as one transaction holds, in order; a row written twice counts once."""
        positions: set[int] = set()
        size = 0
        for write in self._waiting:
            more = positions | {row.position for row in write.rows}
            if len(more) > ROWS_PER_COMMIT and size:
                break
            positions, size = more, size + 1
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        return batch

    async def _commit(self, batch: Sequence[_Write]) -> None:
        rows = {row.position: row for write in batch for row in write.rows}
        while True:
            try:
                self.run = await self._log.save(self._changed(batch), list(rows.values()))
            except LeaseLost:
                await self._adopt()
            else:
                return

    def _changed(self, batch: Sequence[_Write]) -> Run:
        moves: Counter[str] = Counter()
        flights = list(self.run.flights)
        changes: dict[str, Any] = {"lease_until": self._clock.now() + LEASE, "done_to": self.done_to()}
        for write in batch:
            moves.update(write.moves)
            flights += [write.takes_off] if write.takes_off else []
            if write.lands in flights:
                flights.remove(write.lands)
            changes |= write.changes
        return replace(self.run, flights=tuple(flights), counts=self.run.counts.plus(moves), **changes)

    async def _adopt(self) -> None:
        """After a refused save: somebody with a say (cancel, confirm) wrote to our run, or another worker owns it."""
        stored = await self._log.run(self.run.request_id)
        own = (self.run.owner, self.run.epoch)
        if stored is None or self.run.version is None or (stored.owner, stored.epoch) != own:
            raise LeaseLost(self.run.request_id)
        self.run = self.run.hearing(stored)


def _future() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return future

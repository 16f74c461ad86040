"""Unit of work of one leased run: commits user rows and the run row under the run row's ETag, the fencing token.

Writes are queued and committed in groups, in order: the next send intent takes along what earlier calls and reads have
found, so that a call of 20 users costs one transaction. Each commit carries the run row, which renews the lease.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Final, Unpack

from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.run import RunChanges
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import moves_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.run import Run, SendIntent
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.shared import Clock
    from revoke_core.ports.status_log import StatusLog

type RowChange = tuple[UserRow | None, UserRow]

ROWS_PER_COMMIT: Final = 99
# Longest a result stays uncommitted waiting for the next send intent; losing it costs reads, never a second call.
# At Graph's sustained rate the next intent is a second away, under a limit lower than published somewhat more.
MAX_COMMIT_DELAY: Final = timedelta(seconds=2)
# Rows kept for the answer of a request that is carried out in its call: as many as a resource shows.
_ROWS_SHOWN: Final = 100


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, kw_only=True)
class _Write:
    """One indivisible change: rows with what they do to the counts, and parts of the run row."""

    rows: Sequence[UserRow] = ()
    moves: Counter[str] = field(default_factory=Counter)
    announces: SendIntent | None = None
    settles: SendIntent | None = None
    changes: RunChanges = field(default_factory=RunChanges)
    done: asyncio.Future[None] = field(default_factory=_future)

    def applied_to(self, run: Run) -> Run:
        intents = [intent for intent in run.intents if intent != self.settles]
        intents += [self.announces] if self.announces else []
        return replace(run, intents=tuple(intents), counts=run.counts.plus(self.moves), **self.changes)


class UnitOfWork:
    """Commits for one worker; ``LeaseLost`` once another worker has taken over.

    ``run`` is the run row as storage holds it, ``ahead`` as it will be once all queued writes are committed, and
    ``latest`` the first 100 rows as written last. ``low_watermark`` is asked at each commit.
    """

    def __init__(self, *, run: Run, log: StatusLog, clock: Clock) -> None:
        self.run = run
        self.ahead = run
        self.latest: dict[int, UserRow] = {}
        self.low_watermark: Callable[[], int] = lambda: run.low_watermark
        self._log = log
        self._clock = clock
        self._queued: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: BaseException | None = None
        self._is_urgent = False
        self._acknowledged = run.control_signals

    def enqueue(self, rows: Sequence[RowChange] = (), **changes: Unpack[RunChanges]) -> None:
        """Queue rows as pairs of before (``None`` for a new one) and after, and parts of the run row."""
        self._add(_Write(rows=[row for _, row in rows], moves=moves_of(rows), changes=changes))

    async def commit(self, rows: Sequence[RowChange] = (), **changes: Unpack[RunChanges]) -> None:
        """As ``enqueue`` with at most 99 rows, and commit at once all that is queued."""
        self.enqueue(rows, **changes)
        await self.flush()

    async def record_intent(self, intent: SendIntent) -> None:
        """Commit the send intent of a call that is about to leave."""
        write = _Write(announces=intent)
        self._add(write)
        self._commit_now()
        # Wait for this write alone: should a write behind it fail, an announced call may still leave.
        await write.done

    def record_outcome(self, intent: SendIntent, rows: Sequence[RowChange]) -> None:
        """Queue the outcome of an announced call; committed with the next send intent, or soon without one."""
        self._add(_Write(rows=[row for _, row in rows], moves=moves_of(rows), settles=intent))

    async def insert_rows(self, rows: Sequence[UserRow], *, duplicates: int = 0, **changes: Unpack[RunChanges]) -> None:
        """Insert planned users. They count from their last chunk on, which carries ``changes`` and stays queued."""
        chunks = list(batched(rows, ROWS_PER_COMMIT, strict=False)) or [()]
        for chunk in chunks[:-1]:
            self._add(_Write(rows=chunk))
            await self.flush()
        moves = moves_of((None, row) for row in rows) + Counter(duplicates=duplicates)
        self._add(_Write(rows=chunks[-1], moves=moves, changes=changes))

    async def flush(self) -> None:
        """Commit everything that is queued."""
        self._raise_if_broken()
        if self._queued:
            self._commit_now()
            # A caller that is cancelled while it waits must not cancel the commit, which holds others' writes.
            await asyncio.shield(self._queued[-1].done)
        elif self._committing:
            await asyncio.shield(self._committing)
        self._raise_if_broken()

    def acknowledge(self) -> None:
        """What is decided next takes the control signals so far into account."""
        self._acknowledged = self.run.control_signals

    @property
    def has_new_signals(self) -> bool:
        """Whether a commit has brought a control signal (cancel, confirm) that no decision has seen yet."""
        return self.run.control_signals != self._acknowledged

    @property
    def lease_is_safe(self) -> bool:
        """Whether no other worker can have taken over yet, nor will in the next 15 seconds."""
        until = self.run.lease_until
        return until is not None and until - self._clock.now() > LEASE / 3

    @property
    def renew_at(self) -> datetime:
        """When the lease's second half begins."""
        return (self.run.lease_until or self._clock.now() + LEASE) - LEASE / 2

    async def renew(self) -> None:
        """Renew the lease in its second half, if nothing else was written."""
        if self._clock.now() > self.renew_at:
            await self.commit()

    def _add(self, write: _Write) -> None:
        self._raise_if_broken()
        self.ahead = write.applied_to(self.ahead)
        self.latest |= {row.position: row for row in write.rows if row.position <= _ROWS_SHOWN}
        self._queued.append(write)
        self._start_timer()

    def _raise_if_broken(self) -> None:
        if self._broken:
            raise self._broken

    def _commit_now(self) -> None:
        self._is_urgent = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._committing is None and self._queued and self._broken is None:
            self._committing = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        group: list[_Write] = []
        try:
            while self._queued and self._is_urgent:
                group = self._next_group()
                self._is_urgent = bool(self._queued)
                await self._commit(group)
                for write in group:
                    write.done.set_result(None)
        except BaseException as problem:  # noqa: BLE001 -- raised in every caller that waits for a commit
            self._broken = problem
            for write in [*group, *self._queued]:
                if not write.done.done():
                    write.done.set_exception(problem)
                    # No caller waits for a queued result; the next call on this object raises the same.
                    write.done.exception()
            self._queued.clear()
        finally:
            self._committing = None
            if self._queued:
                self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is None and self._committing is None:
            self._timer = asyncio.get_running_loop().call_later(MAX_COMMIT_DELAY.total_seconds(), self._commit_now)

    def _next_group(self) -> list[_Write]:
        """As many whole writes as one transaction holds, in order; a row written twice counts once."""
        positions: set[int] = set()
        size = 0
        for write in self._queued:
            more = positions | {row.position for row in write.rows}
            if len(more) > ROWS_PER_COMMIT and size:
                break
            positions, size = more, size + 1
        group, self._queued = self._queued[:size], self._queued[size:]
        return group

    async def _commit(self, group: Sequence[_Write]) -> None:
        rows = {row.position: row for write in group for row in write.rows}
        while True:
            # Before the group's own changes: a release clears the lease.
            run = replace(self.run, lease_until=self._clock.now() + LEASE, low_watermark=self.low_watermark())
            for write in group:
                run = write.applied_to(run)
            try:
                self.run = await self._log.save_run(run, list(rows.values()))
            except LeaseLost:
                await self._merge_signals()
            else:
                self.ahead = self.ahead.merge_signals(self.run)
                return

    async def _merge_signals(self) -> None:
        """After a refused save: either a control route wrote a signal to our run row, or another worker owns it."""
        stored = await self._log.get_run(self.run.request_id)
        own = (self.run.owner, self.run.epoch)
        if stored is None or self.run.version is None or (stored.owner, stored.epoch) != own:
            raise LeaseLost(self.run.request_id)
        self.run = self.run.merge_signals(stored)

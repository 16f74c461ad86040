"""The reads of one worker's go at one request: proofs and settlements as they fall due, a few at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from revoke_core.ports import Clock
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.proving import Prover
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.tasks import Tasks
    from revoke_core.service.waiting import Pauses

_MOST_READS: Final = 4
_READ_AT_ONCE: Final = 20
_ROUND: Final = timedelta(seconds=30)
_SOON: Final = timedelta(seconds=10)


class ProofReads:
    """Starts reads; proof stays behind sending, settlement of doubts comes with it."""

    def __init__(
        self, *, hand: RunInHand, backlog: Backlog, pauses: Pauses, prover: Prover, clock: Clock, tasks: Tasks
    ) -> None:
        self._hand = hand
        self._backlog = backlog
        self._pauses = pauses
        self._prover = prover
        self._clock = clock
        self._tasks = tasks
        self._reads: set[asyncio.Task[None]] = set()
        self._has_read = False

    @property
    def reads(self) -> int:
        """How many reads are under way."""
        self._reads = {read for read in self._reads if not read.done()}
        return len(self._reads)

    async def start(self) -> datetime | None:
        """Start reads that are due; returns when the next one is."""
        next_round = await self._load_unproven()
        now = self._prover.time()
        due = self._backlog.next_due()
        # What is due was reckoned by Graph's clock. It may be minutes ahead of a host that has heard nothing yet, and
        # only an answer shows that: such a host makes its first read at once.
        is_deaf = not (self._has_read or self._prover.has_told_the_time)
        read_to = max(now, due) if due and is_deaf else now
        # The gate is looked at in storage, so only when there is something to read.
        if due and due <= read_to and (closed := await self._pauses.open_from("read")):
            return closed
        while self.reads < _MOST_READS and (rows := self._backlog.due(read_to, _READ_AT_ONCE)):
            read = self._tasks.spawn(self._prover.prove(self._hand, self._backlog, self._pauses, rows))
            self._reads.add(read)
            self._has_read = True
        self._backlog.forget_lagging(now, _SOON)
        due = self._backlog.next_due()
        here = due - (now - self._clock.now()) if due and self.reads < _MOST_READS else None
        return min((moment for moment in (here, next_round) if moment), default=None)

    async def _load_unproven(self) -> datetime | None:
        """Fetch users whose proof was put off, once nothing that is in memory could be mistaken for one of them."""
        # By what is found, not by what is committed: a proof that still lingers would look like one that is missing.
        if not self._hand.run.proving or not self._backlog.misses_proofs(self._hand.counts.revoked):
            return None
        now = self._clock.now()
        if self._backlog.next_round and now < self._backlog.next_round:
            return self._backlog.next_round
        await self._backlog.load_unproven(now, _ROUND)
        return None

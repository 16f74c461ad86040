"""How a worker puts a request down: with its last word, or for whoever goes on with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.results import Problem, RequestRecord, RequestStatus, final_word
from revoke_core.service.waiting import warnings_of

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.run import Run
    from revoke_core.ports import Clock, Ledger, StatusLog, WorkQueue
    from revoke_core.service.run_in_hand import RunInHand


class PuttingDown:
    """Writes what the request's own row says from now on; ``LeaseLost`` when another worker has taken over."""

    def __init__(self, *, log: StatusLog, ledger: Ledger, queue: WorkQueue, clock: Clock) -> None:
        self._log = log
        self._ledger = ledger
        self._queue = queue
        self._clock = clock

    async def finished(self, record: RequestRecord, hand: RunInHand, receipt: str | None) -> RequestRecord:
        """Write the request's last word, then tidy up; each step may be repeated after a crash.

        The run row stays: whoever still believes that nobody has begun the request fails to make it.
        """
        await self._made_sure(hand)
        run = hand.run
        status = final_word(run.counts, excluded=run.excluded, dry_run=record.dry_run, cancelled=run.cancelled)
        final = replace(
            record,
            status=RequestStatus.FAILED if run.refusal else self._word(status, run),
            counts=run.counts,
            warnings=run.warnings,
            completed_at=self._clock.now(),
            problem=self._problem(record, run),
        )
        await self._log.update(final)
        logs.event("request_finished", requestId=record.id, status=final.status.value, total=run.counts.total)
        await asyncio.gather(self._ledger.close(record.id), self._withdrawn(receipt))
        return final

    @staticmethod
    def _word(status: RequestStatus, run: Run) -> RequestStatus:
        """A cancelled request whose users were all found and done says what came of it."""
        is_cut_short = run.cancel_requested and (run.checkpoint is not None or not run.counts.total)
        return RequestStatus.CANCELLED if is_cut_short else status

    @staticmethod
    def _problem(record: RequestRecord, run: Run) -> Problem | None:
        if run.refusal:
            return run.refusal
        nobody = run.counts.total == run.excluded and not run.cancel_requested
        return problems.NO_USERS_MATCHED if nobody else record.problem

    async def released(
        self, record: RequestRecord, hand: RunInHand, wake: datetime, receipt: str | None
    ) -> RequestRecord:
        """Hand the rest to the queue side: let go first, or whoever gets the message finds the lease held.

        Should the message never be sent, the timer finds the request past its time.
        """
        await self._made_sure(hand)
        now = self._clock.now()
        # While the lease is still held: whoever goes on writes the request's row after us, never before.
        running = self._put_down(record, hand.run)
        await self._log.update(running)
        await hand.write(lease_until=None, owner="", next_at=wake)
        if hand.was_told_more:
            # Somebody spoke while the lease was still held: what was to be waited for has come.
            wake = now
            await hand.write(lease_until=None, next_at=wake)
        seconds = max((wake - now).total_seconds(), 0)
        await asyncio.gather(self._queue.put(record.id, delay=timedelta(seconds=seconds)), self._withdrawn(receipt))
        if hand.run.is_held:
            logs.event("request_held", requestId=record.id, users=hand.run.counts.total)
        else:
            logs.event("request_waits", requestId=record.id, cause=hand.run.cause, seconds=round(seconds, 1))
        return running

    @staticmethod
    async def _made_sure(hand: RunInHand) -> None:
        """A worker that stood still must not have its say after another's."""
        if not hand.is_sure:
            await hand.write()

    @staticmethod
    def _put_down(record: RequestRecord, run: Run) -> RequestRecord:
        """The request's row while nobody works on it."""
        status = RequestStatus.HELD if run.is_held else RequestStatus.RUNNING
        counts = run.counts if run.planned else record.counts
        return replace(record, status=status, counts=counts, warnings=warnings_of(run))

    async def _withdrawn(self, receipt: str | None) -> None:
        if receipt:
            await self._queue.withdraw(receipt)

"""One worker's go at one request: plan, send, prove side by side until nothing is due or the slice is over.

Graph's whole sustained rate is one batch a second, so one slice saturates it; only while there is a burst to use are
several calls in flight.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.domain.results import RequestRecord, RequestStatus
from revoke_core.domain.schedules import HELD_LIFETIME, LIFETIME
from revoke_core.service.closing import Ending, close_open, due_ending
from revoke_core.service.proof_reads import ProofReads
from revoke_core.service.run_in_hand import LINGER
from revoke_core.service.sending import Sending
from revoke_core.service.tasks import Tasks

if TYPE_CHECKING:
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.ports import Budget, Clock, StatusLog
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.plan_pages import PagedPlanning
    from revoke_core.service.proving import Prover
    from revoke_core.service.revoking import Revoker
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.waiting import Pauses

SMALL_REQUEST: Final = 20
_BREATH: Final = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator set: the kill switch, and when found users have to be confirmed."""

    paused: bool
    max_unconfirmed: int


class Slice:
    """The pump. ``run`` returns when there is something to do again, or ``None`` once everybody has a last word."""

    def __init__(
        self,
        *,
        record: RequestRecord,
        request: RevocationRequest,
        hand: RunInHand,
        backlog: Backlog,
        planning: PagedPlanning,
        pauses: Pauses,
        revoker: Revoker,
        prover: Prover,
        budget: Budget,
        log: StatusLog,
        clock: Clock,
        rules: Rules,
        until: datetime,
        patience: timedelta,
    ) -> None:
        self._record = record
        self._request = request
        self._hand = hand
        self._backlog = backlog
        self._planning = planning
        self._pauses = pauses
        self._log = log
        self._clock = clock
        self._rules = rules
        self._until = until
        self._patience = patience
        self._tasks = Tasks()
        self._sending = Sending(
            hand=hand,
            backlog=backlog,
            planning=planning,
            pauses=pauses,
            revoker=revoker,
            budget=budget,
            clock=clock,
            tasks=self._tasks,
            named=record.counts.total,
            small=planning.is_named_only and record.counts.total <= SMALL_REQUEST,
            paused=rules.paused,
        )
        self._proofs = ProofReads(
            hand=hand, backlog=backlog, pauses=pauses, prover=prover, clock=clock, tasks=self._tasks
        )
        self._page: asyncio.Task[None] | None = None
        self._shown = RequestStatus.RUNNING
        self._is_unheld = hand.run.unheld
        # What everybody who was not sent has been told.
        self._told: Ending | None = None

    async def run(self) -> datetime | None:
        """Work until nothing is due within the patience, or the time is up.

        A host that stops cancels this: then what is under way still ends and is written, and the rest is due at once.
        """
        try:
            return await self._work()
        except asyncio.CancelledError:
            await self._tasks.landed()
            await self._hand.flush()
            await self._planning.indexed()
            return self._clock.now()
        finally:
            await self._tasks.landed()

    async def _work(self) -> datetime | None:
        while True:
            self._tasks.collect()
            self._hand.listen()
            if self._shown is RequestStatus.HELD and not self._hand.run.is_held:
                await self._show(RequestStatus.RUNNING)
            wake = await self._start_what_is_due()
            if self._tasks:
                await self._wait(wake)
                continue
            if not self._sends_soon(wake):
                await self._hand.flush()
                if self._hand.was_told_more:
                    continue
                if self._is_finished():
                    await self._planning.indexed()
                    await self._hand.flush()
                    return None
                self._rewind_if_stranded()
            now = self._clock.now()
            wake = wake or now + _BREATH
            if wake > now + self._patience or wake >= self._until:
                await self._planning.indexed()
                await self._hand.flush()
                return max(wake, now)
            await self._hand.renew()
            await self._clock.sleep_until(wake)

    def _sends_soon(self, wake: datetime | None) -> bool:
        """Whether the next mark is close, which takes along what was found."""
        return self._backlog.unsent > 0 and wake is not None and wake <= self._clock.now() + LINGER

    async def _wait(self, wake: datetime | None) -> None:
        """Until a task is done or something else is due; the lease is kept meanwhile."""
        latest = min(wake, self._hand.renew_at) if wake else self._hand.renew_at
        await self._tasks.wait(max((latest - self._clock.now()).total_seconds(), 0.01))
        await self._hand.renew()

    async def _start_what_is_due(self) -> datetime | None:
        """Start everything that may start now; returns when to look again if nothing else happens."""
        if self._clock.now() >= self._until:
            return None
        ending = self._ending()
        moments = [await self._plan(ending)]
        if self._planning.planned and not self._hand.run.planned and not self._planning.is_named_only:
            # Whether it has to be held is told by what is written, and nothing may leave before that is known.
            await self._hand.flush()
        if ending:
            await self._close(ending)
        elif await self._must_be_held():
            return await self._hold()
        else:
            moments.append(await self._sending.start())
        if not (ending and ending.too_old):
            moments.append(await self._proofs.start())
            # A gate may be closed for longer than the request has.
            moments = [min(moment, self._too_old_from) for moment in moments if moment]
        return min((moment for moment in moments if moment), default=None)

    @property
    def _too_old_from(self) -> datetime:
        return (self._hand.run.confirmed_at or self._record.requested_at) + LIFETIME

    def _ending(self) -> Ending | None:
        return due_ending(
            self._hand.run, self._clock.now(), too_old_from=self._too_old_from, stopped=self._sending.stopped
        )

    async def _plan(self, ending: Ending | None) -> datetime | None:
        if self._planning.planned or (self._page and not self._page.done()):
            return None
        closed = None if ending else await self._pauses.open_from("read")
        if closed:
            return closed
        self._page = self._tasks.spawn(self._planning.next_page(ending))
        return None

    async def _must_be_held(self) -> bool:
        """Whether somebody has to confirm the number of users that a group or filter came down to.

        Decided once: the limit may be another one when the next worker comes, and by then users were sent or are held.
        """
        run = self._hand.run
        if run.confirmed_at or not run.planned or self._planning.is_named_only:
            return False
        if run.held_at or self._is_unheld:
            return run.held_at is not None
        if self._request.must_be_confirmed(run.counts.total, max_unconfirmed=self._rules.max_unconfirmed):
            return True
        # The first call's mark takes it along.
        self._is_unheld = True
        await self._hand.note(unheld=True)
        return False

    async def _hold(self) -> datetime:
        held_at = self._hand.run.held_at or self._clock.now()
        if not self._hand.run.held_at:
            # First where lists are filtered: whoever sees that it is held finds it among the held ones.
            await self._show(RequestStatus.HELD)
            await self._hand.write(held_at=held_at)
        return held_at + HELD_LIFETIME

    async def _show(self, status: RequestStatus) -> None:
        self._shown = status
        await self._log.update(replace(self._record, status=status, counts=self._hand.run.counts))

    async def _close(self, ending: Ending) -> None:
        """Give everybody the last word who was not sent; who is in doubt is settled first, unless time is up."""
        if self._backlog.unsent:
            self._backlog.drop_unsent()
            self._told = None
        # Who is being read as time runs out must not get two last words.
        reading = ending.too_old and self._proofs.reads
        busy = self._sending.calls or reading or (self._page and not self._page.done())
        if busy or not self._planning.planned:
            return
        if self._told == ending:
            # Whoever still waits is in doubt; a worker that has taken over has yet to read them.
            if self._backlog.wants_more(self._planning.positions):
                await self._backlog.load(self._planning.positions)
            return
        self._told = ending
        self._page = self._tasks.spawn(close_open(self._hand, self._backlog, self._log, ending))

    def _rewind_if_stranded(self) -> None:
        """Rows that nobody has in memory although they were passed over are read again from the start."""
        run = self._hand.run
        if self._backlog.is_empty and run.planned and run.counts.pending and not run.is_held:
            self._backlog.loaded_to = 0
            self._told = None

    def _is_finished(self) -> bool:
        run = self._hand.run
        unproven = run.counts.revoked if run.proving else 0
        return run.planned and self._backlog.is_empty and not run.counts.pending and not unproven

"""Carries a request out, from wherever it stands to its last word or to the next moment there is something to do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.results import Counts, RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import CLOCK_SKEW, LEASE
from revoke_core.service.backlog import Backlog
from revoke_core.service.plan_pages import PagedPlanning
from revoke_core.service.putting_down import PuttingDown
from revoke_core.service.run_in_hand import RunInHand
from revoke_core.service.slicing import Rules, Slice
from revoke_core.service.waiting import Pauses

if TYPE_CHECKING:
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.ports import Budget, Clock, Gates, Ledger, StatusLog, UserIndex, WorkQueue
    from revoke_core.service.planning import Lookup, Planner
    from revoke_core.service.proving import Prover
    from revoke_core.service.revoking import Revoker
    from revoke_core.service.sources import Sources

_MARGIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's word on large requests."""

    max_users: int
    max_unconfirmed: int
    paused: bool


class Worker:
    """One worker under the request's lease; the call that submitted a request is only the first of them."""

    def __init__(
        self,
        *,
        log: StatusLog,
        index: UserIndex,
        ledger: Ledger,
        gates: Gates,
        budget: Budget,
        queue: WorkQueue,
        sources: Sources,
        planner: Planner,
        revoker: Revoker,
        prover: Prover,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._log = log
        self._index = index
        self._ledger = ledger
        self._gates = gates
        self._budget = budget
        self._queue = queue
        self._sources = sources
        self._planner = planner
        self._revoker = revoker
        self._prover = prover
        self._clock = clock
        self._limits = limits
        self._putting_down = PuttingDown(log=log, ledger=ledger, queue=queue, clock=clock)

    async def resume(self, request_id: str, *, until: datetime, patience: timedelta) -> RequestRecord | None:
        """Go on with a request that a message or the timer refers to; ``None`` when there is none.

        A message that comes while another worker holds the lease is sent again for the moment the lease ends; one that
        comes before its time is dropped, because the message for the right time is on its way.
        """
        record = await self._log.get(request_id)
        if record is None:
            logs.event("work_without_request", requestId=request_id)
            return None
        if record.status.is_final:
            await self._ledger.close(request_id)
            return record
        run = await self._log.run(request_id)
        now = self._clock.now()
        if run and (left := run.lease_left(now)):
            await self._queue.put(request_id, delay=left + _MARGIN)
            return record
        # Within what clocks may differ the message is on time: the worker waits that long for what is due.
        if run and run.next_at and run.next_at - now > CLOCK_SKEW:
            return record
        request = await self._log.inputs(request_id)
        if request is None:
            raise ValueError(f"request {request_id} has lost its inputs")
        try:
            taken = await self._taken(run) if run else await self._begun(record)
            if run is None or run.lease_until:
                # Nobody watches over this worker yet: this message finds its lease held again and again, or run out.
                await self._queue.put(request_id, delay=LEASE + _MARGIN)
            if record.status is not RequestStatus.RUNNING:
                record = replace(record, status=RequestStatus.RUNNING)
                await self._log.update(record)
            return await self.carry_out(record, request, taken, until=until, patience=patience)
        except LeaseLost:
            return await self._log.get(request_id)

    async def carry_out(
        self,
        record: RequestRecord,
        request: RevocationRequest,
        run: Run | None,
        *,
        until: datetime,
        patience: timedelta,
        lookup: Lookup | None = None,
        receipt: str | None = None,
    ) -> RequestRecord:
        """Work until the last word, or until the next step lies further away than ``patience`` or after ``until``.

        ``run`` is the run row this worker has just taken, ``None`` for a request that nobody has begun: it gets its run
        row with the first write. ``receipt`` is of the message that was sent for the case that this worker dies.
        """
        hand = RunInHand(run=run or self._fresh(record), log=self._log, clock=self._clock)
        try:
            wake = await self._worked(record, request, hand, until=until, patience=patience, lookup=lookup)
            if wake is None:
                return await self._putting_down.finished(record, hand, receipt)
            return await self._putting_down.released(record, hand, wake, receipt)
        except LeaseLost:
            logs.event("lease_lost", requestId=record.id)
            return await self._log.get(record.id) or record

    async def _worked(
        self,
        record: RequestRecord,
        request: RevocationRequest,
        hand: RunInHand,
        *,
        until: datetime,
        patience: timedelta,
        lookup: Lookup | None,
    ) -> datetime | None:
        backlog = Backlog(request_id=record.id, log=self._log, commit=hand.flush, loaded_to=hand.run.done_to)
        pauses = Pauses(run=hand.run, gates=self._gates, clock=self._clock)
        planning = PagedPlanning(
            request=request,
            hand=hand,
            backlog=backlog,
            pauses=pauses,
            sources=self._sources,
            planner=self._planner,
            log=self._log,
            index=self._index,
            max_users=self._limits.max_users,
            lookup=lookup,
        )
        hand.done_to = lambda: backlog.done_to
        if hand.run.version is not None:
            await self._adopt_flights(hand, backlog)
            await planning.recover()
        work = Slice(
            record=record,
            request=request,
            hand=hand,
            backlog=backlog,
            planning=planning,
            pauses=pauses,
            revoker=self._revoker,
            prover=self._prover,
            budget=self._budget,
            log=self._log,
            clock=self._clock,
            rules=Rules(paused=self._limits.paused, max_unconfirmed=self._limits.max_unconfirmed),
            until=until,
            patience=patience,
        )
        try:
            return await work.run()
        finally:
            # An error that was met on the way may keep all of this alive until the garbage collector comes by.
            planning.forget()

    async def _adopt_flights(self, hand: RunInHand, backlog: Backlog) -> None:
        """Calls that another worker announced and never settled: their users are in doubt from then on."""
        for flight in hand.run.flights:
            rows = await self._log.rows_at(hand.run.request_id, flight.positions)
            await hand.land(flight, backlog.adopt_flight(rows, flight.sent_at))
        await hand.flush()

    async def _begun(self, record: RequestRecord) -> Run:
        """Make the run row of a request that has none; ``LeaseLost`` when another worker was quicker."""
        return await self._log.save(replace(self._fresh(record), lease_until=self._clock.now() + LEASE), [])

    async def _taken(self, run: Run) -> Run:
        """Take the lease; ``LeaseLost`` when somebody else was quicker."""
        lease: dict[str, Any] = {
            "owner": secrets.token_hex(8),
            "epoch": run.epoch + 1,
            "lease_until": self._clock.now() + LEASE,
        }
        return await self._log.save(replace(run, **lease, next_at=None), [])

    @staticmethod
    def _fresh(record: RequestRecord) -> Run:
        return Run(request_id=record.id, owner=secrets.token_hex(8), epoch=1, counts=Counts())

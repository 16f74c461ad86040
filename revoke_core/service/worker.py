"""Carries a request out, from wherever it stands to its last word or to the next moment there is something to do."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.errors import LeaseLost, TokenUnavailable
from revoke_core.domain.results import RequestRecord, RequestStatus, UserRow, UserStatus, final_word
from revoke_core.domain.schedules import LEASE, LIFETIME
from revoke_core.ports import Run
from revoke_core.service.planning import Lookup, unplanned
from revoke_core.service.run_in_hand import RunInHand
from revoke_core.service.waiting import TRANSIENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from revoke_core.domain.request import RevocationRequest
    from revoke_core.ports import Clock, Gates, Ledger, StatusLog, UserIndex, WorkQueue
    from revoke_core.service.planning import Planner
    from revoke_core.service.proving import Prover
    from revoke_core.service.revoking import Revoker
    from revoke_core.service.waiting import Waiting

_PAUSED_LOOK: Final = timedelta(seconds=60)
_EARLY: Final = timedelta(seconds=1)


class Worker:
    """One worker under the request's lease; the call that submitted a request is only the first of them."""

    def __init__(
        self,
        *,
        log: StatusLog,
        index: UserIndex,
        ledger: Ledger,
        gates: Gates,
        queue: WorkQueue,
        planner: Planner,
        revoker: Revoker,
        prover: Prover,
        waiting: Waiting,
        clock: Clock,
        paused: bool,
    ) -> None:
        self._log = log
        self._index = index
        self._ledger = ledger
        self._gates = gates
        self._queue = queue
        self._planner = planner
        self._revoker = revoker
        self._prover = prover
        self._waiting = waiting
        self._clock = clock
        self._paused = paused

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
        if run and run.lease_until and run.lease_until > now:
            await self._queue.put(request_id, delay=run.lease_until - now + _EARLY)
            return record
        if run and run.next_at and run.next_at - now > _EARLY:
            return record
        request = await self._log.inputs(request_id)
        if request is None:
            raise ValueError(f"request {request_id} has lost its inputs")
        try:
            hand = await self._taken(record, run)
        except LeaseLost:
            return record
        return await self.carry_out(record, request, hand, until=until, patience=patience)

    async def carry_out(
        self,
        record: RequestRecord,
        request: RevocationRequest,
        hand: RunInHand | None,
        *,
        until: datetime,
        patience: timedelta,
        lookup: Lookup | None = None,
        receipt: str | None = None,
    ) -> RequestRecord:
        """Work until the last word, or until the next step lies further away than ``patience`` or after ``until``.

        ``receipt`` is of the message that was sent for the case that this worker dies.
        """
        hand = hand or self._fresh(record)
        try:
            wake = await self._steps(record, request, hand, until=until, patience=patience, lookup=lookup)
            if wake is None:
                return await self._finished(record, hand, receipt)
            return await self._released(record, hand, wake, receipt)
        except LeaseLost:
            logs.event("lease_lost", requestId=record.id)
            return await self._log.get(record.id) or record

    async def _steps(
        self,
        record: RequestRecord,
        request: RevocationRequest,
        hand: RunInHand,
        *,
        until: datetime,
        patience: timedelta,
        lookup: Lookup | None,
    ) -> datetime | None:
        """Do what is due, step by step; ``None`` when nothing is left, else when to go on."""
        while not hand.run.ended:
            now = self._clock.now()
            if now >= record.requested_at + LIFETIME:
                await self._expire(request, hand)
                continue
            if self._paused:
                hand.run = replace(hand.run, cause=problems.PAUSED.code)
                return now + _PAUSED_LOOK
            wake = await self._wait_needed(hand)
            if wake is None:
                await self._step(record, request, hand, lookup)
                lookup = None
                continue
            if wake > now + patience or wake >= until:
                return wake
            await hand.renew() if hand.run.version else None
            await self._clock.sleep_until(wake)
        return None

    async def _wait_needed(self, hand: RunInHand) -> datetime | None:
        """When the next step may be taken, or ``None`` for now."""
        if hand.pause_until and hand.pause_until > self._clock.now():
            return hand.pause_until
        if not hand.run.planned:
            return await self._gates.closed_until("read")
        reads = self._prover.next_due(hand)
        read_gate = await self._gates.closed_until("read") if reads else None
        next_read = max(reads, read_gate) if reads and read_gate else reads
        moments = [next_read] if next_read else []
        if self._has_unsent(hand.open.values()):
            moments.append(await self._gates.closed_until("write") or self._clock.now())
        first = min(moments, default=self._clock.now())
        return first if first > self._clock.now() else None

    async def _step(
        self, record: RequestRecord, request: RevocationRequest, hand: RunInHand, lookup: Lookup | None
    ) -> None:
        try:
            if not hand.run.planned:
                await self._plan(record, request, hand, lookup)
            elif self._has_unsent(hand.open.values()) and not await self._gates.closed_until("write"):
                await self._revoker.send(hand)
            elif due := self._prover.due(hand):
                await self._prover.apply(hand, due, await self._prover.read(due))
        except TokenUnavailable:
            changes = await self._waiting.obstacle(hand, "write", problems.NO_TOKEN, None)
            await hand.write(**changes)

    async def _plan(
        self, record: RequestRecord, request: RevocationRequest, hand: RunInHand, lookup: Lookup | None
    ) -> None:
        plan = await self._planner.plan(request, lookup or await self._planner.lookup(request))
        if isinstance(plan, Lookup):
            problem = plan.obstacle or problems.GRAPH_UNAVAILABLE
            await hand.write(**await self._waiting.obstacle(hand, "read", problem, plan.pause))
            return
        rows, sending = plan.rows, None
        if self._has_unsent(rows) and not await self._gates.closed_until("write"):
            # The first marks go with the plan: one write less before the first call leaves.
            sending = await self._revoker.prepared(rows)
            marked = {row.position: row for row in sending.marked}
            rows = [marked.get(row.position, row) for row in rows]
        changes = {"counts": plan.counts, "excluded": plan.excluded, "warnings": plan.warnings}
        await asyncio.gather(
            hand.plan(rows, proving=plan.proving, cause=None, failures=0, **changes),
            self._index.add(record.id, rows),
        )
        hand.run = replace(hand.run, indexed=True)
        if sending:
            await self._revoker.deliver(hand, sending)

    async def _expire(self, request: RevocationRequest, hand: RunInHand) -> None:
        """Nothing older than a day ever revokes: what is open ends with the last cause."""
        last = TRANSIENT.get(hand.run.cause or "", problems.EXPIRED)
        if not hand.run.planned:
            rows = [row.ended(UserStatus.FAILED, last) for row in unplanned(request)]
            duplicates = len(request.users) - len(rows)
            await hand.plan(rows, counts=replace(hand.run.counts, pending=0, failed=len(rows), duplicates=duplicates))
            return
        ended = [
            row.ended(UserStatus.FAILED, problems.UNVERIFIED if row.status is UserStatus.REVOKED else last)
            for row in hand.open.values()
        ]
        await hand.write(ended)

    async def _finished(self, record: RequestRecord, hand: RunInHand, receipt: str | None) -> RequestRecord:
        """Write the request's last word, then tidy up; each step may be repeated after a crash."""
        run = hand.run
        status = final_word(run.counts, excluded=run.excluded, dry_run=record.dry_run)
        nobody = run.counts.total == run.excluded
        final = replace(
            record,
            status=status,
            counts=run.counts,
            warnings=run.warnings,
            completed_at=self._clock.now(),
            problem=problems.NO_USERS_MATCHED if nobody else record.problem,
        )
        await self._log.update(final)
        logs.event("request_finished", requestId=record.id, status=status.value, total=run.counts.total)
        await asyncio.gather(self._log.drop_run(record.id), self._ledger.close(record.id), self._withdrawn(receipt))
        return final

    async def _released(
        self, record: RequestRecord, hand: RunInHand, wake: datetime, receipt: str | None
    ) -> RequestRecord:
        """Hand the rest to the queue side: let go first, or whoever gets the message finds the lease held.

        Should the message never be sent, the timer finds the request past its time.
        """
        now = self._clock.now()
        await hand.write(lease_until=None, owner="", next_at=wake)
        await self._queue.put(record.id, delay=max(wake - now, timedelta(0)))
        transient = TRANSIENT.get(hand.run.cause or "")
        warnings = (*hand.run.warnings, f"{transient.message} {transient.hint}") if transient else hand.run.warnings
        running = replace(record, status=RequestStatus.RUNNING, counts=hand.run.counts, warnings=warnings)
        await asyncio.gather(self._log.update(running), self._withdrawn(receipt))
        logs.event(
            "request_waits", requestId=record.id, cause=hand.run.cause, seconds=round((wake - now).total_seconds(), 1)
        )
        return running

    async def _withdrawn(self, receipt: str | None) -> None:
        if receipt:
            await self._queue.withdraw(receipt)

    async def _taken(self, record: RequestRecord, run: Run | None) -> RunInHand:
        """Take the lease; a request that was never started gets its run row with the first write."""
        if run is None:
            return self._fresh(record)
        lease: dict[str, Any] = {
            "owner": secrets.token_hex(8),
            "epoch": run.epoch + 1,
            "lease_until": self._clock.now() + LEASE,
        }
        taken = await self._log.save(replace(run, **lease, next_at=None), [])
        if run.planned and not run.indexed:
            await self._index.add(record.id, await self._log.rows(record.id, open_only=False))
            taken = replace(taken, indexed=True)
        rows = await self._log.rows(record.id, open_only=True) if run.planned else []
        return RunInHand(run=taken, rows=rows, log=self._log, clock=self._clock)

    def _fresh(self, record: RequestRecord) -> RunInHand:
        run = Run(request_id=record.id, owner=secrets.token_hex(8), epoch=1, counts=record.counts)
        return RunInHand(run=run, rows=[], log=self._log, clock=self._clock)

    @staticmethod
    def _has_unsent(rows: Iterable[UserRow]) -> bool:
        return any(row.status is UserStatus.PENDING and row.sent_at is None for row in rows)

"""The worker: acquires a request's lease, runs the loop, and finishes the request or releases the lease."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import CLOCK_SKEW, LEASE, LONGEST_UNWATCHED, MESSAGE_GRACE, REDRIVE_MARGIN
from revoke_core.domain.user_state import Counts
from revoke_core.service.engine.backoff import Backoff
from revoke_core.service.engine.context import PlanningState, RunContext
from revoke_core.service.engine.loop import RunLoop, Stages
from revoke_core.service.engine.unit_of_work import UnitOfWork
from revoke_core.service.engine.working_set import WorkingSet

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from revoke_core.domain.lanes import Lane
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.shared import Clock, Gates, OpenRequests
    from revoke_core.ports.status_log import StatusLog
    from revoke_core.service.engine.lookup import Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorLimits:
    """What the operator set: the kill switch, and from how many found users on a person has to confirm."""

    paused: bool
    max_unconfirmed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOut:
    """The request as the worker leaves it; ``users`` are its first rows where this worker alone has written them."""

    record: RequestRecord
    users: list[UserRow] | None = None


class Worker:
    """Carries requests out under their lease; the call that submitted a request is only its first worker."""

    def __init__(
        self,
        *,
        log: StatusLog,
        open_requests: OpenRequests,
        gates: Gates,
        stages: Stages,
        clock: Clock,
        limits: OperatorLimits,
    ) -> None:
        self._log = log
        self._open_requests = open_requests
        self._gates = gates
        self._stages = stages
        self._clock = clock
        self._limits = limits

    async def process_message(self, request_id: str, *, until: datetime, max_idle: timedelta) -> RequestRecord | None:
        """Go on with the request that a work message names; ``None`` when there is none.

        - The request has ended: nothing is done.
        - Another worker holds the lease: the timer is to redrive the request when the lease ends.
        - The request is not due yet: its own message comes at the right time, and the timer after that.
        - Otherwise this worker acquires the lease and works; where nobody can tell any more what was asked for, to
          its end.
        """
        record = await self._log.get_request(request_id)
        if record is None:
            logs.event("work_without_request", requestId=request_id)
            return None
        if record.status.is_final:
            return record
        run = await self._log.get_run(request_id)
        now = self._clock.now()
        if run and (left := run.lease_left(now)):
            await self._open_requests.postpone(request_id, now + left + REDRIVE_MARGIN)
            return record
        if run and run.due_at and self._is_early(run, now):
            is_paused = run.blocked_by == problems.PAUSED.code
            redrive_at = min(run.due_at + MESSAGE_GRACE, now + LONGEST_UNWATCHED)
            await self._open_requests.postpone(request_id, redrive_at, paused=is_paused)
            return record
        request = await self._log.get_inputs(request_id)
        run = run or Run(request_id=record.id, counts=Counts())
        if request is None:
            # It could be tried for ever: it ends, and says why, once the calls that are in flight are settled.
            logs.event("inputs_lost", requestId=request_id)
            run = replace(run, planned=True, refusal=run.refusal or problems.INPUTS_LOST)
            request = RevocationRequest(dry_run=record.dry_run, verify=record.verify)
        try:
            acquired = await self._acquire_lease(run)
        except LeaseLost:
            return await self._log.get_request(request_id)
        running = replace(record, status=RequestStatus.RUNNING)
        # Should this worker die, the timer redrives the request when the lease has ended.
        postponed = self._open_requests.postpone(request_id, now + LEASE + REDRIVE_MARGIN)
        shown = [self._log.update_request(running)] if record.status is not RequestStatus.RUNNING else []
        await asyncio.gather(postponed, *shown)
        return (await self.carry_out(running, request, acquired, until=until, max_idle=max_idle)).record

    async def prepare(self, request: RevocationRequest, lane: Lane) -> Lookup:
        """What may be done for a small request before it is durable: look its users up, and fetch tokens."""
        lookup, _ = await asyncio.gather(
            self._stages.planner.look_up(request.users), self._stages.sender.prefetch(len(request.users), lane)
        )
        return lookup

    async def carry_out(
        self,
        record: RequestRecord,
        request: RevocationRequest,
        run: Run | None,
        *,
        until: datetime,
        max_idle: timedelta,
        lookup: Lookup | None = None,
    ) -> CarriedOut:
        """Work until every user is final, or the next step lies further away than ``max_idle`` or after ``until``.

        ``run`` is the run row this worker has just acquired, ``None`` for a request that was never begun: its run row
        is inserted with the first commit. ``lookup`` is what Graph has answered about the users already.
        """
        unit = UnitOfWork(run=run or _fresh(record), log=self._log, clock=self._clock)
        users = WorkingSet(request_id=record.id, log=self._log, commit=unit.flush, loaded_to=unit.run.low_watermark)
        unit.low_watermark = lambda: users.low_watermark
        context = RunContext(
            record=record,
            request=request,
            unit=unit,
            users=users,
            backoff=Backoff(unit=unit, gates=self._gates, clock=self._clock),
            until=until,
            max_idle=max_idle,
            planning=PlanningState(lookup=lookup),
        )
        try:
            due_at = await self._work(context)
            if due_at is not None:
                return CarriedOut(record=await self._stages.finalizer.release(context, due_at))
            ended = await self._stages.finalizer.finish(context)
        except LeaseLost:
            logs.event("lease_lost", requestId=record.id)
            return CarriedOut(record=await self._log.get_request(record.id) or record)
        finally:
            # The largest thing in memory; an error's traceback may keep the context alive for a while.
            context.planning.seen = None
        return CarriedOut(record=ended, users=[unit.latest[at] for at in sorted(unit.latest)] if run is None else None)

    async def _work(self, run: RunContext) -> datetime | None:
        if run.unit.run.version is not None:
            await self._adopt_intents(run)
            await self._stages.planner.recover(run)
        loop = RunLoop(
            run=run,
            stages=self._stages,
            log=self._log,
            clock=self._clock,
            max_unconfirmed=self._limits.max_unconfirmed,
        )
        return await loop.work()

    async def _adopt_intents(self, run: RunContext) -> None:
        """Calls that a dead worker announced without recording an outcome: their users are ambiguous from then on."""
        for intent in run.unit.run.intents:
            rows = await self._log.get_users(run.record.id, intent.positions)
            run.unit.record_outcome(intent, run.users.adopt_intent(rows, intent.sent_at))
        await run.unit.flush()

    def _is_early(self, run: Run, now: datetime) -> bool:
        """Whether a message came before its time. Within what clocks may differ the worker waits for what is due."""
        is_pause_over = run.blocked_by == problems.PAUSED.code and not self._limits.paused
        return run.due_at is not None and run.due_at - now > CLOCK_SKEW and not is_pause_over

    async def _acquire_lease(self, run: Run) -> Run:
        """Write owner, epoch and lease; ``LeaseLost`` when another worker was quicker."""
        lease_until = self._clock.now() + LEASE
        owner, epoch = secrets.token_hex(8), run.epoch + 1
        return await self._log.save_run(
            replace(run, owner=owner, epoch=epoch, lease_until=lease_until, due_at=None), []
        )


def _fresh(record: RequestRecord) -> Run:
    """The run row of a request that was never begun."""
    return Run(request_id=record.id, owner=secrets.token_hex(8), epoch=1, counts=Counts())

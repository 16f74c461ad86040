"""The loop of one worker at one request: plan, send and verify side by side until nothing is due or its time is up.

Graph's whole sustained rate is one batch a second, so one worker saturates it; several calls are in flight only while
there is a burst to use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import HELD_LIFETIME
from revoke_core.service.engine.finalizer import due_reason
from revoke_core.service.engine.sender import MIN_SLEEP
from revoke_core.service.engine.unit_of_work import MAX_COMMIT_DELAY

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.user_state import TerminalReason
    from revoke_core.ports.shared import Clock
    from revoke_core.ports.status_log import StatusLog
    from revoke_core.service.engine.context import RunContext
    from revoke_core.service.engine.finalizer import Finalizer
    from revoke_core.service.engine.late_lookups import LateLookups
    from revoke_core.service.engine.planner import Planner
    from revoke_core.service.engine.sender import Sender
    from revoke_core.service.engine.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The stages of every run."""

    planner: Planner
    late_lookups: LateLookups
    sender: Sender
    verifier: Verifier
    finalizer: Finalizer


class RunLoop:
    """One run. ``work`` returns when the request is due again, or ``None`` once every user has a final status."""

    def __init__(self, *, run: RunContext, stages: Stages, log: StatusLog, clock: Clock, max_unconfirmed: int) -> None:
        self._run = run
        self._unit = run.unit
        self._stages = stages
        self._log = log
        self._clock = clock
        self._max_unconfirmed = max_unconfirmed
        self._shown = RequestStatus.RUNNING
        # The reason with which all users who were not sent have ended.
        self._ended_for: TerminalReason | None = None

    async def work(self) -> datetime | None:
        """Work until nothing is due within the idle time, or the time is up.

        A host that stops tells nobody: what this worker leaves is what one that died leaves.
        """
        try:
            return await self._work()
        finally:
            await self._run.tasks.drain()

    async def _work(self) -> datetime | None:
        run = self._run
        while True:
            run.tasks.collect()
            self._unit.acknowledge()
            if self._shown is RequestStatus.HELD and not self._unit.run.is_held:
                await self._show(RequestStatus.RUNNING)
            wake = await self._start_what_is_due()
            if run.tasks:
                await self._wait(wake)
                continue
            if not self._sends_soon(wake):
                await self._unit.flush()
                if self._unit.has_new_signals:
                    continue
                if self._is_finished():
                    await self._commit_all()
                    return None
                self._rescan_if_stranded()
            now = self._clock.now()
            wake = wake or now + MIN_SLEEP
            if wake > now + run.max_idle or wake >= run.until:
                await self._commit_all()
                return max(wake, now)
            await self._unit.renew()
            await self._clock.sleep_until(wake)

    async def _commit_all(self) -> None:
        await self._stages.planner.indexed(self._run)
        await self._unit.flush()

    def _sends_soon(self, wake: datetime | None) -> bool:
        """Whether the next send intent is close, which takes queued results along."""
        return self._run.users.unsent > 0 and wake is not None and wake <= self._clock.now() + MAX_COMMIT_DELAY

    async def _wait(self, wake: datetime | None) -> None:
        """Until a task is done or something else is due; the lease is renewed meanwhile."""
        latest = min(wake, self._unit.renew_at) if wake else self._unit.renew_at
        await self._run.tasks.wait(max((latest - self._clock.now()).total_seconds(), 0.01))
        await self._unit.renew()

    async def _start_what_is_due(self) -> datetime | None:
        """Start everything that may start now; returns when to come again if nothing else happens."""
        run = self._run
        if self._clock.now() >= run.until:
            return None
        reason = due_reason(run, self._clock.now())
        moments = [await self._stages.planner.start(run, reason)]
        if self._unit.ahead.planned and not self._unit.run.planned and not run.request.is_named_only:
            # Whether the request is held depends on what is committed, and no call may leave before that is known.
            await self._unit.flush()
        if reason:
            await self._end_open_users(reason)
        elif await self._must_be_held():
            return await self._hold()
        else:
            moments.append(await self._stages.late_lookups.start(run))
            moments.append(await self._stages.sender.start(run))
        run.backoff.some_wait(apart=run.users.some_wait_apart)
        if not (reason and reason.is_too_old):
            moments.append(await self._stages.verifier.start(run))
            # A gate may be closed for longer than the request has.
            moments = [min(moment, run.expires_at) for moment in moments if moment]
        return min((moment for moment in moments if moment), default=None)

    async def _must_be_held(self) -> bool:
        """Whether a person has to confirm the number of users that a group or filter came down to.

        Decided once: the next worker may run under another limit, and by then users were sent or are held.
        """
        row = self._unit.run
        if row.confirmed_at or not row.planned or self._run.request.is_named_only:
            return False
        if row.held_at or self._unit.ahead.confirmation_waived:
            return row.held_at is not None
        if self._run.request.must_be_confirmed(
            row.counts.total, max_unconfirmed=self._max_unconfirmed, has_unmatched=row.has_unmatched
        ):
            return True
        # Committed with the first send intent.
        self._unit.enqueue(confirmation_waived=True)
        return False

    async def _hold(self) -> datetime:
        held_at = self._unit.run.held_at or self._clock.now()
        if not self._unit.run.held_at:
            # The request's row first, for lists filter by it: a held request is then found among the held ones.
            await self._show(RequestStatus.HELD, held_at=held_at)
            await self._unit.commit(held_at=held_at)
            await self._stages.finalizer.tell_receiver(self._run.record)
        return held_at + HELD_LIFETIME

    async def _show(self, status: RequestStatus, *, held_at: datetime | None = None) -> None:
        self._shown = status
        record = replace(self._run.record, status=status, counts=self._unit.run.counts)
        await self._log.update_request(record, held_at=held_at)

    async def _end_open_users(self, reason: TerminalReason) -> None:
        """End every user who was not sent; ambiguous ones are settled first, unless it is too late."""
        run = self._run
        if run.users.unsent:
            run.users.drop_unsent()
            self._ended_for = None
        # A user that is being read as the time runs out must not get two final statuses.
        is_reading = reason.is_too_old and run.reads
        is_planning = run.is_planning_page or run.is_looking_up_late or not self._unit.ahead.planned
        if run.calls or is_reading or is_planning:
            return
        if self._ended_for == reason:
            # Users who are still open are ambiguous; a worker that has taken over has yet to load them.
            if run.users.wants_more(self._unit.ahead.positions):
                await run.users.load(self._unit.ahead.positions)
            return
        self._ended_for = reason
        run.planning.page = run.tasks.spawn(self._stages.finalizer.end_open_users(run, reason))

    def _rescan_if_stranded(self) -> None:
        """Open rows that are not in memory although they were passed over are loaded again from the start."""
        row = self._unit.run
        if self._run.users.is_empty and row.planned and row.counts.pending and not row.is_held:
            self._run.users.loaded_to = 0
            self._ended_for = None

    def _is_finished(self) -> bool:
        row = self._unit.run
        unverified = row.counts.revoked if row.verifying else 0
        return row.planned and self._run.users.is_empty and not row.counts.pending and not unverified

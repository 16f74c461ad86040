"""Ending a run: the terminal reason of users who are still open, the final status, or the release of the lease."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.callback import CallbackState
from revoke_core.domain.evidence import first_read_at
from revoke_core.domain.request_record import RequestRecord, RequestStatus, final_status
from revoke_core.domain.schedules import HELD_LIFETIME, LONGEST_UNWATCHED, MESSAGE_GRACE
from revoke_core.domain.user_state import TerminalReason, UserStatus, after_termination
from revoke_core.service.engine.unit_of_work import ROWS_PER_COMMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from revoke_core.domain.problems import Problem
    from revoke_core.domain.run import Run
    from revoke_core.ports.shared import Clock, OpenRequests, WorkQueue
    from revoke_core.ports.status_log import StatusLog
    from revoke_core.service.engine.context import RunContext
    from revoke_core.service.engine.unit_of_work import UnitOfWork

# The problems that pass by themselves, by code: what a run is blocked by.
TRANSIENT: Final = {
    problem.code: problem
    for problem in (
        problems.THROTTLED,
        problems.GRAPH_UNAVAILABLE,
        problems.NO_TOKEN,
        problems.PROTECTED_UNREADABLE,
        problems.PAUSED,
    )
}


def warnings_of(run: Run) -> tuple[str, ...]:
    """The warnings of an unfinished request: what stays true, and what it is blocked by now."""
    now = TRANSIENT.get(run.blocked_by or "")
    if now is None:
        return run.warnings
    says = f" Graph says: {run.graph_code}." if run.graph_code else ""
    return (*run.warnings, f"{now.message}{says} {now.hint}")


def due_reason(run: RunContext, now: datetime) -> TerminalReason | None:
    """Why all users who are still open end now, if they do: refused, cancelled, aborted, not confirmed, too old."""
    row = run.unit.run
    last = TRANSIENT.get(row.blocked_by or "", problems.EXPIRED) if now >= run.expires_at else None
    if row.refusal:
        return TerminalReason(status=UserStatus.FAILED, problem=row.refusal, unsettled=last)
    if row.cancel_requested:
        return TerminalReason(status=UserStatus.SKIPPED, problem=problems.CANCELLED, unsettled=last)
    if abort_reason := run.unit.ahead.abort_reason:
        return TerminalReason(status=UserStatus.FAILED, problem=abort_reason, unsettled=last)
    if row.is_held and row.held_at:
        is_over = now >= row.held_at + HELD_LIFETIME
        return TerminalReason(status=UserStatus.SKIPPED, problem=problems.CANCELLED) if is_over else None
    return TerminalReason(status=UserStatus.FAILED, problem=last, unsettled=last) if last else None


async def enqueue_best_effort(queue: WorkQueue, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
    """Send a work message behind what has just been stored; should that fail, the timer redrives the request."""
    async with left_to_timer(request_id):
        await queue.put(request_id, delay=delay)


async def redrive_now(open_requests: OpenRequests, queue: WorkQueue, request_id: str, now: datetime) -> None:
    """Have a request worked on at once, after a control signal was stored for it."""

    async def mark() -> None:
        async with left_to_timer(request_id):
            await open_requests.postpone(request_id, now)

    await asyncio.gather(mark(), enqueue_best_effort(queue, request_id))


@asynccontextmanager
async def left_to_timer(request_id: str) -> AsyncIterator[None]:
    """What is durable must not be denied to a caller because the step after it failed."""
    try:
        yield
    except Exception as problem:  # noqa: BLE001 -- the timer does what this step would have done
        logs.failure("work_message_left_to_timer", problem, requestId=request_id)


class Finalizer:
    """Ends users, requests and leases; ``LeaseLost`` when another worker has taken over.

    With ``evidence``, an ended request of up to 100 users leaves a marker for the timer that reads it.
    """

    def __init__(
        self,
        *,
        log: StatusLog,
        open_requests: OpenRequests,
        queue: WorkQueue,
        clock: Clock,
        evidence: bool = False,
    ) -> None:
        self._log = log
        self._open_requests = open_requests
        self._queue = queue
        self._clock = clock
        self._evidence = evidence

    async def end_open_users(self, run: RunContext, reason: TerminalReason) -> None:
        """End every user who was not sent; ambiguous and unverified ones are left to be read, unless it is too late."""
        await run.unit.flush()
        await self._end_users(run, reason, UserStatus.PENDING)
        if reason.is_too_old and run.unit.run.verifying:
            await self._end_users(run, reason, UserStatus.REVOKED)

    async def _end_users(self, run: RunContext, reason: TerminalReason, status: UserStatus) -> None:
        after, complete = 0, False
        while not complete:
            rows, complete = await self._log.list_waiting(run.record.id, status, after=after, limit=ROWS_PER_COMMIT)
            after = rows[-1].position if rows else after
            ending = [row for row in rows if reason.is_too_old or not _may_be_sent(run, row.position, row.sent_at)]
            pairs = [(row, after_termination(row, reason)) for row in ending]
            if pairs:
                cancelled = sum(ended.problem is problems.CANCELLED for _, ended in pairs)
                await run.unit.commit(pairs, cancelled=run.unit.ahead.cancelled + cancelled)
            for _, row in pairs:
                run.users.update(row, verifying=False)

    async def finish(self, run: RunContext) -> RequestRecord:
        """Write the request's final status.

        The run row stays: a worker that still believes the request was never begun then fails to insert one.
        """
        await _ensure_lease(run.unit)
        row, record = run.unit.run, run.record
        status = final_status(row.counts, excluded=row.excluded, dry_run=record.dry_run, cancelled=row.cancelled)
        # A cancelled request whose users were all planned and ended shows what came of them.
        is_cut_short = row.cancel_requested and (row.checkpoint is not None or not row.counts.total)
        status = RequestStatus.CANCELLED if is_cut_short else status
        final = replace(
            record,
            status=RequestStatus.FAILED if row.refusal else status,
            counts=row.counts,
            warnings=row.warnings,
            completed_at=(now := self._clock.now()),
            problem=_final_problem(record, row),
            callback=record.callback and CallbackState(),
        )
        await self._log.finish_request(final, evidence_at=first_read_at(final, now) if self._evidence else None)
        await self.tell_receiver(final)
        logs.event("request_finished", requestId=record.id, status=final.status.value, total=row.counts.total)
        return final

    async def tell_receiver(self, record: RequestRecord) -> None:
        """Have the callback that has just become due delivered at once; a lost message is left to the timer."""
        if record.callback:
            async with left_to_timer(record.id):
                await self._queue.put_callback(record.id)

    async def release(self, run: RunContext, due_at: datetime) -> RequestRecord:
        """Release the lease, and have the request worked on again when it is due.

        A request that waits for a person (held, or paused by the operator) gets no message: confirming, cancelling and
        the timer of a host that is not paused send one.
        """
        await _ensure_lease(run.unit)
        record = self._unfinished(run.record, run.unit.run)
        # While the lease is still held: the next worker writes the request's row after this one, never before.
        await self._log.update_request(record)
        await run.unit.commit(lease_until=None, owner="", due_at=due_at)
        if run.unit.has_new_signals:
            # A signal arrived while the lease was still held: what was to be waited for has come.
            due_at = self._clock.now()
            await run.unit.commit(lease_until=None, due_at=due_at)
        row = run.unit.run
        seconds = max((due_at - self._clock.now()).total_seconds(), 0)
        is_paused = row.blocked_by == problems.PAUSED.code
        async with left_to_timer(record.id):
            if seconds and (row.is_held or is_paused):
                redrive_at = min(due_at, self._clock.now() + LONGEST_UNWATCHED)
                await self._open_requests.postpone(record.id, redrive_at, paused=is_paused)
            else:
                await asyncio.gather(
                    self._queue.put(record.id, delay=timedelta(seconds=seconds)),
                    self._open_requests.postpone(record.id, due_at + MESSAGE_GRACE),
                )
        if row.is_held:
            logs.event("request_held", requestId=record.id, users=row.counts.total)
        else:
            logs.event(
                "request_waits",
                requestId=record.id,
                blockedBy=row.blocked_by,
                graphCode=row.graph_code,
                seconds=round(seconds, 1),
            )
        return record

    @staticmethod
    def _unfinished(record: RequestRecord, run: Run) -> RequestRecord:
        """The request's row while no worker holds the lease."""
        status = RequestStatus.HELD if run.is_held else RequestStatus.RUNNING
        counts = run.counts if run.planned else record.counts
        return replace(record, status=status, counts=counts, warnings=warnings_of(run))


async def _ensure_lease(unit: UnitOfWork) -> None:
    """A worker that stood still must not write the request's row after another worker."""
    if not unit.lease_is_safe:
        await unit.commit()


def _may_be_sent(run: RunContext, position: int, sent_at: datetime | None) -> bool:
    return sent_at is not None or run.users.may_be_sent(position)


def _final_problem(record: RequestRecord, run: Run) -> Problem | None:
    if run.refusal:
        return run.refusal
    is_empty = run.counts.total == run.excluded and not run.cancel_requested
    return problems.NO_USERS_MATCHED if is_empty else record.problem

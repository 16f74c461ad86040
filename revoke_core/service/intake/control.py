"""What a caller may do to an accepted request: confirm, cancel, retry its failed users."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import Conflict, LeaseLost, Unavailable
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import HELD_LIFETIME
from revoke_core.domain.user_state import Counts
from revoke_core.service.engine.finalizer import redrive_now
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.request_record import Correlation, RequestedBy, RequestRecord
    from revoke_core.ports.shared import Clock, OpenRequests, WorkQueue
    from revoke_core.ports.status_log import StatusLog
    from revoke_core.service.intake.submit import Submitter

_TRIES: Final = 5
_LOOK_UP_SECONDS: Final = 5


class Controls:
    """Confirm and cancel write a control signal to the run row; the worker merges it into its next commit."""

    def __init__(
        self,
        *,
        log: StatusLog,
        open_requests: OpenRequests,
        queue: WorkQueue,
        submitter: Submitter,
        clock: Clock,
        max_unconfirmed: int,
    ) -> None:
        self._log = log
        self._open_requests = open_requests
        self._queue = queue
        self._submitter = submitter
        self._clock = clock
        self._max_unconfirmed = max_unconfirmed

    async def confirm(self, record: RequestRecord, users: int) -> RequestRecord:
        """Release a held request; ``Conflict`` when it is not held, or when the number is not the one it holds.

        Returns the record as the signal leaves it. Nothing fails once that is stored.
        """
        released = replace(record, status=RequestStatus.RUNNING)
        for _ in range(_TRIES):
            run = await self._log.get_run(record.id)
            if run and run.confirmed_at and not record.status.is_final:
                # The number of users to revoke has changed since; the one that was confirmed is still right.
                if run.confirmed_users is not None and users not in (run.counts.total, run.confirmed_users):
                    raise Conflict(f"The request comes down to {run.counts.total} users, not {users}.")
                await self._redrive(record)
                return released
            if not record.status.is_final and (run is None or run.is_looking_up):
                raise Conflict(
                    "The users of this request are still being looked up, so their number is not known yet. Wait "
                    "until its status is held and confirm it then; if it runs on, nothing has to be confirmed.",
                    retry_after=_LOOK_UP_SECONDS,
                )
            if run is None or record.status.is_final or not self._is_held(run):
                raise Conflict("The request is not held, so there is nothing to confirm.")
            if users not in (run.counts.total, run.counts.pending):
                raise Conflict(
                    f"The request comes down to {run.counts.total} users, of whom {run.counts.pending} would be "
                    f"revoked, not {users}. Look at its users, then confirm with one of these numbers or cancel it."
                )
            try:
                confirmed = replace(run, confirmed_at=self._clock.now(), confirmed_users=users, due_at=None)
                await self._log.save_run(confirmed, [])
            except LeaseLost:
                continue
            await self._redrive(record)
            logs.event("request_confirmed", requestId=record.id, users=users)
            return released
        raise Unavailable("The request is changing right now. Try again.", retry_after=1)

    async def cancel(self, record: RequestRecord) -> RequestRecord:
        """Stop a request within one batch; a finished one stays as it is. Returns the record as in ``confirm``."""
        if record.status.is_final:
            return record
        if not await self._signal_cancel(record.id):
            return await self._log.get_request(record.id) or record
        await self._redrive(record)
        logs.event("request_cancel_asked", requestId=record.id)
        return replace(record, status=RequestStatus.RUNNING)

    async def cancel_open(self, caller: str, since: datetime | None) -> int:
        """Stop every open request of one caller, made at or after ``since``; returns how many.

        The signals are stored one by one; the work messages that wait, the workers that hold a lease, and for all
        others the timer's next run see them.
        """
        cancelled = 0
        async for batch in self._open_requests.of_caller(caller, since, self._clock.now()):
            await asyncio.gather(*(self._signal_cancel(request_id) for request_id in batch))
            await self._open_requests.mark_due(batch, self._clock.now())
            cancelled += len(batch)
        logs.event("caller_cancel_asked", requests=cancelled)
        return cancelled

    async def retry(
        self, record: RequestRecord, *, requested_by: RequestedBy, correlation: Correlation, key: str | None
    ) -> RequestRecord:
        """A new request for the users who failed in this one; ``Conflict`` while it runs, or when none failed.

        A retry is never held for confirmation, so it must not reach found users whose number was never confirmed:
        ``Conflict`` as well.
        """
        if not record.status.is_final:
            raise Conflict("The request is still running. Wait until it has ended, or cancel it first.")
        if not record.counts.failed:
            raise Conflict("No user of this request failed, so there is nothing to try again.")
        if not record.may_be_retried:
            raise Conflict(
                "The request as a whole was stopped before anybody was sent, and perhaps before everybody was found. "
                "See to what its error names, then send the request anew."
            )
        run, before = await asyncio.gather(self._log.get_run(record.id), self._log.get_inputs(record.id))
        # A request that was cancelled before all its users were found was never held.
        unreleased = before and before.must_be_confirmed(
            record.counts.total,
            max_unconfirmed=self._max_unconfirmed,
            has_unmatched=run is not None and run.has_unmatched,
        )
        if run and not run.confirmed_at and (run.held_at or (unreleased and not run.confirmation_waived)):
            raise Conflict("Nobody confirmed the users of this request. Send it anew if they are meant after all.")
        request = RevocationRequest(
            retry_of=record.id,
            # A user who failed because the look-up could not tell it from an excluded one may be one of them.
            exclude=before.exclude if before else (),
            reason=record.reason,
            dry_run=record.dry_run,
            verify=record.verify,
        )
        submission = Submission(
            request=request,
            source="http",
            requested_by=requested_by,
            correlation=correlation,
            idempotency_key=key,
            expected=record.counts.failed,
        )
        return (await self._submitter.submit(submission, within=None)).record

    async def _redrive(self, record: RequestRecord) -> None:
        await redrive_now(self._open_requests, self._queue, record.id, self._clock.now())

    def _is_held(self, run: Run) -> bool:
        """Whether the request may still be confirmed: not after a day, though no worker has come to end it yet."""
        is_over = run.held_at is None or self._clock.now() >= run.held_at + HELD_LIFETIME
        return run.is_held and not is_over

    async def _signal_cancel(self, request_id: str) -> bool:
        """Store the cancel signal; ``False`` for a request that has ended."""
        for _ in range(_TRIES):
            if await self._log.request_cancel(request_id, self._clock.now()) or await self._begin_cancelled(request_id):
                return True
            current = await self._log.get_request(request_id)
            if current is None or current.status.is_final:
                return False
        raise Unavailable("The request is changing right now. Try again.", retry_after=1)

    async def _begin_cancelled(self, request_id: str) -> bool:
        """A request that was never begun gets a run row with the cancel signal."""
        try:
            await self._log.save_run(Run(request_id=request_id, counts=Counts(), cancel_requested=True), [])
        except LeaseLost:
            return False
        return True

"""Intake: make the request durable under its idempotency key, and carry a small one out at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.callback import CallbackState
from revoke_core.domain.errors import IdempotencyConflict, TooManyOpen, Unavailable
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.request_record import Correlation, RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.schedules import LEASE, REDRIVE_MARGIN
from revoke_core.domain.user_state import Counts
from revoke_core.ports.status_log import IdempotencyKey
from revoke_core.service.engine.context import SMALL_REQUEST
from revoke_core.service.engine.finalizer import enqueue_best_effort

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.lanes import Lane
    from revoke_core.domain.problems import Problem
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.shared import Clock, WorkQueue
    from revoke_core.ports.status_log import Claim, StatusLog
    from revoke_core.service.engine.lookup import Lookup
    from revoke_core.service.engine.worker import CarriedOut, Worker
    from revoke_core.service.intake.admission import Admission

IN_CALL_MAX_IDLE: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request with its sender, its ``source`` (http or queue) and its idempotency key.

    ``expected`` is how many users it will come down to, where that is known otherwise than from its own list.
    """

    request: RevocationRequest
    source: str
    requested_by: RequestedBy
    correlation: Correlation = field(default_factory=Correlation)
    idempotency_key: str | None = None
    expected: int = 0

    @property
    def key_scope(self) -> str:
        """Within what the key is unique: a dry run is another scope, so that it never stands in the real one's way."""
        return f"{self.requested_by.key_scope}:dry-run" if self.request.dry_run else self.requested_by.key_scope

    @property
    def is_small(self) -> bool:
        """Whether the request itself names all its users, and few enough to carry it out within a call."""
        request = self.request
        return request.is_named_only and request.retry_of is None and len(request.users) <= SMALL_REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The request; ``users`` are its first rows where the call itself carried it out, so they need not be read."""

    record: RequestRecord
    users: list[UserRow] | None = None


class Submitter:
    """Accepts requests; once a method returns a record, the request is durable."""

    def __init__(
        self,
        *,
        log: StatusLog,
        queue: WorkQueue,
        admission: Admission,
        worker: Worker,
        clock: Clock,
    ) -> None:
        self._log = log
        self._queue = queue
        self._admission = admission
        self._worker = worker
        self._clock = clock
        # The event loop keeps only weak references to tasks.
        self._working: set[asyncio.Task[CarriedOut]] = set()

    async def submit(self, submission: Submission, *, within: timedelta | None) -> Submitted:
        """Accept, and carry out within the call when the request is small and ``within`` leaves time for it.

        ``IdempotencyConflict`` for a key that another body holds; ``Unavailable`` when the request could not be made
        durable, while new requests are refused or the protected list cannot be read; ``TooManyOpen`` for a caller at
        its limit: then nothing has happened. A queue sender cannot be asked to try again, so its request waits for the
        protected list as for anything else that does not answer now.
        """
        started_at = self._clock.now()
        try:
            lane = await self._admitted(submission)
        except (Unavailable, TooManyOpen):
            # The request that the key belongs to is answered all the same: it was accepted long ago.
            if known := await self._holder(submission):
                return Submitted(record=known)
            raise
        record = self._record(submission, started_at, lane)
        if within is not None and submission.is_small:
            return await self._in_call(record, submission, until=started_at + within)
        known = await self._create(record, submission, in_call=False)
        if known is None:
            await enqueue_best_effort(self._queue, record.id)
        return Submitted(record=known or record)

    async def refuse(self, submission_id: str, record: RequestRecord) -> RequestRecord:
        """Enter a message that is not carried out; a second delivery of it adds nothing."""
        key = IdempotencyKey(scope="refused", key=submission_id, digest="refused")
        holder = await self._log.create_request(record, None, redrive_at=None, key=key)
        if holder is not None and (known := await self._log.get_request(holder.request_id)):
            return known
        logs.event("message_refused", requestId=record.id, code=record.problem.code if record.problem else None)
        return record

    def refused_record(
        self, *, requested_by: RequestedBy, problem: Problem, text: str | None, source: str = "queue"
    ) -> RequestRecord:
        """A request that has ended before it began."""
        now = self._clock.now()
        return RequestRecord(
            id=new_request_id(now),
            status=RequestStatus.FAILED,
            source=source,
            requested_by=requested_by,
            requested_at=now,
            completed_at=now,
            problem=problem,
            message_text=text,
        )

    async def _admitted(self, submission: Submission) -> Lane:
        """``RevokingPaused``, ``ProtectionUnavailable`` or ``TooManyOpen`` where nothing new is accepted."""
        await self._admission.check(dry_run=submission.request.dry_run, may_wait=submission.source == "queue")
        return await self._admission.admit(submission.requested_by.caller, is_small=submission.is_small)

    async def _holder(self, submission: Submission) -> RequestRecord | None:
        """The request that holds the key already; ``IdempotencyConflict`` where its body is another."""
        if submission.idempotency_key is None:
            return None
        claim = await self._log.get_claim(submission.key_scope, submission.idempotency_key, self._clock.now())
        return await self._claimed_by(claim, submission) if claim else None

    async def _claimed_by(self, claim: Claim, submission: Submission) -> RequestRecord | None:
        if claim.digest != submission.request.digest():
            raise IdempotencyConflict(
                "This Idempotency-Key belongs to an earlier request with another body. Use a new key for a new request."
            )
        return await self._log.get_request(claim.request_id)

    @staticmethod
    def _record(submission: Submission, now: datetime, lane: Lane) -> RequestRecord:
        request = submission.request
        total = submission.expected or request.distinct()
        return RequestRecord(
            id=new_request_id(now),
            status=RequestStatus.ACCEPTED,
            source=submission.source,
            requested_by=submission.requested_by,
            requested_at=now,
            correlation=submission.correlation,
            reason=request.reason,
            dry_run=request.dry_run,
            verify=request.verify,
            counts=Counts(total=total, pending=total, duplicates=max(len(request.users) - total, 0)),
            retry_of=request.retry_of,
            callback=CallbackState() if request.callback_url else None,
            lane=lane,
        )

    async def _create(self, record: RequestRecord, submission: Submission, *, in_call: bool) -> RequestRecord | None:
        """Make the request durable, or return the one that holds its key already.

        Should no worker get it done, the timer redrives it when a lease would end.
        """
        key = None
        if submission.idempotency_key is not None:
            digest = submission.request.digest()
            key = IdempotencyKey(scope=submission.key_scope, key=submission.idempotency_key, digest=digest)
        redrive_at = self._clock.now() + LEASE + REDRIVE_MARGIN
        holder = await self._log.create_request(record, submission.request, redrive_at=redrive_at, key=key)
        if holder is not None:
            self._admission.ended(submission.requested_by.caller)
            known = await self._claimed_by(holder, submission)
            if known is None:
                raise Unavailable("The request that holds this Idempotency-Key is being removed. Use a new key.")
            return known
        logs.event(
            "request_accepted",
            requestId=record.id,
            source=record.source,
            users=record.counts.total,
            inCall=in_call,
            dryRun=record.dry_run,
        )
        return None

    async def _in_call(self, record: RequestRecord, submission: Submission, *, until: datetime) -> Submitted:
        """Make a small request durable and carry it out.

        A look-up changes nothing, so it need not wait until the request is durable. A request with a key is looked up
        later, for it may have been carried out already.
        """
        prepare = self._worker.prepare
        lane = record.lane
        early = None if submission.idempotency_key else asyncio.create_task(prepare(submission.request, lane))
        try:
            known = await self._create(record, submission, in_call=True)
        except BaseException:
            if early:
                early.cancel()
            raise
        if known is not None:
            return Submitted(record=known)
        lookup = early or asyncio.create_task(prepare(submission.request, lane))
        submitted = await self._carried_out(record, submission, lookup, until=until)
        if submitted.record.status.is_final:
            self._admission.ended(submission.requested_by.caller)
        return submitted

    async def _carried_out(
        self, record: RequestRecord, submission: Submission, lookup: asyncio.Task[Lookup], *, until: datetime
    ) -> Submitted:
        """Be the request's first worker; from here on nothing that fails can lose it.

        When the time is up the work is not broken off, which would leave calls ambiguous: it ends its step under its
        lease while the caller is told to poll.
        """

        async def work() -> CarriedOut:
            # By now the timer may have brought another worker, which may even be done: then its run row is there.
            return await self._worker.carry_out(
                record, submission.request, None, until=until, max_idle=IN_CALL_MAX_IDLE, lookup=await lookup
            )

        task = asyncio.create_task(work())
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        await asyncio.wait({task}, timeout=(until - self._clock.now()).total_seconds())
        if not task.done():
            return Submitted(record=record)
        if problem := task.exception():
            logs.failure("in_call_work_stopped", problem, requestId=record.id)
            return Submitted(record=record)
        return Submitted(record=task.result().record, users=task.result().users)

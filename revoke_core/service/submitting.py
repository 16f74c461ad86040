"""Acceptance: claim the key, make the request durable, and carry a small one out at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import IdempotencyConflict, Unavailable
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.problems import PROTECTED_UNREADABLE
from revoke_core.domain.results import Correlation, Counts, Problem, RequestedBy, RequestRecord, RequestStatus
from revoke_core.ports import Claim
from revoke_core.service.protection import ProtectedListUnreadable
from revoke_core.service.sweeping import send_or_leave

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.request import RevocationRequest
    from revoke_core.ports import Budget, Clock, Ledger, StatusLog, WorkQueue
    from revoke_core.service.planning import Lookup, Planner
    from revoke_core.service.worker import Worker

IN_CALL_USERS: Final = 20
# Whoever carries a request out in its own call may die; this message then finds the request.
SAFETY_DELAY: Final = timedelta(seconds=60)
IN_CALL_PATIENCE: Final = timedelta(seconds=5)
_PROTECTED_RETRY_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Who sends what, through which door, under which idempotency key.

    ``expected`` is how many users it will come down to, where something else than its own list knows.
    """

    request: RevocationRequest
    source: str
    requested_by: RequestedBy
    correlation: Correlation = field(default_factory=Correlation)
    idempotency_key: str | None = None
    expected: int = 0

    @property
    def is_small(self) -> bool:
        """Whether the request itself names all its users, and few enough to carry it out within a call."""
        request = self.request
        is_named = not request.groups and request.filter is None and request.retry_of is None
        return is_named and len(request.users) <= IN_CALL_USERS


class Submitter:
    """Accepts requests; once a method returns a record, the request is durable."""

    def __init__(
        self,
        *,
        log: StatusLog,
        ledger: Ledger,
        queue: WorkQueue,
        planner: Planner,
        worker: Worker,
        budget: Budget,
        clock: Clock,
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._queue = queue
        self._planner = planner
        self._worker = worker
        self._budget = budget
        self._clock = clock
        # The event loop keeps only weak references to tasks.
        self._working: set[asyncio.Task[RequestRecord]] = set()

    async def submit(self, submission: Submission, *, within: timedelta | None) -> RequestRecord:
        """Accept, and carry out within the call when the request is small and ``within`` leaves time for it.

        ``IdempotencyConflict`` for a key that another body holds; ``Unavailable`` when the request could not be made
        durable or nobody can tell who is protected: then nothing has happened. The sender of a message cannot be told
        to try again, so its request waits for the protected list as for anything else that does not answer now.
        """
        started_at = self._clock.now()
        if submission.source != "queue":
            await self._refuse_unprotected()
        taken = await self._claimed(submission, started_at)
        if isinstance(taken, RequestRecord):
            return taken
        record = self._record(taken, submission, started_at)
        in_call = within is not None and submission.is_small
        if not in_call or within is None:
            return await self._accepted(record, submission)
        # Looking users up changes nothing, so it need not wait for the request to be durable.
        lookup = asyncio.create_task(self._prepared(submission.request))
        try:
            receipt = await self._durable(record, submission, delay=SAFETY_DELAY)
        except BaseException:
            lookup.cancel()
            raise
        return await self._carried_out(record, submission, receipt, lookup, until=started_at + within)

    async def _prepared(self, request: RevocationRequest) -> Lookup:
        """Look the users up, and have tokens at hand when the call is to leave."""
        lookup, tokens = await asyncio.gather(
            self._planner.lookup(request.users), self._budget.take(len(request.users), small=True)
        )
        await self._budget.give_back(tokens)
        return lookup

    async def refuse(self, submission_id: str, record: RequestRecord) -> RequestRecord:
        """Enter a message that is not carried out; a second delivery of it adds nothing."""
        claim = Claim(request_id=record.id, digest="refused")
        holder = await self._ledger.claim("refused", submission_id, claim)
        if holder is not None and (known := await self._log.get(holder.request_id)):
            return known
        await self._log.create(record, None)
        logs.event("message_refused", requestId=record.id, code=record.problem.code if record.problem else None)
        return record

    def refused_record(
        self, *, requested_by: RequestedBy, problem: Problem, text: str | None, source: str = "queue"
    ) -> RequestRecord:
        """A request that ended before it began."""
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

    async def _refuse_unprotected(self) -> None:
        try:
            await self._planner.check_protected()
        except ProtectedListUnreadable:
            problem = PROTECTED_UNREADABLE
            raise Unavailable(f"{problem.message} {problem.hint}", retry_after=_PROTECTED_RETRY_SECONDS) from None

    async def _claimed(self, submission: Submission, now: datetime) -> str | RequestRecord:
        """The new request's id, or the request that holds the key already."""
        request_id = new_request_id(now)
        if submission.idempotency_key is None:
            return request_id
        digest = submission.request.digest()
        claim = Claim(request_id=request_id, digest=digest)
        holder = await self._ledger.claim(submission.requested_by.scope, submission.idempotency_key, claim)
        if holder is None:
            return request_id
        if holder.digest != digest:
            raise IdempotencyConflict(
                "This Idempotency-Key belongs to an earlier request with another body. Use a new key for a new request."
            )
        # No row behind the claim: its owner died, or has not written it yet. Either way the request is the same one.
        return await self._log.get(holder.request_id) or holder.request_id

    @staticmethod
    def _record(request_id: str, submission: Submission, now: datetime) -> RequestRecord:
        request = submission.request
        total = submission.expected or request.distinct()
        return RequestRecord(
            id=request_id,
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
        )

    async def _accepted(self, record: RequestRecord, submission: Submission) -> RequestRecord:
        """Accept for the queue side."""
        await self._ledger.open(record.id)
        await self._log.create(record, submission.request)
        await send_or_leave(self._queue, record.id)
        self._log_accepted(record, in_call=False)
        return record

    async def _durable(self, record: RequestRecord, submission: Submission, *, delay: timedelta) -> str:
        """Mark and message first, the row last: before the row is there, neither has any effect."""
        _, receipt = await asyncio.gather(self._ledger.open(record.id), self._queue.put(record.id, delay=delay))
        await self._log.create(record, submission.request)
        self._log_accepted(record, in_call=True)
        return receipt

    async def _carried_out(
        self,
        record: RequestRecord,
        submission: Submission,
        receipt: str,
        lookup: asyncio.Task[Lookup],
        *,
        until: datetime,
    ) -> RequestRecord:
        """Be the request's first worker; from here on nothing that fails can lose it.

        When the time is up the work is not broken off, which would leave calls in doubt: it ends its step under its
        lease while the caller is told to poll.
        """

        async def work() -> RequestRecord:
            known = await lookup
            # By now the message may have brought another worker, which may even be done: then its run row is there.
            return await self._worker.carry_out(
                record,
                submission.request,
                None,
                until=until,
                patience=IN_CALL_PATIENCE,
                lookup=known,
                receipt=receipt,
            )

        task = asyncio.create_task(work())
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        await asyncio.wait({task}, timeout=(until - self._clock.now()).total_seconds())
        if not task.done():
            return record
        if problem := task.exception():
            logs.failure("in_call_work_stopped", problem, requestId=record.id)
            return record
        return task.result()

    @staticmethod
    def _log_accepted(record: RequestRecord, *, in_call: bool) -> None:
        logs.event(
            "request_accepted",
            requestId=record.id,
            source=record.source,
            users=record.counts.total,
            inCall=in_call,
            dryRun=record.dry_run,
        )
